//! Days on which clocks are changed.

use super::*;

/// In Berlin clocks go from 02:00 to 03:00 on 2026-03-29 (01:00 UTC), and back from 03:00 to 02:00
/// on 2026-10-25 (01:00 UTC).
const BERLIN: &str = "Europe/Berlin";

fn of(rule: Rule, zone: &str) -> Timing {
    timing(rule, zone, "2010-01-01T00:00:00Z")
}

/// T11: a time that is left out is not lost.
#[test]
fn a_daily_time_that_is_left_out_fires_as_much_later() {
    for rule in [
        cron("30 2 * * *"),
        rrule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0"),
    ] {
        assert_eq!(
            next(&of(rule, BERLIN), "2026-03-27T12:00:00Z", 3),
            [
                "2026-03-28T01:30Z",
                "2026-03-29T01:30Z",
                "2026-03-30T00:30Z"
            ]
        );
    }
    // The last one at 03:30 on the wall, and so is one that names that: they are one.
    assert_eq!(
        next(&of(cron("30 2,3 * * *"), BERLIN), "2026-03-28T12:00:00Z", 3),
        [
            "2026-03-29T01:30Z",
            "2026-03-30T00:30Z",
            "2026-03-30T01:30Z"
        ]
    );
    // In the order of moments, whatever the order on the wall: 03:00 comes before 02:30.
    assert_eq!(
        next(
            &of(cron("0,30 2,3 * * *"), BERLIN),
            "2026-03-29T00:00:00Z",
            3
        ),
        [
            "2026-03-29T01:00Z",
            "2026-03-29T01:30Z",
            "2026-03-30T00:00Z"
        ]
    );
    assert_eq!(
        next(&of(cron("45 2 * * *"), BERLIN), "2026-03-29T01:30:00Z", 1),
        ["2026-03-29T01:45Z"]
    );
}

/// T11: no duplicate cron fire.
#[test]
fn a_daily_time_that_comes_twice_fires_once() {
    for rule in [
        cron("30 2 * * *"),
        rrule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0"),
    ] {
        assert_eq!(
            next(&of(rule.clone(), BERLIN), "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]
        );
        // Asked in the second pass.
        assert_eq!(
            next(&of(rule, BERLIN), "2026-10-25T01:10:00Z", 1),
            ["2026-10-26T01:30Z"]
        );
    }
}

#[test]
fn what_fires_every_hour_has_no_hole_and_nothing_twice() {
    let quarters = of(cron("*/15 * * * *"), BERLIN);
    for begin in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
        let times = quarters.due_times().unwrap();
        let mut last = at(begin);
        for _ in 0..60 {
            let due = times.next_after(last).unwrap().unwrap();
            assert_eq!(due.since(last), Duration::from_secs(900), "after {last}");
            last = due;
        }
    }
    let hourly = of(rrule("FREQ=HOURLY;BYMINUTE=30;BYSECOND=0"), BERLIN);
    assert_eq!(
        next(&hourly, "2026-10-24T23:45:00Z", 4),
        [
            "2026-10-25T00:30Z",
            "2026-10-25T01:30Z",
            "2026-10-25T02:30Z",
            "2026-10-25T03:30Z"
        ]
    );
    assert_eq!(
        next(&hourly, "2026-03-28T23:45:00Z", 3),
        [
            "2026-03-29T00:30Z",
            "2026-03-29T01:30Z",
            "2026-03-29T02:30Z"
        ]
    );
}

#[test]
fn half_hours_and_midnights_are_changed_too() {
    // Lord Howe goes by half an hour: 02:00 becomes 02:30 on 2026-10-04 (15:30 UTC the day before).
    assert_eq!(
        next(
            &of(cron("15 2 * * *"), "Australia/Lord_Howe"),
            "2026-10-03T00:00:00Z",
            2
        ),
        ["2026-10-03T15:45Z", "2026-10-04T15:15Z"]
    );
    // In São Paulo the day began at 01:00 on 2018-11-04.
    assert_eq!(
        next(
            &of(cron("0 0 * * *"), "America/Sao_Paulo"),
            "2018-11-03T12:00:00Z",
            2
        ),
        ["2018-11-04T03:00Z", "2018-11-05T02:00Z"]
    );
}

/// Samoa had no 30 December 2011.
#[test]
fn a_day_that_is_left_out_is_not_lost_and_not_done_twice() {
    let noon = of(cron("0 12 * * *"), "Pacific/Apia");
    assert_eq!(
        next(&noon, "2011-12-29T00:00:00Z", 3),
        [
            "2011-12-29T22:00Z",
            "2011-12-30T22:00Z",
            "2011-12-31T22:00Z"
        ]
    );
}

#[test]
fn a_rule_that_names_every_other_hour_goes_by_the_wall() {
    let even = of(cron("0 */2 * * *"), BERLIN);
    assert_eq!(
        next(&even, "2026-03-28T22:30:00Z", 3),
        [
            "2026-03-28T23:00Z",
            "2026-03-29T01:00Z",
            "2026-03-29T02:00Z"
        ]
    );
    assert_eq!(
        next(&even, "2026-10-24T21:30:00Z", 3),
        [
            "2026-10-24T22:00Z",
            "2026-10-25T00:00Z",
            "2026-10-25T03:00Z"
        ]
    );
}
