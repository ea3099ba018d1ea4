//! Measures the embedded store: durable writes and claims a second, the size of a finished task,
//! samples and counts over a million documents.
//!
//! `cargo run --release -p taskhost-store --example store_rates [FOLDER [tasks]]`

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskhost_model::condition::Condition;
use taskhost_model::ids::{
    Digest, Incarnation, RunId, Space, StreamKey, StreamName, TaskId, TaskKey, TypeId,
};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::components::{Version, VersionState};
use taskhost_store::event::{Event, NewRun, RunEvent, RunReport};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Settings, Stores, open};
use taskhost_store::queue::{ClaimRequest, ClaimableType, StoredTask};
use taskhost_store::streams::{StreamDocument, StreamSettings};
use taskhost_store::tasks::ListRequest;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TASKS: usize = 100_000;
const DOCUMENTS: i64 = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/store-rates".to_owned());
    let folder = PathBuf::from(folder);
    let settings = Settings {
        folder: folder.clone(),
        limits: Limits::default(),
    };
    let stores = open(&settings, Clock::System)?;
    tasks(&stores, &folder).await?;
    if std::env::args().nth(2).is_none_or(|only| only != "tasks") {
        streams(&stores, &folder).await?;
    }
    let since = Instant::now();
    stores.close().await;
    drop(stores);
    println!("close: {:?}", since.elapsed());
    let since = Instant::now();
    let stores = open(&settings, Clock::System)?;
    println!("open again: {:?}", since.elapsed());
    stores.close().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

async fn tasks(stores: &Stores, folder: &Path) -> Result<(), Failure> {
    stores.components.put(&version()?, Arc::from([])).await?;
    for (callers, count) in [(1, 2_000), (16, 20_000), (64, 40_000), (256, TASKS)] {
        let each = |number: usize| {
            let stores = stores.clone();
            async move {
                let event = Event::Schedule(Box::new(new_run()?));
                stores.tasks.apply(&key(callers, number)?, event).await?;
                Ok(())
            }
        };
        rate(
            &format!("schedule, {callers} callers"),
            callers,
            count,
            each,
        )
        .await?;
    }
    let claimed = Arc::new(claims(stores).await?);
    ends(stores, &claimed).await?;
    for callers in [1, 64] {
        let each = |number: usize| {
            let (stores, claimed) = (stores.clone(), Arc::clone(&claimed));
            async move {
                stores.tasks.read(&claimed[number].task.key()).await?;
                Ok(())
            }
        };
        rate(&format!("read, {callers} callers"), callers, 50_000, each).await?;
    }
    let since = Instant::now();
    let all = ListRequest::all(Space::parse("default")?);
    let page = stores.tasks.list(&all).await?;
    println!("list of {}: {:?}", page.tasks.len(), since.elapsed());
    let size = size(folder, "tasks.sqlite")?;
    println!(
        "tasks.sqlite: {size} B for 162000 tasks, {} B each",
        size / 162_000
    );
    Ok(())
}

async fn claims(stores: &Stores) -> Result<Vec<StoredTask>, Failure> {
    let claimed: Arc<Mutex<Vec<StoredTask>>> = Arc::default();
    for (callers, limit, count) in [(1, 1, 2_000), (64, 1, 40_000), (4, 16, 6_000)] {
        let each = |_| {
            let (stores, claimed) = (stores.clone(), Arc::clone(&claimed));
            async move {
                let runs = stores.tasks.claim(&claim_request(limit)?).await?;
                claimed.lock().map_err(|_| "poisoned")?.extend(runs);
                Ok(())
            }
        };
        rate(
            &format!("claim of {limit}, {callers} callers"),
            callers,
            count,
            each,
        )
        .await?;
    }
    let claimed = std::mem::take(&mut *claimed.lock().map_err(|_| "poisoned")?);
    println!("claimed {}", claimed.len());
    Ok(claimed)
}

