//! Many hosts on one store: who runs what, who takes over, and who hears of it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::TypeId;
use taskhost_model::status::Status;
use taskhost_service::types::ShownState;

use crate::bench::{Seed, a_moment, on_one_thread};
use crate::guest::{self, COMPLETES, WAITS};
use crate::people::{Wish, key, say, somebody};
use crate::together::{LineState, STEP, Settings, Together, still};

const LEASE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// No hints: everything is found by looking.
const SILENT: Settings = Settings {
    slots: 4,
    hints: false,
};
const TALKING: Settings = Settings {
    slots: 1,
    hints: true,
};

#[test]
fn no_run_is_claimed_twice() {
    on_one_thread(async {
        let it = Together::start(3, SILENT).await;
        let ids: Vec<String> = (0..60).map(|number| format!("t{number}")).collect();
        for (number, id) in ids.iter().enumerate() {
            it.schedule(number % 2, id, COMPLETES).await;
        }
        it.until_ended(&ids, MINUTE).await;
        it.check_claims();
        for id in &ids {
            let task = it.task(id).await;
            assert_eq!(task.status, Status::Completed);
            assert_eq!(task.run.lease_number, 1, "claimed once");
        }
    });
}

#[test]
fn what_a_dead_host_ran_is_taken_over_after_its_lease() {
    on_one_thread(async {
        let mut it = Together::start(3, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        let first = it.until_runs("t", 1).await;
        assert_eq!(first.run.host.as_deref(), Some("host-0"));
        it.pass(Duration::from_secs(7)).await;
        it.kill(0).await;
        let is_taken = async |it: &Together| it.task("t").await.run.lease_number == 2;
        let took = it.until(MINUTE, "it is taken over", is_taken).await;
        assert!(took <= LEASE + Duration::from_secs(5), "took {took:?}");
        // It may have beaten five seconds before.
        assert!(took >= LEASE - Duration::from_secs(6), "took {took:?}");
        let task = it.task("t").await;
        assert_ne!(task.run.host.as_deref(), Some("host-0"));
        assert_eq!((task.run.crashes, task.run.attempt), (1, 1));
        // The dead one is forgotten once it holds nothing.
        let is_forgotten = async |it: &Together| it.host(1).hosts.list().len() == 2;
        it.until(MINUTE, "it is forgotten", is_forgotten).await;
    });
}

#[test]
fn a_run_that_its_host_has_lost_and_nobody_takes_over_is_shown_as_stale() {
    on_one_thread(async {
        let mut it = Together::start(2, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        it.until_runs("t", 1).await;
        it.kill(0).await;
        it.lines[1].set(LineState::TasksKept);
        let is_lost = async |it: &Together| {
            let hosts = it.host(1).hosts.list();
            hosts.iter().any(|host| host.state == "lost")
        };
        it.until(MINUTE, "it is declared lost", is_lost).await;
        assert_eq!(it.shown(1, "t").await, Status::InProgress);
        let is_stale = async |it: &Together| it.shown(1, "t").await == Status::Stale;
        let took = it.until(2 * guest::STALE_AFTER, "it is stale", is_stale);
        assert!(took.await >= guest::STALE_AFTER - Duration::from_secs(2));
        assert_eq!(it.task("t").await.status, Status::InProgress, "as stored");

        it.lines[1].set(LineState::Open);
        it.until_runs("t", 2).await;
        assert_eq!(it.shown(1, "t").await, Status::InProgress);
    });
}

#[test]
fn a_host_that_starts_again_on_its_folder_has_its_runs_back_at_once() {
    on_one_thread(async {
        let mut it = Together::start(2, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        it.until_runs("t", 1).await;
        it.kill(0).await;
        it.start_host(0).await;
        let is_taken = async |it: &Together| it.task("t").await.run.lease_number == 2;
        let took = it.until(MINUTE, "it is taken over", is_taken).await;
        assert!(took <= Duration::from_secs(2), "took {took:?}");
        assert_eq!(it.task("t").await.run.crashes, 1);
    });
}

#[test]
fn a_host_that_stood_still_is_fenced_and_goes_on_as_another_life() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        it.until_runs("t", 1).await;
        let before = life_of(&it, 0);
        it.lines[0].set(LineState::Held);
        let is_taken = async |it: &Together| it.task("t").await.run.lease_number == 2;
        it.until(3 * LEASE, "it is taken over", is_taken).await;
        it.pass(3 * LEASE).await;
        assert_eq!(it.host(0).health().running, 1, "nobody has told it yet");
        let claims = it.lines[0].claims();

        it.lines[0].set(LineState::Open);
        let is_interrupted = async |it: &Together| it.host(0).health().running == 0;
        let within = Duration::from_secs(7);
        it.soon(within, "its guest is interrupted", is_interrupted)
            .await;
        let task = it.task("t").await;
        assert_eq!(task.run.host.as_deref(), Some("host-1"));
        assert_eq!((task.run.lease_number, task.run.crashes), (2, 1));
        assert_ne!(life_of(&it, 0), before);
        assert_eq!(
            it.lines[0].claims(),
            claims,
            "it claims nothing under the life that is lost"
        );

        // It goes on.
        let is_safe = async |it: &Together| {
            it.host(1)
                .hosts
                .list()
                .iter()
                .filter(|host| host.state == "alive")
                .count()
                == 2
        };
        it.until(MINUTE, "it is alive again", is_safe).await;
        it.schedule(0, "u", COMPLETES).await;
        it.until_ended(&["u".to_owned()], MINUTE).await;
        assert_eq!(it.task("u").await.run.host.as_deref(), Some("host-0"));
    });
}

