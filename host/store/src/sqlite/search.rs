//! Searches a stream in the order of time, over a cursor.
//!
//! After a cursor the documents of the very millisecond where the last page ended come first,
//! by a statement of their own: SQLite compares pairs of (time, number) only by their first half
//! when it seeks, and a whole file may have arrived within one millisecond.

use rusqlite::{CachedStatement, Connection};
use taskhost_model::query::{Query, Sort};

use super::range::Range;
use super::row::damaged;
use super::stream_row::arrival;
use crate::batch::{Gathering, Taken};
use crate::cursor;
use crate::error::StoreError;
use crate::streams::Batch;

const COLUMNS: &str = "at_ms, number, body";

/// Where a page ended: the time and the order of arrival of its last document.
type Place = (i64, i64);

/// The documents of a range, in order.
pub(super) fn sql(range: &Range, sort: Sort) -> String {
    let order = match sort {
        Sort::Asc => "at_ms, number",
        Sort::Desc => "at_ms DESC, number DESC",
    };
    format!("{} ORDER BY {order}", range.sql(COLUMNS, false))
}

/// The documents of one millisecond that come after one of them.
pub(super) fn sql_of_same_time(range: &Range, sort: Sort) -> String {
    let (later, order) = match sort {
        Sort::Asc => (">", "number"),
        Sort::Desc => ("<", "number DESC"),
    };
    format!(
        "SELECT {COLUMNS} FROM documents INDEXED BY documents_by_time WHERE stream = :stream \
         AND at_ms = :last_at AND number {later} :last_number AND {} ORDER BY {order}",
        range.condition.sql
    )
}

/// One page.
pub(super) fn page(
    connection: &Connection,
    range: &Range,
    query: &Query,
    bytes_max: u64,
) -> Result<Batch, StoreError> {
    let (sort, kind) = match query.sort {
        Some(Sort::Asc) => (Sort::Asc, "asc"),
        Some(Sort::Desc) | None => (Sort::Desc, "desc"),
    };
    let after = query.cursor.as_deref();
    let after = after.map(|text| cursor::decode(kind, text)).transpose()?;
    let mut found = Gathering::new(query, bytes_max);
    let mut last = after;
    let mut full = false;
    if let Some((at_ms, arrived)) = after
        && (range.from_ms..range.to_ms).contains(&at_ms)
    {
        let mut statement = connection.prepare_cached(&sql_of_same_time(range, sort))?;
        range.bind(&mut statement)?;
        bind(&mut statement, ":last_at", at_ms)?;
        bind(
            &mut statement,
            ":last_number",
            range.numbers.0.saturating_add(arrived),
        )?;
        full = gather(&mut statement, &mut found, &mut last)?;
    }
    if !full {
        let rest = rest(range, sort, after);
        let mut statement = connection.prepare_cached(&sql(&rest, sort))?;
        rest.bind(&mut statement)?;
        full = gather(&mut statement, &mut found, &mut last)?;
    }
    let next = last.filter(|_| full);
    Ok(Batch {
        next: next.map(|(at_ms, arrived)| cursor::encode(kind, at_ms, arrived)),
        ..found.finish()
    })
}

/// The range beyond the millisecond of the cursor.
fn rest(range: &Range, sort: Sort, after: Option<Place>) -> Range {
    let (mut from_ms, mut to_ms) = (range.from_ms, range.to_ms);
    match (after, sort) {
        (Some((at_ms, _)), Sort::Asc) => from_ms = from_ms.max(at_ms.saturating_add(1)),
        (Some((at_ms, _)), Sort::Desc) => to_ms = to_ms.min(at_ms),
        (None, _) => {}
    }
    Range {
        from_ms,
        to_ms,
        condition: range.condition.clone(),
        ..*range
    }
}

/// Gathers rows and remembers the last one that was taken; true when the page is full.
fn gather(
    statement: &mut CachedStatement<'_>,
    found: &mut Gathering<'_>,
    last: &mut Option<Place>,
) -> Result<bool, StoreError> {
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if found.take(row.get_ref(2)?.as_str().map_err(damaged)?) != Taken::Yes {
            return Ok(true);
        }
        *last = Some((row.get(0)?, arrival(row.get(1)?)));
    }
    Ok(false)
}

fn bind(statement: &mut CachedStatement<'_>, name: &str, value: i64) -> Result<(), StoreError> {
    let index = statement.parameter_index(name)?;
    let index = index.ok_or_else(|| damaged(format!("the statement has no `{name}`")))?;
    Ok(statement.raw_bind_parameter(index, value)?)
}
