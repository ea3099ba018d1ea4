//! When a schedule is due: what people write, and how it is asked for the next time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::civil::{Civil, DAY_S};
use super::cron::CronRule;
use super::rrule::Rrule;
use super::wall::{OnTheWall, Place};
use super::{Fuel, TooFar};
use crate::time::Timestamp;

/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest.
const INTERVAL_MAX: Duration = Duration::from_secs(366 * 86_400);
/// The longest jitter.
const JITTER_MAX: Duration = Duration::from_secs(86_400);
/// Moments before and after this are nobody's due times.
const YEARS: std::ops::Range<i64> = 1970..9_900;

/// What says when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Again and again after so long, as [`parse_span`] reads it, counted from the start.
    Interval(String),
    /// A cron expression of five to seven fields.
    Cron(String),
    /// A recurrence rule of RFC 5545.
    Rrule(String),
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// What says when.
    #[serde(flatten)]
    pub rule: Rule,
    /// A name of the IANA database.
    pub time_zone: String,
    /// Nothing is due before; intervals and recurrence rules count from it.
    pub starts_at: Timestamp,
    /// Nothing is due after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Each fire comes later than it is due, by less than this, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_ms: u64,
}

/// A mistake in a timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimingMistake {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it, for people.
    pub problem: String,
}

/// A timing that can be asked. It says the same times on every machine that knows the same time
/// zones, each greater than the one before.
#[derive(Debug, Clone)]
pub struct DueTimes {
    form: Form,
    place: Place,
    /// Epoch seconds; the first time that may be due.
    starts_s: i64,
    ends_s: i64,
    words: Option<String>,
}

#[derive(Debug, Clone)]
enum Form {
    Interval(i64),
    Cron(Box<CronRule>),
    Rrule(Box<Rrule>),
}

impl OnTheWall for CronRule {
    fn next(&self, after: Civil, fuel: &mut Fuel) -> Result<Option<Civil>, TooFar> {
        Self::next(self, after, fuel)
    }
}

impl OnTheWall for Rrule {
    fn next(&self, after: Civil, fuel: &mut Fuel) -> Result<Option<Civil>, TooFar> {
        Self::next(self, after, fuel)
    }
}

impl Timing {
    /// Reads the timing. Whole seconds are due: a fraction of `starts_at` is left out.
    ///
    /// # Errors
    /// [`TimingMistake`], with the field.
    pub fn due_times(&self) -> Result<DueTimes, TimingMistake> {
        let mistake = |field| move |problem| TimingMistake { field, problem };
        let place = Place::find(&self.time_zone).map_err(mistake("time_zone"))?;
        let starts_s = self.starts_at.as_ms().div_euclid(1_000);
        let is_time = |at: i64| YEARS.contains(&Civil(at).date().year);
        if !is_time(starts_s) {
            let problem = "has to be between the years 1970 and 9900".to_owned();
            return Err(mistake("starts_at")(problem));
        }
        if self.ends_at.is_some_and(|end| end < self.starts_at) {
            return Err(mistake("ends_at")("is before `starts_at`".to_owned()));
        }
        if Duration::from_millis(self.jitter_ms) > JITTER_MAX {
            return Err(mistake("jitter")("is longer than a day".to_owned()));
        }
        let (form, words) = self.form(&place, starts_s)?;
        let end = self.ends_at.map_or(i64::MAX, Timestamp::as_ms);
        Ok(DueTimes {
            form,
            place,
            starts_s,
            ends_s: end.div_euclid(1_000),
            words,
        })
    }

    fn form(&self, place: &Place, starts_s: i64) -> Result<(Form, Option<String>), TimingMistake> {
        let mistake = |field| move |problem| TimingMistake { field, problem };
        Ok(match &self.rule {
            Rule::Interval(text) => {
                let interval = parse_span(text).map_err(mistake("interval"))?;
                if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval)
                    || interval.subsec_nanos() != 0
                {
                    let problem = "has to be whole seconds, from 1s to 366d".to_owned();
                    return Err(mistake("interval")(problem));
                }
                if Duration::from_millis(self.jitter_ms) > interval {
                    let problem = "is longer than the interval".to_owned();
                    return Err(mistake("jitter")(problem));
                }
                if place.name() != "UTC" {
                    let problem = "means nothing to an interval, which is as long everywhere: \
                                   leave it out, or give a `cron` or an `rrule`";
                    return Err(mistake("time_zone")(problem.to_owned()));
                }
                let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
                (
                    Form::Interval(seconds),
                    Some(format!("every {}", spoken(seconds))),
                )
            }
            Rule::Cron(text) => {
                let cron = CronRule::parse(text).map_err(mistake("cron"))?;
                let words = cron.words();
                (Form::Cron(Box::new(cron)), Some(words))
            }
            Rule::Rrule(text) => {
                let start = place.wall(starts_s);
                let rule = Rrule::parse(text, start, |moment| place.wall(moment));
                (Form::Rrule(Box::new(rule.map_err(mistake("rrule"))?)), None)
            }
        })
    }
}

impl DueTimes {
    /// The first due time after a moment; `None`: there is none, for a hundred years at least.
    ///
    /// # Errors
    /// [`TooFar`] when that takes too long to say.
    pub fn next_after(&self, moment: Timestamp) -> Result<Option<Timestamp>, TooFar> {
        let after = moment.as_ms().div_euclid(1_000).max(self.starts_s - 1);
        let mut fuel = Fuel::default();
        let found = match &self.form {
            Form::Interval(seconds) => {
                let passed = (after - self.starts_s).div_euclid(*seconds) + 1;
                Some(self.starts_s + passed * seconds)
            }
            Form::Cron(rule) if rule.is_each_hour => {
                self.place.next_shown(&**rule, after, &mut fuel)?
            }
            Form::Cron(rule) => self.place.next_named(&**rule, after, &mut fuel)?,
            Form::Rrule(rule) if rule.is_each_hour() => {
                self.place.next_shown(&**rule, after, &mut fuel)?
            }
            Form::Rrule(rule) => self.place.next_named(&**rule, after, &mut fuel)?,
        };
        let fits = |at: &i64| *at <= self.ends_s && YEARS.contains(&Civil(*at).date().year);
        Ok(found
            .filter(fits)
            .map(|at| Timestamp::from_ms(at.saturating_mul(1_000))))
    }

    /// The name of the time zone, as the IANA database writes it.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.place.name()
    }

    /// The timing in English, where that can be said.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }
}

/// Reads a span of time: whole numbers with `s`, `m`, `h` or `d`, such as `90s` or `1h30m`.
///
/// # Errors
/// What is wanted, for people.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wanted = || "has to be a span of time such as 90s, 15m, 1h30m or 7d".to_owned();
    if text.is_empty() || text.len() > 40 {
        return Err(wanted());
    }
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|end| *end > 0)
            .ok_or_else(wanted)?;
        let number: u64 = rest[..end].parse().map_err(|_| wanted())?;
        let unit = match rest.as_bytes()[end] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return Err(wanted()),
        };
        let part = number.checked_mul(unit).ok_or_else(wanted)?;
        seconds = seconds.checked_add(part).ok_or_else(wanted)?;
        rest = &rest[end + 1..];
    }
    Ok(Duration::from_secs(seconds))
}

fn spoken(seconds: i64) -> String {
    let units = [
        (DAY_S, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let fits = |(length, _): &&(i64, &str)| seconds % length == 0;
    let (length, name) = units.iter().find(fits).copied().unwrap_or((1, "second"));
    match seconds / length {
        1 => name.to_owned(),
        number => format!("{number} {name}s"),
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
