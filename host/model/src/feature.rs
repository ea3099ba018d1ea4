//! A feature of a stream: a system that writes into it, with the filter that selects its documents.
//! Runs find features, people edit, exclude and restore them; this is what becomes of one.
//!
//! # Guarantees
//! 1. What a feature has and is not known here stays as it is.
//! 2. What is excluded does not expire; what has expired is shown to nobody.
//! 3. A person's edit is checked as a whole, and every mistake in it names its field. It changes
//!    what people may change and nothing else, and `edited` says what that was: later runs keep it.
//! 4. What a person says of a feature is taken or refused: what no edit changes has to be given as
//!    it is, or not at all. What runs measure may have another value by now, and is not looked at.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::condition::Condition;
use crate::time::Timestamp;

/// Until when a feature is kept that a person has made: nothing but a person ends it.
const FOR_EVER: &str = "9999-12-30T00:00:00.000Z";

const NAME_CHARS_MAX: usize = 200;
const TITLE_CHARS_MAX: usize = 400;
const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Bytes of JSON of a filter, and of each object, as people give them.
const PART_BYTES_MAX: usize = 8 * 1024;
const TAGS_MAX: usize = 50;
const TAG_CHARS_MAX: usize = 100;

/// What a person may change, and later runs keep.
const EDITABLE: [&str; 5] = ["name", "filter", "title", "description", "tags"];
/// What a person may change of a feature that a person has made, beyond that: of others the next
/// run would say something else.
const MAKERS: [&str; 3] = ["subtype", "properties", "meta"];
/// What stays as it is, with what it is where it is left out.
const FIXED: [(&str, &str, &str); 2] = [
    (
        "type",
        "system",
        "stays what it was when the feature was made",
    ),
    (
        "status",
        "active",
        "is changed by the routes `exclude` and `restore`",
    ),
];
/// What runs measure and note: taken as it was read, and not looked at.
const NOT_A_PERSONS: [&str; 16] = [
    "uuid",
    "id",
    "confidence",
    "evidence",
    "precision",
    "recall",
    "count",
    "count_of",
    "last_seen",
    "expires_at",
    "source",
    "edited",
    "run_id",
    "excluded_at",
    "excluded_by",
    "stream_name",
];

/// A feature as it is stored, whoever wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature(Map<String, Value>);

/// Who changes a feature, and when.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The person's name.
    pub by: &'a str,
    /// Now.
    pub at: Timestamp,
    /// A feature that is not found again is forgotten after this.
    pub kept_for: Duration,
}

/// What a person wants a feature to be; checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit(Map<String, Value>);

