//! Recordings of runs that did not go straight to their end: killed hosts, cancels, and recordings
//! that have none.

use std::fs;

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

const ALLOWED: &str = "[[allow]]\nrecord = true\n";

async fn schedule_recorded(host: &Host, id: &str, type_id: &str, params: Value) {
    let body = json!({"type": type_id, "params": params, "record": true});
    host.put(&task(id), &body).await.expect(201);
}

/// The lines of its recording that are JSON; the line before the last may be there in part.
async fn lines(host: &Host, id: &str) -> Vec<Value> {
    let answer = host.get(&format!("{}/recording", task(id))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = answer.text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Exit code and what `--json` prints.
async fn replayed(host: &Host, arguments: &[&str]) -> (Option<i32>, Value) {
    let said = host.cli(&[&["replay", "--json"], arguments].concat()).await;
    let object = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, object)
}

/// Waits until so many steps of `checkpointed` are kept in its recording.
async fn until_kept(host: &Host, id: &str, steps: usize) {
    host.see("calls in the recording", async || {
        // There is none before its first piece is written.
        let answer = host.get(&format!("{}/recording", task(id))).await;
        if answer.status == 404 {
            return None;
        }
        let lines = lines(host, id).await;
        let saved = lines.iter().filter(|line| line["call"] == "state.save");
        (saved.count() >= steps).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_host_was_killed_is_recorded_from_where_it_begins_again() {
    let home = Home::with(&["checkpointed"]);
    home.settings(ALLOWED);
    let host = home.start().await;
    let params = json!({"steps": 40, "step_ms": 50});
    schedule_recorded(&host, "t", "checkpointed", params).await;
    // What it has asked is on disk while it runs.
    until_kept(&host, "t", 2).await;
    host.kill().await;
    let host = home.start().await;
    let done = host.ends("t").await;
    assert_eq!(done["status"], "completed", "{done:#}");
    let found_done = done["payload"]["found_done"].as_u64().unwrap();
    assert!(found_done >= 2, "{done:#}");
    let lines = lines(&host, "t").await;
    assert_eq!(lines[0]["attempt"], 1, "{lines:#?}");
    let saved = lines.iter().filter(|line| line["call"] == "state.save");
    assert_eq!(saved.count() as u64, 40 - found_done, "of this lease alone");
    assert_eq!(lines.last().unwrap()["end"]["status"], "completed");
    let (code, said) = replayed(&host, &["t"]).await;
    assert_eq!((code, &said["ok"]), (Some(0), &json!(true)), "{said:#}");
}

#[tokio::test]
async fn a_run_that_was_canceled_is_replayed_to_where_it_was_stopped() {
    let home = Home::with(&["checkpointed"]);
    home.settings(ALLOWED);
    let host = home.start().await;
    let params = json!({"steps": 1_000_000, "step_ms": 20});
    schedule_recorded(&host, "t", "checkpointed", params).await;
    host.moves("t").await;
    host.post(&format!("{}/cancel", task("t")), &json!({}))
        .await
        .expect(200);
    assert_eq!(host.ends("t").await["status"], "canceled");
    let lines = lines(&host, "t").await;
    let end = &lines.last().unwrap()["end"];
    assert_eq!(end["status"], "stopped", "{end:#}");
    let (code, said) = replayed(&host, &["t"]).await;
    assert_eq!((code, &said["ok"]), (Some(0), &json!(true)), "{said:#}");
    let verdict = said["verdict"].as_str().unwrap();
    assert!(verdict.contains("up to where it was stopped"), "{verdict}");
}

#[tokio::test]
async fn a_recording_without_an_end_says_why_and_is_replayed_as_far_as_it_goes() {
    let home = Home::with(&["checkpointed"]);
    home.settings(ALLOWED);
    let host = home.start().await;
    let params = json!({"steps": 1_000_000, "step_ms": 20});
    schedule_recorded(&host, "t", "checkpointed", params).await;
    until_kept(&host, "t", 3).await;
    let file = home.path().join("kept");
    let kept = file.to_str().unwrap();
    let (code, said) = replayed(&host, &["t", "--save", kept]).await;
    assert_eq!((code, &said["ok"]), (Some(1), &json!(false)), "{said:#}");
    let reason = "the recording broke off: its run had not ended when it was read";
    let verdict = said["verdict"].as_str().unwrap();
    assert!(verdict.ends_with(reason), "{said:#}");
    assert!(said["calls"]["state.save"].as_u64() >= Some(3), "{said:#}");
    assert!(said["recorded"]["broken_off"].is_string(), "{said:#}");

    // Without that line nobody knows why there is no end.
    let text = fs::read_to_string(&file).unwrap();
    let (before, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&file, format!("{before}\n")).unwrap();
    let (code, said) = replayed(&host, &[kept]).await;
    assert_eq!(code, Some(1), "{said:#}");
    let verdict = said["verdict"].as_str().unwrap();
    assert!(verdict.ends_with("the recording has no end"), "{said:#}");

    // A line in the middle that is none is told with its number.
    let mut changed: Vec<&str> = before.lines().collect();
    changed[3] = "{";
    fs::write(&file, changed.join("\n") + "\n").unwrap();
    let (code, said) = replayed(&host, &[kept]).await;
    assert_eq!(code, Some(1), "{said:#}");
    let verdict = said["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("line 4 of the recording"), "{said:#}");

    // No link is followed, and limits that no host has are no more than the machine's.
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let to_link = ["replay", "t", "--save", link.to_str().unwrap()];
    let said = host.cli(&to_link).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("is a link"), "{said:?}");
    let mut head: Value = serde_json::from_str(changed[0]).unwrap();
    head["limits"]["memory_bytes"] = json!(u64::MAX);
    fs::write(&file, format!("{head}\n{}\n", changed[1..3].join("\n"))).unwrap();
    let said = host.cli(&["replay", kept]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("the most that is allowed here"),
        "{said:?}"
    );
}
