//! Who asked for the run, and how long it has.

use std::time::Duration;

use taskhost_clients::context::Context;
use taskhost_clients::error::ErrorCode;
use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopReason;

use crate::bench::{Bench, STREAM, code};

#[tokio::test]
async fn it_knows_its_run() {
    let bench = Bench::new().await;
    let context = &bench.clients.context;
    assert_eq!(context.task_id(), "a-task");
    assert_eq!(context.task_type(), "a-type");
    assert_eq!(context.run_id(), bench.info.fence.run.to_string());
    assert_eq!(context.attempt(), 1);
    assert_eq!(context.space(), "default");
    assert_eq!(context.stream().as_deref(), Some(STREAM));
    assert_eq!(context.requested_by(), "local");
    assert_eq!(context.scheduled_at_ms(), 1_000_000);
    assert_eq!(context.remaining_ms(), 300_000);
    bench.clock.advance(Duration::from_secs(299));
    assert_eq!(context.remaining_ms(), 1_000);
    bench.clock.advance(Duration::from_secs(9));
    assert_eq!(context.remaining_ms(), 0);
    assert_eq!(bench.clients.host_calls(), 11);
}

#[tokio::test]
async fn asking_whether_to_stop_is_being_told() {
    let bench = Bench::new().await;
    let context = &bench.clients.context;
    assert!(!context.cancel_requested());
    assert_eq!(context.cancel_reason(), None);
    bench.stop.ask(StopReason::User);
    assert_eq!(context.cancel_reason().as_deref(), Some("user"));
    assert!(!bench.stop.told());
    assert!(context.cancel_requested());
    assert!(bench.stop.told());
    // What describes it goes on answering.
    assert_eq!(context.task_id(), "a-task");
}

#[tokio::test(start_paused = true)]
async fn sleep_ends_early_when_asked_to_stop() {
    for (reason, expected) in [
        (StopReason::User, ErrorCode::Canceled),
        (StopReason::Drain, ErrorCode::Canceled),
        (StopReason::Fenced, ErrorCode::Canceled),
        (StopReason::NoProgress, ErrorCode::Canceled),
        (StopReason::Deadline, ErrorCode::Deadline),
    ] {
        let bench = Bench::new().await;
        // What is tested waits by the paused clock of the test.
        let (wait, context) = (Context::sleep, &bench.clients.context);
        wait(context, 10).await.unwrap();
        let sleep = wait(context, u64::MAX);
        let ask = async { bench.stop.ask(reason) };
        let (slept, ()) = tokio::join!(sleep, ask);
        assert_eq!(code(slept), expected);
        assert!(bench.stop.told());
        assert_eq!(code(wait(context, 0).await), expected);
    }
}

#[tokio::test]
async fn without_a_run_everything_is_empty() {
    let clients = RunClients::describing();
    let context = &clients.context;
    let texts = [
        context.task_id(),
        context.task_type(),
        context.run_id(),
        context.space(),
        context.requested_by(),
    ];
    assert!(texts.iter().all(String::is_empty));
    assert_eq!(
        (
            context.attempt(),
            context.scheduled_at_ms(),
            context.remaining_ms()
        ),
        (0, 0, 0)
    );
    assert_eq!((context.stream(), context.cancel_reason()), (None, None));
    assert!(!context.cancel_requested());
    let wait = Context::sleep;
    assert_eq!(code(wait(context, 0).await), ErrorCode::Denied);
    assert_eq!(
        code(clients.streams.describe(STREAM).await),
        ErrorCode::Denied
    );
    assert_eq!(
        code(clients.documents.open("features", None)),
        ErrorCode::Denied
    );
    assert!(clients.progress.phase("nobody hears it").is_ok());
}
