//! Conditions in SQL.
//!
//! # What SQL says and what the model says
//! The range of time, `always` and `never` are SQL. Every test of a field goes through the
//! function `condition_matches(condition, body)`, which asks `model`: SQLite's JSON functions
//! cannot say exactly what it says. They take the first of two equal keys where we take the
//! last, cut texts at U+0000, round integers above 2^63, and have other ideas of dotted keys and
//! arrays. They would be a fifth faster (0.56 instead of 0.70 s over a million log lines).

use std::sync::Arc;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Statement};
use taskhost_model::condition::Condition;

use super::readers::is_abandoned;
use crate::error::StoreError;
use crate::matching::Matcher;

/// A condition as a term of a `WHERE` clause and the value of its one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// To be joined with `AND`; the parameter is called `:condition`.
    pub sql: &'static str,
    /// The value of `:condition`; none when the term has no parameter.
    pub parameter: Option<String>,
}

impl Term {
    /// Binds the condition's parameter; the other ones are bound by the caller.
    pub(super) fn bind(&self, statement: &mut Statement<'_>) -> Result<(), StoreError> {
        if let Some(parameter) = &self.parameter
            && let Some(index) = statement.parameter_index(":condition")?
        {
            statement.raw_bind_parameter(index, parameter)?;
        }
        Ok(())
    }
}

/// Compiles a condition over the column `body`; none: every row.
pub(super) fn compile(condition: Option<&Condition>) -> Term {
    let constant = |sql| Term {
        sql,
        parameter: None,
    };
    match condition {
        None | Some(Condition::Always) => constant("1"),
        Some(Condition::Never) => constant("0"),
        Some(condition) => Term {
            sql: "condition_matches(:condition, body)",
            parameter: Some(condition.to_json().to_string()),
        },
    }
}

/// Registers the function. The condition is read once for each execution of a statement.
pub(super) fn register(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("condition_matches", 2, flags, |context| {
        let matcher: Arc<Matcher> = context.get_or_create_aux(0, |text| {
            let text = text.as_str()?;
            let condition: Condition = serde_json::from_str(text)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Matcher::new(condition))
        })?;
        let body = context
            .get_raw(1)
            .as_bytes()
            .map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error)))?;
        if is_abandoned() {
            return Err(rusqlite::Error::UserFunctionError(
                "nobody waits for it".into(),
            ));
        }
        Ok(matcher.matches(body))
    })?;
    Ok(())
}