async fn ends(stores: &Stores, claimed: &Arc<Vec<StoredTask>>) -> Result<(), Failure> {
    for (name, done) in [("progress", false), ("complete", true)] {
        let each = |number: usize| {
            let (stores, claimed) = (stores.clone(), Arc::clone(claimed));
            async move {
                let task = &claimed[number].task;
                let event = match done {
                    false => RunEvent::Progress(RunReport::default()),
                    true => RunEvent::Completed {
                        payload: Arc::from(r#"{"greeting":"hello, you"}"#),
                        end: RunReport::default(),
                    },
                };
                let fence = task.fence();
                stores
                    .tasks
                    .apply(&task.key(), Event::Run { fence, event })
                    .await?;
                Ok(())
            }
        };
        rate(&format!("{name}, 64 callers"), 64, claimed.len(), each).await?;
    }
    Ok(())
}

async fn streams(stores: &Stores, folder: &Path) -> Result<(), Failure> {
    let key = StreamKey {
        space: Space::parse("default")?,
        name: StreamName::parse("logs")?,
    };
    stores.streams.put(&key, &StreamSettings::default()).await?;
    let since = Instant::now();
    for start in (0..DOCUMENTS).step_by(10_000) {
        let each = |number| StreamDocument {
            at: Timestamp::from_ms(number),
            body: Arc::from(line(number)),
        };
        stores
            .streams
            .ingest(&key, (start..start + 10_000).map(each).collect())
            .await?;
    }
    let took = since.elapsed();
    println!(
        "ingest: {:.0} documents/s",
        DOCUMENTS as f64 / took.as_secs_f64()
    );
    println!("streams.sqlite: {} B", size(folder, "streams.sqlite")?);
    let contains = |text: &str| Some(Condition::contains("message", text));
    for (range, from, to) in [("whole", 0, i64::MAX), ("half", 0, DOCUMENTS / 2)] {
        for (name, condition) in [
            ("no condition", None),
            ("message contains (1 in 9)", contains("user 1")),
            ("message contains (1 in 90,000)", contains("user 12345")),
        ] {
            let mut query = Query::range(Timestamp::from_ms(from), Timestamp::from_ms(to));
            query.condition = condition;
            query.size = Some(10_000);
            println!("{range}, {name}: {}", reads(stores, &key, &query).await?);
        }
    }
    let query = Query::range(Timestamp::from_ms(0), Timestamp::from_ms(i64::MAX));
    let since = Instant::now();
    let requester = Requester::single_user();
    let stats = stores.streams.field_stats(&requester, &key, &query).await?;
    println!(
        "field statistics of {}: {:?}",
        stats.documents,
        since.elapsed()
    );
    Ok(())
}

async fn reads(stores: &Stores, key: &StreamKey, query: &Query) -> Result<String, Failure> {
    let (streams, requester) = (&stores.streams, Requester::single_user());
    let since = Instant::now();
    let count = streams.count(&requester, key, query).await?.value;
    let counted = since.elapsed();
    let since = Instant::now();
    let sample = streams.sample(&requester, key, query, 1 << 30).await?;
    let (size, sampled) = (sample.documents.len(), since.elapsed());
    let since = Instant::now();
    let search = streams.search(&requester, key, query, 1 << 30).await?;
    let (found, searched) = (search.documents.len(), since.elapsed());
    Ok(format!(
        "count {count} in {counted:?}, sample of {size} in {sampled:?}, \
         search of {found} in {searched:?}"
    ))
}

/// Runs `count` operations with so many callers at a time.
async fn rate<F, W>(name: &str, callers: usize, count: usize, each: F) -> Result<(), Failure>
where
    F: Fn(usize) -> W,
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (since, cpu_before) = (Instant::now(), writer_cpu()?);
    let mut waiting = tokio::task::JoinSet::new();
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        if waiting.len() >= callers
            && let Some(took) = waiting.join_next().await
        {
            slowest = slowest.max(took??);
        }
        let operation = each(number);
        waiting.spawn(async move {
            let since = Instant::now();
            operation.await.map(|()| since.elapsed())
        });
    }
    while let Some(took) = waiting.join_next().await {
        slowest = slowest.max(took??);
    }
    let per_second = count as f64 / since.elapsed().as_secs_f64();
    let cpu_us = (writer_cpu()? - cpu_before).as_secs_f64() * 1e6 / count as f64;
    println!(
        "{name}: {per_second:.0}/s, slowest {slowest:?}, {cpu_us:.1} µs of the writer's CPU each"
    );
    Ok(())
}

/// CPU time of the thread that writes tasks, which no other load on the machine changes much.
fn writer_cpu() -> Result<Duration, Failure> {
    for thread in std::fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        if std::fs::read_to_string(thread.join("comm"))?.trim() == "tasks.sqlite" {
            let times = std::fs::read_to_string(thread.join("schedstat"))?;
            let running_ns = times.split(' ').next().unwrap_or_default().parse()?;
            return Ok(Duration::from_nanos(running_ns));
        }
    }
    Err("there is no writer".into())
}

fn key(callers: usize, number: usize) -> Result<TaskKey, Failure> {
    Ok(TaskKey {
        space: Space::parse("default")?,
        id: TaskId::parse(&format!("hello-{callers}-{number}"))?,
    })
}

fn new_run() -> Result<NewRun, Failure> {
    Ok(NewRun {
        id: RunId::new(),
        type_id: TypeId::parse("hello")?,
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from(r#"{"name":"you"}"#),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "local".to_owned(),
        key: None,
        priority: 0,
        due_at: Clock::System.now(),
        timeout_ms: None,
        max_attempts: 3,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    })
}

fn claim_request(limit: usize) -> Result<ClaimRequest, Failure> {
    Ok(ClaimRequest {
        host: "this-host".to_owned(),
        incarnation: Incarnation::new(),
        types: vec![ClaimableType {
            type_id: TypeId::parse("hello")?,
            digest: version()?.digest,
            wall_ms: 60_000,
            runs_per_key: None,
        }],
        limit,
    })
}

/// What is claimed for has to be there.
fn version() -> Result<Version, Failure> {
    Ok(Version {
        digest: Digest::parse(&"ab".repeat(32))?,
        type_id: TypeId::parse("hello")?,
        descriptor: "{}".to_owned(),
        state: VersionState::Active,
        bytes: 0,
        uploaded_at: Clock::System.now(),
        activated_at: None,
        approval: None,
        signed_by: None,
    })
}

fn line(number: i64) -> String {
    let message = format!(
        "Nov 24 12:00:00 host sshd[{}]: Accepted publickey for user {number} from 10.0.{}.{} \
         port {} ssh2: RSA SHA256:0123456789abcdef",
        number % 32_768,
        number % 256,
        number % 199,
        40_000 + number % 20_000,
    );
    let host = number % 7;
    format!(r#"{{"@timestamp":"2026-11-24T12:00:00.000Z","message":"{message}","#)
        + &format!(r#""host":{{"name":"web-{host}"}},"level":"info"}}"#)
}

fn size(folder: &Path, file: &str) -> Result<u64, Failure> {
    Ok(std::fs::metadata(folder.join(file))?.len())
}
