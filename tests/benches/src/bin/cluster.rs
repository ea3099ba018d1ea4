//! What several hosts on one real Elasticsearch do together, and what they ask of it.
//! `tests/elasticsearch/with.sh` starts it: `with.sh target/release/cluster [TASKS [ROUNDS]]`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use taskhost_benches::load::{IN_FLIGHT, round_over};
use taskhost_benches::wire::{Door, Wire};
use taskhost_benches::{line, machine, median, ms, numbers, percentile};
use taskhost_e2e::elasticsearch::Elasticsearch;
use taskhost_e2e::fleet::Fleet;
use taskhost_e2e::host::Host;

const TASKS: usize = 10_000;
const ROUNDS: usize = 9;
/// Elasticsearch compiles itself for so long under load after its start; what comes later is to
/// have its own indices and connections warm.
const WARM_UP_FIRST: Duration = Duration::from_secs(90);
const WARM_UP: Duration = Duration::from_secs(15);
/// Of those that are taken one at a time there are fewer.
const ALONE_PART: usize = 25;
/// So long nothing happens, to see what hosts ask then: sweeps for all come twice in it.
const IDLE: Duration = Duration::from_secs(60);
/// Hosts that have just started ask more.
const SETTLES: Duration = Duration::from_secs(20);
/// Long enough for everything to be idle again.
const PAUSE: Duration = Duration::from_millis(20);
/// Tests have others.
const USUAL: [(&str, &str); 3] = [
    ("TASKHOST_HOSTS_LEASE_S", LEASE_S),
    ("TASKHOST_HOSTS_BEAT_INTERVAL_S", "5"),
    ("TASKHOST_RUNS_SWEEP_INTERVAL_S", "10"),
];
const LEASE_S: &str = "30";
const COMPONENTS: [&str; 2] = ["hello-task", "sleeper"];
const SHORT: &str = r#"{"type":"sleeper","params":{"ms":0}}"#;
const LONG: &str = r#"{"type":"sleeper","params":{"ms":600000}}"#;

/// One thread: the client takes as little of the cores as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [tasks, rounds] = numbers([TASKS, ROUNDS]);
    println!("{}", machine());
    println!("{tasks} tasks a round, {IN_FLIGHT} in flight over each host, {rounds} rounds");
    for count in [1, 2, 4] {
        full_load(count, tasks, rounds).await;
    }
    let alone = (tasks / ALONE_PART).max(10);
    println!("two hosts, {alone} tasks one at a time, a lease of {LEASE_S} s");
    let fleet = fleet(2).await;
    let mut hosts = start_all(&fleet).await;
    let doors = doors(&fleet, &hosts);
    idle(&fleet, &doors, alone).await;
    cancels(&doors, alone).await;
    takeover(&mut hosts, &doors).await;
    drop(hosts);
    fleet.clear().await;
}

async fn fleet(hosts: usize) -> Fleet {
    let fleet = Fleet::find(hosts, &COMPONENTS, "").await;
    fleet.expect("an Elasticsearch: run tests/elasticsearch/with.sh")
}

/// Hosts with the settings that they have where nobody says otherwise.
async fn start_all(fleet: &Fleet) -> Vec<Host> {
    let mut hosts = Vec::new();
    for number in 0..fleet.size() {
        let mut command = fleet.serve(number, &fleet.elasticsearch.url);
        command.envs(USUAL);
        hosts.push(fleet.started(command).await);
    }
    hosts
}

fn doors(fleet: &Fleet, hosts: &[Host]) -> Vec<Door> {
    let door = |host: &Host| Door {
        url: host.url.clone(),
        authorization: Some(fleet.elasticsearch.authorization()),
    };
    hosts.iter().map(door).collect()
}

/// Requests that Elasticsearch has been sent so far, as it counts them, these not counted.
async fn requests(server: &Elasticsearch) -> u64 {
    by_route(server).await.values().sum()
}

async fn by_route(server: &Elasticsearch) -> BTreeMap<String, u64> {
    let stats = server.get("/_nodes/stats/http").await.expect(200);
    let mut sums = BTreeMap::new();
    for node in stats["nodes"].as_object().expect("nodes").values() {
        let routes = node["http"]["routes"]
            .as_object()
            .expect("requests by route");
        let others = routes
            .iter()
            .filter(|(route, _)| !route.starts_with("/_nodes"));
        for (route, of) in others {
            let count = of["requests"]["count"].as_u64().unwrap_or_default();
            *sums.entry(route.clone()).or_default() += count;
        }
    }
    sums
}

