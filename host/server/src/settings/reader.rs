//! Reads values from flags, environment, file and default, in this order, and collects every
//! mistake with its place instead of stopping at the first.

mod fields;

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

pub(super) use fields::Fields;

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `taskhost.toml:12`, `TASKHOST_LISTEN` or `--listen`.
    pub place: String,
    /// Line in the file, from 1; 0 for a flag or the environment.
    pub line: usize,
    /// The key, with its section: `runs.slots`. Empty where the file is not TOML.
    pub key: String,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.problem)
        } else {
            write!(f, "{}: `{}` {}", self.place, self.key, self.problem)
        }
    }
}

/// The settings file's text and the name that mistakes are told with.
#[derive(Debug, Clone)]
pub struct File {
    /// As the user gave it.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Looks up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads keys one by one. Whatever key of the file nobody has asked for is unknown.
pub(super) struct Reader<'a> {
    file: Option<&'a File>,
    table: DeTable<'a>,
    environment: Environment<'a>,
    flags: Vec<(&'static str, &'static str, String)>,
    asked: Vec<&'static str>,
    mistakes: Vec<Mistake>,
}

/// A value and where it came from.
struct Found {
    raw: Raw,
    place: String,
    line: usize,
}

enum Raw {
    /// From a flag or the environment: of no type yet.
    Text(String),
    String(String),
    Integer(Option<i128>),
    Flag(bool),
    Other(&'static str),
}

impl<'a> Reader<'a> {
    /// `flags` are (key, flag as typed, value).
    pub(super) fn new(
        file: Option<&'a File>,
        environment: Environment<'a>,
        flags: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        let mut reader = Self {
            file,
            table: DeTable::new(),
            environment,
            flags,
            asked: Vec::new(),
            mistakes: Vec::new(),
        };
        if let Some(file) = file {
            let (table, errors) = DeTable::parse_recoverable(&file.text);
            reader.table = table.into_inner();
            for error in errors {
                let place = error.span().unwrap_or(0..0);
                let problem = format!("is not TOML: {}", error.message().trim());
                reader.mistake_in_file(&place, "", problem);
            }
        }
        reader
    }

    /// A whole number.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(found) = self.find(key) else {
            return default;
        };
        let number = match &found.raw {
            Raw::Text(text) => text.trim().parse::<i128>().ok(),
            Raw::Integer(number) => *number,
            Raw::String(_) | Raw::Flag(_) | Raw::Other(_) => None,
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        if let Some(number) = number.filter(|number| allowed.contains(number)) {
            return number;
        }
        let (least, most) = (allowed.start(), allowed.end());
        let wanted = format!("a whole number from {least} to {most}");
        self.refuse(key, &found, &wanted);
        default
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(found) = self.find(key) else {
            return default;
        };
        match &found.raw {
            Raw::Flag(flag) => return *flag,
            Raw::Text(text) if text == "true" => return true,
            Raw::Text(text) if text == "false" => return false,
            _ => self.refuse(key, &found, "true or false"),
        }
        default
    }

