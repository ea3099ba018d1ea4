//! What is said of one route: its path and query, its body, its answers, and its refusals, whose
//! statuses are those of the table of codes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use taskhost_model::ids::{Digest, DocumentId, Label, RunId, Space, StreamName, TaskId, TypeId};

use super::super::codes::Code;

/// Makes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
pub(crate) struct Operation {
    pub(super) subject: &'static str,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) summary: &'static str,
    pub(super) details: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: BTreeMap<u16, Answered>,
    /// What may be refused, by status.
    pub(super) refused: BTreeMap<u16, Vec<Code>>,
    /// Whether anybody may ask.
    pub(super) is_open: bool,
    /// What is refused is a page as well.
    pub(super) is_page: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) description: &'static str,
    pub(super) shape: Shape,
}

pub(super) struct Body {
    pub(super) is_required: bool,
    pub(super) media_type: &'static str,
    pub(super) description: &'static str,
    pub(super) shape: Option<Shape>,
}

pub(super) struct Answered {
    pub(super) description: &'static str,
    pub(super) media_type: Option<&'static str>,
    pub(super) shape: Option<Shape>,
    pub(super) is_also_events: bool,
    pub(super) has_etag: bool,
}

/// What may become of a request whatever it is for.
const ALWAYS: [Code; 5] = [
    Code::Invalid,
    Code::HostNotAllowed,
    Code::OriginNotAllowed,
    Code::Internal,
    Code::Unavailable,
];
/// And where somebody has to be somebody.
const OF_PEOPLE: [Code; 4] = [
    Code::Unauthorized,
    Code::Forbidden,
    Code::NotFound,
    Code::TooManyRequests,
];
/// And where there is a body.
const OF_BODIES: [Code; 5] = [
    Code::RequestTimeout,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::Busy,
    Code::DiskFull,
];

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    pub(super) fn new(subject: &'static str, method: &'static str, path: &str) -> Self {
        let names = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next());
        let parameters = names.map(of_path).collect();
        Self {
            subject,
            method,
            path: path.to_owned(),
            id: String::new(),
            summary: "",
            details: "",
            parameters,
            body: None,
            answers: BTreeMap::new(),
            refused: BTreeMap::new(),
            is_open: false,
            is_page: false,
        }
        .refuses(&ALWAYS)
        .refuses(&OF_PEOPLE)
    }

    /// The name of the operation for programs, and what it does, in one line.
    pub(crate) fn says(mut self, id: &str, summary: &'static str) -> Self {
        // One handler may stand at several paths.
        self.id = if self.path.starts_with("/internal/") {
            format!("kibana_{id}")
        } else if self.path.starts_with("/spaces/") {
            format!("{id}_in_space")
        } else {
            id.to_owned()
        };
        self.summary = summary;
        self
    }

    /// What else has to be known.
    pub(crate) fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    /// Anybody may ask.
    pub(crate) fn open(mut self) -> Self {
        self.is_open = true;
        for codes in self.refused.values_mut() {
            codes.retain(|code| !OF_PEOPLE.contains(code));
        }
        self.refused.retain(|_, codes| !codes.is_empty());
        self
    }

    /// What a part of the path is, where its name does not say it.
    pub(crate) fn path<T: JsonSchema>(mut self, name: &str, description: &'static str) -> Self {
        for parameter in &mut self.parameters {
            if parameter.name == name {
                parameter.description = description;
                parameter.shape = shape::<T>;
            }
        }
        self
    }

    /// A key of the query that may be given.
    pub(crate) fn query<T: JsonSchema>(self, name: &str, description: &'static str) -> Self {
        self.parameter(Place::Query, name, description, shape::<T>)
    }

    /// A header that may be given.
    pub(crate) fn header<T: JsonSchema>(self, name: &str, description: &'static str) -> Self {
        self.parameter(Place::Header, name, description, shape::<T>)
    }

    /// The header by which a change is made in the version that the caller has read.
    pub(crate) fn if_match(self) -> Self {
        self.header::<ETag>(
            "If-Match",
            "The ETag of a former answer: nothing changes if it is another one by now.",
        )
        .refuses(&[Code::VersionMismatch])
    }

    fn parameter(
        mut self,
        place: Place,
        name: &str,
        description: &'static str,
        shape: Shape,
    ) -> Self {
        self.parameters.push(Parameter {
            place,
            name: name.to_owned(),
            description,
            shape,
        });
        self
    }

    /// A JSON body.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        self.body("application/json", true, "", Some(shape::<T>))
    }

    /// A JSON body, or none.
    pub(crate) fn may_take<T: JsonSchema>(self) -> Self {
        self.body("application/json", false, "", Some(shape::<T>))
    }

    /// A body of another kind.
    pub(crate) fn takes_other(self, media_type: &'static str, description: &'static str) -> Self {
        self.body(media_type, true, description, None)
    }

    fn body(
        mut self,
        media_type: &'static str,
        is_required: bool,
        description: &'static str,
        shape: Option<Shape>,
    ) -> Self {
        self.body = Some(Body {
            is_required,
            media_type,
            description,
            shape,
        });
        self.refuses(&OF_BODIES)
    }

    /// An answer in JSON.
    pub(crate) fn answers<T: JsonSchema>(
        self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        self.answer(
            status,
            description,
            Some("application/json"),
            Some(shape::<T>),
        )
    }

    /// An answer of another kind.
    pub(crate) fn answers_other(
        self,
        status: StatusCode,
        media_type: &'static str,
        description: &'static str,
    ) -> Self {
        self.answer(status, description, Some(media_type), None)
    }

    /// A page, for people with a browser, to whom refusals are pages too.
    pub(crate) fn page(mut self) -> Self {
        self.is_page = true;
        self
    }

    /// An answer without a body.
    pub(crate) fn answers_nothing(self, status: StatusCode, description: &'static str) -> Self {
        self.answer(status, description, None, None)
    }

    fn answer(
        mut self,
        status: StatusCode,
        description: &'static str,
        media_type: Option<&'static str>,
        shape: Option<Shape>,
    ) -> Self {
        let answered = Answered {
            description,
            media_type,
            shape,
            is_also_events: false,
            has_etag: false,
        };
        self.answers.insert(status.as_u16(), answered);
        self
    }

    /// The answers so far come as server-sent events as well, for whoever wants to follow them.
    pub(crate) fn or_events(mut self) -> Self {
        for answered in self.answers.values_mut() {
            answered.is_also_events = true;
        }
        self
    }

    /// The answers so far carry an `ETag`.
    pub(crate) fn with_etag(mut self) -> Self {
        for answered in self.answers.values_mut() {
            answered.has_etag = true;
        }
        self
    }

    /// What else may be refused beside what may be anywhere.
    pub(crate) fn refuses(mut self, codes: &[Code]) -> Self {
        for code in codes {
            let of_status = self.refused.entry(code.row().status.as_u16());
            let codes = of_status.or_default();
            if !codes.contains(code) {
                codes.push(*code);
            }
        }
        self
    }
}

/// A version as a header has it.
struct ETag;

impl JsonSchema for ETag {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ETag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^\"[!#-~]{1,256}\"$"})
    }
}

/// The one thing that `If-None-Match` takes.
pub(crate) struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "const": "*"})
    }
}

/// What stands in a path under this name, as a rule.
fn of_path(name: &str) -> Parameter {
    let (description, shape): (_, Shape) = match name {
        "space" => ("The space.", shape::<Space>),
        "id" => ("The task's id.", shape::<TaskId>),
        "stream" | "name" => ("The stream's name.", shape::<StreamName>),
        "type" => ("The task type's id.", shape::<TypeId>),
        "digest" => ("The sha256 of the component.", shape::<Digest>),
        "label" => ("The collection's label.", shape::<Label>),
        "run" => ("The run's id.", shape::<RunId>),
        "uuid" => ("The feature's id.", shape::<DocumentId>),
        _ => ("", shape::<String>),
    };
    Parameter {
        place: Place::Path,
        name: name.to_owned(),
        description,
        shape,
    }
}
