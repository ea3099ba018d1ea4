//! Lists of tasks: newest first, along the index that fits the request best.

use rusqlite::Connection;
use rusqlite::types::Value;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::row;
use crate::cursor;
use crate::error::StoreError;
use crate::lists::{ListRequest, TaskPage};

const ROWS_MAX: usize = 1_000;

/// A page of tasks. Each wanted status is a list of its own, and the lists are merged.
pub(super) fn page(connection: &Connection, request: &ListRequest) -> Result<TaskPage, StoreError> {
    let limit = request.limit.clamp(1, ROWS_MAX);
    let after = request.cursor.as_deref();
    let after = after
        .map(|text| cursor::decode("tasks", text))
        .transpose()?;
    let snapshot = connection.unchecked_transaction()?;
    let mut statuses: Vec<Option<Status>> = request.statuses.iter().copied().map(Some).collect();
    if statuses.is_empty() && request.stream.is_none() && request.type_id.is_some() {
        // They lie by their status: each of them is one more seek.
        statuses.extend(Status::ALL.map(Some));
    }
    if statuses.is_empty() {
        statuses.push(None);
    }
    statuses.sort_by_key(|status| status.map(Status::as_str));
    statuses.dedup();
    let mut found = Vec::new();
    for status in statuses {
        let query = Query::of(request, status, after, limit + 1);
        found.extend(query.run(&snapshot)?);
    }
    found.sort_by_key(|(number, task)| std::cmp::Reverse((task.created_at, *number)));
    let more = found.len() > limit;
    found.truncate(limit);
    let after =
        |(number, task): &(i64, Task)| cursor::encode("tasks", task.created_at.as_ms(), *number);
    let cursors: Vec<String> = found.iter().map(after).collect();
    Ok(TaskPage {
        next: cursors.last().filter(|_| more).cloned(),
        tasks: found.into_iter().map(|(_, task)| task).collect(),
        cursors,
    })
}

/// How many there are of each status.
pub(super) fn counts(
    connection: &Connection,
    request: &ListRequest,
) -> Result<Vec<(Status, u64)>, StoreError> {
    let query = Query::of_counts(request);
    let mut statement = connection.prepare_cached(&query.sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&query.parameters))?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let status = row.get_ref(0)?.as_str().map_err(row::damaged)?;
        let known = Status::parse(status);
        let status = known.ok_or_else(|| row::damaged(format!("status `{status}`")))?;
        counts.push((status, row.get::<_, i64>(1)?.cast_unsigned()));
    }
    Ok(counts)
}

/// A statement with its parameters.
#[derive(Debug)]
pub(super) struct Query {
    /// The statement's text.
    pub sql: String,
    parameters: Vec<Value>,
}

impl Query {
    pub(super) fn of(
        request: &ListRequest,
        status: Option<Status>,
        after: Option<(i64, i64)>,
        limit: usize,
    ) -> Self {
        let index = match (&request.stream, &request.type_id, status) {
            (Some(_), ..) => "tasks_by_stream",
            (None, Some(_), _) => "tasks_by_type",
            (None, None, Some(_)) => "tasks_by_status",
            (None, None, None) => "tasks_listed",
        };
        let mut query = Self {
            sql: format!(
                "SELECT {}, number FROM tasks INDEXED BY {index} WHERE deleted_ms IS NULL",
                row::COLUMNS
            ),
            parameters: Vec::new(),
        };
        query.filter(" AND space = ?", Some(text(request.space.as_str())));
        query.filter(" AND status = ?", status.map(|it| text(it.as_str())));
        query.filters(request);
        if let Some((created_ms, number)) = after {
            query.filter(
                " AND (created_ms, number) < (?, ",
                Some(Value::Integer(created_ms)),
            );
            query.filter("?)", Some(Value::Integer(number)));
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        query.filter(
            " ORDER BY created_ms DESC, number DESC LIMIT ?",
            Some(Value::Integer(limit)),
        );
        query
    }

    /// Counts by status.
    pub(super) fn of_counts(request: &ListRequest) -> Self {
        let index = match request.type_id {
            Some(_) => "tasks_by_type",
            None => "tasks_by_status",
        };
        let mut query = Self {
            sql: format!(
                "SELECT status, count(*) FROM tasks INDEXED BY {index} WHERE deleted_ms IS NULL"
            ),
            parameters: Vec::new(),
        };
        query.filter(" AND space = ?", Some(text(request.space.as_str())));
        query.filters(request);
        query.sql.push_str(" GROUP BY status");
        query
    }

    /// What is wanted beside space and status.
    fn filters(&mut self, request: &ListRequest) {
        let query = self;
        query.filter(
            " AND stream = ?",
            request.stream.as_ref().map(|it| text(it.as_str())),
        );
        query.filter(
            " AND type = ?",
            request.type_id.as_ref().map(|it| text(it.as_str())),
        );
        query.filter(
            " AND requested_by = ?",
            request.requested_by.as_deref().map(text),
        );
        query.filter(
            " AND instr(lower(id), lower(?)) > 0",
            request.id_contains.as_deref().map(text),
        );
        let newer = request.created_after.map(Timestamp::as_ms);
        query.filter(" AND created_ms > ?", newer.map(Value::Integer));
        let older = request.created_before.map(Timestamp::as_ms);
        query.filter(" AND created_ms < ?", older.map(Value::Integer));
        if !request.error_kinds.is_empty() {
            // None of them has a quote in it.
            let kinds = request.error_kinds.iter().map(|kind| kind.as_str());
            let kinds = kinds.collect::<Vec<_>>().join("','");
            let one_of = format!(" AND json_extract(body, '$.error.kind') IN ('{kinds}')");
            query.sql.push_str(&one_of);
        }
    }

    fn filter(&mut self, sql: &str, parameter: Option<Value>) {
        if let Some(parameter) = parameter {
            self.sql.push_str(sql);
            self.parameters.push(parameter);
        }
    }

    fn run(&self, connection: &Connection) -> Result<Vec<(i64, Task)>, StoreError> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(&self.parameters))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get(row::COLUMNS_COUNT)?, row::read(row)?));
        }
        Ok(found)
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
