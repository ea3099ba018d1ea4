//! Several services over one store in memory: as many hosts, each with its own connection to the
//! store, which a test can cut or hold up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::status::Status;
use taskhost_model::task::{Fence, Task};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::peers::{Hint, Messenger};
use taskhost_service::{Parts, Service, Tasks};
use taskhost_store::event::{Event, RunEvent};
use taskhost_store::faulty::{Call, Fate, Policy, Seen, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory_of_hosts};
use tokio::sync::Notify;

use crate::bench::{a_moment, parts};
use crate::guest;
use crate::people::{Accepted, Wish, key, say, somebody};

/// What moves in one step of the test's time.
pub(crate) const STEP: Duration = Duration::from_millis(100);
/// Real moments that guests are given in each step.
const MOMENTS: usize = 3;
/// The same where it is told how soon something has happened that a guest has a part in.
const MOMENTS_FOR_GUESTS: usize = 200;

/// Hosts on one store.
#[derive(Debug)]
pub(crate) struct Together {
    clock: Clock,
    stores: Vec<Stores>,
    pub(crate) hosts: Vec<Option<Service>>,
    pub(crate) lines: Vec<Arc<Line>>,
    claimed: Arc<Mutex<Vec<Fence>>>,
    pub(crate) post: Arc<Post>,
    settings: Settings,
    pub(crate) accepted: Accepted,
}

/// How the hosts of a test are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) slots: usize,
    /// Whether they can send each other hints.
    pub(crate) hints: bool,
}

/// A host's connection to the store.
#[derive(Debug, Default)]
pub(crate) struct Line {
    state: AtomicU8,
    mended: Notify,
    calls: AtomicU64,
    claims: AtomicU64,
    /// Ends of runs that are held up.
    ends_held: AtomicU64,
    /// Every claim that the store has made, for whomever.
    claimed: Arc<Mutex<Vec<Fence>>>,
}

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LineState {
    /// Calls are made.
    Open,
    /// Calls fail at once: the store is away.
    Cut,
    /// Calls are held up before they are made: the host is stopped.
    Held,
    /// Those alone that end runs are.
    EndsHeld,
    /// Claims are made, and their answers held up.
    ClaimsUnheard,
    /// Answers come, and nothing more is asked.
    AnswersOnly,
    /// Nothing is made of any task, and all else is done.
    TasksKept,
}

/// Carries hints within the test.
#[derive(Debug, Default)]
pub(crate) struct Post(Mutex<BTreeMap<String, Tasks>>);

impl Messenger for Post {
    fn send(&self, address: &str, hint: Hint) {
        let hearer = self.0.lock().unwrap().get(address).cloned();
        if let Some(tasks) = hearer {
            tasks.hear(hint);
        }
    }
}

impl Line {
    pub(crate) fn set(&self, state: LineState) {
        self.state.store(state as u8, Ordering::SeqCst);
        self.mended.notify_waiters();
    }

    /// How many calls were made over it.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many runs this host has claimed.
    pub(crate) fn claims(&self) -> u64 {
        self.claims.load(Ordering::SeqCst)
    }

    /// How many ends of runs are held up.
    pub(crate) fn ends_held(&self) -> u64 {
        self.ends_held.load(Ordering::SeqCst)
    }

    async fn hold_while(&self, is_held: impl Fn() -> bool) {
        loop {
            let mended = self.mended.notified();
            if !is_held() {
                return;
            }
            mended.await;
        }
    }

    fn is(&self, state: LineState) -> bool {
        self.state.load(Ordering::SeqCst) == state as u8
    }
}

#[async_trait]
impl Policy for Line {
    async fn before(&self, call: Call<'_>) -> Fate {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let is_end = call.event.is_some_and(is_end);
        let is_none_sent = || self.is(LineState::Held) || self.is(LineState::AnswersOnly);
        if is_end && (self.is(LineState::EndsHeld) || is_none_sent()) {
            self.ends_held.fetch_add(1, Ordering::SeqCst);
        }
        self.hold_while(|| is_none_sent() || is_end && self.is(LineState::EndsHeld))
            .await;
        let is_kept = self.is(LineState::TasksKept) && call.event.is_some();
        match self.is(LineState::Cut) || is_kept {
            true => Fate::Rejected,
            false => Fate::Done,
        }
    }

    fn done(&self, seen: Seen<'_>) {
        if let Seen::Claimed(claimed) = seen {
            self.claims
                .fetch_add(claimed.len() as u64, Ordering::SeqCst);
            let fences = claimed.iter().map(|it| it.task.fence());
            self.claimed.lock().unwrap().extend(fences);
        }
    }

    async fn after(&self, call: Call<'_>) {
        let is_unheard = || self.is(LineState::ClaimsUnheard) || self.is(LineState::Held);
        self.hold_while(|| call.name == "tasks.claim" && is_unheard())
            .await;
    }
}

fn is_end(event: &Event) -> bool {
    match event {
        Event::Run { event, .. } => !matches!(event, RunEvent::Progress(_)),
        _ => false,
    }
}