async fn full_load(count: usize, tasks: usize, rounds: usize) {
    let fleet = fleet(count).await;
    let hosts = start_all(&fleet).await;
    let doors = doors(&fleet, &hosts);
    warm_up(
        &doors,
        tasks,
        if count == 1 { WARM_UP_FIRST } else { WARM_UP },
    )
    .await;
    let (mut rates, mut halves, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for number in 1..=rounds {
        let before = requests(&fleet.elasticsearch).await;
        let begun = Instant::now();
        let times = round_over(&doors, &format!("r{number}"), tasks).await;
        let took = begun.elapsed();
        asked.push(requests(&fleet.elasticsearch).await - before);
        rates.push((tasks as f64 / took.as_secs_f64()) as u64);
        halves.push(percentile(&times, 50));
        tails.push(percentile(&times, 99));
    }
    let of = if count == 1 {
        "1 host"
    } else {
        &format!("{count} hosts")
    };
    println!("{of}: {rates:?} tasks/s");
    let rate = format!("{} tasks/s", median(&rates));
    println!("{}", line(&format!("{of}, scheduled → completed"), &rate));
    println!(
        "{}",
        line(&format!("{of}, one task, p50"), &ms(median(&halves)))
    );
    println!(
        "{}",
        line(&format!("{of}, one task, p99"), &ms(median(&tails)))
    );
    let each = format!("{:.3}", median(&asked) as f64 / tasks as f64);
    println!(
        "{}",
        line(&format!("{of}, requests to Elasticsearch a task"), &each)
    );
    drop(hosts);
    fleet.clear().await;
}

/// Rounds that are not counted.
async fn warm_up(doors: &[Door], tasks: usize, at_least: Duration) {
    let begun = Instant::now();
    for number in 0.. {
        if begun.elapsed() >= at_least {
            return;
        }
        round_over(doors, &format!("w{number}"), tasks).await;
    }
}

/// What hosts ask that have nothing to do; and a task that comes then.
async fn idle(fleet: &Fleet, doors: &[Door], tasks: usize) {
    let server = &fleet.elasticsearch;
    start(&mut Wire::through(&doors[0]).await, "first").await;
    // tidy: sleep allowed because hosts that have just started ask more
    tokio::time::sleep(SETTLES).await;
    let (before, begun) = (by_route(server).await, Instant::now());
    // tidy: sleep allowed because it is counted what happens while nothing happens
    tokio::time::sleep(IDLE).await;
    let mut asked = by_route(server).await;
    for (route, count) in &mut asked {
        *count -= before.get(route).copied().unwrap_or_default();
    }
    asked.retain(|_, count| *count > 0);
    println!("idle for {} s: {asked:?}", IDLE.as_secs());
    let rate = asked.values().sum::<u64>() as f64 / begun.elapsed().as_secs_f64();
    let each = format!("{:.2} /s", rate / doors.len() as f64);
    println!(
        "{}",
        line("idle, requests to Elasticsearch of a host", &each)
    );
    // A connection that nothing comes over is closed by its host.
    let mut wire = Wire::through(&doors[0]).await;
    let (before, begun) = (requests(server).await, Instant::now());
    let mut starts = Vec::new();
    for n in 0..tasks {
        starts.push(start(&mut wire, &format!("s{n}")).await);
        // tidy: sleep allowed because the hosts have to be idle before the next one
        tokio::time::sleep(PAUSE).await;
    }
    let idle = rate * begun.elapsed().as_secs_f64();
    let own = (requests(server).await - before) as f64 - idle;
    let each = format!("{:.2}", own / tasks as f64);
    println!("{}", line("alone, requests to Elasticsearch a task", &each));
    for hundredths in [50, 99] {
        let name = format!("request sent → first guest instruction, p{hundredths}");
        println!("{}", line(&name, &ms(percentile(&starts, hundredths))));
    }
}

/// From the request on its way to the guest's first instructions, which read the clock.
async fn start(wire: &mut Wire, id: &str) -> Duration {
    let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let sent = sent.expect("a clock");
    let revision = wire.schedule(id, SHORT).await;
    let ended = wire.until(id, "completed", revision).await;
    let began_us = ended.number("began_us").expect("the guest's clock");
    Duration::from_micros(began_us).saturating_sub(sent)
}

/// A run that has begun, and the number of the host that has it.
async fn running(wires: &mut [Wire], id: &str, over: usize) -> usize {
    wires[over].schedule(id, LONG).await;
    let path = format!("/v1/spaces/default/tasks/{id}");
    loop {
        let said = wires[over].send("GET", &path, "").await;
        if said.text("state") != Some("running") {
            continue;
        }
        let name = said.text("host").expect("a host").to_owned();
        let mut of = None;
        for (number, wire) in wires.iter_mut().enumerate() {
            let said = wire.send("GET", "/v1/info", "").await;
            if said.text("host") == Some(&name) {
                of = Some(number);
            }
        }
        return of.expect("a host of that name");
    }
}

async fn cancels(doors: &[Door], tasks: usize) {
    let mut wires = Vec::new();
    for door in doors {
        wires.push(Wire::through(door).await);
    }
    let mut times = Vec::new();
    for n in 0..tasks {
        let id = format!("c{n}");
        let of = running(&mut wires, &id, n % doors.len()).await;
        let other = &mut wires[(of + 1) % doors.len()];
        // tidy: sleep allowed because the guest has to be on its way
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        let path = format!("/v1/spaces/default/tasks/{id}/cancel");
        let said = other.send("POST", &path, "").await;
        assert_eq!(said.status, 200, "{}", said.body);
        let revision = said.number("revision").expect("a revision");
        if said.text("status") != Some("canceled") {
            other.until(&id, "canceled", revision).await;
        }
        times.push(begun.elapsed());
    }
    for hundredths in [50, 99] {
        let name = format!("cancel over another host, p{hundredths}");
        println!("{}", line(&name, &ms(percentile(&times, hundredths))));
    }
}

async fn takeover(hosts: &mut Vec<Host>, doors: &[Door]) {
    let mut wires = Vec::new();
    for door in doors {
        wires.push(Wire::through(door).await);
    }
    let of = running(&mut wires, "taken", 0).await;
    let begun = Instant::now();
    hosts.remove(of).kill().await;
    let other = &mut wires[1 - of];
    loop {
        let said = other
            .send("GET", "/v1/spaces/default/tasks/taken", "")
            .await;
        if said.number("crashes") == Some(1) && said.text("state") == Some("running") {
            break;
        }
        // tidy: sleep allowed because it takes seconds, and asking takes of the cores
        tokio::time::sleep(PAUSE).await;
    }
    println!("{}", line("killed → runs elsewhere", &ms(begun.elapsed())));
}
