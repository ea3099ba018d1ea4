//! The task of a run.

use jiff::Timestamp;
use reqwest::Method;
use taskhost_model::ids::TaskId;
use uuid::Uuid;

use super::super::client::Client;
use super::super::failure::Failure;

/// A run's id is made a moment before its task is stored, and maybe by another clock.
const BEFORE_S: i64 = 60;

/// The task whose latest run has this id; none also where it is no id of a run. Its time tells
/// where in the list of tasks to look: a run that was recorded is not much older than a day.
pub(super) async fn task_of(client: &Client, run: &str) -> Result<Option<TaskId>, Failure> {
    let made = Uuid::parse_str(run).ok().and_then(|id| id.get_timestamp());
    let made = made.and_then(|at| i64::try_from(at.to_unix().0).ok());
    let from = made.and_then(|second| Timestamp::from_second(second - BEFORE_S).ok());
    let Some(from) = from.map(|from| from.to_string()) else {
        return Ok(None);
    };
    let mut cursor = None;
    loop {
        let mut query = vec![
            ("created_after", from.clone()),
            ("limit", "1000".to_owned()),
        ];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let request = client.in_space(Method::GET, &["tasks"]).query(&query);
        let page = client.call(request).await?;
        let mut tasks = page["tasks"].as_array().into_iter().flatten();
        if let Some(task) = tasks.find(|task| task["run"]["id"] == run) {
            let id = task["id"].as_str().unwrap_or_default();
            return Ok(TaskId::parse(id).ok());
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(None);
        }
    }
}
