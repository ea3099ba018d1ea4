//! What a task type may reach beyond its own stream and collections: asked for by its descriptor,
//! allowed by an operator. A call has to be within both.

use serde::{Deserialize, Serialize};

use crate::ids::{Label, TypeId};

/// A list for each kind of thing; empty is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Where requests may go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRule>,
    /// Secrets, by the names that the operator gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Label>,
    /// Connectors to language models, by the names that the operator gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Label>,
    /// Task types whose runs may be spawned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TypeId>,
    /// Collections of the run's stream that other types own, to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Label>,
}

/// Requests to one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRule {
    /// Scheme, host and port as [RFC 6454] writes them: `https://api.example.org`. The port only
    /// where it is not the scheme's own.
    ///
    /// [RFC 6454]: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
    pub origin: String,
    /// In upper case; `GET` and `HEAD` by default.
    #[serde(default = "reading")]
    pub methods: Vec<String>,
    /// What the path begins with: `/v1/` or the like. The whole origin by default.
    #[serde(default = "everywhere")]
    pub path_prefix: String,
}

fn reading() -> Vec<String> {
    vec!["GET".to_owned(), "HEAD".to_owned()]
}

fn everywhere() -> String {
    "/".to_owned()
}

/// The most entries of one list.
const ENTRIES_MAX: usize = 64;
/// The most bytes of an origin, a path or a method.
const TEXT_BYTES_MAX: usize = 512;

impl Capabilities {
    /// What is asked here and `allowed` does not hold.
    #[must_use]
    pub fn beyond(&self, allowed: &Self) -> Self {
        Self {
            http: missing(&self.http, |rule| {
                let is_allowed = |method: &String| {
                    let one = rule.with_methods(vec![method.clone()]);
                    allowed.http.iter().any(|other| other.covers(&one))
                };
                rule.methods.iter().all(is_allowed)
            }),
            secrets: missing(&self.secrets, |name| allowed.secrets.contains(name)),
            models: missing(&self.models, |name| allowed.models.contains(name)),
            children: missing(&self.children, |id| allowed.children.contains(id)),
            collections: missing(&self.collections, |it| allowed.collections.contains(it)),
        }
    }

    /// What is asked here and `allowed` holds as well.
    #[must_use]
    pub fn within(&self, allowed: &Self) -> Self {
        let pairs = self.http.iter().flat_map(|rule| {
            let others = allowed.http.iter();
            others.filter_map(|other| rule.and_within(other))
        });
        Self {
            http: pairs.fold(Vec::new(), |mut all: Vec<HttpRule>, rule| {
                if !all.iter().any(|other| other.covers(&rule)) {
                    all.push(rule);
                }
                all
            }),
            secrets: missing(&self.secrets, |name| !allowed.secrets.contains(name)),
            models: missing(&self.models, |name| !allowed.models.contains(name)),
            children: missing(&self.children, |id| !allowed.children.contains(id)),
            collections: missing(&self.collections, |it| !allowed.collections.contains(it)),
        }
    }

    /// What an operator writes into the settings to allow this to a type.
    #[must_use]
    pub fn as_setting(&self, type_id: &TypeId) -> String {
        fn list<T>(entries: &[T], write: impl Fn(&T) -> String) -> String {
            let entries: Vec<String> = entries.iter().map(write).collect();
            format!("[{}]", entries.join(", "))
        }
        let http = |rule: &HttpRule| {
            format!(
                "{{ origin = {}, methods = {}, path_prefix = {} }}",
                quoted(&rule.origin),
                list(&rule.methods, |method| quoted(method)),
                quoted(&rule.path_prefix)
            )
        };
        let of_type = format!("type = {}", quoted(type_id.as_str()));
        let mut lines = vec!["[[allow]]".to_owned(), of_type];
        let mut line = |key: &str, is_empty: bool, value: String| {
            if !is_empty {
                lines.push(format!("{key} = {value}"));
            }
        };
        line("http", self.http.is_empty(), list(&self.http, http));
        for (key, names) in [
            ("secrets", &self.secrets),
            ("models", &self.models),
            ("collections", &self.collections),
        ] {
            let names_of = list(names, |name| quoted(name.as_str()));
            line(key, names.is_empty(), names_of);
        }
        let children = list(&self.children, |id| quoted(id.as_str()));
        line("children", self.children.is_empty(), children);
        lines.join("\n")
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        let Self {
            http,
            secrets,
            models,
            children,
            collections,
        } = more.beyond(&self);
        self.http.extend(http);
        self.secrets.extend(secrets);
        self.models.extend(models);
        self.children.extend(children);
        self.collections.extend(collections);
        self
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Each thing in words: `http origin https://api.example.org (GET, /v1/)`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let http = self.http.iter().map(|rule| {
            let methods = rule.methods.join(", ");
            format!(
                "http origin {} ({methods}, {})",
                rule.origin, rule.path_prefix
            )
        });
        let secrets = self.secrets.iter().map(|name| format!("secret {name}"));
        let models = self.models.iter().map(|name| format!("model {name}"));
        let children = self.children.iter().map(|id| format!("child type {id}"));
        let read = self.collections.iter();
        let read = read.map(|label| format!("collection {label} of another type, to read"));
        http.chain(secrets)
            .chain(models)
            .chain(children)
            .chain(read)
            .collect()
    }

