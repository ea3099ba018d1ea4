//! How the pages say times, spans, numbers, conditions, and what to do about an error.

use jiff::Timestamp as Instant;
use maud::{Markup, html};
use serde_json::Value;
use taskhost_model::condition::{Condition, Range, Test};
use taskhost_model::error::ErrorKind;
use taskhost_model::time::Timestamp;

/// Longer ones are cut; the whole condition stands beside it.
const CONDITION_CHARS_MAX: usize = 240;

/// A time, for people and machines.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (said(at)) } }
}

/// `28 Nov 2026, 22:43:41 UTC`
pub(super) fn said(at: Timestamp) -> String {
    Instant::from_millisecond(at.as_ms()).map_or_else(
        |_| at.to_string(),
        |at| at.strftime("%-d %b %Y, %H:%M:%S UTC").to_string(),
    )
}

/// As an input of a local date and time takes it; the pages mean UTC.
pub(super) fn input_time(at: Timestamp) -> String {
    Instant::from_millisecond(at.as_ms())
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string())
        .unwrap_or_default()
}

/// `1 h 2 min`, `2 min 5 s`, `3.2 s`; the script says spans alike.
pub(super) fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..10 => format!("{}.{} s", s, ms % 1_000 / 100),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}

/// `12,345`
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut said = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// `1 document`, `2 documents`
pub(super) fn counted(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", number(count)),
    }
}

/// Tenths of a percent that `part` is of `whole`, at most all of it.
pub(super) fn permille(part: u64, whole: u64) -> u64 {
    let share = u128::from(part.min(whole)) * 1_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(1_000)
}

/// `12.3 %`
pub(super) fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A condition in words.
pub(super) fn condition(condition: &Condition) -> String {
    let mut said = String::new();
    say(condition, &mut said);
    if said.chars().count() > CONDITION_CHARS_MAX {
        said = said.chars().take(CONDITION_CHARS_MAX).collect();
        said.push('…');
    }
    said
}

fn say(condition: &Condition, said: &mut String) {
    // What is cut need not be said.
    if said.len() > CONDITION_CHARS_MAX * 4 {
        return;
    }
    match condition {
        Condition::Always => said.push_str("every document"),
        Condition::Never => said.push_str("no document"),
        Condition::And(all) => say_all(all, " and ", "every document", said),
        Condition::Or(any) => say_all(any, " or ", "no document", said),
        Condition::Not(inner) => {
            said.push_str("not (");
            say(inner, said);
            said.push(')');
        }
        Condition::Field { field, test } => {
            said.push_str(field);
            said.push(' ');
            say_test(test, said);
        }
    }
}

fn say_all(parts: &[Condition], between: &str, none: &str, said: &mut String) {
    if parts.is_empty() {
        said.push_str(none);
    }
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            said.push_str(between);
        }
        let is_nested = parts.len() > 1 && matches!(part, Condition::And(_) | Condition::Or(_));
        if is_nested {
            said.push('(');
        }
        say(part, said);
        if is_nested {
            said.push(')');
        }
    }
}

fn say_test(test: &Test, said: &mut String) {
    let words = match test {
        Test::Eq(value) => format!("is {}", literal(value)),
        Test::Neq(value) => format!("is not {}", literal(value)),
        Test::Lt(value) => format!("< {}", literal(value)),
        Test::Lte(value) => format!("≤ {}", literal(value)),
        Test::Gt(value) => format!("> {}", literal(value)),
        Test::Gte(value) => format!("≥ {}", literal(value)),
        Test::Range(range) => bounds(range),
        Test::Contains(text) => format!("contains “{text}”"),
        Test::StartsWith(text) => format!("starts with “{text}”"),
        Test::EndsWith(text) => format!("ends with “{text}”"),
        Test::Exists(true) => "has a value".to_owned(),
        Test::Exists(false) => "has no value".to_owned(),
    };
    said.push_str(&words);
}

fn bounds(range: &Range) -> String {
    let bounds = [
        (">", &range.gt),
        ("≥", &range.gte),
        ("<", &range.lt),
        ("≤", &range.lte),
    ];
    let said = bounds
        .iter()
        .filter_map(|(sign, bound)| Some(format!("{sign} {}", literal(bound.as_ref()?))));
    said.collect::<Vec<_>>().join(" and ")
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("“{text}”"),
        value => value.to_string(),
    }
}

/// What whoever sees this error can do.
pub(super) fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Task => {
            "The task gave up by itself. If the range or the model is at fault, choose another \
             and start again. The log of the run may say more."
        }
        ErrorKind::Trap | ErrorKind::InvalidResult => {
            "The component of this task type is broken: starting again seldom helps. Tell its \
             author, with the log of the run."
        }
        ErrorKind::OutOfMemory | ErrorKind::OutOfCpu => {
            "Choose a shorter range and start again, or ask whoever runs this host to allow the \
             task type more."
        }
        ErrorKind::Deadline => {
            "It took too long. Choose a shorter range and start again; if the store or a model \
             was slow, later may be better."
        }
        ErrorKind::QueueTimeout => {
            "No host had room for it in time. Start again later, or ask whoever runs this host."
        }
        ErrorKind::NoProgress => {
            "It stood still for too long. Start again; if it happens again, tell the author of \
             the task type."
        }
        ErrorKind::HostLost => {
            "The hosts that ran it went away. Start again once the hosts are well."
        }
        ErrorKind::Incompatible => {
            "The task type has changed since this was scheduled. Start again from here."
        }
        ErrorKind::Identity => {
            "The right to read the stream was lost. Start again in your own name."
        }
        ErrorKind::Internal => {
            "The host is at fault. Start again; if it happens again, tell whoever runs the host."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_said_as_people_do() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(span(3_250), "3.2 s");
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(125_000), "2 min 5 s");
        assert_eq!(span(3_720_000), "1 h 2 min");
        assert_eq!(percent(permille(1, 3)), "33.3 %");
        assert_eq!(permille(7, 0), 0);
        assert_eq!(permille(9, 3), 1_000, "counted later than the whole");
        let at = Timestamp::from_ms(1_000_000_000_000);
        assert_eq!(said(at), "9 Sep 2001, 01:46:40 UTC");
        assert_eq!(input_time(at), "2001-09-09T01:46:40");
    }

    #[test]
    fn a_condition_is_said_in_words_and_cut() {
        let either = Condition::or(vec![
            Condition::contains("message", "sshd["),
            Condition::and(vec![
                Condition::eq("host.name", 7),
                Condition::not(Condition::exists("x", true)),
            ]),
        ]);
        assert_eq!(
            condition(&either),
            "message contains “sshd[” or (host.name is 7 and not (x has a value))"
        );
        let long = condition(&Condition::contains("m", "ä".repeat(900)));
        assert_eq!(long.chars().count(), CONDITION_CHARS_MAX + 1);
    }
}
