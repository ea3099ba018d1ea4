//! Wall-clock time without a time zone, in whole seconds: what cron and RFC 5545 count in.

/// Seconds of a day.
pub(super) const DAY_S: i64 = 86_400;

/// Seconds since 1970-01-01T00:00:00 on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Civil(pub(super) i64);

/// A date of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
}

impl Civil {
    /// At so many seconds of a day.
    pub(super) fn at(day: i64, second: i64) -> Self {
        Self(day * DAY_S + second)
    }

    /// Days since 1970-01-01.
    pub(super) fn day(self) -> i64 {
        self.0.div_euclid(DAY_S)
    }

    pub(super) fn second_of_day(self) -> i64 {
        self.0.rem_euclid(DAY_S)
    }

    pub(super) fn date(self) -> Date {
        Date::of_day(self.day())
    }

    pub(super) fn plus_years(self, years: i64) -> Self {
        // Late enough: the longest that so many years can be.
        Self(self.0 + years * 366 * DAY_S)
    }
}

impl Date {
    /// The date that is so many days after 1970-01-01.
    ///
    /// The calendar is counted from March 1 of the year 0, in which leap days come last (Howard
    /// Hinnant, "chrono-compatible low-level date algorithms").
    pub(super) fn of_day(day: i64) -> Self {
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096).div_euclid(365);
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
        }
    }

    /// Days since 1970-01-01.
    pub(super) fn to_day(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 {
            self.month - 3
        } else {
            self.month + 9
        };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    pub(super) fn first_of_month(year: i64, month: i64) -> i64 {
        let day = 1;
        Self { year, month, day }.to_day()
    }

    pub(super) fn first_of_year(year: i64) -> i64 {
        Self::first_of_month(year, 1)
    }
}

/// From 0, Monday.
pub(super) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    Date::first_of_month(next_year, next) - Date::first_of_month(year, month)
}

pub(super) fn days_in_year(year: i64) -> i64 {
    Date::first_of_year(year + 1) - Date::first_of_year(year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_of_800_years_has_its_date() {
        let mut expected = Date {
            year: 1600,
            month: 1,
            day: 1,
        };
        let first = expected.to_day();
        for day in first..first + 2 * 146_097 {
            assert_eq!(Date::of_day(day), expected);
            assert_eq!(expected.to_day(), day);
            let is_leap =
                expected.year % 4 == 0 && (expected.year % 100 != 0 || expected.year % 400 == 0);
            let last = match expected.month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            assert_eq!(days_in_month(expected.year, expected.month), last);
            assert_eq!(days_in_year(expected.year), 365 + i64::from(is_leap));
            expected.day += 1;
            if expected.day > last {
                (expected.day, expected.month) = (1, expected.month + 1);
            }
            if expected.month > 12 {
                (expected.month, expected.year) = (1, expected.year + 1);
            }
        }
        assert_eq!(Date::of_day(0).year, 1970);
        assert_eq!(weekday(0), 3, "1970-01-01 was a Thursday");
        assert_eq!(Civil(-1).day(), -1);
        assert_eq!(Civil(-1).second_of_day(), DAY_S - 1);
    }
}
