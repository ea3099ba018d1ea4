//! Searches a stream in the order of time, over a cursor.

use rusqlite::Connection;
use taskhost_model::query::{Query, Sort};

use super::range::Range;
use super::row::damaged;
use super::stream_row::arrival;
use crate::batch::{Gathering, Taken};
use crate::cursor;
use crate::error::StoreError;
use crate::streams::Batch;

/// The statement of a search; `after` says whether it goes on from a cursor.
pub(super) fn sql(range: &Range, sort: Sort, after: bool) -> String {
    let (order, later) = match sort {
        Sort::Asc => ("at_ms, number", ">"),
        Sort::Desc => ("at_ms DESC, number DESC", "<"),
    };
    let after = match after {
        true => format!(" AND (at_ms, number) {later} (:last_at, :last_number)"),
        false => String::new(),
    };
    let documents = range.sql("at_ms, number, body", false);
    format!("{documents}{after} ORDER BY {order}")
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
    let mut last = after.map(|text| cursor::decode(kind, text)).transpose()?;
    let mut statement = connection.prepare_cached(&sql(range, sort, last.is_some()))?;
    range.bind(&mut statement)?;
    if let Some((at_ms, arrived)) = last {
        for (name, value) in [
            (":last_at", at_ms),
            (":last_number", range.numbers.0.saturating_add(arrived)),
        ] {
            let index = statement.parameter_index(name)?;
            let index = index.ok_or_else(|| damaged(format!("the statement has no `{name}`")))?;
            statement.raw_bind_parameter(index, value)?;
        }
    }
    let mut rows = statement.raw_query();
    let mut found = Gathering::new(query, bytes_max);
    let mut next = None;
    while let Some(row) = rows.next()? {
        if found.take(row.get_ref(2)?.as_str().map_err(damaged)?) != Taken::Yes {
            next = last.map(|(at_ms, arrived)| cursor::encode(kind, at_ms, arrived));
            break;
        }
        last = Some((row.get(0)?, arrival(row.get(1)?)));
    }
    Ok(Batch {
        next,
        ..found.finish()
    })
}