    /// The entries of a list, each with its place; of the file alone.
    pub(super) fn entries<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Vec<(T, Range<usize>)> {
        let found = self.find(key);
        let list = self.value(key).and_then(|value| value.get_ref().as_array());
        let list: Vec<_> = match (list, found) {
            (_, None) => return Vec::new(),
            (Some(list), Some(found)) if !matches!(found.raw, Raw::Text(_)) => {
                list.iter().cloned().collect()
            }
            (_, Some(found)) => {
                self.refuse(key, &found, "a list in the settings file");
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for entry in list {
            let place = entry.span();
            entries.extend(self.entry(key, entry).map(|entry| (entry, place)));
        }
        entries
    }

    /// The tables below a key, each with its name and its place; of the file alone.
    pub(super) fn tables<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Vec<(String, T, Range<usize>)> {
        let found = self.find(key);
        let table = self.value(key).and_then(|value| value.get_ref().as_table());
        let below: Vec<_> = match (table, found) {
            (_, None) => return Vec::new(),
            (Some(table), Some(found)) if !matches!(found.raw, Raw::Text(_)) => table
                .iter()
                .map(|(name, value)| (name.get_ref().to_string(), value.clone()))
                .collect(),
            (_, Some(found)) => {
                let wanted = format!("written as [{key}.NAME] in the settings file");
                self.refuse(key, &found, &wanted);
                return Vec::new();
            }
        };
        let mut tables = Vec::new();
        for (name, value) in below {
            let place = value.span();
            let entry = self.entry(&format!("{key}.{name}"), value);
            tables.extend(entry.map(|entry| (name, entry, place)));
        }
        tables
    }

    fn entry<T: DeserializeOwned>(&mut self, key: &str, value: Spanned<DeValue<'a>>) -> Option<T> {
        let place = value.span();
        let read = T::deserialize(ValueDeserializer::from(value));
        read.map_err(|error| {
            let place = error.span().unwrap_or(place);
            let problem = format!("is not right: {}", error.message());
            self.mistake_in_file(&place, key, problem);
        })
        .ok()
    }

    /// A variable of the environment that is no setting itself.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &'static str, default: &str) -> String {
        let Some(found) = self.find(key) else {
            return default.to_owned();
        };
        match &found.raw {
            Raw::Text(text) | Raw::String(text) if !text.is_empty() && !text.contains('\0') => {
                text.clone()
            }
            _ => {
                self.refuse(key, &found, "a text that is not empty, without NUL");
                default.to_owned()
            }
        }
    }

    /// An address with a port.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(found) = self.find(key) else {
            return default;
        };
        if let Raw::Text(text) | Raw::String(text) = &found.raw
            && let Ok(address) = text.replacen("localhost:", "127.0.0.1:", 1).parse()
        {
            return address;
        }
        self.refuse(key, &found, "an address such as \"127.0.0.1:7700\"");
        default
    }

    /// A mistake that only the caller can see, between two keys of the file.
    pub(super) fn contradiction(&mut self, key: &'static str, problem: String) {
        if let Some(found) = self.find(key) {
            self.mistake(&found, key, problem);
        }
    }

    /// A mistake in a secret, told where it came from: a file that a key names, or a variable.
    pub(super) fn mistake_of_secret(&mut self, key: &'static str, variable: &str, problem: &str) {
        match self.find(key) {
            Some(found) => self.mistake(&found, key, problem.to_owned()),
            None => self.mistake_in_variable(variable, problem.to_owned()),
        }
    }

    /// Whether the command line has it.
    pub(super) fn is_flag(&self, key: &str) -> bool {
        self.flags.iter().any(|(of, _, _)| *of == key)
    }

    /// All mistakes, in the file's order, those of flags and environment first.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        let table = std::mem::take(&mut self.table);
        self.refuse_unknown(&table, "");
        let not_toml: Vec<usize> = self
            .mistakes
            .iter()
            .filter(|m| m.key.is_empty())
            .map(|m| m.line)
            .collect();
        // On a line that is not TOML, what was read of it says nothing.
        self.mistakes
            .retain(|m| m.key.is_empty() || !not_toml.contains(&m.line));
        self.mistakes.sort_by_key(|mistake| mistake.line);
        self.mistakes.dedup();
        self.mistakes
    }

    /// Every key that was asked for.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        self.asked.clone()
    }

    fn find(&mut self, key: &'static str) -> Option<Found> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        if let Some((_, flag, value)) = self.flags.iter().find(|(of, _, _)| *of == key) {
            let raw = Raw::Text(value.clone());
            return Some(Found {
                raw,
                place: (*flag).to_owned(),
                line: 0,
            });
        }
        let variable = variable(key);
        if let Some(value) = (self.environment)(&variable) {
            return Some(Found {
                raw: Raw::Text(value),
                place: variable,
                line: 0,
            });
        }
        let value = self.value(key)?;
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::String(text.clone().into_owned()),
            DeValue::Integer(number) => {
                Raw::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Boolean(flag) => Raw::Flag(*flag),
            other => Raw::Other(other.type_str()),
        };
        let (place, line) = self.place(&value.span());
        Some(Found { raw, place, line })
    }

    /// What the file has.
    fn value(&self, key: &str) -> Option<&Spanned<DeValue<'a>>> {
        match key.split_once('.') {
            Some((section, key)) => self.table.get(section)?.get_ref().as_table()?.get(key),
            None => self.table.get(key),
        }
    }

    fn refuse(&mut self, key: &str, found: &Found, wanted: &str) {
        let given = match &found.raw {
            Raw::Text(text) | Raw::String(text) => format!("{text:?}"),
            Raw::Integer(Some(number)) => number.to_string(),
            Raw::Integer(None) => "too large".to_owned(),
            Raw::Flag(flag) => flag.to_string(),
            Raw::Other(kind) => format!("of type {kind}"),
        };
        self.mistake(found, key, format!("has to be {wanted}, and is {given}"));
    }

    fn mistake(&mut self, found: &Found, key: &str, problem: String) {
        let (place, line) = (found.place.clone(), found.line);
        self.mistakes.push(Mistake {
            place,
            line,
            key: key.to_owned(),
            problem,
        });
    }

    pub(super) fn mistake_in_file(&mut self, span: &Range<usize>, key: &str, problem: String) {
        let (place, line) = self.place(span);
        self.mistakes.push(Mistake {
            place,
            line,
            key: key.to_owned(),
            problem,
        });
    }

    /// A mistake in a variable that is no setting itself.
    pub(super) fn mistake_in_variable(&mut self, name: &str, problem: String) {
        self.mistakes.push(Mistake {
            place: name.to_owned(),
            line: 0,
            key: String::new(),
            problem,
        });
    }

    fn place(&self, span: &Range<usize>) -> (String, usize) {
        let Some(file) = self.file else {
            return (String::new(), 0);
        };
        let before = file.text.as_bytes().iter().take(span.start);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        (format!("{}:{line}", file.name), line)
    }

    fn refuse_unknown(&mut self, table: &DeTable<'a>, section: &str) {
        for (key, value) in table {
            let full = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            let is_section = self
                .asked
                .iter()
                .any(|asked| asked.starts_with(&format!("{full}.")));
            if is_section {
                self.check_section(&full, value);
            } else if !self.asked.contains(&full.as_str()) {
                let nearest = nearest(&full, &self.asked);
                let problem = match nearest {
                    Some(nearest) => format!("is no setting: did you mean `{nearest}`?"),
                    None => "is no setting: `examples/taskhost.toml` lists them all".to_owned(),
                };
                self.mistake_in_file(&key.span(), &full, problem);
            }
        }
    }

    fn check_section(&mut self, name: &str, value: &Spanned<DeValue<'a>>) {
        match value.get_ref().as_table() {
            Some(table) => self.refuse_unknown(table, name),
            None => {
                let problem = format!("is a section: write [{name}] and its keys below");
                self.mistake_in_file(&value.span(), name, problem);
            }
        }
    }
}