#[test]
fn a_result_that_comes_too_late_changes_nothing() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        it.lines[0].set(LineState::EndsHeld);
        it.schedule(0, "t", COMPLETES).await;
        let is_ending = async |it: &Together| it.lines[0].ends_held() == 1;
        it.soon(MINUTE, "its guest has ended", is_ending).await;
        it.lines[0].set(LineState::Held);
        let is_over = async |it: &Together| it.task("t").await.status.is_terminal();
        it.until(3 * LEASE, "another host has run it", is_over)
            .await;
        let ended = it.task("t").await;
        assert_eq!(ended.run.host.as_deref(), Some("host-1"));
        assert_eq!(
            (ended.run.lease_number, ended.status),
            (2, Status::Completed)
        );
        it.lines[0].set(LineState::Open);
        let is_told = async |it: &Together| it.host(0).health().running == 0;
        it.soon(MINUTE, "it is told that it is late", is_told).await;
        assert_eq!(it.task("t").await, ended);
    });
}

#[test]
fn a_run_whose_claim_is_heard_of_too_late_is_not_begun() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        it.lines[1].set(LineState::Held);
        // Its code is loaded: nothing else is needed to begin.
        it.schedule(0, "before", COMPLETES).await;
        it.until_ended(&["before".to_owned()], MINUTE).await;
        it.lines[0].set(LineState::ClaimsUnheard);
        it.schedule(0, "t", COMPLETES).await;
        let is_claimed = async |it: &Together| it.lines[0].claims() == 2;
        it.soon(MINUTE, "it is claimed", is_claimed).await;
        it.lines[0].set(LineState::Held);
        it.lines[1].set(LineState::Open);
        let is_over = async |it: &Together| it.task("t").await.status.is_terminal();
        it.until(3 * LEASE, "another host has run it", is_over)
            .await;
        let ended = it.task("t").await;
        assert_eq!(ended.run.host.as_deref(), Some("host-1"));
        // It hears of its claim, and of nothing else.
        it.lines[0].set(LineState::AnswersOnly);
        let is_registered = async |it: &Together| it.host(0).health().running == 1;
        it.soon(MINUTE, "it hears of its claim", is_registered)
            .await;
        // A guest that has begun needs moments of real time to end.
        for _ in 0..100 {
            it.pass(STEP).await;
            a_moment().await;
        }
        assert_eq!(it.lines[0].ends_held(), 0, "its guest has not begun");
        it.lines[0].set(LineState::Open);
        let is_told = async |it: &Together| it.host(0).health().running == 0;
        it.soon(MINUTE, "it is told that it is late", is_told).await;
        assert_eq!(it.task("t").await, ended);
    });
}

#[test]
fn runs_go_on_while_the_store_is_away_from_everybody() {
    on_one_thread(async {
        let it = Together::start(3, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        let before = it.until_runs("t", 1).await;
        for line in &it.lines {
            line.set(LineState::Cut);
        }
        it.pass(2 * LEASE).await;
        for line in &it.lines {
            line.set(LineState::Open);
        }
        it.pass(2 * LEASE).await;
        let task = it.task("t").await;
        assert_eq!(task.fence(), before.fence(), "nobody took it over");
        assert_eq!(it.host(0).health().running, 1);
        it.schedule(1, "u", COMPLETES).await;
        it.until_ended(&["u".to_owned()], MINUTE).await;
    });
}

#[test]
fn a_host_that_cannot_beat_claims_nothing() {
    on_one_thread(async {
        let it = Together::start(1, SILENT).await;
        it.lines[0].set(LineState::Cut);
        it.pass(LEASE).await;
        it.lines[0].set(LineState::Open);
        // It has not beaten since: that comes within a second.
        let claims = it.lines[0].claims();
        it.schedule(0, "t", COMPLETES).await;
        assert_eq!(
            it.lines[0].claims(),
            claims,
            "nobody knows whether it lives"
        );
        it.until_ended(&["t".to_owned()], Duration::from_secs(5))
            .await;
    });
}

#[test]
fn a_cancel_on_another_host_is_found_by_looking() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        for (id, wish) in [("canceled", Wish::Cancel), ("deleted", Wish::Delete)] {
            it.schedule(0, id, WAITS).await;
            it.until_runs(id, 1).await;
            still(say(it.host(1), &it.accepted, id, wish))
                .await
                .unwrap();
            let is_over = async |it: &Together| it.host(0).health().running == 0;
            it.soon(Duration::from_secs(1), id, is_over).await;
        }
        let is_canceled = async |it: &Together| it.shown(1, "canceled").await == Status::Canceled;
        it.until(MINUTE, "canceled", is_canceled).await;
        assert!(it.find("deleted").await.is_none());
    });
}

