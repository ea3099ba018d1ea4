//! Components that come while another one is taken in, that come again, and whose taking in breaks
//! off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::error::ServiceError;
use taskhost_service::types::{Pushed, ShownState};
use taskhost_service::view::WaitReason;
use taskhost_service::{Parts, Service};
use taskhost_store::components::VersionState;
use taskhost_store::faulty::{Call, Fate, Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use tokio::task::JoinHandle;

use crate::bench::{a_moment, parts, runtime_settings};
use crate::guest;
use crate::hold::{Hold, PATIENCE};
use crate::people::{Accepted, Wish, key, say, somebody};

/// How a push begins.
const BEGINS: &str = "components.get";
/// As many as are taken in at once.
const AT_ONCE: usize = 4;

fn clock() -> Clock {
    Clock::manual(Timestamp::from_ms(1_795_000_000_000))
}

fn empty() -> Stores {
    in_memory(Limits::default(), clock())
}

fn parts_on(hold: &Arc<Hold>) -> Parts {
    parts_over(&empty(), hold)
}

fn parts_over(stores: &Stores, hold: &Arc<Hold>) -> Parts {
    let policy: Arc<dyn Policy> = Arc::<Hold>::clone(hold);
    parts(&wrap(stores, &policy), &clock())
}

/// Stores to which these versions were pushed, one after the other.
async fn stores_with(versions: &[u32]) -> Stores {
    let stores = empty();
    let service = Service::start(parts(&stores, &clock())).await.unwrap();
    for version in versions {
        let pushed = service
            .types
            .push(&somebody(), guest::component(*version), None)
            .await;
        assert!(pushed.unwrap().created);
    }
    stores
}

fn push(service: &Service, bytes: Arc<[u8]>) -> JoinHandle<Result<Pushed, ServiceError>> {
    let types = service.types.clone();
    tokio::spawn(async move { types.push(&somebody(), bytes, None).await })
}

/// A service where `first` is held up on its way, `second` is taken in, and `first` goes on.
async fn overtaken(
    first: Arc<[u8]>,
    second: Arc<[u8]>,
) -> (Service, Result<Pushed, ServiceError>, Pushed) {
    overtaken_over(&empty(), first, |service| {
        let types = service.types.clone();
        async move { types.push(&somebody(), second, None).await }
    })
    .await
}

/// The same where something is stored already; `second` says how the second one comes.
async fn overtaken_over<Second: Future<Output = Result<Pushed, ServiceError>>>(
    stores: &Stores,
    first: Arc<[u8]>,
    second: impl FnOnce(&Service) -> Second,
) -> (Service, Result<Pushed, ServiceError>, Pushed) {
    let hold = Hold::of(BEGINS, 1);
    let service = Service::start(parts_over(stores, &hold)).await.unwrap();
    let first = push(&service, first);
    hold.until_come(1).await;
    let second = tokio::time::timeout(PATIENCE, second(&service)).await;
    let second = second.expect("it waits for the other one").unwrap();
    assert!(!first.is_finished());
    hold.let_all_go();
    (service, first.await.unwrap(), second)
}

/// The digest of the version that a new task runs on.
async fn runs_on(service: &Service, id: &str) -> Digest {
    service.begin();
    let accepted = Accepted::default();
    let wish = Wish::Schedule(guest::COMPLETES);
    say(service, &accepted, id, wish).await.unwrap();
    loop {
        let view = service.tasks.get(&somebody(), &key(id)).await.unwrap();
        if view.status == Status::Completed {
            return view.task.unwrap().run.digest.unwrap();
        }
        assert!(!view.status.is_terminal(), "{view:?}");
        let wish = Wish::WaitForChange;
        say(service, &accepted, id, wish).await.unwrap();
    }
}

/// Fails the next call of a name, once.
#[derive(Debug, Default)]
struct Breaks(Mutex<Option<(&'static str, Fate)>>);

#[async_trait]
impl Policy for Breaks {
    async fn before(&self, call: Call<'_>) -> Fate {
        let mut next = self.0.lock().unwrap();
        let is_it = |next: &mut (&'static str, Fate)| next.0 == call.name;
        next.take_if(is_it).map_or(Fate::Done, |(_, fate)| fate)
    }

    async fn after(&self, _: Call<'_>) {}
}

/// The versions of the type with their states, newest first.
async fn versions(service: &Service) -> Vec<(String, ShownState)> {
    let type_id = TypeId::parse(guest::TYPE).unwrap();
    let view = service.types.get(&somebody(), &type_id).await.unwrap();
    let of_each = view.versions.into_iter();
    of_each.map(|each| (each.version, each.state)).collect()
}

#[tokio::test]
async fn one_that_never_says_what_it_is_holds_up_no_other() {
    let hold = Hold::of(BEGINS, 0);
    let settings = RuntimeSettings {
        describe_cpu: Duration::from_secs(3600),
        ..runtime_settings()
    };
    let runtime = Arc::new(Runtime::start(settings).unwrap());
    let parts = Parts {
        runtime,
        ..parts_on(&hold)
    };
    let service = Service::start(parts).await.unwrap();
    let slow = push(&service, guest::never_described());
    hold.until_come(1).await;
    let other = pushed(&service, guest::component(0)).await;
    assert!(!slow.is_finished(), "the other one has waited for it");
    assert_eq!(other.state, VersionState::Active);
}

#[tokio::test]
async fn the_one_that_came_later_stays_active() {
    let (former, later) = (guest::component(1), guest::component(2));
    let (service, former, later) = overtaken(Arc::clone(&former), later).await;
    let former = former.unwrap();
    assert_eq!(later.state, VersionState::Active);
    assert_eq!(
        (former.state, former.created),
        (VersionState::Retired, true)
    );
    let warnings = former.warnings.join("; ");
    assert!(warnings.contains("1.0.2"), "{warnings}");
    let mut versions = versions(&service).await;
    versions.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("1.0.1".to_owned(), ShownState::Retired),
        ("1.0.2".to_owned(), ShownState::Active),
    ];
    assert_eq!(versions, expected);
    // One that comes after both is the active one.
    let last = pushed(&service, guest::component(3)).await;
    assert_eq!(last.state, VersionState::Active);
}

#[tokio::test]
async fn the_same_component_at_the_same_time_is_known() {
    let (once, again) = (guest::component(1), guest::component(1));
    let (service, held_up, other) = overtaken(once, again).await;
    let held_up = held_up.unwrap();
    assert!(other.created && !held_up.created);
    assert_eq!(held_up.state, VersionState::Active);
    assert_eq!(versions(&service).await.len(), 1);
}

#[tokio::test]
async fn a_label_that_was_taken_meanwhile_is_refused() {
    let wants = |type_id| guest::of_type(type_id, 0, r#""collections":["mine"],"#);
    let (service, held_up, _) = overtaken(wants("former"), wants("later")).await;
    let refusal = held_up.unwrap_err().to_string();
    assert!(
        refusal.contains("`mine` belongs to the task type `later`"),
        "{refusal}"
    );
    let former = TypeId::parse("former").unwrap();
    assert!(service.types.get(&somebody(), &former).await.is_err());
}

#[tokio::test]
async fn few_are_in_memory_whoever_hangs_up() {
    let hold = Hold::of(BEGINS, usize::MAX);
    let service = Service::start(parts_on(&hold)).await.unwrap();
    let left = (0..AT_ONCE).map(|n| push(&service, guest::component(n.try_into().unwrap())));
    let left: Vec<_> = left.collect();
    hold.until_come(AT_ONCE).await;
    // Those are carried out all the same, so that their places are not free.
    left.iter().for_each(JoinHandle::abort);
    let next = push(&service, guest::of_type("next", 0, ""));
    for _ in 0..100 {
        a_moment().await;
    }
    assert_eq!(hold.come(), AT_ONCE);
    hold.let_all_go();
    assert_eq!(next.await.unwrap().unwrap().state, VersionState::Active);
    let mut versions = versions(&service).await;
    versions.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(versions.last().unwrap().1, ShownState::Active);
}

/// Nothing of an approval is there, or all of it: whoever is told that it failed does it again.
#[tokio::test]
async fn an_approval_that_broke_off_is_done_again() {
    let more = r#""capabilities":{"secrets":["key"]},"collections":["mine"],"#;
    for (call, fate) in [
        ("components.activate", Fate::Rejected),
        ("components.activate", Fate::DoneButFailed),
        ("documents.take_label", Fate::Rejected),
    ] {
        let breaks = Arc::new(Breaks::default());
        let policy: Arc<dyn Policy> = Arc::<Breaks>::clone(&breaks);
        let stores = wrap(&empty(), &policy);
        let service = Service::start(parts(&stores, &clock())).await.unwrap();
        let component = guest::of_type(guest::TYPE, 1, more);
        let waits = pushed(&service, component).await;
        assert_eq!(waits.state, VersionState::PendingApproval);
        assert_eq!(waits.needs_approval, ["secret key"]);
        let by = somebody();
        let approve = || service.types.approve(&by, &waits.type_id, &waits.digest);
        *breaks.0.lock().unwrap() = Some((call, fate));
        let error = approve().await.unwrap_err();
        assert!(
            matches!(error, ServiceError::Unavailable { .. }),
            "{error:?}"
        );
        let approved = approve().await.unwrap();
        assert_eq!(approved.state, VersionState::Active);
        assert!(approved.needs_approval.is_empty(), "{approved:?}");
        assert_eq!(runs_on(&service, "t").await, waits.digest);
    }
}

#[tokio::test]
async fn what_broke_off_is_made_active_by_pushing_it_again() {
    let component = |version| guest::of_type(guest::TYPE, version, r#""collections":["mine"],"#);
    for (call, fate) in [
        ("components.put", Fate::DoneButFailed),
        ("documents.take_label", Fate::Rejected),
    ] {
        let breaks = Arc::new(Breaks::default());
        let policy: Arc<dyn Policy> = Arc::<Breaks>::clone(&breaks);
        let stores = wrap(&empty(), &policy);
        let service = Service::start(parts(&stores, &clock())).await.unwrap();
        let broken = async |call, fate, version| {
            *breaks.0.lock().unwrap() = Some((call, fate));
            let error = service
                .types
                .push(&somebody(), component(version), None)
                .await
                .unwrap_err();
            assert!(
                matches!(error, ServiceError::Unavailable { .. }),
                "{error:?}"
            );
        };
        // The first of its type.
        broken(call, fate, 1).await;
        let first = pushed(&service, component(1)).await;
        assert_eq!((first.state, first.created), (VersionState::Active, false));
        assert_eq!(runs_on(&service, "first").await, first.digest);
        // The next one, which lies in a folder.
        broken(call, fate, 2).await;
        let second = service.types.push_found(component(2), None).await.unwrap();
        assert_eq!(
            (second.state, second.created),
            (VersionState::Active, false)
        );
        assert_eq!(runs_on(&service, "second").await, second.digest);
        // The way back.
        broken("components.activate", Fate::DoneButFailed, 1).await;
        let back = pushed(&service, component(1)).await;
        assert_eq!(back.state, VersionState::Active);
        assert_eq!(runs_on(&service, "back").await, first.digest);
    }
}

#[tokio::test]
async fn an_older_one_that_is_pushed_again_is_active_and_one_that_only_lies_there_is_not() {
    let stores = stores_with(&[1, 2]).await;
    let service = Service::start(parts(&stores, &clock())).await.unwrap();
    let (older, newer) = (guest::component(1), guest::component(2));
    let lies = service
        .types
        .push_found(Arc::clone(&older), None)
        .await
        .unwrap();
    assert_eq!(lies.state, VersionState::Retired);
    assert_ne!(runs_on(&service, "newer").await, lies.digest);

    let back = pushed(&service, Arc::clone(&older)).await;
    assert_eq!((back.state, back.created), (VersionState::Active, false));
    let changes = back.changes.join("; ");
    assert!(
        changes.contains("from now on it is the active"),
        "{changes}"
    );
    assert!(changes.contains("1.0.2 → 1.0.1"), "{changes}");
    assert_eq!(runs_on(&service, "older").await, back.digest);
    let again = pushed(&service, older).await;
    assert_eq!(
        (again.state, again.changes.len()),
        (VersionState::Active, 0)
    );

    // After a start the folder is read again.
    let service = Service::start(parts(&stores, &clock())).await.unwrap();
    let lies = service.types.push_found(newer, None).await.unwrap();
    assert_eq!(lies.state, VersionState::Retired);
    assert_eq!(runs_on(&service, "restarted").await, back.digest);
}

#[tokio::test]
async fn one_that_is_pushed_again_has_its_turn() {
    // Back to an older one, and a new one is faster.
    let stores = stores_with(&[1, 2]).await;
    let (service, back, new) = overtaken_over(&stores, guest::component(1), |service| {
        let types = service.types.clone();
        async move { types.push(&somebody(), guest::component(3), None).await }
    })
    .await;
    let back = back.unwrap();
    assert_eq!((back.state, back.created), (VersionState::Retired, false));
    let warnings = back.warnings.join("; ");
    assert!(warnings.contains("1.0.3"), "{warnings}");
    assert_eq!(runs_on(&service, "new").await, new.digest);

    // Somebody insists on the active one while a new one is compiled.
    let stores = stores_with(&[1]).await;
    let (service, new, same) = overtaken_over(&stores, guest::component(2), |service| {
        let types = service.types.clone();
        async move { types.push(&somebody(), guest::component(1), None).await }
    })
    .await;
    assert_eq!(new.unwrap().state, VersionState::Retired);
    assert_eq!(runs_on(&service, "same").await, same.digest);

    // It only lies in a folder: that is nobody's wish.
    let stores = stores_with(&[1]).await;
    let (service, new, _) = overtaken_over(&stores, guest::component(2), |service| {
        let types = service.types.clone();
        async move { types.push_found(guest::component(1), None).await }
    })
    .await;
    let new = new.unwrap();
    assert_eq!(new.state, VersionState::Active);
    assert_eq!(runs_on(&service, "lies").await, new.digest);
}

/// Between a deletion and its being known here, somebody schedules.
#[tokio::test]
async fn what_is_scheduled_while_its_last_version_is_deleted_waits_for_another_one() {
    let stores = stores_with(&[1]).await;
    let hold = Hold::of("components.delete", 1);
    let service = Service::start(parts_over(&stores, &hold)).await.unwrap();
    service.begin();
    let type_id = TypeId::parse(guest::TYPE).unwrap();
    let active = service
        .types
        .get(&somebody(), &type_id)
        .await
        .unwrap()
        .active
        .unwrap();
    let (types, of) = (service.types.clone(), type_id.clone());
    let deletion = tokio::spawn(async move { types.delete(&somebody(), &of, &active).await });
    hold.until_come(1).await;
    let wish = Wish::Schedule(guest::COMPLETES);
    let accepted = Accepted::default();
    say(&service, &accepted, "late", wish).await.unwrap();
    hold.let_all_go();
    deletion.await.unwrap().unwrap();
    // Whatever is claimed, is so by now.
    for _ in 0..100 {
        a_moment().await;
    }
    let view = service.tasks.get(&somebody(), &key("late")).await.unwrap();
    assert_eq!(view.status, Status::InProgress, "{view:?}");
    let why = view.waiting_for.unwrap();
    assert_eq!(why.reason, WaitReason::NoVersion);
    assert!(why.contains("no version of the task type"), "{why:?}");
    let wish = Wish::Schedule(guest::COMPLETES);
    let refused = say(&service, &accepted, "later", wish).await.unwrap_err();
    assert!(matches!(refused, ServiceError::UnknownTaskType { .. }));
    pushed(&service, guest::component(2)).await;
    let (by, key) = (somebody(), key("late"));
    let mut view = service.tasks.get(&by, &key).await.unwrap();
    while !view.status.is_terminal() {
        let changed = service.tasks.wait(&by, &key, view.revision(), PATIENCE);
        view = changed.await.unwrap().unwrap();
    }
    assert_eq!(view.status, Status::Completed, "{view:?}");
}

/// A deletion whose answer is lost is known here all the same.
#[tokio::test]
async fn a_deletion_that_seemed_to_fail_leaves_nothing_that_can_be_scheduled() {
    let breaks = Arc::new(Breaks::default());
    let policy: Arc<dyn Policy> = Arc::<Breaks>::clone(&breaks);
    let stores = wrap(&stores_with(&[1]).await, &policy);
    let service = Service::start(parts(&stores, &clock())).await.unwrap();
    let type_id = TypeId::parse(guest::TYPE).unwrap();
    let active = service
        .types
        .get(&somebody(), &type_id)
        .await
        .unwrap()
        .active
        .unwrap();
    *breaks.0.lock().unwrap() = Some(("components.delete", Fate::DoneButFailed));
    service
        .types
        .delete(&somebody(), &type_id, &active)
        .await
        .unwrap_err();
    let wish = Wish::Schedule(guest::COMPLETES);
    let refused = say(&service, &Accepted::default(), "t", wish).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ServiceError::UnknownTaskType { .. }));
}

#[tokio::test]
async fn what_becomes_active_again_is_not_forgotten_meanwhile() {
    let stores = stores_with(&[1, 2]).await;
    let hold = Hold::of("components.list", 2);
    // The first one is the start's.
    hold.let_go(1);
    let mut parts = parts_over(&stores, &hold);
    parts.settings.retired_versions_kept = 0;
    let service = Service::start(parts).await.unwrap();
    let other = push(&service, guest::of_type("other", 0, ""));
    // It has seen that the older one is unused, and is about to forget it.
    hold.until_come(2).await;
    let back = push(&service, guest::component(1));
    for _ in 0..1_000 {
        a_moment().await;
        if back.is_finished() {
            break;
        }
    }
    hold.let_all_go();
    other.await.unwrap().unwrap();
    assert_eq!(back.await.unwrap().unwrap().state, VersionState::Active);
    let expected = [("1.0.1".to_owned(), ShownState::Active)];
    assert_eq!(versions(&service).await, expected);
}

#[tokio::test]
async fn what_is_still_active_after_a_push_broke_off_is_not_forgotten() {
    let component = |version| guest::of_type(guest::TYPE, version, r#""collections":["mine"],"#);
    let breaks = Arc::new(Breaks::default());
    let policy: Arc<dyn Policy> = Arc::<Breaks>::clone(&breaks);
    let mut parts = parts(&wrap(&empty(), &policy), &clock());
    parts.settings.retired_versions_kept = 0;
    let service = Service::start(parts).await.unwrap();
    let first = pushed(&service, component(1)).await;
    // The store has made room for it, and the host has not heard of it.
    *breaks.0.lock().unwrap() = Some(("documents.take_label", Fate::Rejected));
    service
        .types
        .push(&somebody(), component(2), None)
        .await
        .unwrap_err();
    let other = service
        .types
        .push(&somebody(), guest::of_type("other", 0, ""), None)
        .await;
    other.unwrap();
    let runs = tokio::time::timeout(PATIENCE, runs_on(&service, "t")).await;
    assert_eq!(runs.expect("it waits for a version"), first.digest);
}

async fn pushed(service: &Service, component: Arc<[u8]>) -> Pushed {
    let pushed = service.types.push(&somebody(), component, None).await;
    pushed.unwrap()
}
