//! From the request to cancel until `canceled` is seen: of guests that wait and heed it, and of
//! guests that do not heed it, less their grace of 100 ms.

use std::time::{Duration, Instant};

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, percentile};
use taskhost_e2e::home::Home;

const TASKS: usize = 200;
/// Of `ignores-cancel`.
const GRACE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["sleeper", "ignores-cancel"]).start().await;
    let mut wire = Wire::connect(&host.url).await;
    println!("{}", machine());
    println!("{TASKS} cancels of each, one after the other");
    for (name, body, grace) in [
        (
            "waits, and heeds it",
            r#"{"type":"sleeper","params":{"ms":60000}}"#,
            Duration::ZERO,
        ),
        (
            "waits for a clock, and does not, after its grace",
            r#"{"type":"ignores-cancel","params":{"how":"park"}}"#,
            GRACE,
        ),
        (
            "asks to wait again and again, after its grace",
            r#"{"type":"ignores-cancel","params":{"how":"sleep"}}"#,
            GRACE,
        ),
        (
            "computes, and does not, after its grace",
            r#"{"type":"ignores-cancel","params":{"how":"spin"}}"#,
            GRACE,
        ),
    ] {
        let mut times = Vec::new();
        for n in 0..TASKS {
            times.push(cancel(&mut wire, &format!("c{n}"), body).await);
        }
        for hundredths in [50, 99] {
            // Below zero where a guest is ended before its grace is over.
            let after = percentile(&times, hundredths).as_secs_f64() - grace.as_secs_f64();
            let after = format!("{:.2} ms", after * 1e3);
            println!("{}", line(&format!("{name}, p{hundredths}"), &after));
        }
    }
}

async fn cancel(wire: &mut Wire, id: &str, body: &str) -> Duration {
    wire.schedule(id, body).await;
    let path = format!("/v1/spaces/default/tasks/{id}");
    // Running, and a moment longer: it waits or computes by then.
    loop {
        let said = wire.send("GET", &path, "").await;
        if said.text("state") == Some("running") {
            break;
        }
    }
    // tidy: sleep allowed because the guest has to be on its way
    tokio::time::sleep(Duration::from_millis(5)).await;
    let begun = Instant::now();
    let said = wire.send("POST", &format!("{path}/cancel"), "").await;
    assert_eq!(said.status, 200, "{}", said.body);
    let revision = said.number("revision").expect("a revision");
    if said.text("status") != Some("canceled") {
        wire.until(id, "canceled", revision).await;
    }
    begun.elapsed()
}
