//! How long pages of the list take, and claims, on a new store and on one that holds 1,000,000
//! finished and 100,000 pending tasks: half of those wait for a later time, the other half are due
//! and their type is paused.
//!
//! Of pages: the time of a request for 100 tasks; `deep` ones begin at cursors of pages from the
//! middle of the list on. Those with counts, and those that look for a text in ids, which is in
//! none here, have to look at everything: they are told apart.
//!
//! Of claims, two: from the request for a task, which is due at once and claimed in the write that
//! accepts it, to the first instruction of its guest, one at a time; and, once the paused type goes
//! on, what claims of up to 64 runs took by the store's own histogram in `/metrics`, with their
//! wait behind other writes and the disk's.
//!
//! Takes some minutes. `lists 10000 1000` takes other numbers of finished and pending tasks.

use std::time::{Duration, Instant, SystemTime};

use taskhost_benches::load::{Batches, in_batches, round};
use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, numbers, spread};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

/// A new store has so many finished ones …
const FINISHED_MIN: usize = 1_000;
/// … and this part of the pending ones.
const NEW_PART: usize = 10;
const PAGES: usize = 400;
/// Of pages that look at everything.
const LONG_PAGES: usize = 20;
const STARTS: usize = 400;
/// Each is one request; no page is limited otherwise.
const WALKED_PAGE: usize = 1_000;
const LATER: &str = r#"{"type":"sleeper","params":{"ms":0},"run_at":"2999-01-01T00:00:00Z"}"#;
const PAUSED: &str = r#"{"type":"hello","params":{"name":"you"}}"#;
const START: &str = r#"{"type":"sleeper","params":{"ms":0}}"#;
/// What is listed, and how it is asked for.
const LISTED: [(&str, &str); 7] = [
    ("the first page", ""),
    ("status completed: most", "&status=completed"),
    ("status in_progress: what is pending", "&status=in_progress"),
    ("status failed: none", "&status=failed"),
    ("type hello: most", "&type=hello"),
    ("type sleeper: some", "&type=sleeper"),
    ("completed sleepers: few", "&type=sleeper&status=completed"),
];
const LONG: [(&str, &str); 2] = [
    ("with counts", "&counts=true"),
    ("a text that is in no id", "&q=nowhere"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [finished, pending] = numbers([1_000_000, 100_000]);
    let host = Home::with(&["hello-task", "sleeper"]).start().await;
    println!("{}", machine());
    // As many as fill some pages.
    let few = (FINISHED_MIN.min(finished), pending / NEW_PART);
    let new = Figures::of(&host, "new", few).await;
    // What was pending and due has ended; what waits for later is still there.
    let ended = few.1 / 2;
    let more = (
        finished.saturating_sub(few.0 + ended),
        pending - (few.1 - ended),
    );
    let full = Figures::of(&host, "full", more).await;
    println!(
        "new: {} finished, {} pending; full: {finished} finished, {pending} pending",
        few.0, few.1
    );
    println!("50 / 95 / 99 of 100 take no more than");
    for (new, full) in new.pages.iter().zip(&full.pages) {
        new.report("new");
        full.report("full");
    }
    for (name, figures) in [("new", &new), ("full", &full)] {
        let all = figures.pages.iter().filter(|page| !page.is_long);
        let all: Vec<Duration> = all.flat_map(|page| page.times.clone()).collect();
        let name = format!("{name}: all but the last two");
        println!("{}", line(&name, &spread(&all)));
    }
    for (name, figures) in [("new", &new), ("full", &full)] {
        let name = format!("{name}: request sent → first guest instruction");
        println!("{}", line(&name, &spread(&figures.starts)));
    }
    for (name, figures) in [("new", &new), ("full", &full)] {
        let name = format!("{name}: 99 of 100 claims within");
        println!("{}", line(&name, &figures.claims.said()));
    }
}

struct Figures {
    pages: Vec<Pages>,
    starts: Vec<Duration>,
    claims: Claims,
}

/// How long pages of one kind took.
struct Pages {
    name: &'static str,
    times: Vec<Duration>,
    is_long: bool,
}

impl Pages {
    fn report(&self, store: &str) {
        let name = format!("{store}: {}", self.name);
        println!("{}", line(&name, &spread(&self.times)));
    }
}

impl Figures {
    /// Adds so many finished and pending tasks, and measures.
    async fn of(host: &Host, name: &str, (finished, pending): (usize, usize)) -> Self {
        round(&host.url, name, finished).await;
        act(&host.url, "/v1/task-types/hello/pause").await;
        add(&host.url, LATER, pending - pending / 2).await;
        let due = add(&host.url, PAUSED, pending / 2).await;
        // The host hangs up on a connection that is silent for ten seconds.
        let mut wire = Wire::connect(&host.url).await;
        let pages = pages(&mut wire).await;
        let starts = starts(&mut wire, name).await;
        let before = Claims::read(&host.url).await;
        act(&host.url, "/v1/task-types/hello/resume").await;
        // Runs are claimed in the order of their acceptance.
        for id in due {
            wire.until(&id, "completed", 0).await;
        }
        let claims = Claims::read(&host.url).await.since(&before);
        Self {
            pages,
            starts,
            claims,
        }
    }
}

async fn act(url: &str, path: &str) {
    let mut wire = Wire::connect(url).await;
    let said = wire.send("POST", path, "").await;
    assert_eq!(said.status, 200, "{}", said.body);
}

async fn add(url: &str, body: &str, tasks: usize) -> Vec<String> {
    let batches = Batches {
        tasks,
        batch: 500,
        at_once: 2,
    };
    in_batches(url, body, batches).await
}

async fn pages(wire: &mut Wire) -> Vec<Pages> {
    let cursors = cursors(wire).await;
    let kind = |(name, _): &(&'static str, &str), is_long| Pages {
        name,
        times: Vec::new(),
        is_long,
    };
    let mut all: Vec<Pages> = LISTED.iter().map(|it| kind(it, false)).collect();
    let mut deep = kind(&("deep pages", ""), false);
    for n in 0..PAGES {
        for (pages, (_, query)) in all.iter_mut().zip(LISTED) {
            pages.times.push(page(wire, query).await);
        }
        let cursor = format!("&cursor={}", cursors[n % cursors.len()]);
        deep.times.push(page(wire, &cursor).await);
    }
    all.insert(1, deep);
    for (name, query) in LONG {
        let mut pages = kind(&(name, query), true);
        for _ in 0..LONG_PAGES {
            pages.times.push(page(wire, query).await);
        }
        all.push(pages);
    }
    all
}

async fn page(wire: &mut Wire, query: &str) -> Duration {
    let path = format!("/v1/spaces/default/tasks?limit=100{query}");
    let begun = Instant::now();
    let said = wire.send("GET", &path, "").await;
    assert_eq!(said.status, 200, "{}", said.body);
    begun.elapsed()
}

/// Of pages from the middle of the list on.
async fn cursors(wire: &mut Wire) -> Vec<String> {
    let mut cursors = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("/v1/spaces/default/tasks?limit={WALKED_PAGE}{next}");
        let said = wire.send("GET", &path, "").await;
        assert_eq!(said.status, 200, "{}", said.body);
        let Some(cursor) = said.last_text("next") else {
            break;
        };
        next = format!("&cursor={cursor}");
        cursors.push(cursor.to_owned());
    }
    assert!(!cursors.is_empty(), "there is more than one page");
    cursors.split_off(cursors.len() / 2)
}

