//! From the wall clock of a place to moments, over the days on which its clocks are changed.
//!
//! # What happens when clocks are changed
//! - A rule that names hours ("at 02:30") fires once for each time that it names. Where that time
//!   is left out, since clocks are put forward from 02:00 to 03:00, it fires as long after 02:00 as
//!   it would have done, at 03:30. Where it comes twice, it fires the first time.
//! - A rule that goes on through every hour ("every 15 minutes") does so: it fires whenever the
//!   wall shows such a time, in both passes of an hour that comes twice, and not in one that is
//!   left out.
//!
//! So nothing that is daily is lost or done twice, and nothing that is hourly or more frequent has
//! a hole of an hour. A time that two of them share is one.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::civil::{Civil, DAY_S};
use super::{Fuel, TooFar};

/// Changes of the clock that are gone through in one search: two a year, for as long as anything is
/// searched for.
const CHANGES_MAX: u32 = 400;
/// No clock was ever put forward by more.
const GAP_S_MAX: i64 = 2 * DAY_S;

/// A rule, as it is asked for the next time on the wall.
pub(super) trait OnTheWall {
    /// The first time after this one.
    fn next(&self, after: Civil, fuel: &mut Fuel) -> Result<Option<Civil>, TooFar>;
}

/// Where the wall is.
#[derive(Debug, Clone)]
pub(super) struct Place(TimeZone);

impl Place {
    /// The place whose zone has this name in the IANA database.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
        let unknown = || {
            "is no time zone of the IANA database: it looks like `Europe/Berlin` or `UTC`"
                .to_owned()
        };
        // Nothing else is looked for, in whatever folder the database is.
        let is_fit = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(is_name);
        if !is_fit {
            return Err(unknown());
        }
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        if zone.is_unknown() {
            return Err(unknown());
        }
        Ok(Self(zone))
    }

    /// Its name, written as the database has it.
    pub(super) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What the wall shows at a moment, in seconds since 1970 UTC.
    pub(super) fn wall(&self, moment: i64) -> Civil {
        Civil(moment + self.offset(moment))
    }

    fn offset(&self, moment: i64) -> i64 {
        let offset = Timestamp::from_second(moment).map(|at| self.0.to_offset(at));
        offset.map_or(0, |offset| i64::from(offset.seconds()))
    }

    /// The first moment after this one at which a rule that names hours fires.
    pub(super) fn next_named(
        &self,
        rule: &impl OnTheWall,
        after: i64,
        fuel: &mut Fuel,
    ) -> Result<Option<i64>, TooFar> {
        let mut wall = self.behind_gap(after);
        let mut best: Option<i64> = None;
        while let Some(next) = rule.next(wall, fuel)? {
            fuel.take(1)?;
            let Some((moment, gap_s)) = self.moment(next) else {
                break;
            };
            if moment > after {
                best = Some(best.map_or(moment, |best| best.min(moment)));
            }
            // Of times that are left out one after the other, and those behind them, a later one
            // may come first.
            if gap_s == 0 && best.is_some() {
                break;
            }
            wall = next;
        }
        Ok(best)
    }

    /// The first moment after this one at which a rule fires that goes on through every hour.
    pub(super) fn next_shown(
        &self,
        rule: &impl OnTheWall,
        after: i64,
        fuel: &mut Fuel,
    ) -> Result<Option<i64>, TooFar> {
        let Ok(from) = Timestamp::from_second(after) else {
            return Ok(None);
        };
        let mut offset = self.offset(after);
        let mut wall = Civil(after + offset);
        let mut changes = self.0.following(from);
        for _ in 0..CHANGES_MAX {
            let Some(found) = rule.next(wall, fuel)?.map(|next| next.0 - offset) else {
                return Ok(None);
            };
            let Some(change) = changes.next() else {
                return Ok(Some(found));
            };
            let at = change.timestamp().as_second();
            if found < at {
                return Ok(Some(found));
            }
            // From the change on, itself among it.
            offset = i64::from(change.offset().seconds());
            wall = Civil(at + offset - 1);
        }
        Ok(None)
    }

    /// When the wall shows a time, and how much is left out there, in seconds.
    fn moment(&self, wall: Civil) -> Option<(i64, i64)> {
        let time = wall_time(wall)?;
        let ambiguous = self.0.to_ambiguous_timestamp(time);
        let gap_s = match ambiguous.offset() {
            AmbiguousOffset::Gap { before, after } => {
                i64::from(after.seconds()) - i64::from(before.seconds())
            }
            _ => 0,
        };
        let moment = ambiguous.compatible().ok()?;
        Some((moment.as_second(), gap_s))
    }

    /// What the wall shows at a moment; where the clock was put forward just before, what it showed
    /// then: times that are left out fire after it.
    fn behind_gap(&self, moment: i64) -> Civil {
        let wall = self.wall(moment);
        let Ok(at) = Timestamp::from_second(moment + 1) else {
            return wall;
        };
        let Some(change) = self.0.preceding(at).next() else {
            return wall;
        };
        let changed_at = change.timestamp().as_second();
        let before = self.offset(changed_at - 1);
        let gap_s = i64::from(change.offset().seconds()) - before;
        if gap_s > 0 && moment - changed_at < gap_s.min(GAP_S_MAX) {
            return Civil(changed_at + before - 1);
        }
        wall
    }
}

fn wall_time(wall: Civil) -> Option<DateTime> {
    let date = wall.date();
    let second = wall.second_of_day();
    let part = |part: i64| i8::try_from(part).ok();
    DateTime::new(
        i16::try_from(date.year).ok()?,
        part(date.month)?,
        part(date.day)?,
        part(second / 3_600)?,
        part(second / 60 % 60)?,
        part(second % 60)?,
        0,
    )
    .ok()
}
