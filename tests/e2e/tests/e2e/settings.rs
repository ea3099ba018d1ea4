//! Settings: every mistake at once, each with its place.

use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};
use taskhost_e2e::places;

#[tokio::test]
async fn every_mistake_is_told_with_line_and_key() {
    let home = Home::new();
    let file = "listen = \"0.0.0.0:7700\"\nlistne = 1\n\n[runs]\nslots = 0\ncrashes_max = \"x\"\n\
        [task_type_limits]\nmemory_mib = 1\nnothing = 2\n";
    std::fs::write(home.settings_file(), file).unwrap();
    let output = home.refused().await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    for (line, key) in [
        (1, "listen"),
        (2, "listne"),
        (5, "slots"),
        (6, "crashes_max"),
        (9, "nothing"),
    ] {
        let told = error
            .lines()
            .any(|text| text.contains(key) && text.contains(&line.to_string()));
        assert!(told, "line {line}, `{key}` in:\n{error}");
    }
    assert!(error.contains("taskhost.toml"), "{error}");
    std::fs::write(home.settings_file(), "listen = \"127.0.0.1:0\n").unwrap();
    let error = String::from_utf8(home.refused().await.stderr).unwrap();
    assert!(error.contains('1'), "{error}");
}

#[tokio::test]
async fn a_file_that_is_missing_is_an_error() {
    let home = Home::new();
    std::fs::remove_file(home.settings_file()).unwrap();
    let error = String::from_utf8(home.refused().await.stderr).unwrap();
    assert!(error.contains("taskhost.toml"), "{error}");
}

#[tokio::test]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let home = Home::new();
    std::fs::write(
        home.settings_file(),
        "listen = \"127.0.0.1:1\"\nruns.slots = 1\n",
    )
    .unwrap();
    let mut command = home.serve();
    command.env("TASKHOST_LISTEN", "127.0.0.1:0");
    let host = Host::of(command).await;
    assert!(!host.url.ends_with(":1"), "{}", host.url);
    host.stop().await;
    let mut command = home.serve();
    command
        .env("TASKHOST_LISTEN", "127.0.0.1:1")
        .args(["--listen", "127.0.0.1:0"]);
    Host::of(command).await.stop().await;
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let home = Home::new();
    let mut command = home.serve();
    command.args(["--listen", "0.0.0.0:0"]);
    let said = Cli::of(command).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("`listen`"), "{said:?}");
}

#[tokio::test]
async fn the_example_file_is_right() {
    let mut command = program();
    let example = places::top().join("examples/taskhost.toml");
    command.arg("check-config").arg(&example);
    Cli::of(command).await.done();

    // With every key uncommented it still is, apart from folders of the machine it runs on.
    let home = Home::new();
    let text = std::fs::read_to_string(example).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    });
    std::fs::write(home.settings_file(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let mut command = program();
    command.arg("check-config").arg(home.settings_file());
    Cli::of(command).await.done();
}
