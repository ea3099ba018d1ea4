//! Wall-clock time in milliseconds, and the clock that every layer is handed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC. Written as RFC 3339 with milliseconds; read from
/// that or from a number of epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The times that RFC 3339 can write, and jiff hold: from year 0000 to one day before 10000.
const MS_MIN: i64 = -62_167_219_200_000;
const MS_MAX: i64 = 253_402_207_200_000;

impl Timestamp {
    /// From epoch milliseconds; values that RFC 3339 cannot write are moved to the nearest.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(MS_MIN, MS_MAX))
    }

    /// Epoch milliseconds.
    #[must_use]
    pub fn as_ms(self) -> i64 {
        self.0
    }

    /// The time `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// The time `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_ms(self.0.saturating_sub(ms))
    }

    /// How long after `earlier`; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ms = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// Reads RFC 3339, any offset.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "expected a time as RFC 3339 or epoch milliseconds".to_owned();
        let time: jiff::Timestamp = text.parse().map_err(|_| wanted())?;
        let ms = time.as_millisecond();
        if (MS_MIN..=MS_MAX).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(wanted())
        }
    }
}

/// Either form: RFC 3339, or epoch milliseconds.
impl std::str::FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(ms) if (MS_MIN..=MS_MAX).contains(&ms) => Ok(Self(ms)),
            Ok(_) => Err("is outside the years 0000 to 9999".to_owned()),
            Err(_) => Self::parse(text),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{time:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = json_schema!({"type": "string", "format": "date-time"});
        if generator.contract().is_serialize() {
            return text;
        }
        json_schema!({
            "description": "RFC 3339, or milliseconds since the Unix epoch.",
            "anyOf": [text, {"type": "integer", "minimum": MS_MIN, "maximum": MS_MAX}],
        })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 or epoch milliseconds")
            }
            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<Timestamp, E> {
                if (MS_MIN..=MS_MAX).contains(&ms) {
                    Ok(Timestamp(ms))
                } else {
                    Err(E::custom("time is outside the years 0000 to 9999"))
                }
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Timestamp, E> {
                self.visit_i64(i64::try_from(ms).unwrap_or(i64::MAX))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Where the time comes from. Tests move a manual clock; everything else reads the system's.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<AtomicI64>),
    /// The machine's clock, moved on by so many milliseconds.
    MovedOn(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `start` until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The machine's clock, which can be moved on.
    #[must_use]
    pub fn moved_on() -> Self {
        Self::MovedOn(Arc::default())
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(ms) => Timestamp(ms.load(Ordering::SeqCst)),
            Self::MovedOn(ms) => {
                let by = u64::try_from(ms.load(Ordering::SeqCst)).unwrap_or(0);
                Self::System.now().plus(Duration::from_millis(by))
            }
        }
    }

    /// Moves a clock forward; the system's own cannot be moved and stays.
    pub fn advance(&self, duration: Duration) {
        match self {
            Self::System => {}
            Self::Manual(ms) => ms.store(self.now().plus(duration).0, Ordering::SeqCst),
            Self::MovedOn(ms) => {
                let by = Timestamp(ms.load(Ordering::SeqCst)).plus(duration);
                ms.store(by.0, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_rfc_3339_with_milliseconds() {
        let time = Timestamp::from_ms(1_795_000_000_007);
        assert_eq!(time.to_string(), "2026-11-18T11:06:40.007Z");
        assert_eq!(
            serde_json::to_string(&time).unwrap(),
            "\"2026-11-18T11:06:40.007Z\""
        );
    }

    #[test]
    fn read_from_text_and_number() {
        for text in ["\"2026-11-18T12:06:40.007+01:00\"", "1795000000007"] {
            let time: Timestamp = serde_json::from_str(text).unwrap();
            assert_eq!(time.as_ms(), 1_795_000_000_007, "{text}");
        }
        for bad in ["\"yesterday\"", "1e400", "99999999999999999", "null", "1.5"] {
            assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let end = Timestamp::from_ms(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::from_ms(0).since(end), Duration::ZERO);
        assert_eq!(end.to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(
            Timestamp::from_ms(i64::MIN).to_string(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn a_manual_clock_stands_until_moved() {
        let clock = Clock::manual(Timestamp::from_ms(10));
        assert_eq!(clock.now().as_ms(), 10);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.clone().now().as_ms(), 1010);
    }

    #[test]
    fn the_machines_clock_can_be_moved_on() {
        let (clock, day) = (Clock::moved_on(), Duration::from_secs(86_400));
        let before = Clock::System.now();
        assert!(clock.now() >= before && clock.now() < before.plus(day));
        clock.clone().advance(day);
        clock.advance(day);
        assert!(clock.now() >= before.plus(day * 2));
        assert!(clock.now() < before.plus(day * 3));
    }
}
