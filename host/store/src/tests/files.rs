//! Files and folders: what survives a restart, and which files are refused.

use super::{opened, settings, sqlite};
use crate::conformance::given;
use crate::error::StoreError;
use crate::open::{OpenError, open};
use crate::streams::StreamSettings;

#[tokio::test]
async fn everything_survives_a_restart_without_a_close() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), given::clock());
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let s = sqlite(folder.path(), &clock);
    let fence = s.running("t").await.unwrap();
    let task = s.completed("t", fence, "{\"a\":1}").await.unwrap();
    let key = s
        .ingested("logs", vec![given::document(5, "{\"m\":1}")])
        .await
        .unwrap();
    let scope = given::space_scope("features");
    let person = crate::documents::Writer::Person("somebody".to_owned());
    let first = s
        .stores
        .documents
        .apply(&scope, &person, vec![given::put("a", "{}")])
        .await;
    let first = first.unwrap().remove(0).unwrap();
    // What a killed host leaves: the files as they are, logs of SQLite included.
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    s.stores.close().await;
    assert_eq!(
        std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(),
        "mine"
    );
    drop(s);
    for folder in [folder.path(), killed.path()] {
        let again = opened(folder, &clock);
        let read = again.tasks.read(&given::key("t")).await.unwrap().unwrap();
        assert_eq!(
            (&read.task, read.payload.as_deref()),
            (&task, Some("{\"a\":1}"))
        );
        let stream = again
            .streams
            .get(&given::reader(), &key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (stream.documents, stream.settings),
            (1, StreamSettings::default())
        );
        let second = again
            .documents
            .apply(&scope, &person, vec![given::put("a", "{}")])
            .await;
        assert_ne!(second.unwrap().remove(0).unwrap(), first, "versions go on");
        again.close().await;
    }
}

#[tokio::test]
async fn a_second_host_is_told_of_the_first() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), given::clock());
    let first = opened(folder.path(), &clock);
    let error = open(&settings(folder.path()), clock.clone())
        .unwrap_err()
        .to_string();
    let process = format!("process {}, not listening yet", std::process::id());
    assert!(
        error.contains(&process) && error.contains("--data"),
        "{error}"
    );
    first.announce("http://127.0.0.1:7700").unwrap();
    let error = open(&settings(folder.path()), clock.clone())
        .unwrap_err()
        .to_string();
    assert!(error.contains("http://127.0.0.1:7700"), "{error}");
    first.close().await;
    drop(first);
    opened(folder.path(), &clock).close().await;
}

#[tokio::test]
async fn files_of_others_and_of_newer_versions_are_refused_untouched() {
    let clock = given::clock();
    for (file, sql, said) in [
        (
            "tasks.sqlite",
            "CREATE TABLE theirs (a)",
            "is not a store of taskhost",
        ),
        (
            "streams.sqlite",
            "CREATE TABLE theirs (a)",
            "is not a store of taskhost",
        ),
        (
            "tasks.sqlite",
            "PRAGMA application_id = 1953196148; PRAGMA user_version = 70",
            "format 70, this one knows up to ",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        let theirs = rusqlite::Connection::open(&path).unwrap();
        theirs.execute_batch(sql).unwrap();
        drop(theirs);
        let before = std::fs::read(&path).unwrap();
        let error = open(&settings(folder.path()), clock.clone()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("tasks.sqlite"),
        "no database at all, but long".repeat(99),
    )
    .unwrap();
    let error = open(&settings(folder.path()), clock.clone()).unwrap_err();
    let corrupt = |error: &OpenError| {
        matches!(
            error,
            OpenError::Store {
                error: StoreError::Corrupt { .. },
                ..
            }
        )
    };
    assert!(corrupt(&error), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("`tasks.sqlite`"),
        "which of the files: {said}"
    );
    let file = folder.path().join("notes");
    std::fs::write(&file, "").unwrap();
    let error = open(&settings(&file), clock).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let s = sqlite(folder.path(), &given::clock());
    // What waits when the close comes is written.
    let writes: Vec<_> = (0..50)
        .map(|number| {
            let s = s.clone();
            tokio::spawn(async move { s.scheduled(&format!("t{number}")).await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    s.stores.writable().await.unwrap();
    s.stores.close().await;
    let unavailable =
        |error: Option<StoreError>| matches!(error, Some(StoreError::Unavailable { .. }));
    assert!(unavailable(s.stores.writable().await.err()));
    assert!(unavailable(
        s.stores.tasks.get(&given::key("t1")).await.err()
    ));
    assert!(unavailable(s.apply("t1", given::cancel()).await.err()));
    s.stores.close().await;
    let (clock, stores) = (s.clock.clone(), s.stores);
    drop(stores);
    let again = opened(folder.path(), &clock);
    for number in 0..50 {
        let key = given::key(&format!("t{number}"));
        assert!(again.tasks.get(&key).await.unwrap().is_some());
    }
    again.close().await;
}
