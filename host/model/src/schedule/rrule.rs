//! Recurrence rules of RFC 5545, evaluated on the wall clock.
//!
//! # Why not the crate `rrule`
//! It begins each search at the rule's start, looks at every second of a rule that counts seconds,
//! and cannot be told when to give up: what somebody sends us could keep a core busy for hours.
//! Here a search begins at the period that it asks about, days that cannot match are passed over as
//! a whole, and each step is counted ([`Fuel`]). The crate is what tests compare with.
//!
//! # What differs from the RFC
//! The start is a fire only where the rule names it, as everybody does it today. `BYSETPOS` is for
//! rules of days and longer. `BYEASTER` and rules with several parts of a kind are refused.

mod parse;
mod periods;

use super::civil::{Civil, DAY_S, Date, days_in_month, days_in_year, weekday};
use super::{Fuel, HORIZON_YEARS, TooFar};

/// What a rule counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Freq {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A weekday, or the nth one of a month or year; 0: each one.
type ByDay = (i64, i64);

/// A rule that was parsed.
#[derive(Debug, Clone)]
pub(super) struct Rrule {
    freq: Freq,
    interval: i64,
    until: Option<Civil>,
    count: Option<u32>,
    week_start: i64,
    months: Vec<i64>,
    month_days: Vec<i64>,
    year_days: Vec<i64>,
    weeks: Vec<i64>,
    days: Vec<ByDay>,
    hours: Vec<i64>,
    minutes: Vec<i64>,
    seconds: Vec<i64>,
    positions: Vec<i64>,
    start: Civil,
}

impl Rrule {
    /// The rule as it counts from `start`; `to_wall` says what a moment, in seconds since 1970 UTC,
    /// is on the wall.
    pub(super) fn parse(
        text: &str,
        start: Civil,
        to_wall: impl Fn(i64) -> Civil,
    ) -> Result<Self, String> {
        let mut rule = parse::parse(text, start, to_wall)?;
        if let Some(count) = rule.count.take() {
            // From here on it is a rule that ends.
            rule.until = Some(rule.last_of(count)?);
        }
        Ok(rule)
    }

    /// Whether it goes on through all hours of the days that it names.
    pub(super) fn is_each_hour(&self) -> bool {
        self.freq < Freq::Daily && self.hours.is_empty()
    }

    fn last_of(&self, count: u32) -> Result<Civil, String> {
        let mut fuel = Fuel::default();
        let mut last = Civil(self.start.0 - 1);
        for _ in 0..count {
            match self.next(last, &mut fuel) {
                Ok(Some(next)) => last = next,
                Ok(None) => break,
                Err(TooFar) => {
                    return Err("takes too long to count: give it an `UNTIL` instead".to_owned());
                }
            }
        }
        Ok(last)
    }

    /// The first time after this one.
    pub(super) fn next(&self, after: Civil, fuel: &mut Fuel) -> Result<Option<Civil>, TooFar> {
        let from = Civil(after.0.max(self.start.0 - 1));
        let horizon = from.plus_years(HORIZON_YEARS);
        let until = self.until.map_or(horizon, |until| until.min(horizon));
        let found = match self.freq {
            Freq::Secondly | Freq::Minutely | Freq::Hourly => {
                self.next_within_days(from, until, fuel)?
            }
            _ => self.next_of_periods(from, until, fuel)?,
        };
        Ok(found.filter(|found| *found <= until))
    }

    /// Whether the rule's parts allow a day.
    fn allows(&self, day: i64) -> bool {
        let date = Date::of_day(day);
        if !self.months.is_empty() && !self.months.contains(&date.month) {
            return false;
        }
        if !self.month_days.is_empty() {
            let from_end = date.day - days_in_month(date.year, date.month) - 1;
            if !self.month_days.contains(&date.day) && !self.month_days.contains(&from_end) {
                return false;
            }
        }
        if !self.year_days.is_empty() {
            let of_year = day - Date::first_of_year(date.year) + 1;
            let from_end = of_year - days_in_year(date.year) - 1;
            if !self.year_days.contains(&of_year) && !self.year_days.contains(&from_end) {
                return false;
            }
        }
        if !self.weeks.is_empty() && !self.is_of_weeks(day) {
            return false;
        }
        self.days.is_empty() || self.days.iter().any(|by| self.is_day(*by, day, date))
    }

    fn is_day(&self, (nth, of_week): ByDay, day: i64, date: Date) -> bool {
        if weekday(day) != of_week {
            return false;
        }
        if nth == 0 {
            return true;
        }
        let is_of_month = self.freq == Freq::Monthly || !self.months.is_empty();
        let (first, length) = if is_of_month {
            let first = Date::first_of_month(date.year, date.month);
            (first, days_in_month(date.year, date.month))
        } else {
            (Date::first_of_year(date.year), days_in_year(date.year))
        };
        let before = (day - first) / 7 + 1;
        let behind = (first + length - 1 - day) / 7 + 1;
        nth == before || nth == -behind
    }

