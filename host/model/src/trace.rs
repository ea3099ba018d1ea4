//! The place of what goes on in a trace, as W3C's Trace Context writes it in `traceparent`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Characters of the four parts of version 00, and of the dashes between.
const LENGTH: usize = 55;

/// A span, and the trace that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has to be 00-TRACE-SPAN-FLAGS, in 32, 16 and 2 lower-case hexadecimal digits")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The first span of a trace of its own.
    #[must_use]
    pub fn root() -> Self {
        Self {
            trace: Uuid::new_v4().as_u128(),
            span: random_span(),
            is_sampled: true,
        }
    }

    /// A span below this one.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span: random_span(),
            ..self
        }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span's id: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether whoever began the trace wants it to be kept.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.is_sampled
    }
}

/// Never zero, which means that there is none.
fn random_span() -> u64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    // The bits of its version are set.
    high
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            let is_plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let is_plain = digits.bytes().all(is_plain);
            is_plain.then(|| u128::from_str_radix(digits, 16).ok())?
        };
        let dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
        let read = || {
            let (version, trace) = (number(0, 2)?, number(3, 35)?);
            let (span, flags) = (number(36, 52)?, number(53, LENGTH)?);
            // A later version may have more behind another dash.
            let ends = text.len() == LENGTH || (version > 0 && dash(LENGTH));
            let is_there = version != 0xff && trace != 0 && span != 0;
            let fits = ends && is_there && dash(2) && dash(35) && dash(52);
            fits.then_some(Self {
                trace,
                span: u64::try_from(span).ok()?,
                is_sampled: flags & 1 == 1,
            })
        };
        read().ok_or(InvalidTraceParent)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TraceParent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TraceParent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_is_written_as_it_was_read_and_a_child_stays_in_the_trace() {
        let given: TraceParent = GIVEN.parse().unwrap();
        assert_eq!(given.to_string(), GIVEN);
        assert!(given.is_sampled());
        let child = given.child();
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(child.span_id(), given.span_id());
        let quiet: TraceParent = GIVEN.replace("-01", "-02").parse().unwrap();
        assert!(!quiet.is_sampled());
        let root = TraceParent::root();
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn what_a_later_version_has_more_is_left_alone_and_nothing_else_is_taken() {
        let later = format!("{}-more", GIVEN.replacen("00", "cc", 1));
        assert!(later.parse::<TraceParent>().is_ok());
        for bad in [
            "",
            "00",
            &format!("{GIVEN}-more"),
            &format!("{GIVEN}0"),
            &GIVEN.replacen("00", "ff", 1),
            &GIVEN.replace("4bf9", "4BF9"),
            &GIVEN.replace("-01", "_01"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-ä4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
