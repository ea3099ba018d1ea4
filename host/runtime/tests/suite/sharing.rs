//! Many runs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use taskhost_clients::stop::StopReason;
use taskhost_model::error::ErrorKind;
use taskhost_runtime::{ExitOutcome, Runtime, RuntimeSettings};
use taskhost_store::faulty::{Call, Fate, Policy};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::bench::{MIB, TestRun, completed, failed, guest, load, runtime, runtime_with, settings};
use crate::wat;

#[tokio::test]
async fn an_honest_one_gets_its_time_beside_spinning_ones() {
    let runtime = Arc::new(runtime());
    let spinning = guest(&runtime, "endless-loop").await;
    let honest = guest(&runtime, "spin").await;
    let mut spinners = JoinSet::new();
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..32 {
        let (runtime, spinning, begun) =
            (Arc::clone(&runtime), spinning.clone(), Arc::clone(&begun));
        spinners.spawn(async move {
            let mut run = TestRun::new().await;
            run.limits.cpu = Duration::from_secs(600);
            let request = run.request_with("{}", move || begun.add_permits(1));
            runtime.run(&spinning, request).await
        });
    }
    drop(begun.acquire_many(32).await.unwrap());
    let mut run = TestRun::new().await;
    run.limits.cpu = Duration::from_millis(100);
    let exit = run.run(&runtime, &honest, r#"{"cpu_ms":50}"#).await;
    let result = completed(&exit);
    println!("beside 32 spinning: {result}, {:?}", exit.usage);
    assert!(spinners.try_join_next().is_none(), "they still spin");
}

/// What the spinning ones have computed meanwhile tells how long the short ones have waited,
/// however much of the machine others have.
#[tokio::test]
async fn short_ones_are_not_held_up_by_spinning_ones() {
    const SHORT: usize = 100;
    /// Measured: 110 to 210 ms, also beside four other programs that compute.
    const SPUN_MS_MAX: u64 = 1_000;
    let runtime = Arc::new(runtime());
    let spinning = guest(&runtime, "endless-loop").await;
    let short = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let mut runs = Vec::new();
    for _ in 0..SHORT {
        runs.push(TestRun::new().await);
    }
    let (mut spinners, mut stops) = (JoinSet::new(), Vec::new());
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..8 {
        let mut run = TestRun::new().await;
        run.limits.grace = Duration::ZERO;
        stops.push(run.stop.clone());
        let (runtime, spinning, begun) =
            (Arc::clone(&runtime), spinning.clone(), Arc::clone(&begun));
        spinners.spawn(async move {
            let request = run.request_with("{}", move || begun.add_permits(1));
            runtime.run(&spinning, request).await
        });
    }
    drop(begun.acquire_many(8).await.unwrap());
    for run in &runs {
        let exit = run.run(&runtime, &short, "{}").await;
        assert_eq!(completed(&exit), json!({}));
    }
    for stop in stops {
        stop.ask(StopReason::User);
    }
    let mut spun_ms = 0;
    while let Some(exit) = spinners.join_next().await {
        let exit = exit.unwrap();
        assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::User));
        spun_ms += exit.usage.cpu_ms;
    }
    println!("{SHORT} short ones beside {spun_ms} ms of spinning");
    assert!(spun_ms <= SPUN_MS_MAX, "{spun_ms} ms");
}

