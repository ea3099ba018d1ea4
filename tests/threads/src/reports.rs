//! What a run says: all of it is written while the run goes on, and each line is told once.

use shuttle::future::block_on;
use taskhost_model::task::LogLine;

use crate::bench::{Bench, cancel, key, schedule};
use crate::changes::ChangeKind;
use crate::runner::{Kind, SAID};
use crate::runs::run_id;
use crate::store::Trouble;

/// A run talks while what it has said is written, now and then in vain; then it waits, and only
/// who has read all of it cancels it.
pub fn of_one_run() {
    block_on(async {
        let bench = Bench::start(1, Trouble::Rejected);
        bench.core.types.push();
        let mut watch = bench.core.changes.watch(&key("talks"));
        while schedule(&bench.core, "talks", 1, Kind::Talks)
            .await
            .is_err()
        {}
        let (mut told, mut done) = (Vec::new(), 0);
        while done < SAID {
            let change = watch.next().await.unwrap();
            done = change.task.progress.as_ref().map_or(0, |said| said.done);
            if let ChangeKind::Log(lines) = &change.kind {
                told.extend(lines.iter().map(|line| line.message.clone()));
            }
        }
        bench.store.end_trouble();
        let said: Vec<String> = (1..=SAID).map(|number| number.to_string()).collect();
        assert_eq!(told, said);
        let log = bench
            .core
            .tasks
            .log(&key("talks"), run_id(1))
            .await
            .unwrap();
        let log = log.unwrap();
        let lines = log
            .lines()
            .map(|line| serde_json::from_str::<LogLine>(line).unwrap());
        assert_eq!(lines.map(|line| line.message).collect::<Vec<_>>(), said);
        cancel(&bench.core, "talks").await.unwrap();
        bench.drain().await;
    });
}
