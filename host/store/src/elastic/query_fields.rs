//! What Elasticsearch knows of the fields that a condition names: enough to tell which documents
//! cannot match.
//!
//! # Where it comes from
//! Field capabilities answer whoever may read, but only name families of types. What they leave
//! out (a normalizer, an analyzer) stands in the mapping and the settings, which a reader may or
//! may not be shown. What is not known is taken for the worst.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskhost_model::condition::Condition;

/// The longest name that is asked for.
const NAME_BYTES_MAX: usize = 200;
/// So long may all of them be, which stand in the request's line: a server takes 4 KiB by default.
const ALL_NAMES_BYTES_MAX: usize = 2_500;
/// Sub-field that Elasticsearch gives to texts by default.
const KEYWORD: &str = ".keyword";
/// More indices are not listed in a query.
const INDICES_MAX: usize = 1_000;

/// How the documents of a stream have a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// What can be asked of it.
    pub kind: Kind,
    /// In these indices, and of others nothing is known.
    pub indices: Vec<String>,
}

/// What can be asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Every text is a term.
    Keyword {
        /// It is known that terms are the texts themselves: there is no normalizer.
        plain: bool,
    },
    /// Texts are taken apart.
    Text {
        /// It is known that the standard analyzer does it.
        standard: bool,
        /// A sub-field with the texts as terms, and whether it is plain.
        keyword: Option<(String, bool)>,
    },
    /// Numbers.
    Number(Numbers),
    /// `true` and `false`.
    Boolean,
    /// That there is a value can be asked, and no more.
    Indexed,
}

/// What a type of numbers holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numbers {
    /// The least, and the greatest with the sign changed.
    pub limit: f64,
    /// Fractions are cut off.
    pub whole: bool,
    /// How far a stored number may be from the document's, relative to it …
    pub error: f64,
    /// … and beyond that.
    pub cut: f64,
}

/// What is known of the fields of a stream, by name; a field that is not here may hold anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(pub BTreeMap<String, Known>);

/// Names to ask for: the fields that a condition tests, the objects in which they lie and the
/// sub-fields of texts.
pub(crate) fn names(condition: &Condition) -> Vec<String> {
    let mut tested = BTreeSet::new();
    collect(condition, &mut tested);
    let mut names = BTreeSet::new();
    let mut bytes_left = ALL_NAMES_BYTES_MAX;
    for field in tested.into_iter().filter(|it| is_plain_name(it)) {
        let of_field = heads(field).map(str::to_owned);
        let of_field: Vec<_> = of_field
            .chain([field.to_owned(), format!("{field}{KEYWORD}")])
            .collect();
        let bytes = of_field.iter().map(|name| name.len() + 1).sum();
        if let Some(left) = bytes_left.checked_sub(bytes) {
            bytes_left = left;
            names.extend(of_field);
        }
    }
    names.into_iter().collect()
}

fn collect<'a>(condition: &'a Condition, fields: &mut BTreeSet<&'a str>) {
    match condition {
        Condition::Always | Condition::Never => {}
        Condition::And(parts) | Condition::Or(parts) => {
            for part in parts {
                collect(part, fields);
            }
        }
        Condition::Not(inner) => collect(inner, fields),
        Condition::Field { field, .. } => {
            fields.insert(field);
        }
    }
}

/// Elasticsearch reads `*` and `,` in names, and stores no empty part of a path.
fn is_plain_name(field: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    field.len() <= NAME_BYTES_MAX
        && field.bytes().all(is_plain)
        && !field.split('.').any(str::is_empty)
}

/// The paths of the objects in which a field lies.
fn heads(field: &str) -> impl Iterator<Item = &str> {
    field.match_indices('.').map(|(at, _)| &field[..at])
}

/// The concrete indices that an answer of `_field_caps` names.
pub(crate) fn indices(capabilities: &Value) -> impl Iterator<Item = &str> {
    strings(&capabilities["indices"])
}

/// Types that the indices give to `field`, in an answer of `_field_caps`.
pub(crate) fn types<'a>(
    capabilities: &'a Value,
    field: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let types = capabilities["fields"][field].as_object();
    let types = types.into_iter().flatten();
    types
        .map(|(name, about)| (name.as_str(), about))
        .filter(|(name, _)| *name != "unmapped")
}

impl Fields {
    /// From answers of `_field_caps`, `_mapping/field` and `_settings/index.analysis.*`, flat;
    /// the latter two where the reader may see them.
    pub(crate) fn read(
        names: &[String],
        capabilities: &Value,
        mapping: Option<&Value>,
        settings: Option<&Value>,
    ) -> Self {
        let source = Source {
            capabilities,
            mapping,
            settings,
        };
        let known = names
            .iter()
            .filter_map(|name| Some((name.clone(), source.known(name)?)));
        Self(known.collect())
    }
}

struct Source<'a> {
    capabilities: &'a Value,
    mapping: Option<&'a Value>,
    settings: Option<&'a Value>,
}

