//! The control of feature identification: one block for each status, with what can be done in it.

use maud::{Markup, html};
use taskhost_model::status::{Phase, Status};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use taskhost_service::view::{TaskView, WaitReason, Waiting};

use super::listed;
use super::review;
use super::view::{RANGES, View, payload};
use super::words::{self, counted, span, time};

/// The control. Its key changes when something else than progress has changed, with what is to be
/// reviewed in it.
pub(super) fn control(view: View<'_>) -> Markup {
    html! {
        section #control aria-labelledby="control-title" data-key=(key(view))
            data-version=(view.task.version()) data-state=(state(view.task))
            data-waits-for=(view.task.waiting_for.as_deref().unwrap_or_default())
            data-said=(said(view)) {
            h2 #control-title tabindex="-1" { "Feature identification" }
            @match view.task.task.as_ref() {
                None => {
                    p { "Nobody has looked for features in this stream yet." }
                    (start(view))
                }
                Some(task) => (of_task(view, task)),
            }
        }
    }
}

fn of_task(view: View<'_>, task: &Task) -> Markup {
    match view.task.status {
        Status::NotStarted => start(view),
        Status::InProgress | Status::Stale => running(view, task),
        Status::BeingCanceled => canceling(view, task),
        Status::Canceled => html! {
            p.note { (canceled(task)) }
            (start(view))
        },
        Status::Failed => html! {
            (failed(task))
            (start(view))
        },
        Status::Completed => completed(view, task),
        Status::Acknowledged => html! {
            p.note {
                "Reviewed"
                @if let Some(by) = &task.acknowledged_by { " by " b { (by) } }
                @if let Some(at) = task.last_acknowledged_at { ", " (time(at)) }
                ". " (summary(view))
            }
            (start(view))
        },
    }
}

/// What is said aloud when it comes to this.
fn said(view: View<'_>) -> String {
    match view.task.status {
        Status::NotStarted => "Not started".to_owned(),
        Status::InProgress => match view.task.task.as_ref().map(Task::phase) {
            Some(Phase::Running) | None => "Running".to_owned(),
            Some(phase) => waits(phase).to_owned(),
        },
        Status::Stale => "No sign of life".to_owned(),
        Status::BeingCanceled => "Canceling".to_owned(),
        Status::Canceled => "The run was canceled".to_owned(),
        Status::Failed => "The run failed".to_owned(),
        Status::Completed => match review::found(view).len() as u64 {
            0 => "Completed: nothing to review".to_owned(),
            count => format!("Completed: {} to review", counted(count, "feature")),
        },
        Status::Acknowledged => "Reviewed".to_owned(),
    }
}

/// What the script compares with what it hears of the task.
fn state(view: &TaskView) -> &'static str {
    match view.task.as_ref().map(Task::phase) {
        _ if view.status == Status::Stale => "stale",
        Some(Phase::Queued) => "queued",
        Some(Phase::Running) => "running",
        Some(Phase::WaitingRetry) => "waiting_retry",
        Some(Phase::Suspended) => "suspended",
        _ => view.status.as_str(),
    }
}

fn key(view: View<'_>) -> String {
    let task = view.task;
    let run = task.task.as_ref().map(|task| task.run.id.to_string());
    let waiting_for = task.waiting_for.as_deref().unwrap_or_default();
    format!(
        "{} {} {} {} {waiting_for}",
        run.unwrap_or_default(),
        task.version(),
        state(task),
        listed::hash_of(&review::found(view))
    )
}

fn start(view: View<'_>) -> Markup {
    let (Some(first), Some(last)) = (view.stream.first_at, view.stream.last_at) else {
        return html! { p { "The stream is empty: there is nothing to look at yet." } };
    };
    if !view.may_operate {
        return html! { p { "You may look, but starting needs the role of an operator." } };
    }
    // The input knows no part of a second.
    let after = Timestamp::from_ms(last.as_ms() + 1_000);
    let has_run = view.task.task.is_some();
    html! {
        form.start method="post" action=(view.path) {
            label for="range" { "Range" }
            select #range name="range" {
                option value="all" { "Everything the stream holds" }
                @for (value, said, _) in RANGES { option value=(value) { (said) } }
                option value="custom" { "From … to …" }
            }
            div.custom {
                label for="from" { "From (UTC)" }
                input #from name="from" type="datetime-local" step="1"
                    value=(words::input_time(first));
                label for="to" { "To (UTC)" }
                input #to name="to" type="datetime-local" step="1"
                    value=(words::input_time(after));
            }
            @if view.connectors.is_empty() {
                p.hint {
                    "By arithmetic alone: no language model is set up on this host."
                }
            } @else {
                label for="connector" { "Language model" }
                select #connector name="connector" {
                    option value="" { "None: arithmetic alone" }
                    @for name in view.connectors { option value=(name) { (name) } }
                }
            }
            button #start .primary name="action" value="schedule" {
                @if has_run { "Identify features again" } @else { "Identify features" }
            }
        }
    }
}