#[test]
fn a_cancel_on_another_host_is_heard_at_once() {
    on_one_thread(async {
        let it = Together::start(2, TALKING).await;
        it.pass(Duration::from_secs(2)).await;
        it.schedule(0, "t", WAITS).await;
        assert_eq!(
            it.until_runs("t", 1).await.run.host.as_deref(),
            Some("host-0")
        );
        still(say(it.host(1), &it.accepted, "t", Wish::Cancel))
            .await
            .unwrap();
        let is_over = async |it: &Together| it.task("t").await.status == Status::Canceled;
        it.soon(STEP, "it is canceled", is_over).await;
    });
}

#[test]
fn a_host_without_room_finds_another_at_once() {
    on_one_thread(async {
        let it = Together::start(3, TALKING).await;
        it.pass(Duration::from_secs(2)).await;
        for id in ["a", "b", "c"] {
            it.schedule(0, id, WAITS).await;
            let is_running = async |it: &Together| it.task(id).await.lease().is_some();
            let took = it.until(MINUTE, id, is_running).await;
            assert!(took <= STEP, "{id} took {took:?}");
        }
        let hosts: BTreeSet<_> = [
            it.task("a").await.run.host,
            it.task("b").await.run.host,
            it.task("c").await.run.host,
        ]
        .into();
        assert_eq!(hosts.len(), 3, "each on its own host");
    });
}

#[test]
fn a_host_without_room_finds_another_by_its_looking() {
    on_one_thread(async {
        let settings = Settings { slots: 1, ..SILENT };
        let it = Together::start(2, settings).await;
        it.pass(Duration::from_secs(20)).await;
        for id in ["a", "b"] {
            it.schedule(0, id, WAITS).await;
        }
        let is_running = async |it: &Together| it.task("b").await.lease().is_some();
        let took = it.until(MINUTE, "b runs", is_running).await;
        assert!(took <= Duration::from_millis(2_200), "took {took:?}");
        assert_eq!(it.task("b").await.run.host.as_deref(), Some("host-1"));
    });
}

#[test]
fn a_type_that_is_pushed_to_one_is_run_by_all() {
    on_one_thread(async {
        for settings in [SILENT, TALKING] {
            let it = Together::start(2, settings).await;
            it.pass(Duration::from_secs(5)).await;
            let by = somebody();
            let push = it.host(0).types.push(&by, guest::component(1), None);
            let pushed = still(push).await.unwrap();
            let type_id = TypeId::parse(guest::TYPE).unwrap();
            let id = key("t").id.to_string();
            // What the other one says of itself is what it claims.
            let is_active = async |it: &Together| {
                let own = it.host(1).hosts.list();
                let own = own.into_iter().find(|host| host.this).unwrap();
                own.task_types.get(&type_id).map(String::as_str) == Some("1.0.1")
            };
            let took = it.until(MINUTE, "it is active", is_active).await;
            assert!(took <= Duration::from_secs(2), "took {took:?}");
            it.schedule(1, &id, COMPLETES).await;
            it.until_ended(std::slice::from_ref(&id), MINUTE).await;
            let task = it.task(&id).await;
            assert_eq!(task.run.digest.as_ref(), Some(&pushed.digest));
            assert_eq!(task.run.host.as_deref(), Some("host-1"));
            let view = still(it.host(1).types.get(&somebody(), &type_id))
                .await
                .unwrap();
            assert_eq!(view.versions[0].state, ShownState::Active);
        }
    });
}

