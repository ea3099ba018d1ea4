//! The store cannot be written for a while: the disk is full, nothing may be written at all, or
//! the whole host stands still. It says so, loses nothing that it has accepted, and goes on by
//! itself.

use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;
use tokio::process::Command;

/// Room on the small disk: the store's log grows to 16 MiB before its first checkpoint.
const DISK: &str = "size=80m";
/// Mounts a disk for the host's data, then becomes the host.
const ON_SMALL_DISK: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@""#;
/// The same with a disk that may not be written, on which the store already is.
const ON_READ_ONLY_DISK: &str = r#"mount -t tmpfs -o "$1" tmpfs "$2" && cp -r "$3/." "$2" &&
    mount -o remount,ro "$2" && shift 3 && exec "$@""#;

fn shell(script: &str, arguments: &[&Path], host: &Command) -> Vec<std::ffi::OsString> {
    let host = host.as_std();
    let mut all: Vec<std::ffi::OsString> = ["sh", "-c", script, "sh"].map(Into::into).into();
    all.extend(arguments.iter().map(Into::into));
    all.push(host.get_program().into());
    all.extend(host.get_args().map(Into::into));
    all
}

/// The host behind a program; its environment and folder stay.
fn behind(mut host: Command, words: &[std::ffi::OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).kill_on_drop(true);
    let inner = host.as_std_mut();
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(inner.get_current_dir().expect("its home"));
    command
}

/// Set where a process may not have mounts of its own; `tests/run.sh` does, and says so.
const WITHOUT_MOUNTS: &str = "TASKHOST_WITHOUT_MOUNTS";

/// The words that give a process mounts of its own; none where that is not allowed.
fn own_mounts() -> Option<Vec<std::ffi::OsString>> {
    let ways: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--user", "--map-root-user", "--mount"],
    ];
    let works = |way: &&[&str]| {
        let mut probe = StdCommand::new(way[0]);
        probe.args(&way[1..]).args(["sh", "-c"]);
        probe.arg("mount -t tmpfs tmpfs /tmp");
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let way = ways.into_iter().find(works);
    assert!(
        way.is_some() || std::env::var_os(WITHOUT_MOUNTS).is_some(),
        "a process may not have mounts of its own here: run it where it may, or set \
         {WITHOUT_MOUNTS}=1 to go without this proof"
    );
    way.map(|way| way.iter().map(Into::into).collect())
}

/// Fills a disk to its last byte.
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [64 * 1024, 1024, 1] {
        let part = vec![b'x'; size];
        while file.write_all(&part).is_ok() {}
    }
}

async fn is_ready(host: &Host) -> bool {
    let answer = host.get("/readyz").await;
    if answer.status != 200 {
        answer.problem(503, "not-ready");
    }
    answer.status == 200
}

/// Schedules tasks until one is refused, and the host knows that it is not ready; answers what
/// was accepted.
async fn until_not_ready(host: &Host, code: &str, params: &Value) -> Vec<String> {
    let (mut accepted, mut was_refused) = (Vec::new(), false);
    for n in 0_u32.. {
        let id = format!("more-{n}");
        let body = json!({"type": "hello", "params": params});
        let answer = host.put(&task(&id), &body).await;
        if answer.status == 201 {
            accepted.push(id);
        } else {
            let problem = answer.problem(503, code);
            assert_eq!(problem["retryable"], true, "{problem:#}");
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            was_refused = true;
            // What was refused is not there.
            assert_eq!(host.task(&id).await["status"], "not_started");
        }
        if was_refused && !is_ready(host).await {
            return accepted;
        }
    }
    unreachable!("the loop ends by itself")
}

/// Everything that was accepted has ended once and well.
async fn all_completed(host: &Host, ids: &[String]) {
    for id in ids {
        let ended = host.reaches(id, "completed").await;
        let run = &ended["run"];
        assert_eq!(
            (&run["attempt"], &run["crashes"]),
            (&json!(1), &json!(0)),
            "{ended:#}"
        );
    }
}