/// A mistake in an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its field.
    pub field: String,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl Feature {
    /// Reads a stored document, with the id that it is stored under; none where it is no object.
    #[must_use]
    pub fn read(uuid: &str, body: &str) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(body).ok()?;
        fields.insert("uuid".to_owned(), Value::from(uuid));
        Some(Self(fields))
    }

    /// All of it.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// A text among its fields; empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Texts among its fields.
    #[must_use]
    pub fn texts(&self, field: &str) -> Vec<&str> {
        let list = self.0.get(field).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.collect()
    }

    /// A number of 0 or more among its fields.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        self.0.get(field).and_then(Value::as_u64)
    }

    /// What selects its documents, where that can be read.
    #[must_use]
    pub fn filter(&self) -> Option<Condition> {
        Condition::from_json(self.0.get("filter")?).ok()
    }

    /// Whether a person does not want to hear of it again.
    #[must_use]
    pub fn is_excluded(&self) -> bool {
        self.text("status") == "excluded"
    }

    /// Whether it is forgotten, since nobody has found it for long.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let expires_at = Timestamp::parse(self.text("expires_at"));
        !self.is_excluded() && expires_at.is_ok_and(|at| at <= now)
    }

    /// The feature that nobody wants to hear of again.
    #[must_use]
    pub fn excluded(mut self, change: Change<'_>) -> Self {
        if !self.is_excluded() {
            self.set("status", "excluded");
            self.set("excluded_at", change.at.to_string());
            self.set("excluded_by", change.by);
        }
        self
    }

    /// The feature as it is found again; one that has expired meanwhile is kept a while.
    #[must_use]
    pub fn restored(mut self, change: Change<'_>) -> Self {
        self.set("status", "active");
        self.0.remove("excluded_at");
        self.0.remove("excluded_by");
        if self.is_expired(change.at) {
            self.set("expires_at", change.at.plus(change.kept_for).to_string());
        }
        self
    }

    /// The feature with what a person wants of it.
    ///
    /// # Errors
    /// What no edit of this feature changes.
    pub fn edited(mut self, edit: &Edit) -> Result<Self, Vec<Mistake>> {
        let mistakes = self.beyond(edit);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut edited: Vec<String> = self
            .texts("edited")
            .into_iter()
            .map(str::to_owned)
            .collect();
        for field in EDITABLE.into_iter().chain(MAKERS) {
            let Some(value) = edit.0.get(field) else {
                continue;
            };
            // What is left out where it is empty.
            if !self.0.contains_key(field) && value.as_object().is_some_and(Map::is_empty) {
                continue;
            }
            if self.0.get(field) != Some(value) {
                self.set(field, value.clone());
                if !edited.iter().any(|one| one == field) {
                    edited.push(field.to_owned());
                }
            }
        }
        if !edited.is_empty() {
            self.set("edited", edited);
        }
        Ok(self)
    }

    /// What an edit wants to be another way and cannot change.
    fn beyond(&self, edit: &Edit) -> Vec<Mistake> {
        let empty = json!({});
        let is_another = |field: &str| {
            let given = edit.0.get(field);
            given.is_some_and(|given| given != self.0.get(field).unwrap_or(&empty))
        };
        let mut mistakes = self.unfit(edit);
        if self.text("source") != "person" {
            let wanted = MAKERS.into_iter().filter(|field| is_another(field));
            let problem = "is what runs say of it: only features that a person has made have a \
                           person's";
            mistakes.extend(wanted.map(|field| mistake(field, problem)));
        }
        mistakes
    }

    /// What an edit wants to be another way than it always is.
    fn unfit(&self, edit: &Edit) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (field, usual, problem) in FIXED {
            let current = match self.text(field) {
                "" => usual,
                current => current,
            };
            if edit.text(field).is_some_and(|given| given != current) {
                mistakes.push(mistake(field, problem));
            }
        }
        mistakes
    }

    /// A feature that a person has made.
    ///
    /// # Errors
    /// What a new one lacks.
    pub fn made(uuid: &str, edit: &Edit, change: Change<'_>) -> Result<Self, Vec<Mistake>> {
        let lacks = ["name", "filter"]
            .into_iter()
            .filter(|field| !edit.0.contains_key(*field));
        let mut mistakes: Vec<Mistake> = lacks
            .map(|field| mistake(field, "is missing: a new feature needs `name` and `filter`"))
            .collect();
        if edit.text("status").is_some_and(|status| status != "active") {
            let problem = "of a new feature is `active`: exclude it when it is there";
            mistakes.push(mistake("status", problem));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut made = Self(edit.0.clone());
        let name = made.text("name").to_owned();
        let kind = match made.text("type") {
            "" => "system".to_owned(),
            kind => kind.to_owned(),
        };
        for (field, value) in [
            ("uuid", json!(uuid)),
            ("id", json!(slug(&name))),
            ("type", json!(kind)),
            ("source", json!("person")),
            ("status", json!("active")),
            ("confidence", json!(100)),
            ("evidence", json!([])),
            ("precision", json!(1.0)),
            ("recall", json!(1.0)),
            ("count", json!(0)),
            ("last_seen", json!(change.at.to_string())),
            ("expires_at", json!(FOR_EVER)),
        ] {
            made.set(field, value);
        }
        for field in ["title", "description"] {
            if !made.0.contains_key(field) {
                made.set(field, if field == "title" { name.as_str() } else { "" });
            }
        }
        Ok(made)
    }

    /// The feature with another number of documents, counted among so many.
    #[must_use]
    pub fn counted(mut self, count: u64, of: u64) -> Self {
        self.set("count", count);
        self.set("count_of", of);
        self
    }

    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.to_owned(), value.into());
    }
}

