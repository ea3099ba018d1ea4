//! Features of the whole stream that need no model: its fields, samples of its lines, the patterns
//! of them, and its errors. They come along with the systems, and may fail without them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use taskhost_sdk::{Clients, Condition, Error, Query, Stream};
use uuid::Uuid;

use crate::feature::{Feature, Source, Status};
use crate::fields::{fields, text_at};
use crate::reconcile::Times;
use crate::words::pattern;
use crate::words_of_models::clean;

/// Uuids are made of stream and type, below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x2d1c_5b0a_8f7e_4d43_9b6a_0c2e_7a91_44f3);
/// Documents that the statistics of fields look at, fields that are kept, values of each.
const STATISTICS_SIZE: u32 = 2_000;
const FIELDS_MAX: usize = 50;
const VALUES_MAX: u32 = 5;
/// Lines and patterns that are kept.
const LINES_MAX: usize = 20;
/// Of a line, so many characters.
const LINE_CHARS_MAX: usize = 300;
const VALUE_CHARS_MAX: usize = 100;
/// Words of lines that tell of an error.
const ERROR_WORDS: [&str; 6] = [
    "error",
    "fatal",
    "exception",
    "panic",
    "critical",
    "traceback",
];
/// Fields that tell how grave a line is.
const LEVEL_FIELDS: [&str; 4] = ["log.level", "level", "severity", "severity_text"];
const ERROR_LEVELS: [&str; 9] = [
    "error", "ERROR", "Error", "fatal", "FATAL", "critical", "CRITICAL", "err", "ERR",
];

/// What is known of the stream.
#[derive(Debug)]
pub struct Computing<'a> {
    /// Its name and documents.
    pub stream: &'a Stream,
    /// The sample.
    pub documents: &'a [Value],
    /// The range.
    pub range: (i64, i64),
    /// When, and by which run.
    pub times: &'a Times,
}