fn started_by(task: &Task) -> Markup {
    html! { "Started by " b { (task.requested_by) } ", " (time(task.created_at)) "." }
}

fn running(view: View<'_>, task: &Task) -> Markup {
    let progress = task.progress.as_ref();
    let phase = progress.and_then(|progress| progress.phase.as_deref());
    let message = progress.map(|progress| progress.message.as_str());
    let total = progress.and_then(|progress| progress.total);
    let is_running = task.phase() == Phase::Running;
    let since = task.run.started_at.unwrap_or(task.created_at);
    html! {
        @if view.task.status == Status::Stale { (stale(task)) }
        div.run {
            p.state {
                span.dot aria-hidden="true" {}
                span {
                    b #state {
                        @if is_running { "Running" } @else { (waits(task.phase())) }
                    }
                    span #phase { @if let Some(phase) = phase { ": " (phase) } }
                }
            }
            @if is_running {
                @let done = progress.map_or(0, |progress| progress.done);
                @match total {
                    Some(total) => progress #progress max=(total.max(1)) value=(done)
                        aria-label="Progress" {},
                    None => progress #progress aria-label="Progress" {},
                }
                p.hint #message {
                    @if let Some(message) = message { (message) }
                    @if let Some(total) = total { " (" (done) " of " (total) ")" }
                }
            } @else {
                p #reason { (reason(view, task)) }
            }
            p.hint {
                @if is_running { "Running for " } @else { "Waiting for " }
                span #elapsed data-ms=(elapsed(view.now, since)) {
                    (span(elapsed(view.now, since)))
                }
                ". " (started_by(task))
                @if task.run.attempt > 1 {
                    " Attempt " (task.run.attempt) " of " (task.run.max_attempts) "."
                }
            }
        }
        @if view.may_operate {
            form.cancel method="post" action=(view.path) {
                button #cancel name="action" value="cancel" { "Cancel" }
            }
        }
    }
}

fn elapsed(now: Timestamp, since: Timestamp) -> u64 {
    u64::try_from(now.since(since).as_millis()).unwrap_or(0)
}

fn waits(phase: Phase) -> &'static str {
    match phase {
        Phase::WaitingRetry => "Waiting to be tried again",
        Phase::Suspended => "Waiting for its sub-tasks",
        _ => "Queued",
    }
}

/// Why it does not run yet.
fn reason(view: View<'_>, task: &Task) -> Markup {
    let is_told = |it: &&Waiting| it.reason != WaitReason::RunAt;
    if let Some(waiting_for) = view.task.waiting_for.as_ref().filter(is_told) {
        return html! { "It waits for: " (waiting_for.words) "." };
    }
    let is_later = task.run.due_at > view.now;
    html! {
        @if let Some(error) = task.error.as_ref().filter(|_| is_later) {
            @if error.code == "rate-limited" { "It pauses: " } @else { "The last attempt failed: " }
            (error.message) ". "
        }
        @if is_later {
            "It runs at " (time(task.run.due_at)) "."
        } @else if task.phase() == Phase::Suspended {
            "It goes on as soon as they have ended."
        } @else {
            "Every place for runs is taken; it begins as soon as one is free."
        }
    }
}

fn stale(task: &Task) -> Markup {
    let host = task.run.host.as_deref().unwrap_or("that ran it");
    html! {
        div.callout.warn role="alert" {
            p { b { "No sign of life." } " The host " b { (host) }
                " has not been heard of for too long." }
            p { "Another host takes the run over as soon as one can. If none does, cancel it and \
                 start again." }
        }
    }
}

fn canceling(view: View<'_>, task: &Task) -> Markup {
    let since = task.run.cancel_requested_at.unwrap_or(view.now);
    html! {
        div.run {
            p.state { span.dot aria-hidden="true" {} b #state { "Canceling…" } }
            progress #progress aria-label="Canceling" {}
            p.hint {
                "Asked to stop "
                @if let Some(by) = &task.canceled_by { "by " b { (by) } ", " }
                span #elapsed data-ms=(elapsed(view.now, since)) {
                    (span(elapsed(view.now, since)))
                }
                " ago; if it does not stop by itself it is interrupted. " (started_by(task))
            }
        }
        button #cancel disabled { "Canceling…" }
    }
}

fn canceled(task: &Task) -> Markup {
    html! {
        "The last run was canceled"
        @if let Some(by) = &task.canceled_by { " by " b { (by) } }
        @if let Some(at) = task.last_canceled_at { ", " (time(at)) }
        @if let Some(reason) = &task.run.cancel_reason { " (" (reason) ")" }
        ". What it had found and saved until then is in the list below."
    }
}