/// Filling a memory is one instruction, which no epoch check ends.
#[tokio::test]
async fn what_holds_on_to_a_thread_goes_on_among_its_kind() {
    let runtime = runtime();
    let fills = "(drop (memory.grow (i32.const 8000)))
        (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 524000000)) (br 0)) unreachable";
    let hogs = [
        load(&runtime, wat::runs("", fills)).await,
        load(&runtime, wat::runs("", fills)).await,
    ];
    let short = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let thread_of = async |component, cpu| {
        let mut run = TestRun::with_memory(1024 * MIB).await;
        run.limits.cpu = cpu;
        let (send, thread) = std::sync::mpsc::channel();
        let said = move || {
            let thread = std::thread::current();
            send.send(thread.name().unwrap_or_default().to_owned())
                .unwrap();
        };
        let exit = runtime.run(component, run.request_with("{}", said)).await;
        (exit, thread.recv().unwrap())
    };
    // Also where its first instruction is its last.
    for (hog, cpu_ms) in [(&hogs[0], 1_000), (&hogs[1], 10)] {
        for thread in ["taskhost-guest", "taskhost-long"] {
            let ended = thread_of(hog, Duration::from_millis(cpu_ms)).await;
            assert_eq!(failed(&ended.0).kind, ErrorKind::OutOfCpu);
            assert_eq!(ended.1, thread);
        }
    }
    // Who gives its thread away is not known for computing long.
    let loops = load(&runtime, wat::runs("", "(loop (br 0)) unreachable")).await;
    for _ in 0..2 {
        let ended = thread_of(&loops, Duration::from_millis(200)).await;
        assert_eq!(failed(&ended.0).kind, ErrorKind::OutOfCpu);
        assert_eq!(ended.1, "taskhost-guest");
    }
    let ended = thread_of(&short, Duration::from_secs(1)).await;
    assert_eq!(
        (completed(&ended.0), ended.1.as_str()),
        (json!({}), "taskhost-guest")
    );
}

#[tokio::test]
async fn memory_of_all_runs_is_bounded_and_comes_back() {
    let settings = RuntimeSettings {
        memory_bytes_max: 128 * MIB,
        ..settings()
    };
    let runtime = Runtime::start(settings).unwrap();
    let grows = format!(
        "(if (i32.eq (memory.grow (i32.const 990)) (i32.const -1)) (then unreachable))
         (if (i32.eq (local.get $length) (i32.const 2)) {SLEEPS}) {}",
        wat::COMPLETES
    );
    let greedy = load(&runtime, wat::runs("", &grows)).await;
    let run = async |component| {
        let run = TestRun::new().await;
        run.run(&runtime, component, r#"{"sleeps":false}"#).await
    };
    let begun = Arc::new(Notify::new());
    let mut holding = {
        let run = TestRun::new().await;
        let begun = Arc::clone(&begun);
        let request = run.request_with("{}", move || begun.notify_one());
        Box::pin(runtime.run(&greedy, request))
    };
    let refused = async {
        begun.notified().await;
        // It grows right after it has begun.
        loop {
            if let ExitOutcome::Failed { error, .. } = run(&greedy).await.outcome {
                return error;
            }
        }
    };
    let error = tokio::select! {
        error = refused => error,
        exit = &mut holding => panic!("it holds on: {exit:?}"),
    };
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::OutOfMemory, true)
    );
    assert_eq!(error.code, "host-out-of-memory");
    assert!(error.message.contains("64 MiB"), "{}", error.message);
    // Another component has the other half.
    let other = load(&runtime, wat::runs("(memory 1)", &grows)).await;
    assert_eq!(completed(&run(&other).await), json!({}));
    drop(holding);
    while !matches!(run(&greedy).await.outcome, ExitOutcome::Completed(_)) {}
}

/// The guest takes more than 8 MiB itself, and brings as much.
#[tokio::test]
async fn each_call_that_waits_counts_what_it_has_brought() {
    for (memory_mib, has_room) in [(24, false), (128, true)] {
        let settings = RuntimeSettings {
            memory_bytes_max: memory_mib * MIB,
            ..settings()
        };
        let runtime = Runtime::start(settings).unwrap();
        let component = guest(&runtime, "brings-text").await;
        for call in [
            "complete",
            "complete-many",
            "embed",
            "send",
            "send-many",
            "save",
            "load",
            "delete",
        ] {
            let run = TestRun::new().await;
            let params = json!({"call": call}).to_string();
            let exit = run.run(&runtime, &component, &params).await;
            let error = failed(&exit);
            let is_refused = error.message.contains("kept until it is answered");
            assert_eq!(is_refused, !has_room, "{call}: {error:?}");
        }
    }
}