/// A host on a small disk, and the file with which to fill that.
async fn on_small_disk(home: &Home, mut words: Vec<std::ffi::OsString>) -> (Host, PathBuf) {
    let data = home.data();
    words.extend(shell(
        ON_SMALL_DISK,
        &[Path::new(DISK), &data],
        &home.serve(),
    ));
    let host = Host::of(behind(home.serve(), &words)).await;
    host.push("hello-task").await.expect(201);
    host.push("sleeper").await.expect(201);
    host.schedule("early", "hello", json!({"name": "x"})).await;
    host.reaches("early", "completed").await;
    host.schedule("sleeps", "sleeper", json!({"ms": 5_000}))
        .await;
    let pid = host.pid().as_raw_nonzero();
    let inside = PathBuf::from(format!("/proc/{pid}/root"));
    let filler = inside.join(data.strip_prefix("/").unwrap()).join("filler");
    (host, filler)
}

#[tokio::test]
async fn the_last_of_the_disk_is_kept_for_the_end_of_tasks() {
    let Some(words) = own_mounts() else {
        return;
    };
    let home = Home::new();
    let (host, filler) = on_small_disk(&home, words).await;
    let params = json!({"ms": 600_000});
    host.schedule("forever", "sleeper", params).await;
    fill(&filler);
    let file = std::fs::File::options().write(true).open(&filler);
    let file = file.unwrap();
    // 16 MiB are free then, of the 32 that are kept.
    let bytes = file.metadata().unwrap().len() - 16 * 1024 * 1024;
    file.set_len(bytes).unwrap();
    drop(file);
    for _ in 0..3 {
        let why = host.get("/readyz").await.problem(503, "not-ready");
        let why = why["detail"].as_str().unwrap();
        assert!(
            why.contains("32 MiB that are kept for ending tasks"),
            "{why}"
        );
        let body = json!({"type": "hello", "params": {"name": "y"}});
        let refused = host.put(&task("more"), &body).await;
        let refused = refused.problem(503, "disk-full");
        assert_eq!(refused["retryable"], true, "{refused:#}");
        let why = refused["detail"].as_str().unwrap();
        assert!(
            why.contains("32 MiB that are kept for ending tasks"),
            "{why}"
        );
    }
    let cancel = format!("{}/cancel", task("forever"));
    host.post(&cancel, &json!({})).await.expect(200);
    host.reaches("forever", "canceled").await;
    host.reaches("sleeps", "completed").await;
    std::fs::remove_file(&filler).unwrap();
    host.get("/readyz").await.expect(200);
    host.run("late", "hello", json!({"name": "z"})).await;
    let said = |words: &str| host.log().matches(words).count();
    assert_eq!(said("less than 32 MiB of the disk is free"), 1);
    assert_eq!(said("the disk has room again"), 1);
    host.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_accepted_is_lost() {
    let Some(words) = own_mounts() else {
        return;
    };
    let home = Home::new();
    let (host, filler) = on_small_disk(&home, words).await;
    let mut accepted = vec!["early".to_owned(), "sleeps".to_owned()];
    fill(&filler);
    accepted.extend(until_not_ready(&host, "disk-full", &json!({"name": "y"})).await);
    let not_ready = host.get("/readyz").await.problem(503, "not-ready");
    let why = not_ready["detail"].as_str().unwrap();
    assert!(why.contains("the disk is full"), "{why}");
    host.get("/livez").await.expect(200);
    assert_eq!(host.task("early").await["status"], "completed");
    host.get("/v1/spaces/default/tasks").await.expect(200);
    host.see("an end that waits for room", async || {
        host.log()
            .contains("the end of a run is not written yet")
            .then_some(())
    })
    .await;

    std::fs::remove_file(&filler).unwrap();
    host.see("it is ready again", async || {
        is_ready(&host).await.then_some(())
    })
    .await;
    all_completed(&host, &accepted).await;
    host.run("late", "hello", json!({"name": "z"})).await;
    host.stop().await;
}

#[tokio::test]
async fn a_read_only_folder_is_refused_at_the_start() {
    let Some(mut words) = own_mounts() else {
        return;
    };
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    host.run("early", "hello", json!({"name": "x"})).await;
    host.stop().await;
    let (data, copy) = (home.data(), home.path().join("copy"));
    std::fs::rename(&data, &copy).unwrap();
    std::fs::create_dir(&data).unwrap();
    let arguments = [Path::new(DISK), &data, &copy];
    words.extend(shell(ON_READ_ONLY_DISK, &arguments, &home.serve()));
    let output = behind(home.serve(), &words).output().await.unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    // And nothing is lost by it.
    std::fs::remove_dir(&data).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    let host = home.start().await;
    host.reaches("early", "completed").await;
    host.stop().await;
}

/// A file system that turns read-only under a running host refuses every write. A limit on the
/// size of files does the same to one process alone, without any rights; it is lifted again.
fn may_write(host: &Host, bytes_max: Option<u64>) {
    let limit = Rlimit {
        current: bytes_max,
        maximum: None,
    };
    prlimit(Some(host.pid()), Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn when_nothing_can_be_written_it_is_said_and_nothing_accepted_is_lost() {
    let home = Home::with(&["hello-task", "sleeper"]);
    // It is told by an error, and not by a signal that would end it.
    let host = Host::of(home.serve()).await;
    host.see("its types", async || is_ready(&host).await.then_some(()))
        .await;
    host.run("early", "hello", json!({"name": "x"})).await;
    // The first instance of a component needs a file in memory, which the limit is for as well.
    host.run("first", "sleeper", json!({"ms": 0})).await;
    let mut accepted = ["early", "first", "sleeps"].map(str::to_owned).to_vec();
    host.schedule("sleeps", "sleeper", json!({"ms": 2_000}))
        .await;
    host.until("sleeps", |task| task["run"]["state"] == "running")
        .await;

    may_write(&host, Some(0));
    accepted.extend(until_not_ready(&host, "unavailable", &json!({"name": "y"})).await);
    assert_eq!(accepted.len(), 3, "nothing is accepted: {accepted:?}");
    host.verb("sleeps", "cancel")
        .await
        .problem(503, "unavailable");
    host.delete(&task("early"))
        .await
        .problem(503, "unavailable");
    host.see("an end that waits for the store", async || {
        host.log()
            .contains("the end of a run is not written yet")
            .then_some(())
    })
    .await;
    assert_eq!(host.task("sleeps").await["status"], "in_progress");
    assert_eq!(host.task("early").await["status"], "completed");

    may_write(&host, None);
    host.see("it is ready again", async || {
        is_ready(&host).await.then_some(())
    })
    .await;
    all_completed(&host, &accepted).await;
    let late = host.run("late", "hello", json!({"name": "z"})).await;
    assert_eq!(late["status"], "completed");
    accepted.push("late".to_owned());
    host.stop().await;
    let host = home.start().await;
    all_completed(&host, &accepted).await;
    host.stop().await;
}

/// Three leases of 30 s in the long run. On the embedded store nobody can take a run over from a
/// host that stands still: the folder's lock is the host's as long as the process is there. So
/// what is seen here is that nothing is lost or written twice. That the late writes of a host
/// whose runs another one has taken over are refused is a matter of stores that several hosts
/// share; the rule itself (`apply`: fenced) is tested with the store.
#[tokio::test]
async fn a_host_that_stood_still_goes_on_as_if_nothing_had_been() {
    let still = Duration::from_secs(if taskhost_e2e::long() { 90 } else { 3 });
    let home = Home::with(&["hello-task", "sleeper", "fails"]);
    let host = home.start().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let id = format!("t{n}");
        host.schedule(&id, "sleeper", json!({"ms": 100 * n})).await;
        ids.push(id);
    }
    let fails = json!({"code": "x", "retryable": true, "succeed_on_attempt": 2});
    host.schedule("again", "fails", fails).await;

    kill_process(host.pid(), Signal::STOP).unwrap();
    // It says nothing, and its folder stays its own.
    let request = host.request(Method::GET, "/livez").timeout(still);
    let (answer, refused) = tokio::join!(host.try_send(request), home.refused());
    assert!(answer.unwrap_err().is_timeout());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("is in use by another taskhost"), "{said}");
    kill_process(host.pid(), Signal::CONT).unwrap();

    all_completed(&host, &ids).await;
    for id in &ids {
        let run = host.task(id).await["run"].clone();
        assert_eq!(run["lease_number"], 1, "{run:#}");
    }
    let again = host.reaches("again", "completed").await;
    assert_eq!(again["run"]["attempt"], 2, "{again:#}");
    host.run("late", "hello", json!({"name": "z"})).await;
    host.stop().await;
}
