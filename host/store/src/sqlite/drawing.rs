//! Draws a random sample: the first documents, in the order of `crate::sample`, that are meant.
//!
//! # How it works
//! Over few documents, or where the condition is true of few, every document is looked at. Over
//! many, candidates come first: the documents at the beginning of the order, found without
//! reading any body, are tried one by one until there are enough. Both ways draw the same.

use std::collections::HashMap;

use rusqlite::Connection;

use super::range::Range;
use super::row::damaged;
use super::stream_row::arrival;
use crate::error::StoreError;
use crate::sample::{First, place};

/// Up to so many documents every one is looked at.
const FEW: u64 = 20_000;
/// Candidates for each document that is wanted.
const CANDIDATES_EACH: u64 = 12;
/// After so many candidates it is guessed whether the rest will do.
const TRIED_BEFORE_GUESS: u64 = 1_000;
/// So many bodies are read at a time, in the order in which they lie.
const BODIES_AT_A_TIME: usize = 64;

/// A candidate by its number.
pub(super) const SELECT_CANDIDATE: &str =
    "SELECT 1 FROM documents WHERE number = :number AND at_ms >= :from AND at_ms < :to";

/// What was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Numbers of documents, in the sample's order.
    pub numbers: Vec<i64>,
    /// How many documents are meant, where that became known.
    pub matched: Option<u64>,
}

/// Draws up to `size` documents.
pub(super) fn draw(
    connection: &Connection,
    range: &Range,
    seed: u64,
    size: u64,
) -> Result<Drawn, StoreError> {
    if range.documents > FEW && range.whole {
        let (first, last) = (oldest_arrival(connection, range)?, arrival(range.numbers.1));
        // A number without a document costs a candidate.
        let numbers = (first..=last).map(|arrived| Ok(range.numbers.0 + arrived));
        let candidates = candidates(numbers, seed, size)?.0;
        let drawn = try_candidates(connection, range, &candidates, size)?;
        if let Some(numbers) = drawn {
            let matched = range.unconditional().then_some(range.documents);
            return Ok(Drawn { numbers, matched });
        }
    } else if range.documents > FEW && !range.unconditional() {
        let (candidates, all) = by_index(connection, range, seed, size)?;
        if all > FEW
            && let Some(numbers) = try_candidates(connection, range, &candidates, size)?
        {
            return Ok(Drawn {
                numbers,
                matched: None,
            });
        }
    }
    look_at_all(connection, range, seed, size)
}

/// Hands over the bodies of documents, in the order of `numbers`, until `take` says no.
pub(super) fn bodies(
    connection: &Connection,
    numbers: &[i64],
    mut take: impl FnMut(&str) -> bool,
) -> Result<(), StoreError> {
    let sql = "SELECT body FROM documents WHERE number = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    for some in numbers.chunks(BODIES_AT_A_TIME) {
        let mut sorted = some.to_vec();
        sorted.sort_unstable();
        let mut found = HashMap::with_capacity(sorted.len());
        for number in sorted {
            let mut rows = statement.query([number])?;
            if let Some(row) = rows.next()? {
                found.insert(number, row.get::<_, String>(0)?);
            }
        }
        for number in some {
            if found.get(number).is_some_and(|body| !take(body)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn look_at_all(
    connection: &Connection,
    range: &Range,
    seed: u64,
    size: u64,
) -> Result<Drawn, StoreError> {
    let mut first = First::new(usize::try_from(size).unwrap_or(usize::MAX));
    let mut matched = 0;
    let mut statement = range.select(connection, "number")?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        first.offer(place(seed, arrival(number).cast_unsigned()), number);
        matched += 1;
    }
    Ok(Drawn {
        numbers: first.into_ordered(),
        matched: Some(matched),
    })
}

/// The first numbers in order, and how many there are in all.
fn candidates(
    numbers: impl Iterator<Item = Result<i64, StoreError>>,
    seed: u64,
    size: u64,
) -> Result<(Vec<i64>, u64), StoreError> {
    let wanted = (size * CANDIDATES_EACH).max(TRIED_BEFORE_GUESS);
    let mut first = First::new(usize::try_from(wanted).unwrap_or(usize::MAX));
    let mut all = 0;
    for number in numbers {
        let number = number?;
        first.offer(place(seed, arrival(number).cast_unsigned()), number);
        all += 1;
    }
    Ok((first.into_ordered(), all))
}

/// Candidates of a part of a stream: the index alone is read.
fn by_index(
    connection: &Connection,
    range: &Range,
    seed: u64,
    size: u64,
) -> Result<(Vec<i64>, u64), StoreError> {
    let all = Range {
        condition: super::conditions::compile(None),
        ..*range
    };
    let mut statement = all.select(connection, "number")?;
    let rows = statement.raw_query().mapped(|row| row.get(0));
    candidates(rows.map(|row| row.map_err(StoreError::from)), seed, size)
}

/// The first of the candidates that are meant; none when there are too few of them.
fn try_candidates(
    connection: &Connection,
    range: &Range,
    candidates: &[i64],
    size: u64,
) -> Result<Option<Vec<i64>>, StoreError> {
    let sql = format!("{SELECT_CANDIDATE} AND {}", range.condition.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    range.bind(&mut statement)?;
    let index = statement.parameter_index(":number")?;
    let index = index.ok_or_else(|| damaged("the statement has no `:number`"))?;
    let mut drawn = Vec::new();
    for (tried, number) in candidates.iter().enumerate() {
        if drawn.len() as u64 >= size {
            break;
        }
        let (tried, found) = (tried as u64, drawn.len() as u64);
        if tried == TRIED_BEFORE_GUESS && found * (candidates.len() as u64) < size * tried {
            return Ok(None);
        }
        statement.raw_bind_parameter(index, number)?;
        if statement.raw_query().next()?.is_some() {
            drawn.push(*number);
        }
    }
    Ok((drawn.len() as u64 >= size).then_some(drawn))
}

fn oldest_arrival(connection: &Connection, range: &Range) -> Result<i64, StoreError> {
    let sql = "SELECT number FROM documents WHERE number > ?1 AND number <= ?2 \
               ORDER BY number LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(range.numbers)?;
    match rows.next()? {
        Some(row) => Ok(arrival(row.get(0)?)),
        None => Ok(arrival(range.numbers.1) + 1),
    }
}