/// A store whose writer is busy for good.
#[derive(Debug, Default)]
struct NeverWrites {
    waiting: AtomicUsize,
    changed: Notify,
}

#[async_trait]
impl Policy for NeverWrites {
    async fn before(&self, call: Call<'_>) -> Fate {
        if call.name == "documents.apply" {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_one();
            std::future::pending::<()>().await;
        }
        Fate::Done
    }

    async fn after(&self, _: Call<'_>) {}
}

/// Each of the guests takes 2 MiB, and has the host keep 16 MiB until the store answers.
#[tokio::test]
async fn what_waits_in_the_host_is_bounded_however_many_wait() {
    const AT_ONCE: usize = 64;
    let settings = RuntimeSettings {
        memory_bytes_max: 128 * MIB,
        ..settings()
    };
    let runtime = Arc::new(Runtime::start(settings).unwrap());
    let component = guest(&runtime, "same-text-often").await;
    let store = Arc::new(NeverWrites::default());
    let policy: Arc<dyn Policy> = Arc::clone(&store) as _;
    let mut runs = JoinSet::new();
    let mut stops = Vec::new();
    for _ in 0..AT_ONCE {
        let run = TestRun::behind(&policy).await;
        stops.push(run.stop.clone());
        let (runtime, component) = (Arc::clone(&runtime), component.clone());
        runs.spawn(async move { run.run(&runtime, &component, "{}").await });
    }
    let mut refused = 0;
    while store.waiting.load(Ordering::Relaxed) + refused < AT_ONCE {
        tokio::select! {
            exit = runs.join_next() => {
                let exit = exit.unwrap().unwrap();
                let error = failed(&exit);
                assert_eq!((error.code.as_str(), error.retryable), ("host-out-of-memory", true));
                assert!(error.message.contains("64 MiB"), "{}", error.message);
                refused += 1;
            }
            () = store.changed.notified() => {}
        }
    }
    // Half of the memory is this component's.
    let waiting = store.waiting.load(Ordering::Relaxed);
    assert!((1..=4).contains(&waiting), "{waiting} wait");
    for stop in stops {
        stop.ask(StopReason::User);
    }
    while let Some(exit) = runs.join_next().await {
        let outcome = exit.unwrap().outcome;
        assert_eq!(outcome, ExitOutcome::Stopped(StopReason::User));
    }
    // They have given back what was kept for them.
    let run = TestRun::behind(&policy).await;
    tokio::select! {
        exit = run.run(&runtime, &component, "{}") => panic!("it does not wait: {exit:?}"),
        () = store.changed.notified() => {}
    }
}

const SLEEPS: &str = "(then (call $sleep (i64.const 100000) (i32.const 64)))";

#[tokio::test]
async fn more_runs_than_slots_wait_for_one() {
    let runtime = Arc::new(runtime_with(8));
    assert_eq!(runtime.capacity(), 8);
    let component = guest(&runtime, "sleeper").await;
    let mut runs = JoinSet::new();
    for _ in 0..40 {
        let (runtime, component) = (Arc::clone(&runtime), component.clone());
        runs.spawn(async move {
            TestRun::new()
                .await
                .run(&runtime, &component, r#"{"ms":5}"#)
                .await
        });
    }
    while let Some(exit) = runs.join_next().await {
        let exit = exit.unwrap();
        assert!(completed(&exit)["slept_ms"].as_u64().unwrap() >= 5);
        assert!(exit.usage.host_wait_ms >= 4, "{:?}", exit.usage);
    }
}

#[tokio::test]
async fn dropped_runs_give_their_slots_back() {
    let runtime = Arc::new(runtime_with(8));
    let spinning = guest(&runtime, "endless-loop").await;
    let parked = guest(&runtime, "sleeper").await;
    let short = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    for (component, params) in [(spinning, "{}"), (parked, r#"{"ms":100000000}"#)] {
        let mut runs = JoinSet::new();
        let begun = Arc::new(tokio::sync::Semaphore::new(0));
        for _ in 0..8 {
            let (runtime, component, begun) =
                (Arc::clone(&runtime), component.clone(), Arc::clone(&begun));
            runs.spawn(async move {
                let run = TestRun::new().await;
                let request = run.request_with(params, move || begun.add_permits(1));
                runtime.run(&component, request).await
            });
        }
        drop(begun.acquire_many(8).await.unwrap());
        runs.shutdown().await;
        let exit = TestRun::new().await.run(&runtime, &short, "{}").await;
        assert_eq!(completed(&exit), json!({}));
    }
}

#[tokio::test]
async fn a_dropped_runtime_ends_its_guests() {
    let runtime = Arc::new(runtime_with(8));
    let spinning = guest(&runtime, "endless-loop").await;
    let run = TestRun::new().await;
    let begun = Arc::new(Notify::new());
    let mut runs = JoinSet::new();
    {
        let (runtime, begun) = (Arc::clone(&runtime), Arc::clone(&begun));
        let request = run.request_with("{}", move || begun.notify_one());
        runs.spawn(async move { runtime.run(&spinning, request).await });
    }
    begun.notified().await;
    runs.shutdown().await;
    drop(runtime);
    let said = Arc::downgrade(&run.said);
    drop(run);
    let gone = async {
        while said.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
}

/// What a run gets that has to wait for others of its kind: it is neither begun nor counted.
const WALL_SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn who_takes_many_slots_stands_in_nobodys_way() {
    // As many runs as fit leave room for a single component of eight slots.
    let runtime = Arc::new(runtime_with(usize::MAX));
    let (parked, large) = (
        load(&runtime, wat::runs(EIGHT_MEMORIES, PARKS)).await,
        load(&runtime, wat::runs(EIGHT_MEMORIES, wat::COMPLETES)).await,
    );
    let short = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let first = TestRun::new().await;
    let (stop_first, begun) = (first.stop.clone(), Arc::new(Notify::new()));
    let first = {
        let (runtime, begun) = (Arc::clone(&runtime), Arc::clone(&begun));
        let request = first.request_with("{}", move || begun.notify_one());
        tokio::spawn(async move { runtime.run(&parked, request).await })
    };
    begun.notified().await;
    let (waiting, canceled) = (TestRun::new().await, TestRun::new().await);
    let mut late = TestRun::new().await;
    late.limits.wall = WALL_SHORT;
    let stop_canceled = canceled.stop.clone();
    let [mut waiting, mut canceled, late] = [waiting, canceled, late].map(|run| {
        let (runtime, large) = (Arc::clone(&runtime), large.clone());
        tokio::spawn(async move { run.run(&runtime, &large, "{}").await })
    });
    // Others run and are described meanwhile.
    let since = Instant::now();
    while since.elapsed() < 2 * WALL_SHORT {
        let exit = TestRun::new().await.run(&runtime, &short, "{}").await;
        assert_eq!(completed(&exit), json!({}));
        for component in [&short, &large] {
            assert_eq!(runtime.describe(component).await.unwrap(), "{}");
        }
    }
    assert!(!waiting.is_finished() && !canceled.is_finished());
    // Its time is up, whether it has a place or not.
    let exit = late.await.unwrap();
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::Deadline));
    stop_canceled.ask(StopReason::User);
    let exit = (&mut canceled).await.unwrap();
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::User));
    assert!(!waiting.is_finished());
    stop_first.ask(StopReason::Drain);
    let exit = first.await.unwrap();
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::Drain));
    assert_eq!(completed(&(&mut waiting).await.unwrap()), json!({}));
}

const EIGHT_MEMORIES: &str = "(memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1) \
     (memory 1)";
/// Sleeps until it is ended.
const PARKS: &str = "(loop $again (call $sleep (i64.const 1000000) (i32.const 64)) \
     (br $again)) unreachable";
