//! What a test does to the service, step by step, and how such steps are drawn.

use proptest::collection::vec;
use proptest::prelude::*;
use taskhost_service::RetryRequest;

use super::guest::Word;

/// Tasks whose ids people choose.
pub(crate) const TASKS: u8 = 4;
/// Keys by which a request may be repeated.
const KEYS: u8 = 3;
/// Different params.
const BODIES: u8 = 2;

/// A step.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Schedule(Wish, Condition),
    /// A request that may be repeated by its key, with these params.
    Submit(u8, u8),
    /// Several at once.
    Batch(Vec<Wish>),
    Cancel(Target, Match),
    Acknowledge(Target, Match),
    Delete(Target, Match),
    /// Whether it is to be fresh.
    Retry(Target, bool, Match),
    /// Whether it is only asked what would be done.
    Bulk(Bulk, bool),
    /// One of the guests that ask is told something, and maybe keeps something for a later attempt.
    Tell(u8, Word, bool),
    /// One of them is told how to end, and its end is held up.
    EndHeld(u8, Word),
    /// One of the ends that are held up is written.
    LetGo(u8),
    /// So many steps of time pass.
    Pass(u16),
    /// The clock on the wall is set forward or back by so many milliseconds.
    Step(i64),
    /// The host is killed, and starts again.
    Crash,
    /// The host stops in order, and starts again.
    Drain,
}

/// A task that is to run.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) task: u8,
    pub(crate) body: u8,
    pub(crate) priority: Option<i32>,
    /// Not before so many milliseconds from now.
    pub(crate) in_ms: Option<i64>,
}

/// On which condition a task is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    None,
    Absent,
    Version(Match),
}

/// Which version a task is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Match {
    Any,
    Latest,
    Former,
}

/// A task: those whose ids people choose come first, then those that were submitted, as far as
/// there are such.
pub(crate) type Target = u8;

/// What is done to many.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bulk {
    Cancel,
    Acknowledge,
    Delete,
    Retry,
}

/// Any steps.
pub(crate) fn commands() -> impl Strategy<Value = Vec<Command>> {
    vec(command(), 1..60)
}

fn command() -> impl Strategy<Value = Command> {
    let target = 0..TASKS + 1;
    let end = prop_oneof![
        4 => Just(Word::Complete),
        3 => Just(Word::FailAgain),
        1 => Just(Word::FailForGood),
        1 => Just(Word::Trap),
        1 => Just(Word::Pause),
    ];
    let verbs = prop_oneof![
        12 => (wish(), condition()).prop_map(|(wish, when)| Command::Schedule(wish, when)),
        2 => (0..KEYS, 0..BODIES).prop_map(|(key, body)| Command::Submit(key, body)),
        2 => vec(wish(), 1..5).prop_map(Command::Batch),
        5 => (target.clone(), matched()).prop_map(|(it, when)| Command::Cancel(it, when)),
        4 => (target.clone(), matched()).prop_map(|(it, when)| Command::Acknowledge(it, when)),
        4 => (target.clone(), matched()).prop_map(|(it, when)| Command::Delete(it, when)),
        3 => (target, any::<bool>(), matched())
            .prop_map(|(it, is_fresh, when)| Command::Retry(it, is_fresh, when)),
        2 => (bulk(), prop::bool::weighted(0.3)).prop_map(|(op, dry)| Command::Bulk(op, dry)),
    ];
    let guests = prop_oneof![
        2 => (0..3_u8, any::<bool>()).prop_map(|(it, keeps)| Command::Tell(it, Word::Beat, keeps)),
        8 => (0..3_u8, end.clone(), prop::bool::weighted(0.2))
            .prop_map(|(it, word, keeps)| Command::Tell(it, word, keeps)),
        6 => (0..3_u8, end).prop_map(|(it, word)| Command::EndHeld(it, word)),
        4 => (0..3_u8).prop_map(Command::LetGo),
    ];
    let time = prop_oneof![
        6 => (1..12_u16).prop_map(Command::Pass),
        1 => (90..260_u16).prop_map(Command::Pass),
        1 => prop::sample::select(vec![-5_000, -40, 40, 5_000, 60_000, 3_600_000])
            .prop_map(Command::Step),
        2 => Just(Command::Crash),
        1 => Just(Command::Drain),
    ];
    prop_oneof![34 => verbs, 18 => guests, 11 => time]
}

fn wish() -> impl Strategy<Value = Wish> {
    let priority = prop_oneof![3 => Just(None), 1 => (-2..3_i32).prop_map(Some)];
    let in_ms = prop_oneof![
        6 => Just(None),
        1 => Just(Some(-1_000)),
        1 => Just(Some(30)),
        1 => Just(Some(4_000)),
    ];
    let parts = (0..TASKS, 0..BODIES, priority, in_ms);
    parts.prop_map(|(task, body, priority, in_ms)| Wish {
        task,
        body,
        priority,
        in_ms,
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        6 => Just(Condition::None),
        1 => Just(Condition::Absent),
        2 => matched().prop_map(Condition::Version),
    ]
}

fn matched() -> impl Strategy<Value = Match> {
    prop_oneof![4 => Just(Match::Any), 2 => Just(Match::Latest), 1 => Just(Match::Former)]
}

fn bulk() -> impl Strategy<Value = Bulk> {
    prop_oneof![
        Just(Bulk::Cancel),
        Just(Bulk::Acknowledge),
        Just(Bulk::Delete),
        Just(Bulk::Retry),
    ]
}

/// How a task is run again.
pub(crate) fn again(fresh: bool, if_version: Option<u64>) -> RetryRequest {
    RetryRequest {
        fresh,
        if_version,
        trace: None,
    }
}
