//! The days, weeks, months and years that a rule counts.

use super::{Freq, Rrule};
use crate::schedule::civil::{Date, days_in_month, days_in_year, weekday};

impl Rrule {
    /// The number of the period that a day is in.
    pub(super) fn period_of(&self, day: i64) -> i64 {
        let date = Date::of_day(day);
        match self.freq {
            Freq::Yearly => date.year,
            Freq::Monthly => date.year * 12 + date.month - 1,
            Freq::Weekly => (day - self.first_week_start()).div_euclid(7),
            _ => day,
        }
    }

    /// The first day of a period, and how many it has.
    pub(super) fn days_of(&self, period: i64) -> (i64, i64) {
        match self.freq {
            Freq::Yearly => (Date::first_of_year(period), days_in_year(period)),
            Freq::Monthly => {
                let (year, month) = (period.div_euclid(12), period.rem_euclid(12) + 1);
                (
                    Date::first_of_month(year, month),
                    days_in_month(year, month),
                )
            }
            Freq::Weekly => (self.first_week_start() + period * 7, 7),
            _ => (period, 1),
        }
    }

    /// A day on which weeks begin.
    fn first_week_start(&self) -> i64 {
        -(weekday(0) - self.week_start).rem_euclid(7)
    }
}