    /// What cannot be meant, each as a sentence that names the key.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (key, length) in [
            ("http", self.http.len()),
            ("secrets", self.secrets.len()),
            ("models", self.models.len()),
            ("children", self.children.len()),
            ("collections", self.collections.len()),
        ] {
            if length > ENTRIES_MAX {
                mistakes.push(format!(
                    "`capabilities.{key}` has {length} entries, at most {ENTRIES_MAX}"
                ));
            }
        }
        for (index, rule) in self.http.iter().enumerate() {
            for problem in rule.mistakes() {
                mistakes.push(format!("`capabilities.http[{index}]` {problem}"));
            }
        }
        mistakes
    }
}

/// As TOML writes a text in one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn missing<T: Clone>(asked: &[T], is_allowed: impl Fn(&T) -> bool) -> Vec<T> {
    let missing = asked.iter().filter(|one| !is_allowed(one));
    missing.cloned().collect()
}

impl HttpRule {
    /// Whether a request is within the rule. `origin` as [`Self::origin`] is written; `path`
    /// without what comes after `?`, and without `.` and `..`.
    #[must_use]
    pub fn permits(&self, origin: &str, method: &str, path: &str) -> bool {
        self.origin == origin
            && self.methods.iter().any(|one| one == method)
            && within(path, &self.path_prefix)
    }

    /// Whether every request that `other` permits is permitted here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let methods = || other.methods.iter().all(|one| self.methods.contains(one));
        self.origin == other.origin && methods() && within(&other.path_prefix, &self.path_prefix)
    }

    fn with_methods(&self, methods: Vec<String>) -> Self {
        Self {
            methods,
            ..self.clone()
        }
    }

    /// What both rules permit; none where that is nothing.
    fn and_within(&self, other: &Self) -> Option<Self> {
        let narrow = if within(&self.path_prefix, &other.path_prefix) {
            self
        } else {
            other
        };
        let in_both = |method: &&String| other.methods.contains(method);
        let methods = self.methods.iter().filter(in_both).cloned().collect();
        let both = narrow.with_methods(methods);
        let is_within = !both.methods.is_empty() && self.covers(&both) && other.covers(&both);
        is_within.then_some(both)
    }

    /// Whether the origin can be meant as one; it may still be another spelling of one.
    #[must_use]
    pub fn has_right_origin(&self) -> bool {
        let host = ["https://", "http://"]
            .iter()
            .find_map(|scheme| self.origin.strip_prefix(scheme));
        let is_host = |host: &str| {
            let fits = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase();
            !host.is_empty() && host.chars().all(fits) && !host.contains(['/', '?', '#', '@', '*'])
        };
        host.is_some_and(is_host)
    }

    fn mistakes(&self) -> Vec<String> {
        let Self {
            origin,
            methods,
            path_prefix,
        } = self;
        let texts = [origin, path_prefix].into_iter().chain(methods);
        if texts.into_iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return vec![format!("has a text of more than {TEXT_BYTES_MAX} bytes")];
        }
        let mut mistakes = Vec::new();
        if !self.has_right_origin() {
            mistakes.push(format!(
                "has the origin `{origin}`: write scheme and host in lower case, with the port \
                 where it is not the usual one, as in `https://api.example.org`"
            ));
        }
        let is_method =
            |method: &String| !method.is_empty() && method.chars().all(|c| c.is_ascii_uppercase());
        if methods.is_empty() || !methods.iter().all(is_method) {
            mistakes
                .push("has no methods, or one that is not in upper case, as in `GET`".to_owned());
        }
        let is_plain = path_prefix.starts_with('/')
            && path_prefix.chars().all(|c| c.is_ascii_graphic())
            && !path_prefix.contains(['?', '#', '\\'])
            && !path_prefix
                .split('/')
                .any(|part| part == "." || part == "..");
        if !is_plain {
            mistakes.push(format!(
                "has the path prefix `{path_prefix}`: it has to begin with `/`, as in `/v1/`, and \
                 to be ASCII without `.` and `..` as steps"
            ));
        }
        mistakes
    }
}

