//! Reads a rule, and says what is wrong with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{ByDay, Freq, Rrule};
use crate::schedule::civil::{Civil, DAY_S, Date, days_in_month, weekday};

/// Longer rules are nobody's.
const BYTES_MAX: usize = 2_000;
/// The longest interval, in periods.
const INTERVAL_MAX: i64 = 100_000;
/// The most that a rule may count.
const COUNT_MAX: i64 = 10_000;
/// Times of day that a rule may name.
const TIMES_MAX: usize = 1_440;

const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// What a rule says, part by part.
struct Parts(BTreeMap<String, String>);

pub(super) fn parse(
    text: &str,
    start: Civil,
    to_wall: impl Fn(i64) -> Civil,
) -> Result<Rrule, String> {
    let mut parts = Parts::of(text)?;
    let freq = freq(&parts.required("FREQ")?)?;
    let count = parts.number("COUNT", 1..=COUNT_MAX)?;
    let until = parts.take("UNTIL");
    if count.is_some() && until.is_some() {
        return Err("has both `COUNT` and `UNTIL`: one of them ends it".to_owned());
    }
    let until = until.map(|text| parse_until(&text, to_wall)).transpose()?;
    let week_start = match parts.take("WKST") {
        Some(day) => weekday_of(&day)?,
        None => 0,
    };
    let mut rule = Rrule {
        freq,
        interval: parts.number("INTERVAL", 1..=INTERVAL_MAX)?.unwrap_or(1),
        until,
        count: count.and_then(|count| u32::try_from(count).ok()),
        week_start,
        months: parts.numbers("BYMONTH", 1..=12, false)?,
        month_days: parts.numbers("BYMONTHDAY", 1..=31, true)?,
        year_days: parts.numbers("BYYEARDAY", 1..=366, true)?,
        weeks: parts.numbers("BYWEEKNO", 1..=53, true)?,
        days: parts.days()?,
        hours: parts.numbers("BYHOUR", 0..=23, false)?,
        // A second 60 is nobody's: leap seconds are not in the clocks that fire.
        minutes: parts.numbers("BYMINUTE", 0..=59, false)?,
        seconds: parts.numbers("BYSECOND", 0..=59, false)?,
        positions: parts.numbers("BYSETPOS", 1..=366, true)?,
        start,
    };
    parts.finish()?;
    check(&rule)?;
    fill(&mut rule);
    let times = rule.hours.len() * rule.minutes.len() * rule.seconds.len();
    if rule.freq >= Freq::Daily && times > TIMES_MAX {
        return Err(format!(
            "names {times} times of day, at most {TIMES_MAX} are counted: use a smaller `FREQ`"
        ));
    }
    Ok(rule)
}

impl Parts {
    fn of(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX || !text.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(format!(
                "has to be one rule, such as `FREQ=WEEKLY;BYDAY=MO;BYHOUR=9`, of at most \
                 {BYTES_MAX} visible ASCII characters; its start goes into `starts_at`"
            ));
        }
        let text = text.to_ascii_uppercase();
        if text.starts_with("DTSTART") {
            return Err(
                "has a `DTSTART`: give that in `starts_at`, and its zone in `time_zone`".to_owned(),
            );
        }
        let text = text.strip_prefix("RRULE:").unwrap_or(&text);
        let mut parts = BTreeMap::new();
        for part in text.split(';') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("has `{part}`, which is no `NAME=VALUE`"));
            };
            if parts.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(format!("has `{name}` twice"));
            }
        }
        Ok(Self(parts))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn required(&mut self, name: &str) -> Result<String, String> {
        self.take(name).ok_or_else(|| format!("has no `{name}`"))
    }

    fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, String> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        number(name, &text, &range, false).map(Some)
    }

    /// Each once, the least first.
    fn numbers(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
        from_end: bool,
    ) -> Result<Vec<i64>, String> {
        let Some(text) = self.take(name) else {
            return Ok(Vec::new());
        };
        let all = text.split(',');
        let all: Result<Vec<i64>, String> = all
            .map(|text| number(name, text, &range, from_end))
            .collect();
        let mut all = all?;
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn days(&mut self) -> Result<Vec<ByDay>, String> {
        let Some(text) = self.take("BYDAY") else {
            return Ok(Vec::new());
        };
        let day = |text: &str| {
            let (nth, day) = text.split_at(text.len().saturating_sub(2));
            let nth = match nth {
                "" => 0,
                nth => number("BYDAY", nth, &(1..=53), true)?,
            };
            Ok((nth, weekday_of(day)?))
        };
        text.split(',').map(day).collect()
    }

    fn finish(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(format!(
                "has `{name}`, which is not a part that is known here"
            )),
        }
    }
}

fn freq(text: &str) -> Result<Freq, String> {
    Ok(match text {
        "SECONDLY" => Freq::Secondly,
        "MINUTELY" => Freq::Minutely,
        "HOURLY" => Freq::Hourly,
        "DAILY" => Freq::Daily,
        "WEEKLY" => Freq::Weekly,
        "MONTHLY" => Freq::Monthly,
        "YEARLY" => Freq::Yearly,
        _ => return Err("has a `FREQ` that RFC 5545 does not know".to_owned()),
    })
}