fn failed(task: &Task) -> Markup {
    let log = format!(
        "/v1/spaces/{}/tasks/{}/runs/{}/log",
        task.space, task.id, task.run.id
    );
    html! {
        div.callout.bad role="alert" {
            p { b { "The run failed" } @if let Some(at) = task.last_failed_at { ", " (time(at)) }
                "." }
            @if let Some(error) = &task.error {
                p.error { (error.message) }
                p { (words::advice(error.kind)) }
            }
            p.hint {
                (started_by(task)) " "
                a href=(log) { "Log of the run" }
            }
        }
    }
}

/// What the last result was made of.
fn summary(view: View<'_>) -> Markup {
    let payload = payload(view);
    html! {
        @if let Some(sampled) = payload.documents_sampled {
            (counted(sampled, "document")) " looked at"
            @if let Some(unmatched) = payload.unmatched.filter(|_| sampled > 0) {
                ", " (words::percent(words::permille(unmatched, sampled))) " of them of no feature"
            }
            @if let Some(ms) = payload.duration_ms { ", in " (span(ms)) }
            ". "
        }
        @match payload.model {
            Some(model) => {
                "With the model " b { (model.connector) }
                @if let Some(rounds) = model.rounds { ", " (counted(rounds, "round")) }
                @if let Some(tokens) = model.tokens_used { ", " (counted(tokens, "token")) }
                "."
                @if let Some(problem) = model.problem {
                    " " b { "Not all went well with it: " } (problem) "."
                }
            }
            None => "By arithmetic alone.",
        }
    }
}

fn completed(view: View<'_>, task: &Task) -> Markup {
    let payload = payload(view);
    let found = review::found(view);
    let summary = html! {
        p.hint { (started_by(task)) " " (summary(view)) }
    };
    if found.is_empty() {
        let nothing = payload.features.is_empty();
        return html! {
            div.callout.info {
                p {
                    @if nothing && payload.documents_sampled == Some(0) {
                        b { "Nothing found." }
                        " The range holds no documents."
                        @let ends = view.stream.first_at.zip(view.stream.last_at);
                        @if let Some((first, last)) = ends {
                            " The stream's are from " (time(first)) " to " (time(last)) "."
                        }
                    } @else if nothing {
                        b { "Nothing found." }
                        " No system writes enough into this range to be told from the rest. \
                         A longer range shows more."
                    } @else {
                        b { "Nothing is left to review." }
                        " What was found has been removed or excluded meanwhile."
                    }
                }
                (summary)
                @if view.may_operate {
                    form method="post" action=(view.path) {
                        button #dismiss name="action" value="acknowledge" { "Dismiss" }
                    }
                }
            }
            (start(view))
        };
    }
    html! {
        (summary)
        (review::form(view, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use taskhost_store::streams::{Stream, StreamSettings};

    fn shown(status: Status, change: impl Fn(&mut Value)) -> String {
        let mut task = json!({
            "id": "t", "type": "hello", "space": "default", "status": "in_progress",
            "created_at": Timestamp::from_ms(1), "requested_by": "ada <b>", "version": 1,
            "revision": 1, "run": {
                "id": "01a222fb-4755-70e9-a0bf-19c333e42178", "attempt": 2, "max_attempts": 3,
                "priority": 0, "due_at": Timestamp::from_ms(1), "rank": 0, "lease_number": 1,
                "state": "running", "host": "oak",
            },
        });
        change(&mut task);
        let mut view = TaskView::of(serde_json::from_value(task).unwrap());
        view.status = status;
        let stream = Stream {
            name: "logs".parse().unwrap(),
            created_at: None,
            settings: StreamSettings::default(),
            documents: 0,
            bytes: None,
            first_at: None,
            last_at: None,
        };
        let view = View {
            path: "/streams/logs",
            stream: &stream,
            task: &view,
            features: &[],
            connectors: &[],
            may_operate: true,
            now: Timestamp::from_ms(65_001),
        };
        control(view).into_string()
    }

    /// No store shows it for long enough to be seen in a browser: the run goes to another host.
    #[test]
    fn a_stale_run_says_which_host_is_silent_and_can_be_canceled() {
        let html = shown(Status::Stale, |_| ());
        for wanted in [
            "data-state=\"stale\"",
            "No sign of life.",
            "<b>oak</b>",
            "value=\"cancel\"",
            "Attempt 2 of 3",
            "ada &lt;b&gt;",
        ] {
            assert!(html.contains(wanted), "{wanted} in {html}");
        }
    }

    #[test]
    fn a_retry_says_why_and_when() {
        let html = shown(Status::InProgress, |task| {
            task["run"]["state"] = json!("waiting_retry");
            task["run"]["due_at"] = json!("2026-11-28T23:00:00.000Z");
            task["error"] = json!({"kind": "task", "code": "x", "message": "No luck & rain.",
                "retryable": true});
        });
        assert!(html.contains("Waiting to be tried again"), "{html}");
        assert!(html.contains("No luck &amp; rain."), "{html}");
        assert!(html.contains("28 Nov 2026, 23:00:00 UTC"), "{html}");
    }
}