impl Source<'_> {
    fn known(&self, field: &str) -> Option<Known> {
        let in_objects = heads(field)
            .all(|head| types(self.capabilities, head).all(|(name, _)| name == "object"));
        let (family, about) = self.one_type(field).filter(|_| in_objects)?;
        let all = || indices(self.capabilities).map(str::to_owned).collect();
        let indices: Vec<String> = match &about["indices"] {
            Value::Null => all(),
            some => strings(some).map(str::to_owned).collect(),
        };
        if about["searchable"] != true || indices.is_empty() || indices.len() > INDICES_MAX {
            return None;
        }
        self.is_of_the_mapping(field, &indices).then_some(())?;
        let kind = match family {
            "keyword" => self.keyword(field, &indices)?,
            "text" => self.text(field, &indices),
            "boolean" => Kind::Boolean,
            "date" | "date_nanos" | "ip" | "version" | "unsigned_long" => Kind::Indexed,
            _ => Kind::Number(Numbers::of(family)?),
        };
        Some(Known { kind, indices })
    }

    /// The type of a field, where all indices that have it agree.
    fn one_type(&self, field: &str) -> Option<(&str, &Value)> {
        let mut types = types(self.capabilities, field);
        let first = types.next()?;
        types.next().is_none().then_some(first)
    }

    /// Where the mapping is known: what is not in it is a runtime field, whose script may say
    /// anything, and an alias has the values of another field.
    fn is_of_the_mapping(&self, field: &str, indices: &[String]) -> bool {
        let is_mapped = |index: &String| {
            let mapped = self.mapped(index, field);
            mapped.is_some_and(|mapped| mapped["type"] != "alias")
        };
        self.mapping.is_none() || indices.iter().all(is_mapped)
    }

    /// The type in the mapping may be another one of the same family.
    fn keyword(&self, field: &str, indices: &[String]) -> Option<Kind> {
        let mut plain = self.mapping.is_some();
        for index in indices {
            let Some(mapped) = self.mapped(index, field) else {
                plain = false;
                continue;
            };
            match mapped["type"].as_str() {
                Some("keyword") => plain &= mapped["normalizer"].is_null(),
                Some("constant_keyword") => {}
                // Not every version marks the texts that are too long for a wildcard field.
                Some("wildcard") if mapped["ignore_above"].is_null() => {}
                _ => return None,
            }
        }
        Some(Kind::Keyword { plain })
    }

    fn text(&self, field: &str, indices: &[String]) -> Kind {
        let is_standard = |index: &String| {
            let mapped = self.mapped(index, field);
            let known = mapped.is_some_and(|mapped| {
                let kinds = ["text", "match_only_text"].map(Some);
                let analyzers = [None, Some("standard"), Some("default")];
                kinds.contains(&mapped["type"].as_str())
                    && analyzers.contains(&mapped["analyzer"].as_str())
            });
            known && self.analyzers_are_untouched(index)
        };
        let sibling = format!("{field}{KEYWORD}");
        let keyword = self.one_type(&sibling).filter(|(family, about)| {
            let everywhere = match &about["indices"] {
                Value::Null => true,
                some => indices
                    .iter()
                    .all(|index| strings(some).any(|one| one == index)),
            };
            *family == "keyword" && about["searchable"] == true && everywhere
        });
        let keyword = keyword.filter(|_| self.is_of_the_mapping(&sibling, indices));
        let keyword = keyword.and_then(|_| match self.keyword(&sibling, indices)? {
            Kind::Keyword { plain } => Some((sibling, plain)),
            _ => None,
        });
        Kind::Text {
            standard: indices.iter().all(is_standard),
            keyword,
        }
    }

    fn mapped(&self, index: &str, field: &str) -> Option<&Value> {
        let leaf = field.rsplit('.').next()?;
        let found = &self.mapping?[index]["mappings"][field]["mapping"];
        Some(found.get(leaf)?).filter(|mapped| mapped.is_object())
    }

    /// Settings may put another analyzer in the place of the standard one.
    fn analyzers_are_untouched(&self, index: &str) -> bool {
        let Some(settings) = self.settings else {
            return false;
        };
        let touched =
            ["default", "standard"].map(|name| format!("index.analysis.analyzer.{name}."));
        let settings = settings[index]["settings"].as_object();
        let mut keys = settings.into_iter().flatten().map(|(key, _)| key);
        !keys.any(|key| touched.iter().any(|start| key.starts_with(start)))
    }
}

