//! Who is given runs by the write that accepts them (`RunQueue::claim_along`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskhost_model::status::RunState;
use taskhost_model::task::{Run, Task};
use tokio::sync::mpsc;

use super::Subject;
use super::given::{claim_request, key};
use crate::error::StoreError;
use crate::event::{Event, Outcome, WriteCondition};
use crate::queue::{ClaimRequest, Claimer, Reservation, StoredTask};

/// A claimer of runs of type `hello` that tells what it hears.
#[derive(Debug)]
pub(crate) struct Listener {
    /// How many runs it has room for at any moment.
    room: AtomicUsize,
    /// How often it was asked.
    asked: AtomicUsize,
    tell: mpsc::UnboundedSender<Heard>,
}

/// What became of a reservation: it was given these runs, or it was dropped.
pub(crate) type Heard = Option<Vec<StoredTask>>;

#[derive(Debug)]
struct Room {
    request: ClaimRequest,
    tell: Option<mpsc::UnboundedSender<Heard>>,
}

impl Listener {
    /// With so much room, and what it hears.
    pub(crate) fn new(room: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<Heard>) {
        let (tell, heard) = mpsc::unbounded_channel();
        let (room, asked) = (AtomicUsize::new(room), AtomicUsize::new(0));
        (Arc::new(Self { room, asked, tell }), heard)
    }

    pub(crate) fn has_room(&self, room: usize) {
        self.room.store(room, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Claimer for Listener {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.room.load(Ordering::SeqCst) {
            0 => None,
            room => Some(Box::new(Room {
                request: claim_request(&["hello"], room),
                tell: Some(self.tell.clone()),
            })),
        }
    }
}

impl Reservation for Room {
    fn request(&self) -> &ClaimRequest {
        &self.request
    }

    fn start(mut self: Box<Self>, claimed: Vec<StoredTask>) {
        if let Some(tell) = self.tell.take() {
            // Whoever listens may have gone.
            let _ = tell.send(Some(claimed));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(None);
        }
    }
}

/// What was given next.
pub(crate) async fn given(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Vec<StoredTask> {
    let heard = heard.recv().await.expect("the listener is there");
    heard.expect("runs are given")
}

pub(super) async fn along_is_claimed_as_any_claim(s: &Subject) -> Result<(), StoreError> {
    let (listener, mut heard) = Listener::new(1);
    s.stores
        .tasks
        .claim_along(Arc::<Listener>::clone(&listener));
    let accepted = s.scheduled("along").await?;
    assert_eq!(
        accepted.run.state,
        Some(RunState::Queued),
        "as it was written"
    );
    let along = given(&mut heard).await.remove(0);
    assert_eq!(along.task.key(), key("along"));
    // Another reader finds it as it was given.
    let read = s.stores.tasks.read(&key("along")).await?;
    let read = read.expect("the task is there");
    assert_eq!(
        (&read.task, &read.params),
        (&along.task, &along.params),
        "what was given is stored"
    );
    listener.has_room(0);
    s.scheduled("alone").await?;
    let alone = s.claim(1).await?.remove(0);
    assert_eq!(alone.task.key(), key("alone"));
    // The same, apart from what tells one run from another.
    let Run {
        id, incarnation, ..
    } = alone.task.run;
    let like_alone = Task {
        id: alone.task.id.clone(),
        run: Run {
            id,
            incarnation,
            ..along.task.run.clone()
        },
        ..along.task.clone()
    };
    assert_eq!(like_alone, alone.task);
    assert_eq!(along.params, alone.params);
    // And its run goes on as any other.
    s.completed("along", along.task.fence(), "{}").await?;
    Ok(())
}

pub(super) async fn along_gives_what_is_due_in_order(s: &Subject) -> Result<(), StoreError> {
    let (listener, mut heard) = Listener::new(0);
    s.stores
        .tasks
        .claim_along(Arc::<Listener>::clone(&listener));
    let mut urgent = s.run("hello");
    urgent.priority = 1;
    let mut later = s.run("hello");
    later.due_at = later.due_at.plus(std::time::Duration::from_millis(100));
    s.scheduled("first").await?;
    s.schedule("later", later).await?;
    s.wait_ms(100);
    s.schedule("other", s.run("other")).await?;
    listener.has_room(2);
    s.schedule("urgent", urgent).await?;
    let claimed = given(&mut heard).await;
    let ids: Vec<_> = claimed.iter().map(|run| run.task.id.as_str()).collect();
    assert_eq!(ids, ["urgent", "first"], "no more than there is room for");
    s.scheduled("last").await?;
    let claimed = given(&mut heard).await;
    let ids: BTreeSet<_> = claimed.iter().map(|run| run.task.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["later", "last"]));
    Ok(())
}

pub(super) async fn along_gives_nothing_twice(s: &Subject) -> Result<(), StoreError> {
    let ids: Vec<String> = (0..200).map(|number| format!("t{number}")).collect();
    let (listener, mut heard) = Listener::new(3);
    s.stores
        .tasks
        .claim_along(Arc::<Listener>::clone(&listener));
    let claimers: Vec<_> = (0..4)
        .map(|_| {
            let s = s.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for _ in 0..20 {
                    mine.extend(s.claim(2).await?);
                }
                Ok::<_, StoreError>(mine)
            })
        })
        .collect();
    s.scheduled_at_once(&ids).await?;
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.expect("no claimer panics")?);
    }
    let beside = all.len();
    listener.has_room(0);
    all.extend(s.claim(200).await?);
    let mut along = 0;
    while let Ok(heard) = heard.try_recv() {
        let claimed = heard.expect("no reservation is dropped");
        assert!(claimed.len() <= 3);
        along += claimed.len();
        all.extend(claimed);
    }
    assert!(along > 0, "{beside} were claimed beside");
    let runs: BTreeSet<_> = all.iter().map(|stored| stored.task.fence().run).collect();
    assert_eq!((runs.len(), all.len()), (200, 200));
    Ok(())
}