/// The variable of a key: `runs.slots` is `TASKHOST_RUNS_SLOTS`.
pub(super) fn variable(key: &str) -> String {
    format!("TASKHOST_{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// What to say of a variable that looks like a setting and is none; `known` are keys.
pub(super) fn unknown_variable(name: &str, known: &[&str], others: &[&str]) -> Option<String> {
    let end = name.strip_prefix("TASKHOST")?.strip_prefix('_')?;
    let variables: Vec<String> = known.iter().map(|key| variable(key)).collect();
    let mut known: Vec<&str> = variables.iter().map(String::as_str).collect();
    known.extend(others);
    if known.contains(&name) {
        return None;
    }
    let without_section = known
        .iter()
        .find(|known| known.strip_suffix(end).is_some_and(|k| k.ends_with('_')));
    let meant = match without_section.copied().or_else(|| nearest(name, &known)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "a setting's variable is its key in capitals, as TASKHOST_RUNS_SLOTS for \
                 `runs.slots`"
            .to_owned(),
    };
    Some(format!("{name} is no setting and does nothing: {meant}"))
}

/// The known key that differs least, if it differs little. A key in the wrong section counts
/// as near.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let same_name = known.iter().find(|other| last(other) == last(key));
    if let Some(other) = same_name {
        return Some(other);
    }
    let edits = |other: &&str| strsim::levenshtein(key, other);
    let nearest = known.iter().copied().min_by_key(edits);
    nearest.filter(|other| edits(other) <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_variable_is_told_what_was_meant() {
        let (known, others) = (["listen", "runs.slots"], ["TASKHOST_LOG"]);
        for (name, meant) in [
            ("TASKHOST_RUNS_SLOT", "did you mean TASKHOST_RUNS_SLOTS?"),
            ("TASKHOST_SLOTS", "did you mean TASKHOST_RUNS_SLOTS?"),
            ("TASKHOST_LOGS", "did you mean TASKHOST_LOG?"),
            ("TASKHOST_SOMETHING", "its key in capitals"),
        ] {
            let said = unknown_variable(name, &known, &others).unwrap();
            assert!(said.starts_with(name) && said.contains(meant), "{said}");
        }
        for name in [
            "TASKHOST_LISTEN",
            "TASKHOST_RUNS_SLOTS",
            "TASKHOST_LOG",
            "TASKHOSTS_X",
        ] {
            assert_eq!(unknown_variable(name, &known, &others), None, "{name}");
        }
    }

    #[test]
    fn the_nearest_key_is_offered_when_it_is_near() {
        let known = ["listen", "runs.slots", "http.connections_max"];
        for (given, offered) in [
            ("lisen", Some("listen")),
            ("slots", Some("runs.slots")),
            ("http.slots", Some("runs.slots")),
            ("runs.slot", Some("runs.slots")),
            ("something", None),
        ] {
            assert_eq!(nearest(given, &known), offered, "{given}");
        }
    }
}
