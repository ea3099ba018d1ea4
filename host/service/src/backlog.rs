//! Measures what waits, for whoever asks this host for its metrics. The store is
//! asked now and then at most, however often that is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};
use taskhost_model::time::Timestamp;
use taskhost_store::tasks::{TaskStore, Waiting};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::telemetry;

const WAITING: &str = "taskhost_backlog_runs";
const OLDEST: &str = "taskhost_backlog_oldest_seconds";

/// What waited when the store was last asked.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Mutex<Option<Asked>>);

#[derive(Debug)]
struct Asked {
    at: Instant,
    waiting: Vec<Waiting>,
    /// What was last said, so that a type of which nothing waits any more is not left standing.
    said: BTreeSet<String>,
}

/// Says what the numbers mean.
pub(crate) fn describe() {
    for (name, unit, said) in [
        (
            WAITING,
            Unit::Count,
            "Runs that are due and that no host has claimed",
        ),
        (
            OLDEST,
            Unit::Seconds,
            "For how long the longest of them is due",
        ),
    ] {
        describe_gauge!(name, unit, said);
    }
}

impl Backlog {
    /// Asks `tasks` where the last answer is older than `fresh`, and says what waits. While the
    /// store is away that stays as it was last.
    pub(crate) async fn measure(&self, tasks: &dyn TaskStore, fresh: Duration, now: Timestamp) {
        // Whoever asks at the same time waits for this answer.
        let mut asked = self.0.lock().await;
        let is_fresh = |asked: &Asked| asked.at.elapsed() < fresh;
        if !asked.as_ref().is_some_and(is_fresh) {
            match tasks.unfinished().await {
                Ok(unfinished) => {
                    let said = asked.take().map(|asked| asked.said).unwrap_or_default();
                    *asked = Some(Asked {
                        at: Instant::now(),
                        waiting: unfinished.waiting,
                        said,
                    });
                }
                Err(error) => tracing::debug!(%error, "what waits is not counted now"),
            }
        }
        if let Some(asked) = asked.as_mut() {
            asked.say(now);
        }
    }
}

impl Asked {
    fn say(&mut self, now: Timestamp) {
        let mut types: BTreeMap<String, (u64, Duration)> = BTreeMap::new();
        // Types that are not told apart are one.
        for of_type in &self.waiting {
            let due_at = of_type.oldest_due_at.unwrap_or(now);
            let (runs, oldest) = types.entry(telemetry::label(&of_type.type_id)).or_default();
            *runs += of_type.runs;
            *oldest = (*oldest).max(now.since(due_at));
        }
        for gone in self.said.iter().filter(|name| !types.contains_key(*name)) {
            gauge!(WAITING, "type" => gone.clone()).set(0.0);
            gauge!(OLDEST, "type" => gone.clone()).set(0.0);
        }
        for (name, (runs, oldest)) in &types {
            gauge!(WAITING, "type" => name.clone()).set(float(*runs));
            gauge!(OLDEST, "type" => name.clone()).set(oldest.as_secs_f64());
        }
        self.said = types.into_keys().collect();
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is counted is less")]
fn float(number: u64) -> f64 {
    number as f64
}