    /// Whether a day is in one of the weeks of its year. The first week of a year is the first with
    /// four days in it.
    fn is_of_weeks(&self, day: i64) -> bool {
        let week = day - (weekday(day) - self.week_start).rem_euclid(7);
        // The year that has most of the week.
        let year = Date::of_day(week + 3).year;
        let number = (week - self.first_week(year)) / 7 + 1;
        let all = (self.first_week(year + 1) - self.first_week(year)) / 7;
        self.weeks.contains(&number) || self.weeks.contains(&(number - all - 1))
    }

    fn first_week(&self, year: i64) -> i64 {
        let fourth = Date::first_of_year(year) + 3;
        fourth - (weekday(fourth) - self.week_start).rem_euclid(7)
    }

    /// The times of day of rules that count days or longer.
    fn times(&self) -> Vec<i64> {
        let mut times = Vec::new();
        for hour in &self.hours {
            for minute in &self.minutes {
                for second in &self.seconds {
                    times.push(hour * 3_600 + minute * 60 + second);
                }
            }
        }
        times
    }
}

/// A rule of days and longer: one period after the other.
impl Rrule {
    fn next_of_periods(
        &self,
        from: Civil,
        until: Civil,
        fuel: &mut Fuel,
    ) -> Result<Option<Civil>, TooFar> {
        let times = self.times();
        let first = self.period_of(self.start.day());
        let wanted = self.period_of(from.day()).max(first);
        let mut period =
            first + (wanted - first + self.interval - 1) / self.interval * self.interval;
        loop {
            let (begin, length) = self.days_of(period);
            if Civil::at(begin, 0) > until {
                return Ok(None);
            }
            fuel.take(u32::try_from(length).unwrap_or(u32::MAX))?;
            let days = (begin..begin + length).filter(|day| self.allows(*day));
            let found = if self.positions.is_empty() {
                days.flat_map(|day| times.iter().map(move |time| Civil::at(day, *time)))
                    .find(|time| *time > from)
            } else {
                self.at_positions(&days.collect::<Vec<_>>(), &times, from)
            };
            if found.is_some() {
                return Ok(found);
            }
            period += self.interval;
        }
    }

    fn at_positions(&self, days: &[i64], times: &[i64], from: Civil) -> Option<Civil> {
        let all = i64::try_from(days.len() * times.len()).unwrap_or(0);
        let at = |position: &i64| {
            let index = if *position > 0 {
                position - 1
            } else {
                all + position
            };
            let index = usize::try_from(index).ok()?;
            let day = days.get(index / times.len())?;
            Some(Civil::at(*day, times[index % times.len()]))
        };
        let found = self.positions.iter().filter_map(at);
        found.filter(|time| *time > from).min()
    }
}

/// A rule of hours, minutes or seconds: one day after the other, those that cannot match as a
/// whole.
impl Rrule {
    fn next_within_days(
        &self,
        from: Civil,
        until: Civil,
        fuel: &mut Fuel,
    ) -> Result<Option<Civil>, TooFar> {
        let unit = match self.freq {
            Freq::Hourly => 3_600,
            Freq::Minutely => 60,
            _ => 1,
        };
        let first = self.start.0.div_euclid(unit);
        for day in from.day()..=until.day() {
            fuel.take(1)?;
            if !self.allows(day) {
                continue;
            }
            let begin = (day * DAY_S).max(from.0).div_euclid(unit).max(first);
            let mut at =
                first + (begin - first + self.interval - 1) / self.interval * self.interval;
            while at * unit < (day + 1) * DAY_S {
                fuel.take(1)?;
                if let Some(found) = self.within(at * unit, from) {
                    return Ok(Some(found));
                }
                at += self.interval;
            }
        }
        Ok(None)
    }

    /// The first time after `from` in the hour, minute or second that begins at `at`.
    fn within(&self, at: i64, from: Civil) -> Option<Civil> {
        let of_day = Civil(at).second_of_day();
        let is_in = |list: &[i64], value: i64| list.is_empty() || list.contains(&value);
        if !is_in(&self.hours, of_day / 3_600) {
            return None;
        }
        let seconds = |at: i64| {
            let each = self.seconds.iter().map(move |second| Civil(at + second));
            each.into_iter().find(|time| *time > from)
        };
        match self.freq {
            Freq::Hourly => self
                .minutes
                .iter()
                .find_map(|minute| seconds(at + minute * 60)),
            _ if !is_in(&self.minutes, of_day / 60 % 60) => None,
            Freq::Minutely => seconds(at),
            _ => {
                let is_second = is_in(&self.seconds, of_day % 60);
                Some(Civil(at)).filter(|time| is_second && *time > from)
            }
        }
    }
}
