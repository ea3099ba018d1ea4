//! Reads what the forms of the pages send. A form is taken from this host's own pages alone: it is
//! the one kind of change that a page of another origin could send without being asked first.

use std::collections::{BTreeMap, HashMap};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Map, Value, json};
use taskhost_model::ids::DocumentId;
use taskhost_model::time::Timestamp;
use taskhost_service::features::{Deed, Stored, Wanted};
use taskhost_store::streams::Stream;
use url::form_urlencoded;

use super::super::asked::Asked;
use super::super::codes::Code;
use super::super::guard;
use super::super::problem::Problem;
use super::view::RANGES;

/// What the field of a decision begins with; the rest names the row of the review.
const ROW: &str = "what.";
const FORM: [&str; 1] = ["application/x-www-form-urlencoded"];

/// More rows of a review are none of ours.
const ROWS_MAX: usize = 1_000;

/// The fields of a form, each once.
pub(super) struct Form(BTreeMap<String, String>);

/// What somebody decided of features, each with its name, for people.
pub(super) struct Reviewed(pub(super) Vec<(DocumentId, String, Wanted)>);

impl Form {
    pub(super) async fn read(state: &Asked, request: Request<Body>) -> Result<Self, Problem> {
        if !guard::is_of_this_origin(request.headers()) {
            let detail = "a form has to come from a page of this host, and its `Origin` says that \
                          it does not";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
        let (_, bytes) = state.body(request, &FORM).await?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// A field's value; empty where there is none.
    pub(super) fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", |value| value.trim())
    }

    /// The range that was chosen.
    pub(super) fn range(
        &self,
        stream: &Stream,
        now: Timestamp,
    ) -> Result<(Timestamp, Timestamp), Problem> {
        let chosen = self.get("range");
        let (from, to) = match chosen {
            "custom" => (self.time("from")?, self.time("to")?),
            "all" | "" => {
                let whole = stream.first_at.zip(stream.last_at);
                let (first, last) =
                    whole.ok_or_else(|| Problem::invalid("range", "the stream is empty"))?;
                (first, Timestamp::from_ms(last.as_ms() + 1))
            }
            chosen => {
                let range = RANGES.iter().find(|(value, _, _)| *value == chosen);
                let (_, _, minutes) =
                    range.ok_or_else(|| Problem::invalid("range", "is none of the list"))?;
                let length = std::time::Duration::from_secs(minutes * 60);
                (now.minus(length), now)
            }
        };
        match from < to {
            true => Ok((from, to)),
            false => Err(Problem::invalid("from", "has to be before `to`")),
        }
    }

    fn time(&self, field: &str) -> Result<Timestamp, Problem> {
        let given = self.get(field);
        // Browsers leave out seconds that are 0.
        let with_seconds = match given.len() {
            16 => format!("{given}:00Z"),
            _ => format!("{given}Z"),
        };
        Timestamp::parse(&with_seconds)
            .map_err(|_| Problem::invalid(field, "has to be a date and a time"))
    }

    /// The edit of one feature.
    pub(super) fn edit(&self) -> Result<Deed, Problem> {
        let filter = filter(self.get("filter"))?;
        Ok(Deed::Put(
            json!({"name": self.get("name"), "filter": filter}),
        ))
    }

    /// What is to be done with a feature as long as it is as somebody saw it, where the form has
    /// the version in this field.
    pub(super) fn read_as_it_was(&self, deed: Deed, field: &str) -> Wanted {
        let version = Some(self.get(field)).filter(|version| !version.is_empty());
        let if_version = version.map(str::to_owned);
        Wanted { deed, if_version }
    }
}

/// The form has the filter as JSON text.
fn filter(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text)
        .map_err(|error| Problem::invalid("filter", format!("is no JSON: {error}")))
}

impl Reviewed {
    /// What the form says of each feature, as far as it is something to do.
    pub(super) fn read(form: &Form, features: &[Stored]) -> Result<Self, Problem> {
        let by_uuid = features.iter().map(|one| (one.feature.text("uuid"), one));
        let by_uuid: HashMap<_, _> = by_uuid.collect();
        let mut reviewed = Vec::new();
        for (at, (field, what)) in form.0.range(ROW.to_owned()..).enumerate() {
            let Some(row) = field.strip_prefix(ROW) else {
                break;
            };
            if at == ROWS_MAX {
                let problem = format!("has more than {ROWS_MAX} rows");
                return Err(Problem::invalid(ROW, problem));
            }
            let uuid = form.get(&format!("id.{row}"));
            let id: DocumentId = uuid
                .parse()
                .map_err(|error| Problem::invalid_id("uuid", &error))?;
            let stored = by_uuid.get(uuid).copied();
            let name = form.get(&format!("name.{row}")).to_owned();
            let deed = match what.as_str() {
                "keep" => edited(form, row, stored).map_err(|problem| problem.about(&name))?,
                "drop" => Some(Deed::Delete),
                "exclude" => Some(Deed::Exclude),
                _ => return Err(Problem::invalid(field, "is none of the list")),
            };
            let version = format!("version.{row}");
            let wanted = deed.map(|deed| form.read_as_it_was(deed, &version));
            reviewed.extend(wanted.map(|wanted| (id, name, wanted)));
        }
        Ok(Self(reviewed))
    }
}

