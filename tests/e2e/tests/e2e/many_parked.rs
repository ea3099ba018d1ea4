//! Runs that are parked by the dozen take no more memory maps than the host reckons with: at the
//! system's limit on them an ordinary allocation fails, and with it the host.

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use tokio::process::Command;

const PARKED: usize = 120;
/// What the host reckons with for each: `MAPS_PER_INSTANCE` in `host/runtime/src/engine.rs`.
const MAPS_EACH: usize = 7;
/// Of what else grows meanwhile: a thread's stack takes two.
const OTHER_MAPS: usize = 20;
/// KiB of address space that instances fit into one by one, and a pool for 200 does not.
const ADDRESS_SPACE_KIB: u64 = 2 << 30;

#[tokio::test]
async fn each_takes_the_maps_that_are_reckoned_with() {
    let home = home();
    take_their_maps(&home.start().await).await;
}

#[tokio::test]
async fn outside_of_a_pool_they_take_as_many() {
    let home = home();
    let host = Host::of(with_address_space(&home.serve())).await;
    take_their_maps(&host).await;
    assert!(host.log().contains("pool for instances is refused"));
}

fn home() -> Home {
    let home = Home::with(&["ignores-cancel"]);
    home.settings("runs.slots = 200\n");
    home
}

async fn take_their_maps(host: &Host) {
    // What the host's first runs cost it is not counted.
    park(host, "first", 8).await;
    let before = maps(host);
    park(host, "parked", PARKED).await;
    let grown = maps(host) - before;
    println!("{PARKED} parked runs take {grown} maps");
    assert!(
        (PARKED..=PARKED * MAPS_EACH + OTHER_MAPS).contains(&grown),
        "{grown} maps for {PARKED} runs"
    );
}

async fn park(host: &Host, name: &str, count: usize) {
    for n in 0..count {
        host.schedule(
            &format!("{name}-{n}"),
            "ignores-cancel",
            json!({"how": "sleep"}),
        )
        .await;
    }
    for n in 0..count {
        host.moves(&format!("{name}-{n}")).await;
    }
}

fn maps(host: &Host) -> usize {
    let file = format!("/proc/{}/maps", host.pid().as_raw_nonzero());
    std::fs::read_to_string(file).unwrap().lines().count()
}

/// The same command with so much and no more.
fn with_address_space(command: &Command) -> Command {
    let command = command.as_std();
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(limited);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.kill_on_drop(true);
    shell
}
