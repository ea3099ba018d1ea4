//! `taskhost export` and `import`: a store becomes another one, also where the host runs on, where
//! an import is broken off, and where the file is not what it should be.

use std::path::Path;

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::Cli;
use taskhost_e2e::tasks::stream;

async fn command(name: &str, home: &Home, file: &Path) -> Cli {
    let mut command = program();
    command.arg(name).arg(file).arg("--data").arg(home.data());
    Cli::of(command).await
}

/// A host with a task of each end, a stream, and documents in a collection.
async fn filled() -> (Home, taskhost_e2e::host::Host) {
    let home = Home::with(&["hello-task", "fails", "sleeper", "page-states", "log-flood"]);
    let host = home.start().await;
    host.fill("logs", [json!({"message": "alpha"})]).await;
    host.run("done", "hello", json!({"name": "Ada\u{0}\n"}))
        .await;
    host.run("acknowledged", "hello", json!({"name": "x"}))
        .await;
    host.verb("acknowledged", "acknowledge").await.expect(200);
    host.schedule("failed", "fails", json!({"code": "x", "message": "no"}))
        .await;
    host.reaches("failed", "failed").await;
    host.schedule("unfinished", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("unfinished", |task| task["run"]["state"] == "running")
        .await;
    let feature = json!({"name": "Alpha", "filter": {"field": "message", "contains": "alpha"}});
    host.put("/internal/streams/logs/features/mine", &feature)
        .await
        .expect(201);
    (home, host)
}

fn without_times(mut task: Value) -> Value {
    // Where its run was is of the other store.
    let run = task["run"].as_object_mut().unwrap();
    run.remove("incarnation");
    task
}

#[tokio::test]
async fn a_store_becomes_another_one_with_every_result() {
    let (home, host) = filled().await;
    let file = home.path().join("all.ndjson");
    let said = command("export", &home, &file).await.done();
    assert!(
        said.contains("4 tasks, 1 documents of collections, 1 streams"),
        "{said}"
    );
    let again = command("export", &home, &file).await;
    assert_eq!(again.code, Some(1), "nothing is written over: {again:?}");
    let mine = host
        .get("/internal/streams/logs/features/mine")
        .await
        .expect(200);

    let other = Home::with(&["hello-task", "page-states"]);
    let said = command("import", &other, &file).await.done();
    assert!(said.contains("0 were there already"), "{said}");
    // Broken off or not, it can be done again.
    let said = command("import", &other, &file).await.done();
    assert!(said.contains("6 were there already"), "{said}");
    let copy = other.start().await;
    for id in ["done", "acknowledged", "failed"] {
        let (here, there) = (host.task(id).await, copy.task(id).await);
        assert_eq!(without_times(there), without_times(here), "{id}");
    }
    let canceled = copy.task("unfinished").await;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["canceled_by"], "import");
    let settings = copy.get(&stream("logs")).await.expect(200);
    assert_eq!(
        (&settings["documents"], &settings["retention_days"]),
        (&json!(0), &json!(30))
    );
    assert_eq!(
        copy.get("/internal/streams/logs/features/mine")
            .await
            .expect(200),
        mine
    );
    let log = copy.get("/v1/audit?deed=store.import").await.expect(200);
    let entries = log["entries"].as_array().unwrap();
    let is_done = |entry: &Value| entry["outcome"] == "done" && entry["target"] != "";
    assert_eq!(entries.len(), 2, "{log:#}");
    assert!(entries.iter().all(is_done), "{log:#}");
    // And work goes on, with the same ids.
    copy.run("done", "hello", json!({"name": "again"})).await;
}

