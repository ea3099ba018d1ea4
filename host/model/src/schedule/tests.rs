//! Rules on the wall clock, what hostile ones cost, and what is decided of a schedule.

mod oracle;
mod state;
mod walls;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(super) fn timing(rule: Rule, zone: &str, starts_at: &str) -> Timing {
    Timing {
        rule,
        time_zone: zone.to_owned(),
        starts_at: at(starts_at),
        ends_at: None,
        jitter_ms: 0,
    }
}

pub(super) fn cron(text: &str) -> Rule {
    Rule::Cron(text.to_owned())
}

pub(super) fn rrule(text: &str) -> Rule {
    Rule::Rrule(text.to_owned())
}

pub(super) fn interval(text: &str) -> Rule {
    Rule::Interval(text.to_owned())
}

/// The next due times after a moment, as RFC 3339 without seconds' fractions.
pub(super) fn next(timing: &Timing, after: &str, count: usize) -> Vec<String> {
    let times = timing.due_times().unwrap();
    let mut found = Vec::new();
    let mut last = at(after);
    while found.len() < count
        && let Some(due) = times.next_after(last).unwrap()
    {
        assert!(due > last, "{due} comes after {last}");
        found.push(due.to_string().replace(":00.000Z", "Z"));
        last = due;
    }
    found
}

#[test]
fn an_interval_counts_from_its_start() {
    let every = timing(interval("1h30m"), "UTC", "2026-11-29T02:15:00Z");
    assert_eq!(
        next(&every, "2026-11-29T00:00:00Z", 3),
        [
            "2026-11-29T02:15Z",
            "2026-11-29T03:45Z",
            "2026-11-29T05:15Z"
        ]
    );
    // Days of 23 and of 25 hours are nothing to it.
    assert_eq!(
        next(&every, "2027-03-28T00:59:59Z", 1),
        ["2027-03-28T02:15Z"]
    );
    assert_eq!(every.due_times().unwrap().words(), Some("every 90 minutes"));
}

