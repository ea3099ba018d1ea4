//! Cron expressions, evaluated on the wall clock by `croner`.
//!
//! # What is bounded
//! `croner` looks on until it finds something, up to the year 5000. It asks of each candidate what
//! time that is; here the answer ends the search [`HORIZON_YEARS`] after it began.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};

use super::civil::{Civil, DAY_S, Date, weekday};
use super::{Fuel, HORIZON_YEARS, TooFar};

/// Longer expressions are nobody's.
const BYTES_MAX: usize = 200;
/// What a search costs, about.
const COST: u32 = 50;

/// An expression that was parsed.
#[derive(Debug, Clone)]
pub(super) struct CronRule {
    cron: Cron,
    /// It fires in each hour of the days that it names.
    pub(super) is_each_hour: bool,
}

impl CronRule {
    /// Five fields, or six with seconds before them, or seven with years behind them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX || !text.bytes().all(|it| it == b' ' || it.is_ascii_graphic()) {
            return Err(format!(
                "has to be at most {BYTES_MAX} visible ASCII characters"
            ));
        }
        let cron: Cron = text.parse().map_err(|error| match error {
            CronError::InvalidPattern(why) | CronError::ComponentError(why) => {
                format!("is no cron expression: {why}")
            }
            error => format!("is no cron expression: {error}"),
        })?;
        Ok(Self {
            is_each_hour: cron.pattern.hours.values().len() == 24,
            cron,
        })
    }

    /// The first time after this one.
    pub(super) fn next(&self, after: Civil, fuel: &mut Fuel) -> Result<Option<Civil>, TooFar> {
        fuel.take(COST)?;
        let from = Floating {
            at: after,
            until: after.plus_years(HORIZON_YEARS),
        };
        match self.cron.find_next_occurrence(&from, false) {
            Ok(found) => Ok(Some(found.at)),
            Err(_) => Ok(None),
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        self.cron.describe()
    }
}

/// A time on a wall that no zone moves.
#[derive(Debug, Clone)]
struct Floating {
    at: Civil,
    until: Civil,
}

impl CronDateTime for Floating {
    fn to_civil(&self) -> CivilDateTime {
        let date = self.at.date();
        let second = small(self.at.second_of_day());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                i32::try_from(date.year).unwrap_or(i32::MAX),
                small(date.month),
                small(date.day),
            ),
            CivilTime::from_parts_unchecked(second / 3_600, second / 60 % 60, second % 60),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(small(weekday(self.at.day())) + 1)
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let date = Date {
            year: i64::from(civil.year()),
            month: i64::from(civil.month()),
            day: i64::from(civil.day()),
        };
        let seconds = civil.hour() * 3_600 + civil.minute() * 60 + civil.second();
        let at = Civil(date.to_day() * DAY_S + i64::from(seconds));
        if at > self.until {
            return Err(CronError::TimeSearchLimitExceeded);
        }
        Ok(Resolution::Single(Self {
            at,
            until: self.until,
        }))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        Some(Self {
            at: Civil(self.at.0.checked_add(seconds)?),
            until: self.until,
        })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// A part of a date or of a time, which is never negative and never large.
fn small(part: i64) -> u32 {
    u32::try_from(part).unwrap_or(0)
}
