//! What people who differ are answered by each verb: a task that somebody may not see is one that
//! is not there.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::{DocumentId, Label, RunId, Space, TaskId, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::task::Parent;
use taskhost_service::error::ServiceError;
use taskhost_service::{ChangeKind, ScheduleRequest, Scheduled};
use taskhost_store::documents::Scope;
use taskhost_store::event::{Event, NewRun};
use taskhost_store::streams::StreamSettings;
use taskhost_store::tasks::ListRequest;

use crate::answers::{answers, word};
use crate::guest::{self, READS, WAITS};
use crate::people::{key, space};
use crate::population::{Population, in_space, request};

#[tokio::test]
async fn what_a_run_has_handed_down_is_seen_with_the_right_to_its_stream() {
    let it = Population::start().await;
    let parent = Parent {
        task: TaskId::parse("parent").unwrap(),
        run: RunId::new(),
        key: "child".to_owned(),
        depth: 1,
        stream: request(READS, Some(guest::STREAM)).stream,
        also_reads: Vec::new(),
    };
    let run = NewRun {
        id: RunId::new(),
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from("{}"),
        parent: Some(parent),
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "ann".to_owned(),
        key: None,
        priority: 0,
        due_at: it.clock.now(),
        timeout_ms: None,
        max_attempts: 1,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    let schedule = Event::Schedule(Box::new(run));
    let applied = it.stores[0].tasks.apply(&key("child"), schedule).await;
    applied.unwrap();
    for (name, sees) in [("ann", true), ("vic", true), ("eve", false)] {
        let view = it.service.tasks.get(&it.who(name), &key("child")).await;
        let is_there = view.unwrap().status != Status::NotStarted;
        assert_eq!(is_there, sees, "{name}");
    }
}

#[tokio::test]
async fn each_verb_answers_each_of_them_as_they_may() {
    let it = Population::start().await;
    it.service.begin();
    it.schedule(&it.who("ann"), "t", READS, Some(guest::STREAM))
        .await
        .unwrap();
    assert_eq!(it.ended("t").await.status, Status::Completed);
    let names = ["ann", "ben", "vic", "eve", "zoe", "far", "adm"];
    let mut table = Vec::new();
    for name in names {
        table.push(answers(&it, &it.who(name)).await);
    }
    let (seen, none) = ("seen", "nothing");
    let (nf, forb, us, av) = (
        "not found",
        "forbidden",
        "unknown stream",
        "another version",
    );
    let (nt, na) = ("not tried", "nothing to acknowledge");
    #[rustfmt::skip]
    let expected = [
        //                              ann     ben     vic     eve      zoe     far     adm
        ("get",                       [seen,   seen,   seen,   none,    none,   none,   seen]),
        ("wait",                      [seen,   seen,   seen,   none,    none,   none,   seen]),
        ("log",                       [seen,   seen,   seen,   nf,      nf,     nf,     seen]),
        ("list",                      [seen,   seen,   seen,   none,    forb,   forb,   seen]),
        ("recording",                 [nf,     nf,     nf,     nf,      nf,     nf,     nf]),
        ("cancel",                    [av,     av,     forb,   av,      av,     av,     av]),
        ("cancel at all",             [seen,   seen,   forb,   none,    none,   none,   seen]),
        ("delete",                    [av,     av,     forb,   av,      av,     av,     av]),
        ("delete at all",             [nt,     nt,     forb,   nf,      nf,     nf,     nt]),
        ("acknowledge",               [av,     av,     forb,   na,      na,     na,     av]),
        ("schedule",                  [av,     av,     forb,   us,      forb,   forb,   av]),
        ("schedule without a stream", [nt,     nt,     forb,   "taken", forb,   forb,   nt]),
        ("stream",                    [seen,   seen,   seen,   us,      us,     us,     seen]),
        ("streams",                   [seen,   seen,   seen,   none,    forb,   forb,   seen]),
        ("count",                     [seen,   seen,   seen,   us,      us,     us,     seen]),
        ("sample",                    [seen,   seen,   seen,   us,      us,     us,     seen]),
        ("ingest",                    ["done", "done", forb,   us,      forb,   forb,   "done"]),
        ("put stream",                ["done", "done", forb,   us,      forb,   forb,   "done"]),
    ];
    for (row, (verb, words)) in expected.iter().enumerate() {
        let answered: Vec<_> = table.iter().map(|column| column[row]).collect();
        let expected: Vec<_> = words.iter().map(|word| (*verb, *word)).collect();
        assert_eq!(answered, expected, "{names:?}");
    }
    assert_eq!(
        it.task("t").await.status,
        Status::Completed,
        "nobody changed it"
    );
}

#[tokio::test]
async fn what_is_hidden_looks_like_what_is_absent() {
    let it = Population::start().await;
    it.schedule(&it.who("ann"), "t", WAITS, Some(guest::STREAM))
        .await
        .unwrap();
    let tasks = &it.service.tasks;
    for name in ["eve", "zoe", "far"] {
        let by = it.who(name);
        for version in [None, Some(0), Some(1), Some(it.task("t").await.version)] {
            let mut both = Vec::new();
            for id in ["t", "none"] {
                let id = key(id);
                both.push([
                    format!(
                        "{:?}",
                        tasks
                            .cancel(&by, &id, None, version)
                            .await
                            .map(|it| it.status)
                    ),
                    format!("{:?}", tasks.delete(&by, &id, version).await).replace("none", "t"),
                    format!(
                        "{:?}",
                        tasks
                            .acknowledge(&by, &id, version)
                            .await
                            .map(|it| it.status)
                    ),
                ]);
            }
            assert_eq!(both[0], both[1], "{name} {version:?}");
        }
    }
    assert_eq!(it.task("t").await.status, Status::InProgress);
}

#[tokio::test]
async fn task_types_are_managed_by_admins_alone() {
    let it = Population::start().await;
    let (types, type_id) = (&it.service.types, TypeId::parse(guest::TYPE).unwrap());
    let component = guest::of_type(guest::TYPE, 1, r#""stream":"optional","#);
    for name in ["ann", "vic", "zoe", "far"] {
        let by = it.who(name);
        let digest = taskhost_service::types::digest_of(&component);
        let push = types.push(&by, component.clone(), None).await;
        assert_eq!(word(push, |_| "done"), "forbidden", "{name}");
        for answer in [
            types.approve(&by, &type_id, &digest).await.map(drop),
            types.activate(&by, &type_id, &digest).await.map(drop),
            types.delete(&by, &type_id, &digest).await,
            types.bytes(&by, &type_id, &digest).await.map(drop),
            types.pause(&by, &type_id, None).await.map(drop),
            types.resume(&by, &type_id).await.map(drop),
            it.service.may_know_all(&by).await,
        ] {
            assert_eq!(word(answer, |()| "done"), "forbidden", "{name}");
        }
        let view = types.get(&by, &type_id).await.unwrap();
        assert_eq!(
            (view.unfinished, view.versions[0].runs_pinned),
            (None, None),
            "{name}"
        );
        assert!(types.rejected_for(&by).await.unwrap().is_empty());
    }
    let admin = it.who("adm");
    it.service.may_know_all(&admin).await.unwrap();
    types.push(&admin, component, None).await.unwrap();
    let view = types.get(&admin, &type_id).await.unwrap();
    assert_eq!(
        (view.unfinished, view.versions[0].runs_pinned),
        (Some(0), Some(0))
    );
}

/// A page is as long as if there were nothing else, and no cursor is made of what is hidden.
#[tokio::test]
async fn a_list_tells_nothing_of_what_it_leaves_out() {
    let it = Population::start().await;
    let (ann, eve) = (it.who("ann"), it.who("eve"));
    let mut plain = Vec::new();
    for number in 0..30 {
        it.clock.advance(Duration::from_millis(1));
        let is_hidden = number % 3 != 0 || number > 24;
        let stream = is_hidden.then_some(guest::STREAM);
        let id = format!("t{number}");
        it.schedule(&ann, &id, WAITS, stream).await.unwrap();
        if !is_hidden {
            plain.insert(0, id);
        }
    }
    let tasks = &it.service.tasks;
    for limit in [1, 2, 4, 8, 9, 10, 1_000] {
        let mut request = ListRequest::all(space());
        request.limit = limit;
        let mut found = Vec::new();
        loop {
            let page = tasks.list(&eve, request.clone()).await.unwrap();
            let ids: Vec<_> = page.tasks.iter().map(|task| task.id.to_string()).collect();
            let left = plain.len() - found.len();
            assert_eq!(ids.len(), limit.min(left), "{limit}");
            assert_eq!(page.next.is_some(), left > limit, "{limit}");
            found.extend(ids);
            // The time in a cursor is that of a task that is shown.
            if let (Some(cursor), Some(last)) = (&page.next, page.tasks.last()) {
                let at = format!("{:x}", last.created_at.as_ms());
                assert!(cursor.contains(&at), "{cursor} {at}");
            }
            request.cursor = page.next;
            if request.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, plain, "{limit}");
    }
    // An empty list would be taken for the truth by whoever has been forgotten.
    let of_nobody = tasks
        .list(&it.who("zoe"), ListRequest::all(space()))
        .await
        .unwrap_err();
    assert!(
        of_nobody.to_string().contains("the role `viewer`"),
        "{of_nobody}"
    );
    // Another space is another matter.
    let far = ListRequest::all(Space::parse("far").unwrap());
    assert!(
        tasks
            .list(&it.who("far"), far.clone())
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    let there = in_space("far", "t");
    tasks
        .schedule(&it.who("far"), there, request(WAITS, None))
        .await
        .unwrap();
    assert_eq!(
        tasks
            .list(&it.who("far"), far.clone())
            .await
            .unwrap()
            .tasks
            .len(),
        1
    );
    let elsewhere = tasks.list(&ann, far).await;
    assert!(matches!(elsewhere, Err(ServiceError::Forbidden { .. })));
}

#[tokio::test]
async fn whoever_watches_hears_of_what_they_see_and_that_it_is_gone() {
    let it = Population::start().await;
    let (ann, eve, tasks) = (it.who("ann"), it.who("eve"), &it.service.tasks);
    let mut watch = tasks.watch(&eve, &key("t")).await.unwrap();
    // Hidden, then shown, then hidden again.
    it.schedule(&ann, "t", WAITS, Some(guest::STREAM))
        .await
        .unwrap();
    tasks.cancel(&ann, &key("t"), None, None).await.unwrap();
    it.schedule(&ann, "t", WAITS, None).await.unwrap();
    let shown = watch.next().await.unwrap();
    assert!(matches!(shown.kind, ChangeKind::Status) && shown.task.stream.is_none());
    assert_eq!(shown.task.status, Status::InProgress);
    tasks.cancel(&ann, &key("t"), None, None).await.unwrap();
    assert_eq!(watch.next().await.unwrap().task.status, Status::Canceled);
    it.schedule(&ann, "t", WAITS, Some(guest::STREAM))
        .await
        .unwrap();
    let gone = watch.next().await.unwrap();
    assert!(matches!(gone.kind, ChangeKind::Deleted) && gone.task.stream.is_none());
    tasks.delete(&ann, &key("t"), None).await.unwrap();
    it.schedule(&ann, "t", WAITS, None).await.unwrap();
    let again = watch.next().await.unwrap();
    assert!(matches!(again.kind, ChangeKind::Status) && again.task.deleted_at.is_none());
}

/// A task is replaced between being looked at and being changed: what is there then counts.
#[tokio::test]
async fn an_id_changes_hands_only_as_far_as_it_is_seen() {
    let it = Population::start().await;
    let (ann, eve, tasks) = (it.who("ann"), it.who("eve"), &it.service.tasks);
    // A finished task on a stream that she may not read is not hers to replace.
    it.schedule(&ann, "t", WAITS, Some(guest::STREAM))
        .await
        .unwrap();
    tasks.cancel(&ann, &key("t"), None, None).await.unwrap();
    let taken = tasks.schedule(&eve, key("t"), request(WAITS, None)).await;
    assert_eq!(word(taken, |_| "done"), "taken");
    // One without a stream is everybody's who operates the space.
    it.schedule(&ann, "u", WAITS, None).await.unwrap();
    tasks.cancel(&ann, &key("u"), None, None).await.unwrap();
    it.schedule(&eve, "u", WAITS, None).await.unwrap();
    assert_eq!(it.task("u").await.requested_by, "eve");
    // On a stream that she may not read she schedules nothing, there or not.
    for stream in [guest::STREAM, "nowhere"] {
        let refused = tasks
            .schedule(&eve, key("v"), request(WAITS, Some(stream)))
            .await;
        assert_eq!(word(refused, |_| "done"), "unknown stream");
    }
}

#[tokio::test]
async fn a_task_that_names_streams_is_for_those_who_read_all_of_them() {
    let it = Population::start().await;
    let names = guest::of_type("names", 0, r#""streams_from":"/streams","#);
    let (adm, tasks) = (it.who("adm"), &it.service.tasks);
    it.service.types.push(&adm, names, None).await.unwrap();
    for stream in ["logs.more", "other"] {
        let settings = StreamSettings::default();
        let stream = it.stream(stream);
        let put = it.service.streams.put(&adm, &stream, &settings);
        put.await.unwrap();
    }
    let of = |streams: &[&str]| ScheduleRequest {
        type_id: TypeId::parse("names").unwrap(),
        params: Arc::from(format!(r#"{{"streams":{streams:?}}}"#)),
        ..request(READS, None)
    };
    let both = of(&[guest::STREAM, "logs.more"]);
    let scheduled = tasks.schedule(&it.who("ann"), key("both"), both).await;
    let Ok(Scheduled::New(view)) = scheduled else {
        panic!("{scheduled:?}");
    };
    let key_id = view.task.unwrap().run.key;
    assert!(key_id.is_some(), "its run reads with a key of ann's");
    // vic reads one of the two, eve none.
    for (name, sees) in [("ann", true), ("ben", true), ("vic", false), ("eve", false)] {
        let view = tasks.get(&it.who(name), &key("both")).await.unwrap();
        assert_eq!(view.status != Status::NotStarted, sees, "{name}");
        let listed = tasks
            .list(&it.who(name), ListRequest::all(space()))
            .await
            .unwrap();
        assert_eq!(listed.tasks.len() == 1, sees, "{name}");
    }
    for streams in [&[guest::STREAM, "other"][..], &["missing"]] {
        let refused = tasks
            .schedule(&it.who("ann"), key("refused"), of(streams))
            .await;
        let is_unknown = matches!(&refused, Err(ServiceError::UnknownStream { .. }));
        assert!(is_unknown, "{refused:?}");
    }
}

#[tokio::test]
async fn a_key_that_hidden_tasks_hold_is_a_turn_to_wait_for() {
    let it = Population::start().await;
    let more = r#""stream":"optional","concurrency":{"max":1},"#;
    let component = guest::of_type("keyed", 0, more);
    it.service
        .types
        .push(&it.who("adm"), component, None)
        .await
        .unwrap();
    it.service.begin();
    let keyed = |stream: Option<&str>| {
        let mut keyed = request(WAITS, stream);
        keyed.type_id = TypeId::parse("keyed").unwrap();
        keyed
    };
    let (ann, eve, tasks) = (it.who("ann"), it.who("eve"), &it.service.tasks);
    tasks
        .schedule(&ann, key("secret"), keyed(Some(guest::STREAM)))
        .await
        .unwrap();
    it.at_work("secret").await;
    tasks
        .schedule(&ann, key("waits"), keyed(None))
        .await
        .unwrap();
    let of = async |by: &Requester| {
        let view = tasks.get(by, &key("waits")).await.unwrap();
        let task = view.task.unwrap();
        let each = tasks.each_waiting_for(by, &[task]).await.unwrap();
        assert_eq!(each[0], view.waiting_for);
        view.waiting_for
    };
    assert!(of(&ann).await.unwrap().contains("1 of the tasks"));
    assert_eq!(of(&eve).await.as_deref(), Some("its turn"));
    tasks
        .cancel(&ann, &key("secret"), None, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn collections_of_a_stream_are_for_those_who_read_it() {
    let it = Population::start().await;
    let label = Label::parse("findings").unwrap();
    let type_id = TypeId::parse(guest::TYPE).unwrap();
    let documents = &it.stores[0].documents;
    documents.take_label(&label, &type_id).await.unwrap();
    let scope = Scope {
        space: space(),
        stream: Some(it.stream(guest::STREAM).name),
        label,
    };
    let writer = taskhost_store::documents::Writer::Person("ann".to_owned());
    let id = DocumentId::parse("one").unwrap();
    let change = taskhost_store::documents::Change::Put {
        id: id.clone(),
        body: "{}".into(),
        if_version: None,
    };
    documents
        .apply(&scope, &writer, vec![change])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    for (name, sees) in [
        ("ann", true),
        ("vic", true),
        ("eve", false),
        ("zoe", false),
        ("far", false),
    ] {
        let by = it.who(name);
        let collections = &it.service.collections;
        let page = collections.list(&by, &scope, None, None, 10).await.unwrap();
        assert_eq!(page.documents.len(), usize::from(sees), "{name}");
        let one = collections.get(&by, &scope, &id).await;
        assert_eq!(one.is_ok(), sees, "{name}");
    }
}