impl Together {
    /// So many hosts, of which all know the component.
    pub(crate) async fn start(count: usize, settings: Settings) -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
        let mut it = Self {
            stores: in_memory_of_hosts(Limits::default(), clock.clone(), count),
            clock,
            hosts: vec![None; count],
            lines: vec![Arc::default(); count],
            claimed: Arc::default(),
            post: Arc::default(),
            settings,
            accepted: Accepted::default(),
        };
        it.start_host(0).await;
        still(
            it.host(0)
                .types
                .push(&somebody(), guest::component(0), None),
        )
        .await
        .unwrap();
        for host in 1..count {
            it.start_host(host).await;
        }
        it
    }

    /// Starts a host, or another life of it on the same data folder.
    pub(crate) async fn start_host(&mut self, host: usize) {
        // A new one: an earlier life keeps its own, which is cut.
        self.lines[host] = Arc::new(Line {
            claimed: Arc::clone(&self.claimed),
            ..Line::default()
        });
        let policy: Arc<dyn Policy> = Arc::<Line>::clone(&self.lines[host]);
        let common = parts(&wrap(&self.stores[host], &policy), &self.clock);
        let address = address(host);
        let messenger = self.settings.hints.then(|| Arc::clone(&self.post) as _);
        let mut settings = common.settings.clone();
        settings.slots = self.settings.slots;
        // As it is outside of tests: nobody is to wait for the next sweep.
        settings.sweep_interval = taskhost_service::settings::Settings::default().sweep_interval;
        let service = Service::start(Parts {
            host: format!("host-{host}"),
            address: Some(address.clone()),
            messenger,
            spans: None,
            settings,
            ..common
        });
        let service = still(service).await.unwrap();
        service.begin();
        let hearers = &self.post.0;
        hearers
            .lock()
            .unwrap()
            .insert(address, service.tasks.clone());
        self.hosts[host] = Some(service);
    }

    /// What all hosts have, without a line between.
    pub(crate) fn stores(&self, host: usize) -> &Stores {
        &self.stores[host]
    }

    /// A host that runs.
    pub(crate) fn host(&self, host: usize) -> &Service {
        self.hosts[host].as_ref().expect("the host runs")
    }

    /// Kills a host: it says and writes nothing more.
    pub(crate) async fn kill(&mut self, host: usize) {
        self.post.0.lock().unwrap().remove(&address(host));
        self.lines[host].set(LineState::Cut);
        let service = self.hosts[host].take().expect("the host runs");
        service.die();
        // Its guests are gone, however long their ends are tried to be written.
        tokio::spawn(async move { service.abandon().await });
    }

    pub(crate) async fn schedule(&self, host: usize, id: &str, kind: u8) {
        let wish = Wish::Schedule(kind);
        let said = still(say(self.host(host), &self.accepted, id, wish)).await;
        said.unwrap();
    }

    /// The document, as the store has it.
    pub(crate) async fn task(&self, id: &str) -> Task {
        self.find(id).await.expect("the task is there")
    }

    pub(crate) async fn find(&self, id: &str) -> Option<Task> {
        self.stores[0].tasks.get(&key(id)).await.unwrap()
    }

    /// No run was claimed twice under one lease.
    pub(crate) fn check_claims(&self) {
        let mut all = BTreeSet::new();
        for fence in self.claimed.lock().unwrap().iter() {
            assert!(all.insert(*fence), "claimed twice: {fence:?}");
        }
    }

    /// Something has to be so soon that guests have a part in.
    pub(crate) async fn soon(
        &self,
        within: Duration,
        what: &str,
        is_so: impl AsyncFn(&Self) -> bool,
    ) {
        let mut passed = Duration::ZERO;
        loop {
            for _ in 0..MOMENTS_FOR_GUESTS {
                if is_so(self).await {
                    return;
                }
                tokio::task::yield_now().await;
                a_moment().await;
            }
            assert!(passed < within, "not within {within:?}: {what}");
            self.pass(STEP).await;
            passed += STEP;
        }
    }

    /// Waits for something to be so, and says how much of the test's time that took.
    pub(crate) async fn until(
        &self,
        within: Duration,
        what: &str,
        is_so: impl AsyncFn(&Self) -> bool,
    ) -> Duration {
        let mut passed = Duration::ZERO;
        loop {
            self.settle().await;
            if is_so(self).await {
                return passed;
            }
            assert!(passed < within, "not within {within:?}: {what}");
            self.pass(STEP).await;
            passed += STEP;
        }
    }

    /// Waits until a task's run is at work under this lease.
    pub(crate) async fn until_runs(&self, id: &str, lease_number: u64) -> Task {
        let within = Duration::from_secs(60);
        let is_so = async |it: &Self| {
            let task = it.task(id).await;
            task.lease().is_some() && task.run.lease_number == lease_number
        };
        self.until(within, &format!("{id} runs"), is_so).await;
        self.task(id).await
    }

    pub(crate) async fn until_ended(&self, ids: &[String], within: Duration) -> Duration {
        let are_ended = async |it: &Self| {
            for id in ids {
                if !it.task(id).await.status.is_terminal() {
                    return false;
                }
            }
            true
        };
        self.until(within, "all have ended", are_ended).await
    }

    /// The status, as a host shows it.
    pub(crate) async fn shown(&self, host: usize, id: &str) -> Status {
        let view = self.host(host).tasks.get(&somebody(), &key(id)).await;
        view.unwrap().status
    }

    /// Lets everybody go on who can.
    pub(crate) async fn settle(&self) {
        for _ in 0..MOMENTS {
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
            a_moment().await;
        }
    }

    /// Moves time, in steps.
    pub(crate) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.clock.advance(step);
            tokio::time::advance(step).await;
            left -= step;
            self.settle().await;
        }
    }
}

/// Lets something be done without the test's time going on.
pub(crate) async fn still<T>(work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        () = async { loop { a_moment().await } } => unreachable!(),
    }
}

fn address(host: usize) -> String {
    format!("host-{host}")
}
