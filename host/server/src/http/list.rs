//! The list of a space's tasks, and the filters that it shares with whatever is about many tasks.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Space, StreamName, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_store::tasks::ListRequest;

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::described::Operation;
use super::problem::Problem;
use super::request::{PageSize, PathIds, QueryParams};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskList")]
struct Page<'a> {
    /// Newest first.
    tasks: Vec<StatusAnswer<'a>>,
    /// The `cursor` of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    /// With `counts`: how many there are in each status, on all pages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<BTreeMap<&'static str, u64>>,
}

/// The keys that [`filter`] takes.
pub(crate) fn about_filter(it: Operation) -> Operation {
    it.query::<Vec<Status>>("status", "Of any of these statuses.")
        .query::<Vec<ErrorKind>>("error_kind", "Failed with an error of any of these kinds.")
        .query::<TypeId>("type", "Of this type.")
        .query::<StreamName>("stream", "On this stream.")
        .query::<String>("requested_by", "Scheduled by this person.")
        .query::<Timestamp>("created_after", "Scheduled after this time.")
        .query::<Timestamp>("created_before", "Scheduled before this time.")
        .query::<String>("q", "With this text in the id.")
}

pub(crate) fn about_list(it: Operation) -> Operation {
    about_filter(it.says("list_tasks", "List the tasks of a space, newest first"))
        .query::<bool>(
            "counts",
            "Whether the answer says how many there are in each status.",
        )
        .query::<String>("cursor", "The `next` of the page before.")
        .query::<PageSize>("limit", "How many on a page; 100 when left out.")
        .answers::<Page<'_>>(StatusCode::OK, "A page of tasks.")
}

pub(crate) async fn list(
    state: Asked,
    ids: PathIds,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let mut query = QueryParams::of(request.uri())?;
    let wants_counts = flag(&mut query, "counts")?;
    let cursor = query.take("cursor");
    let limit = query.number("limit")?;
    let limit = limit.map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let wish = ListRequest {
        cursor,
        limit,
        ..filter(ids.id("space")?, &mut query)?
    };
    query.finish()?;
    let service = &state.service().tasks;
    let page = service.list(state.by(), wish.clone()).await?;
    let mut tasks = Vec::with_capacity(page.tasks.len());
    let waiting_for = service.each_waiting_for(state.by(), &page.tasks).await?;
    for (task, waiting_for) in page.tasks.iter().zip(waiting_for) {
        tasks.push(StatusAnswer {
            status: service.status(task),
            waiting_for,
            ..StatusAnswer::of_task(task)
        });
    }
    let counts = match wants_counts {
        true => service.counts(state.by(), wish).await?,
        false => None,
    };
    let by_name = |counts: Vec<(Status, u64)>| {
        let counts = counts.into_iter();
        counts
            .map(|(status, count)| (status.as_str(), count))
            .collect()
    };
    Ok(answer::json(
        StatusCode::OK,
        &Page {
            tasks,
            next: page.next.as_deref(),
            counts: counts.map(by_name),
        },
    ))
}

/// The filters of a query; what else stands in it is left there.
pub(crate) fn filter(space: Space, query: &mut QueryParams) -> Result<ListRequest, Problem> {
    Ok(ListRequest {
        statuses: statuses(&query.take_all("status"))?,
        error_kinds: error_kinds(&query.take_all("error_kind"))?,
        type_id: query.parse("type")?,
        stream: query.parse("stream")?,
        requested_by: query.take("requested_by"),
        created_after: taken_time(query, "created_after")?,
        created_before: taken_time(query, "created_before")?,
        id_contains: query.take("q"),
        ..ListRequest::all(space)
    })
}

/// `counts=true`, or `counts` alone.
pub(crate) fn flag(query: &mut QueryParams, name: &str) -> Result<bool, Problem> {
    match query.take(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => Err(Problem::invalid(name, "has to be true or false")),
    }
}

/// `status=failed&status=canceled` and `status=failed,canceled` say the same.
fn words(given: &[String]) -> impl Iterator<Item = &str> {
    let words = given.iter().flat_map(|text| text.split(','));
    words.filter(|word| !word.is_empty())
}

pub(crate) fn statuses(given: &[String]) -> Result<Vec<Status>, Problem> {
    let status = |word: &str| {
        let known = || Status::ALL.map(Status::as_str).join(", ");
        Status::parse(word)
            .ok_or_else(|| Problem::invalid("status", format!("has to be one of {}", known())))
    };
    words(given).map(status).collect()
}

pub(crate) fn error_kinds(given: &[String]) -> Result<Vec<ErrorKind>, Problem> {
    let kind = |word: &str| {
        let known = || ErrorKind::ALL.map(ErrorKind::as_str).join(", ");
        let problem = || Problem::invalid("error_kind", format!("has to be one of {}", known()));
        ErrorKind::parse(word).ok_or_else(problem)
    };
    words(given).map(kind).collect()
}

fn taken_time(query: &mut QueryParams, name: &str) -> Result<Option<Timestamp>, Problem> {
    query.take(name).map(|text| time(name, &text)).transpose()
}

/// A time in a query: RFC 3339 or epoch milliseconds.
fn time(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let parsed = match text.parse::<i64>() {
        Ok(ms) => serde_json::from_value(Value::from(ms)).map_err(|error| error.to_string()),
        Err(_) => Timestamp::parse(text),
    };
    parsed.map_err(|problem| Problem::invalid(name, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_lists_and_repetitions() {
        let given = [
            "failed,canceled".to_owned(),
            "completed".to_owned(),
            String::new(),
        ];
        let read = statuses(&given).unwrap();
        assert_eq!(read, [Status::Failed, Status::Canceled, Status::Completed]);
        assert!(statuses(&["cancelled".to_owned()]).is_err());
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(
            time("t", "1000").unwrap(),
            time("t", "1970-01-01T00:00:01Z").unwrap()
        );
        assert!(time("t", "yesterday").is_err());
    }
}
