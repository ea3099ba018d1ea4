//! Tables of the file whose fields are read one by one, so that each mistake in them is told.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{Spanned, Value};

use super::{Reader, nearest};

/// One table: an entry of a list, or one below a key.
#[derive(Debug)]
pub(in crate::settings) struct Fields {
    /// As mistakes name it: `allow`, `connectors.small`.
    key: String,
    place: Range<usize>,
    left: BTreeMap<String, Spanned<Value>>,
    asked: Vec<&'static str>,
    is_wrong: bool,
}

impl Fields {
    fn new(key: String, left: BTreeMap<String, Spanned<Value>>, place: Range<usize>) -> Self {
        Self {
            key,
            place,
            left,
            asked: Vec::new(),
            is_wrong: false,
        }
    }
}

impl Reader<'_> {
    /// The tables of a list.
    pub(in crate::settings) fn rows(&mut self, key: &'static str) -> Vec<Fields> {
        let rows = self.entries(key).into_iter();
        rows.map(|(left, place)| Fields::new(key.to_owned(), left, place))
            .collect()
    }

    /// The tables below a key, each with its name.
    pub(in crate::settings) fn named(&mut self, key: &'static str) -> Vec<(String, Fields)> {
        let tables = self.tables(key).into_iter();
        let fields = |(name, left, place): (String, _, _)| {
            let key = format!("{key}.{name}");
            (name, Fields::new(key, left, place))
        };
        tables.map(fields).collect()
    }

    /// A field; none where it is not there, or is wrong.
    pub(in crate::settings) fn field<T: DeserializeOwned>(
        &mut self,
        of: &mut Fields,
        name: &'static str,
    ) -> Option<T> {
        of.asked.push(name);
        let value = of.left.remove(name)?;
        let place = value.span();
        self.read_as(of, name, value.into_inner(), &place)
    }

    /// The same where it has to be there.
    pub(in crate::settings) fn needed<T: DeserializeOwned>(
        &mut self,
        of: &mut Fields,
        name: &'static str,
    ) -> Option<T> {
        if !of.left.contains_key(name) {
            let place = of.place.clone();
            self.wrong(of, &place, format!("is not right: missing field `{name}`"));
        }
        self.field(of, name)
    }

    /// Each of a list, without those that are wrong.
    pub(in crate::settings) fn list<T: DeserializeOwned>(
        &mut self,
        of: &mut Fields,
        name: &'static str,
    ) -> Vec<T> {
        of.asked.push(name);
        let Some(value) = of.left.remove(name) else {
            return Vec::new();
        };
        let place = value.span();
        let list = self.read_as::<Vec<Value>>(of, name, value.into_inner(), &place);
        let each = list.unwrap_or_default().into_iter();
        each.filter_map(|one| self.read_as(of, name, one, &place))
            .collect()
    }

    /// A mistake that only the caller can see.
    pub(in crate::settings) fn mistake_in(&mut self, of: &mut Fields, problem: String) {
        let place = of.place.clone();
        self.wrong(of, &place, problem);
    }

    /// What the caller has found, or none and its mistake told.
    pub(in crate::settings) fn told<T>(
        &mut self,
        of: &mut Fields,
        found: Result<T, String>,
    ) -> Option<T> {
        found.map_err(|problem| self.mistake_in(of, problem)).ok()
    }

    /// What nobody has asked for is wrong. Whether nothing was.
    pub(in crate::settings) fn is_right(&mut self, mut of: Fields) -> bool {
        for (name, value) in std::mem::take(&mut of.left) {
            let meant = match nearest(&name, &of.asked) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("these are known: {}", of.asked.join(", ")),
            };
            let problem = format!("is not right: unknown field `{name}`: {meant}");
            self.wrong(&mut of, &value.span(), problem);
        }
        !of.is_wrong
    }

    fn read_as<T: DeserializeOwned>(
        &mut self,
        of: &mut Fields,
        name: &str,
        value: Value,
        place: &Range<usize>,
    ) -> Option<T> {
        let read = T::deserialize(value);
        read.map_err(|error| {
            let problem = format!("is not right: `{name}`: {}", error.message());
            self.wrong(of, place, problem);
        })
        .ok()
    }

    fn wrong(&mut self, of: &mut Fields, place: &Range<usize>, problem: String) {
        of.is_wrong = true;
        let key = of.key.clone();
        self.mistake_in_file(place, &key, problem);
    }
}
