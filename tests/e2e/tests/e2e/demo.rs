//! The demo that the README begins with, without a terminal.

use taskhost_e2e::home::program;
use taskhost_e2e::host::Cli;
use taskhost_e2e::places;

#[tokio::test]
async fn the_demo_finds_the_systems_and_ends() {
    let (top, mut command) = (places::top(), program());
    command
        .arg("demo")
        .arg("--data-file")
        .arg(top.join("examples/data/stream.ndjson"));
    command
        .arg("--task-types")
        .arg(top.join("target/task-types"));
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
