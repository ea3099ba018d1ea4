//! Components that come while another one is taken in.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::TypeId;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::error::ServiceError;
use taskhost_service::types::Pushed;
use taskhost_service::{Parts, Service};
use taskhost_store::components::VersionState;
use taskhost_store::faulty::{Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;
use tokio::task::JoinHandle;

use crate::bench::{a_moment, parts, runtime_settings};
use crate::guest;
use crate::hold::{Hold, PATIENCE};

/// How a push begins.
const BEGINS: &str = "components.get";
/// As many as are taken in at once.
const AT_ONCE: usize = 4;

fn parts_on(hold: &Arc<Hold>) -> Parts {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let policy: Arc<dyn Policy> = Arc::<Hold>::clone(hold);
    let stores = wrap(&in_memory(Limits::default(), clock.clone()), &policy);
    parts(&stores, &clock)
}

fn push(service: &Service, bytes: Arc<[u8]>) -> JoinHandle<Result<Pushed, ServiceError>> {
    let types = service.types.clone();
    tokio::spawn(async move { types.push(bytes).await })
}

/// A service where `first` is held up on its way, `second` is taken in, and `first` goes on.
async fn overtaken(
    first: Arc<[u8]>,
    second: Arc<[u8]>,
) -> (Service, Result<Pushed, ServiceError>, Pushed) {
    let hold = Hold::of(BEGINS, 1);
    let service = Service::start(parts_on(&hold)).await.unwrap();
    let first = push(&service, first);
    hold.until_come(1).await;
    let second = tokio::time::timeout(PATIENCE, service.types.push(second)).await;
    let second = second.expect("it waits for the other one").unwrap();
    assert!(!first.is_finished());
    hold.let_all_go();
    (service, first.await.unwrap(), second)
}

/// The digest of the version that is active and the states of all, newest first.
async fn versions(service: &Service) -> Vec<(String, VersionState)> {
    let type_id = TypeId::parse(guest::TYPE).unwrap();
    let view = service.types.get(&type_id).await.unwrap();
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
    let other = service.types.push(guest::component(0)).await.unwrap();
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
        ("1.0.1".to_owned(), VersionState::Retired),
        ("1.0.2".to_owned(), VersionState::Active),
    ];
    assert_eq!(versions, expected);
    // One that comes after both is the active one.
    let last = service.types.push(guest::component(3)).await.unwrap();
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
    assert!(service.types.get(&former).await.is_err());
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
    assert_eq!(versions.last().unwrap().1, VersionState::Active);
}