fn number(
    name: &str,
    text: &str,
    range: &RangeInclusive<i64>,
    from_end: bool,
) -> Result<i64, String> {
    let parsed = text.parse::<i64>().ok();
    let fits = |number: &i64| {
        let counted = if from_end { number.abs() } else { *number };
        range.contains(&counted)
    };
    parsed.filter(fits).ok_or_else(|| {
        let or_negative = if from_end {
            ", or from the end with a minus"
        } else {
            ""
        };
        format!(
            "has a `{name}` that is no number from {} to {}{or_negative}",
            range.start(),
            range.end()
        )
    })
}

fn weekday_of(text: &str) -> Result<i64, String> {
    let found = WEEKDAYS.iter().position(|day| *day == text);
    let found = found.and_then(|found| i64::try_from(found).ok());
    found.ok_or_else(|| "has a day that is none of MO, TU, WE, TH, FR, SA, SU".to_owned())
}

/// `20261129`, `20261129T023000` on the wall, or with a `Z` in UTC. A date alone is its whole day.
fn parse_until(text: &str, to_wall: impl Fn(i64) -> Civil) -> Result<Civil, String> {
    let wrong = || "has an `UNTIL` that is no date such as 20261231T235959Z".to_owned();
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|it| it.is_ascii_digit()).then_some(())?;
        part.parse().ok()
    };
    let date = || Some((digits(0, 4)?, digits(4, 6)?, digits(6, 8)?));
    let (year, month, day) = date().ok_or_else(wrong)?;
    let is_date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !is_date {
        return Err(wrong());
    }
    let day = Date { year, month, day }.to_day();
    if text.len() == 8 {
        return Ok(Civil::at(day, DAY_S - 1));
    }
    let time = || Some((digits(9, 11)?, digits(11, 13)?, digits(13, 15)?));
    let (hour, minute, second) = time().ok_or_else(wrong)?;
    if hour > 23 || minute > 59 || second > 60 || !text[8..].starts_with('T') {
        return Err(wrong());
    }
    let at = Civil::at(day, hour * 3_600 + minute * 60 + second);
    match &text[15..] {
        "" => Ok(at),
        "Z" => Ok(to_wall(at.0)),
        _ => Err(wrong()),
    }
}

/// What RFC 5545 does not allow together.
fn check(rule: &Rrule) -> Result<(), String> {
    let not = |is_wrong: bool, what: &str| match is_wrong {
        true => Err(format!("has {what}, which RFC 5545 does not allow")),
        false => Ok(()),
    };
    let freq = rule.freq;
    let has_nth = rule.days.iter().any(|(nth, _)| *nth != 0);
    not(
        !rule.weeks.is_empty() && freq != Freq::Yearly,
        "`BYWEEKNO` in a rule that is not `FREQ=YEARLY`",
    )?;
    not(
        !rule.year_days.is_empty() && matches!(freq, Freq::Daily | Freq::Weekly | Freq::Monthly),
        "`BYYEARDAY` in a rule of days, weeks or months",
    )?;
    not(
        !rule.month_days.is_empty() && freq == Freq::Weekly,
        "`BYMONTHDAY` in a rule of weeks",
    )?;
    not(
        has_nth && !matches!(freq, Freq::Monthly | Freq::Yearly),
        "a numbered `BYDAY` in a rule that is not of months or years",
    )?;
    not(
        has_nth && !rule.weeks.is_empty(),
        "a numbered `BYDAY` together with `BYWEEKNO`",
    )?;
    if !rule.positions.is_empty() && freq < Freq::Daily {
        return Err("has `BYSETPOS` in a rule of hours or less, which is not counted here".into());
    }
    Ok(())
}

/// What the rule leaves out, its start says.
fn fill(rule: &mut Rrule) {
    let date = rule.start.date();
    let names_days = !(rule.weeks.is_empty()
        && rule.year_days.is_empty()
        && rule.month_days.is_empty()
        && rule.days.is_empty());
    match rule.freq {
        Freq::Yearly if !names_days => {
            if rule.months.is_empty() {
                rule.months.push(date.month);
            }
            rule.month_days.push(date.day);
        }
        Freq::Monthly if !names_days => rule.month_days.push(date.day),
        Freq::Weekly if !names_days => rule.days.push((0, weekday(rule.start.day()))),
        _ => {}
    }
    let second = rule.start.second_of_day();
    if rule.freq > Freq::Hourly && rule.hours.is_empty() {
        rule.hours.push(second / 3_600);
    }
    if rule.freq > Freq::Minutely && rule.minutes.is_empty() {
        rule.minutes.push(second / 60 % 60);
    }
    if rule.freq > Freq::Secondly && rule.seconds.is_empty() {
        rule.seconds.push(second % 60);
    }
}