/// By whole segments: `/v1` holds `/v1` and `/v1/a`, and not `/v10`.
fn within(path: &str, prefix: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else {
        return false;
    };
    rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, methods: &[&str], path_prefix: &str) -> HttpRule {
        HttpRule {
            origin: origin.to_owned(),
            methods: methods.iter().map(ToString::to_string).collect(),
            path_prefix: path_prefix.to_owned(),
        }
    }

    #[test]
    fn a_rule_holds_for_its_origin_methods_and_whole_segments() {
        let it = rule("https://a.example", &["GET"], "/v1");
        for (origin, method, path, permitted) in [
            ("https://a.example", "GET", "/v1", true),
            ("https://a.example", "GET", "/v1/x", true),
            ("https://a.example", "GET", "/v10", false),
            ("https://a.example", "GET", "/", false),
            ("https://a.example", "POST", "/v1", false),
            ("http://a.example", "GET", "/v1", false),
            ("https://a.example:8443", "GET", "/v1", false),
            ("https://a.example.evil", "GET", "/v1", false),
        ] {
            assert_eq!(
                it.permits(origin, method, path),
                permitted,
                "{origin} {path}"
            );
        }
    }

    #[test]
    fn what_goes_beyond_is_what_no_rule_covers() {
        let allowed = Capabilities {
            http: vec![rule("https://a.example", &["GET", "POST"], "/v1/")],
            models: vec!["small".parse().unwrap()],
            ..Capabilities::default()
        };
        let asked = Capabilities {
            http: vec![
                rule("https://a.example", &["GET"], "/v1/x"),
                rule("https://a.example", &["DELETE"], "/v1/x"),
                rule("https://a.example", &["GET"], "/"),
            ],
            secrets: vec!["token".parse().unwrap()],
            models: vec!["small".parse().unwrap()],
            ..Capabilities::default()
        };
        let beyond = asked.beyond(&allowed);
        assert_eq!(
            beyond.words(),
            [
                "http origin https://a.example (DELETE, /v1/x)",
                "http origin https://a.example (GET, /)",
                "secret token",
            ]
        );
        assert!(asked.beyond(&allowed.and(&beyond)).is_empty());
    }

    #[test]
    fn rules_that_cannot_be_meant_are_named() {
        for bad in [
            rule("https://A.example", &["GET"], "/"),
            rule("https://a.example/", &["GET"], "/"),
            rule("https://u@a.example", &["GET"], "/"),
            rule("https://*.example", &["GET"], "/"),
            rule("ftp://a.example", &["GET"], "/"),
            rule("https://a.example", &["get"], "/"),
            rule("https://a.example", &[], "/"),
            rule("https://a.example", &["GET"], "v1"),
            rule("https://a.example", &["GET"], "/a/../b"),
        ] {
            assert_eq!(bad.mistakes().len(), 1, "{bad:?}");
        }
        assert!(rule("http://[::1]:81", &["GET"], "/").mistakes().is_empty());
        let all = rule("https://a.example/x", &["get"], "v1").mistakes();
        assert_eq!(all.len(), 3, "{all:?}");
    }

    #[test]
    fn rules_for_one_origin_may_share_a_wish() {
        let asked = Capabilities {
            http: vec![rule("https://a.example", &["GET", "POST"], "/v1/x")],
            ..Capabilities::default()
        };
        let mut allowed = Capabilities {
            http: vec![rule("https://a.example", &["GET"], "/v1")],
            ..Capabilities::default()
        };
        assert_eq!(asked.beyond(&allowed), asked);
        let more = rule("https://a.example", &["POST"], "/");
        allowed.http.push(more);
        assert!(asked.beyond(&allowed).is_empty());
    }

    #[test]
    fn what_is_granted_is_what_both_permit() {
        let names = |names: &[&str]| -> Vec<Label> {
            names
                .iter()
                .map(|name| Label::parse(name).unwrap())
                .collect()
        };
        let asked = Capabilities {
            http: vec![
                rule("https://a.example", &["GET", "POST"], "/v1/x"),
                rule("https://a.example", &["GET"], "/"),
                rule("https://b.example", &["GET"], "/"),
            ],
            secrets: names(&["a", "b"]),
            ..Capabilities::default()
        };
        let allowed = Capabilities {
            http: vec![
                rule("https://a.example", &["GET", "PUT"], "/v1"),
                rule("https://b.example", &["POST"], "/"),
            ],
            secrets: names(&["b", "c"]),
            models: names(&["small"]),
            ..Capabilities::default()
        };
        let granted = Capabilities {
            http: vec![
                rule("https://a.example", &["GET"], "/v1/x"),
                rule("https://a.example", &["GET"], "/v1"),
            ],
            secrets: names(&["b"]),
            ..Capabilities::default()
        };
        assert_eq!(asked.within(&allowed), granted);
    }

    #[test]
    fn a_wish_can_be_pasted_into_the_settings() {
        let asked = Capabilities {
            http: vec![rule("https://a.example", &["GET", "POST"], "/v1")],
            secrets: vec![Label::parse("key").unwrap()],
            models: Vec::new(),
            children: vec![TypeId::parse("b").unwrap()],
            collections: vec![Label::parse("found").unwrap()],
        };
        let setting = asked.as_setting(&TypeId::parse("a").unwrap());
        let expected = "[[allow]]\ntype = \"a\"\nhttp = [{ origin = \"https://a.example\", \
            methods = [\"GET\", \"POST\"], path_prefix = \"/v1\" }]\nsecrets = [\"key\"]\n\
            collections = [\"found\"]\nchildren = [\"b\"]";
        assert_eq!(setting, expected);
    }
}