#[test]
fn spans_are_read_whole() {
    let span = |text| parse_span(text).map(|span| span.as_secs());
    assert_eq!(span("90s"), Ok(90));
    assert_eq!(span("1h30m"), Ok(5_400));
    assert_eq!(span("7d"), Ok(604_800));
    for bad in [
        "",
        "5",
        "m",
        "-5m",
        "5 m",
        "1.5h",
        "5m5",
        "9999999999999999999d",
        "1y",
        "５m",
    ] {
        assert!(span(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let field = |rule: Rule, zone: &str| {
        let timing = timing(rule, zone, "2026-01-01T00:00:00Z");
        timing
            .due_times()
            .map(drop)
            .map_err(|mistake| mistake.field)
    };
    for (rule, name) in [
        (interval("0s"), "interval"),
        (interval("400d"), "interval"),
        (interval(""), "interval"),
        (cron(""), "cron"),
        (cron("* * * *"), "cron"),
        (cron("61 * * * *"), "cron"),
        (cron("* * * * * * * *"), "cron"),
        (cron("\0 * * * *"), "cron"),
        (rrule(""), "rrule"),
        (rrule("FREQ=NEVER"), "rrule"),
        (rrule("FREQ=DAILY;INTERVAL=0"), "rrule"),
        (rrule("FREQ=DAILY;COUNT=-1"), "rrule"),
        (rrule("FREQ=DAILY;COUNT=2;UNTIL=20300101"), "rrule"),
        (rrule("FREQ=DAILY;UNTIL=20300230"), "rrule"),
        (rrule("FREQ=DAILY;BYEASTER=1"), "rrule"),
        (rrule("FREQ=DAILY;FREQ=DAILY"), "rrule"),
        (rrule("FREQ=WEEKLY;BYDAY=1MO"), "rrule"),
        (rrule("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY"), "rrule"),
        (rrule("FREQ=DAILY;BYHOUR=24"), "rrule"),
    ] {
        assert_eq!(field(rule.clone(), "UTC"), Err(name), "{rule:?}");
    }
    for zone in [
        "",
        "Nowhere/Else",
        "../../etc/passwd",
        "/etc/passwd",
        "UTC\0",
        "Etc/Unknown",
    ] {
        assert_eq!(field(cron("* * * * *"), zone), Err("time_zone"), "{zone}");
    }
    assert_eq!(field(interval("1h"), "Europe/Berlin"), Err("time_zone"));
    assert_eq!(field(cron("* * * * *"), "europe/berlin"), Ok(()));
}

#[test]
fn what_never_fires_says_so_in_time() {
    let begun = Instant::now();
    for rule in [
        cron("0 0 30 2 *"),
        cron("0 0 31 2,4,6 *"),
        cron("* * * * * * 2020"),
        cron("* * * * * * 4999"),
        cron("59 59 23 31 2 * 2026-4999"),
        rrule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
        rrule("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"),
        rrule("FREQ=SECONDLY;INTERVAL=60;BYSECOND=30"),
        rrule("FREQ=MINUTELY;INTERVAL=1440;BYHOUR=7"),
        rrule("FREQ=HOURLY;INTERVAL=24;BYHOUR=5"),
        rrule("FREQ=DAILY;UNTIL=20260101T000000Z"),
        rrule("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366;INTERVAL=3;BYMONTH=1"),
        rrule("FREQ=DAILY;BYSETPOS=2"),
    ] {
        let timing = timing(rule.clone(), "Europe/Berlin", "2026-01-01T00:00:00Z");
        let times = timing.due_times().unwrap();
        let found = times.next_after(at("2026-11-29T02:15:00Z"));
        assert!(
            matches!(found, Ok(None) | Err(TooFar)),
            "{rule:?}: {found:?}"
        );
    }
    // Thirteen searches, a second for each on a machine that is busy.
    assert!(begun.elapsed() < Duration::from_secs(13));
}

#[test]
fn the_ends_of_time_are_answered() {
    for rule in [cron("0 0 1 1 *"), rrule("FREQ=DAILY"), interval("1s")] {
        let timing = timing(rule, "UTC", "2026-01-01T00:00:00Z");
        let times = timing.due_times().unwrap();
        for moment in [
            Timestamp::from_ms(i64::MIN),
            Timestamp::from_ms(i64::MAX),
            at("9999-12-30T21:59:59Z"),
            at("9899-12-31T23:59:59Z"),
        ] {
            let found = times.next_after(moment).unwrap();
            assert!(found.is_none_or(|found| found > moment));
        }
    }
    let late = timing(cron("0 0 1 1 *"), "UTC", "9950-01-01T00:00:00Z");
    assert_eq!(late.due_times().unwrap_err().field, "starts_at");
}

#[test]
fn a_count_ends_a_rule_and_so_does_an_end() {
    let rule = timing(rrule("FREQ=DAILY;COUNT=3"), "UTC", "2026-11-01T09:00:00Z");
    let all = [
        "2026-11-01T09:00Z",
        "2026-11-02T09:00Z",
        "2026-11-03T09:00Z",
    ];
    assert_eq!(next(&rule, "2020-01-01T00:00:00Z", 9), all);
    assert_eq!(next(&rule, "2026-11-02T09:00:00Z", 9), all[2..]);
    let until = rrule("FREQ=DAILY;UNTIL=20261102T080000Z");
    let until = timing(until, "Europe/Berlin", "2026-11-01T08:00:00Z");
    assert_eq!(
        next(&until, "2020-01-01T00:00:00Z", 9),
        ["2026-11-01T08:00Z", "2026-11-02T08:00Z"]
    );
    let ended = Timing {
        ends_at: Some(at("2026-11-01T10:00:00Z")),
        ..timing(cron("0 * * * *"), "UTC", "2026-11-01T08:30:00Z")
    };
    assert_eq!(
        next(&ended, "2026-01-01T00:00:00Z", 9),
        ["2026-11-01T09:00Z", "2026-11-01T10:00Z"]
    );
}

/// The first week of a year is the first with four days in it, as ISO 8601 has it.
#[test]
fn a_week_belongs_to_the_year_that_has_most_of_it() {
    let sundays = |weeks: &str| {
        let text = format!("FREQ=YEARLY;BYWEEKNO={weeks};BYDAY=SU;BYHOUR=0");
        let rule = timing(rrule(&text), "UTC", "2008-01-01T00:00:00Z");
        next(&rule, "2010-01-04T00:00:00Z", 3)
    };
    // 2010 and 2011 have 52 weeks, 2009 has had 53, the last of them until 2010-01-03.
    let ends = [
        "2011-01-02T00:00Z",
        "2012-01-01T00:00Z",
        "2012-12-30T00:00Z",
    ];
    assert_eq!(sundays("52"), ends);
    assert_eq!(sundays("-1"), ends);
    assert_eq!(
        sundays("53"),
        [
            "2016-01-03T00:00Z",
            "2021-01-03T00:00Z",
            "2027-01-03T00:00Z"
        ]
    );
    assert_eq!(
        sundays("1"),
        [
            "2010-01-10T00:00Z",
            "2011-01-09T00:00Z",
            "2012-01-08T00:00Z"
        ]
    );
}

#[test]
fn a_rule_is_said_in_words() {
    let words = |rule| {
        let timing = timing(rule, "UTC", "2026-01-01T00:00:00Z");
        timing.due_times().unwrap().words().map(str::to_owned)
    };
    let monday = words(cron("30 2 * * MON")).unwrap();
    assert!(
        monday.contains("02:30") && monday.contains("Monday"),
        "{monday}"
    );
    assert_eq!(words(interval("1h")).as_deref(), Some("every hour"));
    assert_eq!(words(rrule("FREQ=DAILY")), None);
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/Sao_Paulo",
        "Antarctica/Troll",
    ])
}

fn rules() -> impl Strategy<Value = Rule> {
    let field = |most: u32| {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => (0..most).prop_map(|value| value.to_string()),
            1 => (1..most).prop_map(|step| format!("*/{step}")),
            1 => (0..most, 0..most).prop_map(|(a, b)| format!("{},{}", a.min(b), a.max(b))),
        ]
    };
    let cron = (field(60), field(24), field(7))
        .prop_map(|(minute, hour, day)| Rule::Cron(format!("{minute} {hour} * * {day}")));
    let intervals = (1_u32..200_000).prop_map(|seconds| Rule::Interval(format!("{seconds}s")));
    prop_oneof![4 => cron, 3 => oracle::rules().prop_map(Rule::Rrule), 1 => intervals]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// T11: whatever the rule, the zone and the moment, due times grow, and each is the first after
    /// whatever lies between it and the one before.
    #[test]
    fn due_times_grow(
        rule in rules(), zone in zones(), from in 1_300_000_000_i64..1_900_000_000,
        part in 0.0..1.0_f64,
    ) {
        let zone = if matches!(rule, Rule::Interval(_)) { "UTC" } else { zone };
        let timing = timing(rule, zone, "2011-01-01T00:00:00Z");
        let times = timing.due_times().unwrap();
        let mut last = Timestamp::from_ms(from * 1_000);
        for _ in 0..30 {
            let Ok(Some(due)) = times.next_after(last) else { break };
            prop_assert!(due > last);
            let between = due.since(last).mul_f64(part);
            let between = due.minus(between).minus(Duration::from_millis(1)).max(last);
            prop_assert_eq!(times.next_after(between), Ok(Some(due)));
            last = due;
        }
    }

    #[test]
    fn no_text_breaks_a_rule(text in ".{0,60}", lines in "[A-Z0-9=;,*/LW#? -]{0,60}") {
        for text in [text, lines.clone(), format!("FREQ=DAILY;{lines}")] {
            for rule in [cron(&text), rrule(&text), interval(&text)] {
                let timing = timing(rule, "Europe/Berlin", "2026-01-01T00:00:00Z");
                if let Ok(times) = timing.due_times() {
                    let _ = times.next_after(at("2026-11-29T02:15:00Z"));
                }
            }
        }
    }
}
