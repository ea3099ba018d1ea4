//! Another version of the program on the same store: the last one beside this one, and a later
//! one's documents.
//!
//! TASKHOST_OLD_BINARY names the last version's program, or any other that is to get on with this
//! one. No version before this one could use Elasticsearch.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use taskhost_e2e::fleet::{Caller, Callers, Fleet, pass};
use taskhost_e2e::host::Host;
use taskhost_e2e::load::Account;
use tokio::process::Command;

const CLIENTS: usize = 6;
const TURN: Duration = Duration::from_secs(10);

/// The same command with another program.
fn of_another_program(command: &Command, program: &PathBuf) -> Command {
    let command = command.as_std();
    let mut other = Command::new(program);
    other.args(command.get_args()).kill_on_drop(true);
    other.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_version_and_this_one_work_together_and_either_takes_over() {
    let Some(old) = std::env::var_os("TASKHOST_OLD_BINARY").map(PathBuf::from) else {
        eprintln!("!!! SKIPPED: the last version beside this one; set TASKHOST_OLD_BINARY");
        return;
    };
    let account = Arc::new(Account::new().await);
    let (teller, allowed) = account.teller();
    let settings = format!("runs.crashes_max = 100\nruns.slots = 16\n{allowed}");
    let components = ["hello-task", "sleeper", "fails"];
    let Some(fleet) = Fleet::find(2, &components, &settings).await else {
        return;
    };
    let turns = if taskhost_e2e::long() { 6 } else { 2 };
    for number in 0..2 {
        fleet.home(number).add_bytes("sends", &teller);
    }
    let start = async |number, is_old| {
        let command = fleet.serve(number, &fleet.elasticsearch.url);
        if is_old {
            fleet.started(of_another_program(&command, &old)).await
        } else {
            fleet.started(command).await
        }
    };
    // Old alone, old and new, then one after the other is the other one, and at last old alone.
    let mut hosts = vec![start(0, true).await, start(1, false).await];
    let callers = Arc::new(Callers::of(&hosts));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (account, callers) = (Arc::clone(&account), Arc::clone(&callers));
            tokio::spawn(async move { account.client(&callers, &format!("c{n}")).await })
        })
        .collect();
    let (mut is_old, mut stops) = ([true, false], 0);
    for turn in 0..turns {
        // They are to work together for a while
        pass(TURN).await;
        let number = turn % 2;
        callers.set(number, None);
        let host: Host = hosts.remove(number);
        // In order, and not in order.
        if turn % 4 < 2 {
            host.stop().await;
            stops += 1;
        } else {
            host.kill().await;
        }
        is_old[number] = !is_old[number];
        let host = start(number, is_old[number]).await;
        callers.set(number, Some(Caller::of(&host)));
        hosts.insert(number, host);
    }
    account.is_over();
    for client in clients {
        client.await.unwrap();
    }
    println!("{} tasks were accepted", account.accepted());
    for host in &hosts {
        account.check(host, stops).await;
    }
    fleet.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_versions_store_is_left_alone() {
    let Some(fleet) = Fleet::find(1, &["hello-task"], "").await else {
        return;
    };
    let host = fleet.start(0).await;
    let done = host.run("t", "hello", json!({"name": "x"})).await;
    host.stop().await;
    let mapping = format!("/{}_tasks/_mapping", fleet.prefix);
    let server = &fleet.elasticsearch;
    let found = server.get(&mapping).await.expect(200);
    let index = found.as_object().unwrap().values().next().unwrap();
    let meta = &index["mappings"]["_meta"];
    let schema = meta["version"].as_u64().unwrap();
    let later = json!({"_meta": {"version": schema + 1}});
    server.put(&mapping, &later).await.expect(200);
    let mut command = fleet.serve(0, &server.url);
    let output = tokio::time::timeout(taskhost_e2e::PATIENCE, command.output()).await;
    let output = output.expect("it goes on").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    assert!(
        said.contains("start the version of taskhost that has written it"),
        "{said}"
    );
    server
        .put(&mapping, &json!({"_meta": meta}))
        .await
        .expect(200);
    let host = fleet.start(0).await;
    assert_eq!(host.task("t").await, done, "nothing was changed");
    host.stop().await;
    fleet.clear().await;
}