impl Edit {
    /// Checks what a person gives: the fields to change, or a whole feature as it was read, of
    /// which what people do not change is left alone.
    ///
    /// # Errors
    /// Every mistake.
    pub fn parse(given: &Value) -> Result<Self, Vec<Mistake>> {
        let Value::Object(given) = given else {
            return Err(vec![mistake("feature", "has to be a JSON object")]);
        };
        let mut edit = Map::new();
        let mut mistakes = Vec::new();
        for (field, value) in given {
            let mut known = EDITABLE
                .iter()
                .chain(&MAKERS)
                .chain(FIXED.iter().map(|it| &it.0));
            let known = known.any(|it| it == field);
            if NOT_A_PERSONS.contains(&field.as_str()) {
                continue;
            }
            match known.then(|| checked(field, value)) {
                Some(Ok(value)) => drop(edit.insert(field.clone(), value)),
                Some(Err(problem)) => mistakes.push(mistake(field, &problem)),
                None => mistakes.push(mistake(field, "is no field of a feature")),
            }
        }
        match mistakes.is_empty() {
            true => Ok(Self(edit)),
            false => Err(mistakes),
        }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// The filter, where it is one of what is to be changed.
    #[must_use]
    pub fn filter(&self) -> Option<Condition> {
        Condition::from_json(self.0.get("filter")?).ok()
    }
}

/// A field's value as it is stored, or what is wrong with it.
fn checked(field: &str, value: &Value) -> Result<Value, String> {
    match field {
        "name" => text(value, 1, NAME_CHARS_MAX),
        "type" | "subtype" | "status" => text(value, 1, NAME_CHARS_MAX),
        "title" => text(value, 0, TITLE_CHARS_MAX),
        "description" => text(value, 0, DESCRIPTION_CHARS_MAX),
        "tags" => tags(value),
        "filter" => Condition::from_json(value)
            .map_err(|error| format!("is no condition: {error}"))
            .and_then(|condition| bounded(condition.to_json())),
        _ if value.is_object() => bounded(value.clone()),
        _ => Err("has to be a JSON object".to_owned()),
    }
}

/// Every run reads all features of its stream, and evaluates their filters.
fn bounded(value: Value) -> Result<Value, String> {
    match value.to_string().len() {
        length if length <= PART_BYTES_MAX => Ok(value),
        length => Err(format!("has {length} bytes, at most {PART_BYTES_MAX}")),
    }
}

fn text(value: &Value, least: usize, most: usize) -> Result<Value, String> {
    let text = value.as_str().map(str::trim);
    match text {
        Some(text) if (least..=most).contains(&text.chars().count()) => Ok(Value::from(text)),
        Some(_) => Err(format!("has to have {least} to {most} characters")),
        None => Err("has to be a text".to_owned()),
    }
}

fn tags(value: &Value) -> Result<Value, String> {
    let wanted = || format!("has to be a list of at most {TAGS_MAX} texts");
    let list = value.as_array().filter(|list| list.len() <= TAGS_MAX);
    let tags = list.ok_or_else(wanted)?.iter();
    let tags: Result<Vec<Value>, String> = tags.map(|tag| text(tag, 1, TAG_CHARS_MAX)).collect();
    Ok(Value::from(tags?))
}

fn mistake(field: &str, problem: &str) -> Mistake {
    Mistake {
        field: field.to_owned(),
        problem: problem.to_owned(),
    }
}

/// A readable id.
fn slug(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    match words.join("-") {
        id if id.is_empty() => "feature".to_owned(),
        id => id,
    }
}

#[cfg(test)]
mod tests;