impl Computing<'_> {
    /// All of them, those that cannot be computed left out.
    ///
    /// # Errors
    /// Only that the run shall stop.
    pub fn all(&self, clients: &Clients) -> Result<Vec<Feature>, Error> {
        let mut features = Vec::new();
        if self.documents.is_empty() {
            return Ok(features);
        }
        match self.analysis() {
            Ok(analysis) => features.push(analysis),
            Err(error) if error.is_canceled() || error.is_deadline() => return Err(error),
            Err(error) => taskhost_sdk::warn!("the fields cannot be analyzed: {error}"),
        }
        clients.progress.heartbeat()?;
        let lines = lines(self.documents);
        let patterns = patterns(&lines);
        features.push(self.samples(&patterns));
        features.push(self.patterns(&patterns, lines.len()));
        clients.progress.heartbeat()?;
        features.extend(self.errors()?);
        Ok(features)
    }

    fn analysis(&self) -> Result<Feature, Error> {
        let query = Query::new(self.range.0, self.range.1)
            .size(STATISTICS_SIZE)
            .max_values(VALUES_MAX);
        let stats = self.stream.field_stats(&query)?;
        let shown = stats.fields.iter().take(FIELDS_MAX).map(|one| {
            let top = one.top.iter().map(|value| match &value.value {
                Value::String(text) => json!(clean(text, VALUE_CHARS_MAX)),
                value => value.clone(),
            });
            json!({"field": one.field, "present": one.present, "types": one.types,
                "distinct": one.distinct, "top": top.collect::<Vec<_>>()})
        });
        let shown: Vec<Value> = shown.collect();
        let left_out = stats.fields.len() as u64 - shown.len() as u64 + stats.fields_left_out;
        let description = format!(
            "{} fields in {} documents that were looked at.",
            shown.len() as u64 + left_out,
            stats.documents
        );
        let properties = [
            ("documents", json!(stats.documents)),
            ("fields", json!(shown)),
            ("fields_left_out", json!(left_out)),
        ];
        let named = ("dataset_analysis", "Fields of the documents");
        Ok(self.feature(named, description, properties))
    }

    fn samples(&self, patterns: &[Pattern<'_>]) -> Feature {
        let lines: Vec<String> = some(patterns).map(|one| shown(one.line)).collect();
        let description = format!("{} lines, each of another pattern.", lines.len());
        let named = ("log_samples", "Samples of the lines");
        self.feature(named, description, [("samples", json!(lines))])
    }

    fn patterns(&self, patterns: &[Pattern<'_>], lines: usize) -> Feature {
        let shares = some(patterns).map(|one| {
            let share = (10_000 * one.count / lines.max(1)) as f64 / 10_000.0;
            json!({"like": shown(one.line), "count": one.count, "share": share})
        });
        let shares: Vec<Value> = shares.collect();
        let description = format!("{} patterns in {lines} lines.", patterns.len());
        let properties = [("patterns", json!(shares)), ("lines", json!(lines))];
        let named = ("log_patterns", "Patterns of the lines");
        self.feature(named, description, properties)
    }

    /// None where nothing in the sample looks like one.
    fn errors(&self) -> Result<Option<Feature>, Error> {
        let text = fields(self.documents).text;
        let words = text.iter().flat_map(|text| {
            let contains = |word: &&str| Condition::contains(text.as_str(), *word);
            ERROR_WORDS.iter().map(contains).collect::<Vec<_>>()
        });
        let is_there = |field: &&&str| {
            let exists = Condition::exists(**field, true);
            self.documents
                .iter()
                .any(|document| exists.matches(document))
        };
        let levels = LEVEL_FIELDS.iter().filter(is_there).flat_map(|field| {
            let is = |level: &&str| Condition::eq(*field, *level);
            ERROR_LEVELS.iter().map(is).collect::<Vec<_>>()
        });
        let filter = Condition::or(words.chain(levels).collect());
        let errors: Vec<&Value> = {
            let all = self.documents.iter();
            all.filter(|document| filter.matches(document)).collect()
        };
        if errors.is_empty() {
            return Ok(None);
        }
        let path = text.unwrap_or_default();
        let lines: Vec<&str> = errors.iter().filter_map(|it| text_at(it, &path)).collect();
        let patterns = patterns(&lines);
        let shown: Vec<String> = some(&patterns).map(|one| shown(one.line)).collect();
        let query = Query::new(self.range.0, self.range.1).matching(filter.clone());
        let count = match self.stream.count(&query) {
            Ok(count) => count.value,
            Err(error) if error.is_canceled() || error.is_deadline() => return Err(error),
            Err(error) => {
                taskhost_sdk::warn!("the errors cannot be counted: {error}");
                return Ok(None);
            }
        };
        let description = format!(
            "{count} documents look like errors; in the sample they have {} patterns.",
            patterns.len()
        );
        let properties = [("samples", json!(shown)), ("sampled", json!(errors.len()))];
        let named = ("error_logs", "Errors");
        let mut feature = self.feature(named, description, properties);
        feature.filter = filter;
        feature.count = count;
        Ok(Some(feature))
    }

    fn feature(
        &self,
        (kind, title): (&str, &str),
        description: String,
        properties: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Feature {
        let name = format!("{} {kind}", self.stream.name());
        let properties = properties
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Feature {
            uuid: Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string(),
            id: kind.replace('_', "-"),
            kind: kind.to_owned(),
            subtype: None,
            name: title.to_owned(),
            title: title.to_owned(),
            description,
            filter: Condition::always(),
            confidence: 100,
            evidence: Vec::new(),
            precision: 1.0,
            recall: 1.0,
            count: self.documents.len() as u64,
            count_of: None,
            properties: properties.collect(),
            tags: Vec::new(),
            meta: Map::new(),
            source: Source::Computed,
            status: Status::Active,
            excluded_at: None,
            excluded_by: None,
            edited: Vec::new(),
            run_id: self.times.run_id.clone(),
            last_seen: self.times.last_seen.clone(),
            expires_at: self.times.expires_at.clone(),
        }
    }
}

/// Lines of one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern<'a> {
    line: &'a str,
    count: usize,
}

fn lines(documents: &[Value]) -> Vec<&str> {
    let path = fields(documents).text.unwrap_or_default();
    let lines = documents
        .iter()
        .filter_map(|document| text_at(document, &path));
    lines.collect()
}

/// The most frequent first.
fn patterns<'a>(lines: &[&'a str]) -> Vec<Pattern<'a>> {
    let mut patterns: BTreeMap<u64, Pattern<'a>> = BTreeMap::new();
    for line in lines {
        let new = Pattern { line, count: 0 };
        patterns
            .entry(pattern(line.as_bytes()))
            .or_insert(new)
            .count += 1;
    }
    let mut patterns: Vec<Pattern<'a>> = patterns.into_values().collect();
    patterns.sort_by(|a, b| (b.count, a.line).cmp(&(a.count, b.line)));
    patterns
}

fn some<'p, 'a>(patterns: &'p [Pattern<'a>]) -> impl Iterator<Item = &'p Pattern<'a>> {
    patterns.iter().take(LINES_MAX)
}

fn shown(line: &str) -> String {
    clean(line, LINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_pattern_are_counted_together() {
        let lines = ["took 17 ms", "b", "took 18 ms"];
        let found = patterns(&lines);
        let counts: Vec<(&str, usize)> = found.iter().map(|one| (one.line, one.count)).collect();
        assert_eq!(counts, [("took 17 ms", 2), ("b", 1)]);
    }
}
