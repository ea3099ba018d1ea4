//! The host is killed every few seconds while tasks are scheduled, and started again on the same
//! folder. Whatever was accepted ends, once. (`kills.rs` kills at any moment, and begins anew.)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rustix::process::{Signal, kill_process};
use taskhost_e2e::fleet::{Caller, Callers, pass};
use taskhost_e2e::home::Home;
use taskhost_e2e::load::Account;
use taskhost_e2e::long;

/// Few, since others share the machine: they are at work all the time.
const CLIENTS: usize = 3;
const SLOTS: u64 = 16;
/// A life ends after so long, from … to, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 500..4_500;

/// T4: every accepted id ends in exactly one terminal document, and no more runs are begun anew
/// than were at work when their host was killed. 30 s of kills; in the long form 10 min of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_accepted_in_a_storm_of_kills_ends_once() {
    let storm = Duration::from_secs(if long() { 600 } else { 30 });
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let account = Arc::new(Account::new().await);
    let (teller, allowed) = account.teller();
    let home = Home::with(&["hello-task", "sleeper", "fails"]);
    home.add_bytes("sends", &teller);
    // A run may be hit more than once.
    home.settings(&format!(
        "runs.crashes_max = 100\nruns.slots = {SLOTS}\n{allowed}"
    ));
    let mut host = home.start().await;
    let callers = Arc::new(Callers::of([&host]));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (account, callers) = (Arc::clone(&account), Arc::clone(&callers));
            tokio::spawn(async move { account.client(&callers, &format!("c{n}")).await })
        })
        .collect();
    let begun = std::time::Instant::now();
    let mut kills = 0;
    while begun.elapsed() < storm {
        // It is how long the host lives.
        pass(Duration::from_millis(random.random_range(LIFE_MS))).await;
        // While requests are on their way.
        kill_process(host.pid(), Signal::KILL).unwrap();
        host.died().await;
        callers.set(0, None);
        kills += 1;
        host = home.start().await;
        callers.set(0, Some(Caller::of(&host)));
    }
    account.is_over();
    for client in clients {
        client.await.unwrap();
    }
    let accepted = account.accepted();
    let reruns = account.check(&host, 0).await;
    println!("{accepted} tasks were accepted, {kills} kills, {reruns} runs begun anew");
    let wanted = usize::try_from(storm.as_secs()).unwrap() * 5;
    assert!(accepted > wanted, "there was load: {accepted} tasks");
    assert!(
        (1..=kills * SLOTS).contains(&reruns),
        "{reruns}, {kills} kills"
    );
    let listed = host.listed("").await;
    let ids: BTreeSet<_> = listed.iter().collect();
    assert_eq!(ids.len(), listed.len(), "each task has one document");
    assert!(listed.len() >= accepted, "{} of {accepted}", listed.len());
    host.stop().await;
}