impl Numbers {
    /// Of a type. A scaled number is as far off as its mapping says, which is not known.
    fn of(family: &str) -> Option<Self> {
        let whole = |limit| Self {
            limit,
            whole: true,
            error: f64::EPSILON,
            cut: 1.0,
        };
        let broken = |limit, error, cut| Self {
            limit,
            whole: false,
            error,
            cut,
        };
        Some(match family {
            "long" => whole(9.2e18),
            "integer" => whole(2_147_483_647.0),
            "short" => whole(32_767.0),
            "byte" => whole(127.0),
            "double" => broken(f64::MAX, f64::EPSILON, f64::MIN_POSITIVE),
            "float" => broken(3.402e38, 1e-6, 1e-37),
            "half_float" => broken(65_504.0, 1e-2, 1e-4),
            _ => return None,
        })
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn capability(family: &str) -> Value {
        json!({family: {"type": family, "searchable": true, "aggregatable": true}})
    }

    fn kind(fields: &Fields, name: &str) -> Option<Kind> {
        Some(fields.0.get(name)?.kind.clone())
    }

    #[test]
    fn names_are_those_that_can_be_asked_for() {
        let condition = Condition::and(vec![
            Condition::eq("a.b", 1),
            Condition::not(Condition::eq("c*", 1)),
            Condition::or(vec![Condition::eq("d..e", 1), Condition::eq("f,g", 1)]),
            Condition::eq("", 1),
        ]);
        assert_eq!(names(&condition), ["a", "a.b", "a.b.keyword"]);
    }

    #[test]
    fn a_reader_who_sees_no_mapping_relies_on_less() {
        let capabilities = json!({"indices": ["i"], "fields": {
            "k": capability("keyword"), "m": capability("text"),
            "m.keyword": capability("keyword"), "n": capability("long"),
        }});
        let names = ["k", "m", "n", "none"].map(str::to_owned);
        let blind = Fields::read(&names, &capabilities, None, None);
        assert_eq!(kind(&blind, "k"), Some(Kind::Keyword { plain: false }));
        let (standard, keyword) = (false, Some(("m.keyword".to_owned(), false)));
        assert_eq!(kind(&blind, "m"), Some(Kind::Text { standard, keyword }));
        assert_eq!(kind(&blind, "none"), None);
        let mapping = json!({"i": {"mappings": {
            "k": {"mapping": {"k": {"type": "keyword"}}},
            "m": {"mapping": {"m": {"type": "text"}}},
            "m.keyword": {"mapping": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            "n": {"mapping": {"n": {"type": "long"}}},
        }}});
        let seen = Fields::read(&names, &capabilities, Some(&mapping), Some(&json!({})));
        assert_eq!(kind(&seen, "k"), Some(Kind::Keyword { plain: true }));
        let (standard, keyword) = (true, Some(("m.keyword".to_owned(), true)));
        assert_eq!(kind(&seen, "m"), Some(Kind::Text { standard, keyword }));
        let settings = json!({"i": {"settings": {"index.analysis.analyzer.default.type": "x"}}});
        let touched = Fields::read(&names, &capabilities, Some(&mapping), Some(&settings));
        assert!(matches!(
            kind(&touched, "m"),
            Some(Kind::Text {
                standard: false,
                ..
            })
        ));
    }

    #[test]
    fn what_lies_in_nested_objects_or_has_two_types_is_unknown() {
        let capabilities = json!({"indices": ["i", "j"], "fields": {
            "a": capability("nested"), "a.b": capability("keyword"),
            "o": capability("object"), "o.b": capability("long"),
            "two": {"long": {"searchable": true, "indices": ["i"]},
                "keyword": {"searchable": true, "indices": ["j"]}},
            "some": {"long": {"searchable": true, "indices": ["i"]},
                "unmapped": {"searchable": false, "indices": ["j"]}},
            "hidden": {"keyword": {"searchable": false}},
            "flat": capability("flattened"),
        }});
        let names = ["a.b", "o.b", "two", "some", "hidden", "flat"].map(str::to_owned);
        let fields = Fields::read(&names, &capabilities, None, None);
        let known: Vec<_> = fields.0.keys().collect();
        assert_eq!(known, ["o.b", "some"]);
        assert_eq!(fields.0["some"].indices, ["i"]);
        assert_eq!(fields.0["o.b"].indices, ["i", "j"]);
    }

    #[test]
    fn a_keyword_of_an_odd_mapping_is_not_plain() {
        let capabilities = json!({"indices": ["i"], "fields": {"k": capability("keyword")}});
        for (mapped, expected) in [
            (
                json!({"type": "keyword"}),
                Some(Kind::Keyword { plain: true }),
            ),
            (
                json!({"type": "keyword", "normalizer": "x"}),
                Some(Kind::Keyword { plain: false }),
            ),
            (
                json!({"type": "wildcard"}),
                Some(Kind::Keyword { plain: true }),
            ),
            (json!({"type": "wildcard", "ignore_above": 9}), None),
            (json!({"type": "alias", "path": "x"}), None),
            (Value::Null, None),
        ] {
            let mapping = json!({"i": {"mappings": {"k": {"mapping": {"k": mapped}}}}});
            let names = ["k".to_owned()];
            let fields = Fields::read(&names, &capabilities, Some(&mapping), None);
            assert_eq!(kind(&fields, "k"), expected, "{mapping}");
        }
    }
}
