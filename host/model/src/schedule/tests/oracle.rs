//! Recurrence rules, compared with the crate `rrule` where that can be asked.

use ::rrule::{RRule, RRuleSet, Tz, Unvalidated};
use chrono::{TimeZone as _, Utc};
use proptest::prelude::*;

use super::*;

/// Rules of all kinds that name times now and then.
pub(super) fn rules() -> impl Strategy<Value = String> {
    let days = prop::sample::subsequence(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"], 1..4);
    let nth = (prop::sample::select(vec![-2, -1, 1, 2, 3]), 0..7_usize)
        .prop_map(|(nth, day)| format!("{nth}{}", ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][day]));
    let list = |least: i64, most: i64| {
        prop::collection::btree_set(least..=most, 1..4).prop_map(|set| {
            let texts: Vec<String> = set.iter().map(ToString::to_string).collect();
            texts.join(",")
        })
    };
    let times = (list(0, 23), list(0, 59)).prop_map(|(h, m)| format!(";BYHOUR={h};BYMINUTE={m}"));
    let times = prop_oneof![Just(String::new()), times];
    let days = days.prop_map(|days| days.join(","));
    let months = list(1, 12);
    let month_days = prop_oneof![list(1, 31), Just("-1".to_owned()), Just("31".to_owned())];
    let body = prop_oneof![
        Just("FREQ=DAILY".to_owned()),
        months
            .clone()
            .prop_map(|months| format!("FREQ=DAILY;BYMONTH={months}")),
        days.clone()
            .prop_map(|days| format!("FREQ=WEEKLY;BYDAY={days}")),
        days.clone()
            .prop_map(|days| format!("FREQ=WEEKLY;WKST=SU;BYDAY={days}")),
        month_days
            .clone()
            .prop_map(|days| format!("FREQ=MONTHLY;BYMONTHDAY={days}")),
        nth.clone()
            .prop_map(|nth| format!("FREQ=MONTHLY;BYDAY={nth}")),
        days.clone()
            .prop_map(|days| format!("FREQ=MONTHLY;BYDAY={days};BYSETPOS=-1")),
        Just("FREQ=MONTHLY".to_owned()),
        nth.clone()
            .prop_map(|nth| format!("FREQ=YEARLY;BYDAY={nth}")),
        (nth, months.clone()).prop_map(|(nth, m)| format!("FREQ=YEARLY;BYMONTH={m};BYDAY={nth}")),
        (months.clone(), month_days)
            .prop_map(|(m, days)| format!("FREQ=YEARLY;BYMONTH={m};BYMONTHDAY={days}")),
        list(1, 366).prop_map(|days| format!("FREQ=YEARLY;BYYEARDAY={days}")),
        // Of the last week of a year of 52 the crate leaves out the days in the year after it.
        (list(2, 51), days).prop_map(|(w, d)| format!("FREQ=YEARLY;BYWEEKNO={w};BYDAY={d}")),
        months.prop_map(|months| format!("FREQ=YEARLY;BYMONTH={months}")),
        Just("FREQ=YEARLY".to_owned()),
    ];
    let longer = (body, times, 1..4_u32).prop_map(|(body, times, interval)| {
        let weeks = body.contains("BYWEEKNO");
        // What week a day of another year belongs to is told apart by an interval.
        let interval = if weeks { 1 } else { interval };
        format!("{body}{times};INTERVAL={interval}")
    });
    let shorter = (
        prop::sample::select(vec!["HOURLY", "MINUTELY"]),
        1..100_u32,
        prop_oneof![
            Just(String::new()),
            list(0, 59).prop_map(|m| format!(";BYMINUTE={m}"))
        ],
    );
    let shorter = shorter
        .prop_map(|(freq, interval, minutes)| format!("FREQ={freq};INTERVAL={interval}{minutes}"));
    prop_oneof![4 => longer, 1 => shorter]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rules_mean_what_they_mean_to_the_crate(
        text in rules(), start in 1_200_000_000_i64..1_900_000_000,
    ) {
        let start = Utc.timestamp_opt(start, 0).unwrap().with_timezone(&Tz::UTC);
        let parsed: RRule<Unvalidated> = text.parse().unwrap();
        let Ok(rule) = parsed.validate(start) else { return Ok(()) };
        let theirs = RRuleSet::new(start).rrule(rule).all(12).dates;
        let timing = Timing {
            starts_at: Timestamp::from_ms(start.timestamp_millis()),
            ..timing(rrule(&text), "UTC", "2026-01-01T00:00:00Z")
        };
        let times = timing.due_times().unwrap();
        let mut last = timing.starts_at.minus(Duration::from_secs(1));
        for their in theirs {
            let ours = times.next_after(last).unwrap();
            let their = Timestamp::from_ms(their.timestamp_millis());
            prop_assert_eq!(ours, Some(their), "{} from {}", text, timing.starts_at);
            last = their;
        }
    }
}