/// From a request for a task to the first instruction of its guest, which reads the clock.
async fn starts(wire: &mut Wire, name: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..STARTS {
        let id = format!("{name}-start-{n}");
        let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let revision = wire.schedule(&id, START).await;
        let said = wire.until(&id, "completed", revision).await;
        let began = Duration::from_micros(said.number("began_us").expect("the guest's clock"));
        times.push(began.saturating_sub(sent.expect("a clock")));
    }
    times
}

/// What claims took: an upper bound in seconds, as it is written, and how many took no more.
struct Claims(Vec<(String, u64)>);

impl Claims {
    async fn read(url: &str) -> Self {
        let mut wire = Wire::connect(url).await;
        let said = wire.send("GET", "/metrics", "").await;
        assert_eq!(said.status, 200, "{}", said.body);
        Self::of(said.body)
    }

    fn of(metrics: &str) -> Self {
        let bucket = "taskhost_store_seconds_bucket{operation=\"claim\",le=\"";
        let buckets = metrics.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix(bucket)?.split_once("\"} ")?;
            Some((bound.to_owned(), count.parse().ok()?))
        });
        Self(buckets.collect())
    }

    fn since(self, before: &Self) -> Self {
        let count_before = |bound: &str| {
            let found = before.0.iter().find(|(other, _)| other == bound);
            found.map_or(0, |(_, count)| *count)
        };
        let buckets = self.0.into_iter();
        let since = buckets.map(|(bound, count)| (count - count_before(&bound), bound));
        Self(since.map(|(count, bound)| (bound, count)).collect())
    }

    fn said(&self) -> String {
        let all = self.0.last().map_or(0, |(_, count)| *count);
        let within = self.0.iter().find(|(_, count)| count * 100 >= all * 99);
        match within {
            Some((bound, _)) if all > 0 => format!("{bound} s ({all} claims)"),
            _ => "nothing was claimed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_counted_between_two_looks() {
        let text = |counts: [u64; 3]| {
            let line = |(bound, count)| {
                format!(
                    "taskhost_store_seconds_bucket{{operation=\"claim\",le=\"{bound}\"}} {count}\n"
                )
            };
            let lines = ["0.005", "0.01", "+Inf"].into_iter().zip(counts).map(line);
            format!("# TYPE x\n{}other 1\n", lines.collect::<String>())
        };
        let (before, after) = (
            Claims::of(&text([1, 1, 2])),
            Claims::of(&text([90, 100, 102])),
        );
        assert_eq!(after.since(&before).said(), "0.01 s (100 claims)");
        assert_eq!(
            before.since(&Claims(Vec::new())).said(),
            "+Inf s (2 claims)"
        );
        assert_eq!(Claims::of("").said(), "nothing was claimed");
    }
}
