//! Short tasks, and the interface, beside 32 guests that compute without an end.

use std::time::Instant;

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, ms, percentile};
use taskhost_e2e::home::Home;

const SPINNING: usize = 32;
const TASKS: usize = 1_000;
const HELLO: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["hello-task", "endless-loop"]).start().await;
    let mut wire = Wire::connect(&host.url).await;
    for n in 0..SPINNING {
        wire.schedule(&format!("loop-{n}"), r#"{"type":"endless-loop"}"#)
            .await;
    }
    let (mut tasks, mut reads) = (Vec::new(), Vec::new());
    for n in 0..TASKS {
        let (id, begun) = (format!("t{n}"), Instant::now());
        let revision = wire.schedule(&id, HELLO).await;
        wire.until(&id, "completed", revision).await;
        tasks.push(begun.elapsed());
        let begun = Instant::now();
        let said = wire
            .send("GET", "/v1/spaces/default/tasks?limit=20", "")
            .await;
        assert_eq!(said.status, 200);
        reads.push(begun.elapsed());
    }
    println!("{}", machine());
    println!("{TASKS} short tasks, one after the other, beside {SPINNING} endless loops");
    for hundredths in [50, 99] {
        let (task, read) = (
            percentile(&tasks, hundredths),
            percentile(&reads, hundredths),
        );
        println!(
            "{}",
            line(&format!("one `hello`, p{hundredths}"), &ms(task))
        );
        println!(
            "{}",
            line(&format!("a list of 20, p{hundredths}"), &ms(read))
        );
    }
}