/// What becomes of an export in bad hands: how, the file, and the line that is wrong.
fn spoiled(text: &str) -> Vec<(&'static str, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len();
    let joined = |lines: &[&str]| {
        let ended = lines.iter().map(|line| format!("{line}\n"));
        ended.collect::<String>()
    };
    // In the place of the third line, which is of a task.
    let with = |line: &str| {
        let mut changed: Vec<&str> = lines.clone();
        changed[2] = line;
        joined(&changed)
    };
    let task = lines[2];
    let in_params = |given: &str| {
        let begun = format!("\"params\":{{{given},");
        task.replace("\"params\":{", &begun)
    };
    let (open, close) = ("[".repeat(9_999), "]".repeat(9_999));
    let deep = format!("{{\"document\":{open}1{close}}}");
    let large = in_params(&format!("\"x\":\"{}\"", "y".repeat(2 << 20)));
    let bad_id = task.replace("\"space\":\"default\"", "\"space\":\"../x\"");
    let cut = text[..text.len() - 20].to_owned();
    let missing = joined(&[&lines[..2], &lines[3..]].concat());
    let format = text.replacen("\"format\":1", "\"format\":99", 1);
    vec![
        ("empty", String::new(), 1),
        ("another file", "{\"message\":\"a log\"}\n".to_owned(), 1),
        ("cut between lines", joined(&lines[..last - 1]), last),
        ("cut within a line", cut, last),
        ("a line is missing", missing, last - 1),
        ("no JSON", with("{\"task\":"), 3),
        ("a bad id", with(&bad_id), 3),
        ("nested for ever", with(&deep), 3),
        ("large", with(&large), 3),
        ("half of a pair", with(&in_params("\"a\":\"\\ud800\"")), 3),
        ("a terminal's words", with("\u{1b}[2J"), 3),
        ("more behind", format!("{text}{{}}\n"), last + 1),
        ("another format", format, 1),
    ]
}

/// T18: whatever the file is, it is refused with the line, and nothing of it is written.
#[tokio::test]
async fn what_is_no_whole_export_is_refused_with_its_line() {
    let (home, host) = filled().await;
    let file = home.path().join("all.ndjson");
    command("export", &home, &file).await.done();
    drop(host);
    let text = std::fs::read_to_string(&file).unwrap();
    let other = Home::with(&["hello-task"]);
    let path = other.path().join("spoiled");
    for (name, text, line) in spoiled(&text) {
        std::fs::write(&path, text).unwrap();
        let refused = command("import", &other, &path).await;
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
        let place = format!("spoiled:{line}: ");
        let is_told = refused.err.contains(&place);
        assert!(is_told, "{name}: {place} in {refused:?}");
        assert!(!refused.err.contains('\u{1b}'), "{name}: {refused:?}");
    }
    let is_written = other.data().join("tasks.sqlite").exists();
    assert!(!is_written, "nothing was written");
    std::fs::write(&path, b"\xff\n").unwrap();
    let refused = command("import", &other, &path).await;
    let is_told = refused.err.contains("spoiled:1: is not UTF-8");
    assert!(is_told, "{refused:?}");
}

#[tokio::test]
async fn an_import_that_is_killed_is_done_again() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    for n in 0..100 {
        host.schedule(&format!("t{n}"), "hello", json!({"name": "x"}))
            .await;
    }
    for n in 0..100 {
        host.reaches(&format!("t{n}"), "completed").await;
    }
    let file = home.path().join("all.ndjson");
    command("export", &home, &file).await.done();
    let other = Home::with(&["hello-task"]);
    for n in 0..8 {
        let mut import = program();
        import
            .arg("import")
            .arg(&file)
            .arg("--data")
            .arg(other.data());
        let mut child = import.spawn().unwrap();
        let moment = std::time::Duration::from_millis(15 * n);
        let _ = tokio::time::timeout(moment, child.wait()).await;
        let _ = child.start_kill();
        child.wait().await.unwrap();
    }
    let said = command("import", &other, &file).await.done();
    assert!(said.contains("100 tasks"), "{said}");
    let copy = other.start().await;
    let alive = command("import", &other, &file).await;
    assert!(
        alive.err.contains("in use by another taskhost"),
        "{alive:?}"
    );
    for n in 0..100 {
        assert_eq!(copy.task(&format!("t{n}")).await["status"], "completed");
    }
}