/// What is another one than was shown; none: everything is as it was.
fn edited(form: &Form, row: &str, stored: Option<&Stored>) -> Result<Option<Deed>, Problem> {
    let name = form.get(&format!("name.{row}"));
    let filter = filter(form.get(&format!("filter.{row}")))?;
    let is_same = |field: &str, value: &Value| {
        stored.is_some_and(|stored| stored.feature.fields().get(field) == Some(value))
    };
    let mut given = Map::new();
    for (field, value) in [("name", Value::from(name)), ("filter", filter)] {
        if !is_same(field, &value) {
            given.insert(field.to_owned(), value);
        }
    }
    Ok((!given.is_empty()).then_some(Deed::Put(Value::Object(given))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::feature::Feature;
    use taskhost_store::streams::StreamSettings;

    fn form(text: &str) -> Form {
        Form(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn stream(first_ms: Option<i64>) -> Stream {
        Stream {
            name: "logs".parse().unwrap(),
            created_at: None,
            settings: StreamSettings::default(),
            documents: 1,
            bytes: None,
            first_at: first_ms.map(Timestamp::from_ms),
            last_at: first_ms.map(|ms| Timestamp::from_ms(ms + 5)),
        }
    }

    #[test]
    fn a_range_is_the_whole_stream_or_ends_now_or_is_said() {
        let now = Timestamp::from_ms(10_000_000);
        let read = |text: &str, first| {
            let range = form(text).range(&stream(first), now);
            range.map(|(from, to)| (from.as_ms(), to.as_ms())).ok()
        };
        assert_eq!(read("range=all", Some(7)), Some((7, 13)));
        assert_eq!(read("range=all", None), None);
        assert_eq!(read("range=15m", None), Some((9_100_000, 10_000_000)));
        assert_eq!(read("range=2m", None), None);
        let custom = "range=custom&from=1970-01-01T00:01&to=1970-01-01T00:01:01";
        assert_eq!(read(custom, None), Some((60_000, 61_000)));
        let backwards = "range=custom&from=1970-01-01T00:01&to=1970-01-01T00:01";
        assert_eq!(read(backwards, None), None);
        assert_eq!(
            read("range=custom&from=now&to=1970-01-01T00:01", None),
            None
        );
    }

    #[test]
    fn a_review_does_what_differs_and_nothing_else() {
        let body = r#"{"name":"sshd","filter":{"field":"message","contains":"a"}}"#;
        let stored = [Stored {
            feature: Feature::read("u1", body).unwrap(),
            version: "v".to_owned(),
        }];
        let read = |what: &str, name: &str, filter: &str| {
            let text = form_urlencoded::Serializer::new(String::new())
                .append_pair("what.0", what)
                .append_pair("id.0", "u1")
                .append_pair("version.0", "v")
                .append_pair("name.0", name)
                .append_pair("filter.0", filter)
                .finish();
            Reviewed::read(&form(&text), &stored).map(|reviewed| reviewed.0)
        };
        let same = r#"{ "contains": "a", "field": "message" }"#;
        assert!(read("keep", " sshd ", same).unwrap().is_empty());
        let edits = read("keep", "x", same).unwrap();
        let Deed::Put(given) = &edits[0].2.deed else {
            panic!("{edits:?}")
        };
        assert_eq!(given, &json!({"name": "x"}));
        let (dropped, excluded) = (read("drop", "x", ""), read("exclude", "x", ""));
        let (dropped, excluded) = (dropped.unwrap(), excluded.unwrap());
        assert!(matches!(dropped[0].2.deed, Deed::Delete));
        assert!(matches!(excluded[0].2.deed, Deed::Exclude));
        for all in [edits, dropped, excluded] {
            assert_eq!(all[0].2.if_version.as_deref(), Some("v"));
        }
        assert!(read("keep", "sshd", "{").is_err());
        assert!(read("burn", "sshd", same).is_err());
    }

    /// Reading a form of 2 MB had taken minutes of a thread that others wait for.
    #[test]
    fn a_review_has_so_many_rows_at_most() {
        let rows = |count: usize| -> String {
            let row = |n| format!("what.{n}=exclude&id.{n}=a{n}&");
            (0..count).map(row).collect()
        };
        let read = |count| Reviewed::read(&form(&rows(count)), &[]);
        assert_eq!(read(ROWS_MAX).unwrap().0.len(), ROWS_MAX);
        let problem = read(ROWS_MAX + 1).err().unwrap();
        assert_eq!(problem.code(), Code::Invalid);
    }
}
