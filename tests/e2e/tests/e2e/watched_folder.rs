//! The watched folder: a file that appears is loaded, judged once, and never written to.

use serde_json::{Value, json};
use taskhost_e2e::component::component;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

fn version(version: &str) -> Vec<u8> {
    let descriptor = json!({"id": "dropped", "version": version, "title": "Dropped in"});
    component(&descriptor.to_string(), &format!("{version:?}"))
}

/// Waits until the type has this version, and answers its view.
async fn active(host: &Host, type_id: &str, version: &str) -> Value {
    host.see(&format!("{type_id} {version}"), async || {
        let answer = host.get(&format!("/v1/task-types/{type_id}")).await;
        (answer.status == 200 && answer.json()["version"] == version).then(|| answer.json())
    })
    .await
}

async fn rejected(host: &Host, file: &str) -> Value {
    host.see(&format!("{file} rejected"), async || {
        let list = host.get("/v1/task-types").await.expect(200);
        let all = list["rejected"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .find(|each| each["file"].as_str().unwrap().ends_with(file))
    })
    .await
}

#[tokio::test]
async fn what_lies_there_is_judged_before_the_host_is_ready() {
    let home = Home::with(&["hello-task"]);
    home.add_bytes("dropped", &version("1"));
    home.add_bytes("broken", b"no component");
    std::fs::write(home.task_types().join("README.txt"), "not looked at").unwrap();
    std::os::unix::fs::symlink("nowhere", home.task_types().join("dangling.wasm")).unwrap();
    let host = home.start().await;
    let list = host.get("/v1/task-types").await.expect(200);
    let ids: Vec<&Value> = list["task_types"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| &each["id"])
        .collect();
    assert_eq!(ids, ["dropped", "hello"]);
    let rejected = list["rejected"].as_array().unwrap();
    let of = |file: &str| {
        let mut each = rejected.iter();
        each.find(|each| each["file"].as_str().unwrap().ends_with(file))
            .map(|each| each["reason"].as_str().unwrap())
    };
    assert_eq!(rejected.len(), 2, "{list:#}");
    assert!(of("broken.wasm").is_some_and(|reason| !reason.is_empty()));
    assert!(of("dangling.wasm").is_some_and(|reason| reason.contains("leads nowhere")));
    assert!(host.log().contains("broken.wasm"), "{}", host.log());
}

#[tokio::test]
async fn a_pipe_in_place_of_a_signature_holds_nobody_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let home = Home::new();
    home.add_bytes("dropped", &version("1"));
    let pipe = home.task_types().join("dropped.wasm.minisig");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    home.add("hello-task");
    let host = home.start().await;
    active(&host, "hello", "1.0.0").await;
    let reason = rejected(&host, "dropped.wasm").await["reason"].to_string();
    assert!(reason.contains("its signature beside it"), "{reason}");
    std::fs::remove_file(&pipe).unwrap();
    active(&host, "dropped", "1").await;
}

#[tokio::test]
async fn what_appears_is_loaded_and_what_disappears_stays() {
    let home = Home::new();
    let host = home.start().await;
    home.add_bytes("dropped", &version("1"));
    active(&host, "dropped", "1").await;
    home.add_bytes("dropped", &version("2"));
    active(&host, "dropped", "2").await;
    home.add_bytes("bad", &version("3")[..500]);
    rejected(&host, "bad.wasm").await;
    std::fs::remove_file(home.task_types().join("dropped.wasm")).unwrap();
    home.add_bytes(
        "other",
        &std::fs::read(taskhost_e2e::places::component("hello-task")).unwrap(),
    );
    active(&host, "hello", "1.0.0").await;
    assert_eq!(host.run("t", "dropped", json!({})).await["payload"], "2");
}

#[tokio::test]
async fn a_known_component_is_no_upload_even_after_a_restart() {
    let home = Home::new();
    home.add_bytes("dropped", &version("1"));
    let host = home.start().await;
    host.push_bytes(version("2")).await.expect(201);
    // The first version lies in the folder still, and again under another name.
    home.add_bytes("again", &version("1"));
    home.add("hello-task");
    active(&host, "hello", "1.0.0").await;
    assert_eq!(host.run("t", "dropped", json!({})).await["payload"], "2");
    host.stop().await;
    let host = home.start().await;
    assert_eq!(host.run("t", "dropped", json!({})).await["payload"], "2");
    let why = "another version has taken its place and stays active";
    assert!(host.log().contains(why), "{}", host.log());
    // Whoever pushes it wants it, and no start takes that back.
    host.push_bytes(version("1")).await.expect(200);
    home.add_bytes("dropped", &version("2"));
    host.stop().await;
    let host = home.start().await;
    assert_eq!(host.run("t", "dropped", json!({})).await["payload"], "1");
}

#[tokio::test]
async fn several_files_of_a_type_go_by_time() {
    let home = Home::new();
    let at = |seconds: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    for (name, text, time) in [("a", "3", 3_000), ("b", "1", 1_000), ("c", "2", 2_000)] {
        home.add_bytes(name, &version(text));
        let path = home.task_types().join(format!("{name}.wasm"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(at(time)).unwrap();
    }
    let host = home.start().await;
    assert_eq!(
        host.get("/v1/task-types/dropped").await.expect(200)["version"],
        "3"
    );
}

#[tokio::test]
async fn a_folder_that_was_asked_for_has_to_exist() {
    let home = Home::new();
    home.settings("task_types = \"no-such-folder\"\n");
    let output = home.refused().await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no-such-folder"), "{error}");
    std::fs::create_dir(home.path().join("no-such-folder")).unwrap();
    home.start().await.stop().await;
}
