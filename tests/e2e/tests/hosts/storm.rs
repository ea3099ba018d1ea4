//! Hosts are killed under load, one every five seconds, and started again. Whatever was accepted
//! ends, once.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use taskhost_e2e::fleet::{Caller, Callers, Fleet, pass};
use taskhost_e2e::load::Account;

const HOSTS: usize = 3;
const CLIENTS: usize = 12;
const SLOTS: u64 = 16;
const BETWEEN_KILLS: Duration = Duration::from_secs(5);

/// T4: and no more runs are begun anew than were at work when their host was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_hosts_are_killed_all_that_was_accepted_ends_once() {
    let kills = if taskhost_e2e::long() { 24 } else { 3 };
    let account = Arc::new(Account::new().await);
    let (teller, allowed) = account.teller();
    // A run may be hit more than once.
    let settings = format!("runs.crashes_max = 100\nruns.slots = {SLOTS}\n{allowed}");
    let components = ["hello-task", "sleeper", "fails"];
    let Some(fleet) = Fleet::find(HOSTS, &components, &settings).await else {
        return;
    };
    for number in 0..HOSTS {
        fleet.home(number).add_bytes("sends", &teller);
    }
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut hosts = fleet.start_all().await;
    let callers = Arc::new(Callers::of(&hosts));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (account, callers) = (Arc::clone(&account), Arc::clone(&callers));
            tokio::spawn(async move { account.client(&callers, &format!("c{n}")).await })
        })
        .collect();
    let mut again = tokio::time::interval(BETWEEN_KILLS);
    again.tick().await;
    for _ in 0..kills {
        again.tick().await;
        let victim = random.random_range(0..HOSTS);
        callers.set(victim, None);
        hosts.remove(victim).kill().await;
        // Sometimes it stays away until shortly before the next one is killed.
        if random.random_bool(0.5) {
            // It is how long it is away
            pass(BETWEEN_KILLS / 2).await;
        }
        let host = fleet.start(victim).await;
        callers.set(victim, Some(Caller::of(&host)));
        hosts.insert(victim, host);
    }
    again.tick().await;
    account.is_over();
    for client in clients {
        client.await.unwrap();
    }
    let accepted = account.accepted();
    println!("{accepted} tasks were accepted, {kills} hosts killed");
    assert!(accepted > kills * 20, "there was load");
    let reruns = account.check(&hosts[0], 0).await;
    let at_work = u64::try_from(kills).unwrap() * SLOTS;
    assert!(reruns <= at_work, "{reruns} runs were begun anew");
    for host in hosts {
        host.stop().await;
    }
    fleet.clear().await;
}