pub(super) async fn along_without_room_leaves_it_to_claims(s: &Subject) -> Result<(), StoreError> {
    let (listener, mut heard) = Listener::new(0);
    s.stores
        .tasks
        .claim_along(Arc::<Listener>::clone(&listener));
    s.scheduled("t").await?;
    assert_eq!(listener.asked(), 1);
    assert!(heard.try_recv().is_err(), "it had no room");
    let claimed = s.claim(1).await?;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].task.run.lease_number, 1);
    Ok(())
}

pub(super) async fn along_asks_only_where_something_is_ready(
    s: &Subject,
) -> Result<(), StoreError> {
    let running = s.running("running").await?;
    let again = s.run("hello");
    let (listener, mut heard) = Listener::new(1);
    s.stores
        .tasks
        .claim_along(Arc::<Listener>::clone(&listener));
    let schedule = |run| Event::Schedule(Box::new(run));
    let live = s.apply("running", schedule(again.clone())).await?;
    assert_eq!(live.outcome, Outcome::Unchanged);
    let mut absent = again.clone();
    absent.condition = Some(WriteCondition::Absent);
    let refused = s.apply("running", schedule(absent)).await?;
    assert_eq!(refused.outcome, Outcome::VersionMismatch);
    let mut later = s.run("hello");
    later.due_at = later.due_at.plus(std::time::Duration::from_millis(1));
    s.schedule("later", later).await?;
    s.completed("running", running, "{}").await?;
    assert_eq!(listener.asked(), 0, "nothing became ready");
    assert!(heard.try_recv().is_err());
    s.schedule("running", again).await?;
    assert_eq!(given(&mut heard).await.len(), 1);
    assert_eq!(listener.asked(), 1);
    Ok(())
}