#[test]
fn a_type_that_is_paused_on_one_is_claimed_by_none() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        let type_id = TypeId::parse(guest::TYPE).unwrap();
        let by = somebody();
        still(it.host(0).types.pause(&by, &type_id, None))
            .await
            .unwrap();
        it.pass(Duration::from_secs(2)).await;
        it.schedule(1, "t", COMPLETES).await;
        it.pass(Duration::from_secs(10)).await;
        assert_eq!(it.task("t").await.run.lease_number, 0, "nobody claims it");
        still(it.host(1).types.resume(&somebody(), &type_id))
            .await
            .unwrap();
        it.until_ended(&["t".to_owned()], MINUTE).await;
    });
}

#[test]
fn who_waits_on_one_host_hears_what_another_does() {
    on_one_thread(async {
        let it = Together::start(2, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        it.until_runs("t", 1).await;
        let waiting = it.host(1).clone();
        let since = it.task("t").await.revision;
        let waiting = tokio::spawn(async move {
            let (by, key) = (somebody(), key("t"));
            let mut since = since;
            loop {
                let view = waiting.tasks.wait(&by, &key, since, MINUTE).await.unwrap();
                let view = view.expect("it changes");
                if view.status.is_terminal() {
                    return view.status;
                }
                since = view.revision();
            }
        });
        it.pass(Duration::from_secs(2)).await;
        still(say(it.host(0), &it.accepted, "t", Wish::Cancel))
            .await
            .unwrap();
        let has_heard = async |_: &Together| waiting.is_finished();
        it.soon(Duration::from_secs(2), "it is heard", has_heard)
            .await;
        assert_eq!(waiting.await.unwrap(), Status::Canceled);
    });
}

#[test]
fn an_idle_host_asks_seldom() {
    on_one_thread(async {
        let it = Together::start(3, SILENT).await;
        it.pass(LEASE).await;
        let before: Vec<u64> = it.lines.iter().map(|line| line.calls()).collect();
        it.pass(2 * MINUTE).await;
        for (line, before) in it.lines.iter().zip(before) {
            let calls = line.calls() - before;
            let a_second = calls as f64 / 120.0;
            assert!(a_second <= 2.0, "{a_second} calls a second");
        }
    });
}

#[test]
fn a_host_that_is_stopped_leaves_nothing_to_wait_for() {
    on_one_thread(async {
        let mut it = Together::start(2, SILENT).await;
        it.schedule(0, "t", WAITS).await;
        it.until_runs("t", 1).await;
        let stopping = it.hosts[0].take().unwrap();
        let stopping = tokio::spawn(async move { stopping.drain(LEASE).await });
        let is_taken = async |it: &Together| it.task("t").await.run.lease_number == 2;
        let within = Duration::from_secs(5);
        it.soon(within, "it is taken over", is_taken).await;
        assert_eq!(it.task("t").await.run.crashes, 0, "it was handed back");
        let is_gone = async |it: &Together| it.host(1).hosts.list().len() == 1;
        it.until(MINUTE, "it has left", is_gone).await;
        stopping.await.unwrap();
    });
}

/// Hosts die and come back at any time; what was accepted ends, once.
async fn under(seed: &Seed) {
    const HOSTS: usize = 3;
    let mut random = seed.random();
    let hints = random.random_bool(0.5);
    let settings = Settings { slots: 2, hints };
    let mut it = Together::start(HOSTS, settings).await;
    let mut ids = Vec::new();
    for round in 0..12 {
        for number in 0..random.random_range(1..5) {
            let alive: Vec<usize> = (0..HOSTS).filter(|it_| it.hosts[*it_].is_some()).collect();
            let host = alive[random.random_range(0..alive.len())];
            let id = format!("r{round}-{number}");
            it.schedule(host, &id, COMPLETES).await;
            ids.push(id);
        }
        it.pass(STEP * random.random_range(0..40)).await;
        let host = random.random_range(0..HOSTS);
        let others = (0..HOSTS).filter(|other| *other != host && it.hosts[*other].is_some());
        match &it.hosts[host] {
            Some(_) if others.count() > 0 => it.kill(host).await,
            Some(_) => {}
            None => it.start_host(host).await,
        }
    }
    it.until_ended(&ids, 10 * MINUTE).await;
    for id in &ids {
        let task = it.task(id).await;
        let kind = task.error.as_ref().map(|error| error.kind);
        let is_well = task.status == Status::Completed || kind == Some(ErrorKind::HostLost);
        assert!(is_well, "{task:#?}");
    }
    it.check_claims();
}

#[test]
fn whoever_dies_nothing_is_lost() {
    for seed in Seed::some(6, 200) {
        on_one_thread(under(&seed));
    }
}

fn life_of(it: &Together, host: usize) -> String {
    let list = it.host(host).hosts.list();
    let own = list.into_iter().find(|host| host.this);
    own.unwrap().incarnation.to_string()
}
