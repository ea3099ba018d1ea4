//! Thousands of runs parked in host calls at once: what each takes of the machine's memory, what
//! becomes of the runs beyond the slots, and whether the host works on meanwhile. It ends with 1
//! when one of them takes more than it may, or when not all of those beyond were queued.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, ms, percentile, proportional_kib};
use taskhost_e2e::home::Home;

const PARKED: usize = 8_000;
const BEYOND: usize = 50;
/// What each may take.
const EACH_KIB_MAX: f64 = 100.0;
/// What all may grow to is counted, not what they use: 1.1 MiB each. On a machine of 12 GiB it is
/// the default.
const MEMORY_MIB: usize = 6 * 1024;
const BODY: &str = r#"{"type":"sleeper","params":{"ms":240000}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let home = Home::with(&["sleeper", "hello-task"]);
    home.settings(&format!(
        "runs.slots = {PARKED}\nruns.memory_mib = {MEMORY_MIB}\n"
    ));
    let host = home.start().await;
    let mut wire = Wire::connect(&host.url).await;
    let warm = wire
        .schedule("warm", r#"{"type":"sleeper","params":{"ms":1}}"#)
        .await;
    wire.until("warm", "completed", warm).await;
    let (before_kib, begun) = (proportional_kib(&host), Instant::now());
    for n in 0..PARKED {
        wire.schedule(&format!("p{n}"), BODY).await;
    }
    while running(&mut wire).await < PARKED as u64 {
        // tidy: sleep allowed because asking all the time would slow what is measured
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    let each_kib = (proportional_kib(&host) - before_kib) as f64 / PARKED as f64;
    println!("{}", machine());
    println!(
        "{}",
        line(&format!("{PARKED} runs parked after"), &ms(took))
    );
    println!("{}", line("memory of each", &format!("{each_kib:.1} KiB")));
    for n in 0..BEYOND {
        wire.schedule(
            &format!("b{n}"),
            r#"{"type":"hello","params":{"name":"you"}}"#,
        )
        .await;
    }
    let said = wire
        .send(
            "GET",
            "/v1/spaces/default/tasks?type=hello&status=in_progress",
            "",
        )
        .await;
    let queued = said.body.matches("\"state\":\"queued\"").count();
    println!(
        "{}",
        line("beyond the slots, queued", &format!("{queued} of {BEYOND}"))
    );
    let mut times = Vec::new();
    for n in 0..BEYOND {
        let begun = Instant::now();
        let path = format!("/v1/spaces/default/tasks/p{n}/cancel");
        assert_eq!(wire.send("POST", &path, "").await.status, 200);
        times.push(begun.elapsed());
    }
    println!(
        "{}",
        line("a cancel at the limit, p99", &ms(percentile(&times, 99)))
    );
    for n in 0..BEYOND {
        wire.until(&format!("b{n}"), "completed", 0).await;
    }
    println!(
        "{}",
        line("then completed", &format!("{BEYOND} of {BEYOND}"))
    );
    let is_met = each_kib <= EACH_KIB_MAX && queued == BEYOND;
    if !is_met {
        eprintln!("missed: {EACH_KIB_MAX} KiB each at most, and all beyond the slots queued");
    }
    ExitCode::from(u8::from(!is_met))
}

async fn running(wire: &mut Wire) -> u64 {
    let said = wire.send("GET", "/v1/info", "").await;
    said.number("runs").expect("the number of runs")
}
