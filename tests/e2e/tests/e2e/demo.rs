//! The demo that the README begins with, without a terminal.

use taskhost_e2e::host::Cli;
use taskhost_e2e::places;
use tokio::process::Command;

#[tokio::test]
async fn the_demo_finds_the_systems_and_ends() {
    let mut command = Command::new(places::top().join("examples/demo.sh"));
    command
        .env("XDG_CACHE_HOME", places::scratch().join("cache"))
        .kill_on_drop(true);
    let said = Cli::of(command).await;
    let (out, code) = (said.out.as_str(), said.code);
    assert_eq!(code, Some(0), "{said:?}");
    assert!(
        !out.contains('\u{1b}'),
        "plain lines where there is no terminal: {out:?}"
    );
    for words in ["acknowledged", "confidence"] {
        assert!(out.to_lowercase().contains(words), "{words} in:\n{out}");
    }
}
