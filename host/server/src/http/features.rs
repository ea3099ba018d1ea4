//! The routes for features: what a run has found in a stream, and what people make of it. Kibana's
//! paths and this host's own lead to the same handlers.

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskhost_model::ids::{DocumentId, Space, StreamKey};
use taskhost_service::features::{Deed, Done, Stored, Wanted};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams};

/// The space of Kibana's routes, which name none.
pub(crate) const KIBANAS_SPACE: &str = "default";
/// Operations of one bulk.
const OPERATIONS_MAX: usize = 1_000;

pub(crate) fn routes() -> Routes {
    let of_stream = |routes: Routes, stream: &str| {
        let features = &format!("{stream}/features");
        let one = &format!("{features}/{{uuid}}");
        routes
            .get(features, list, about_list)
            .post(&format!("{features}/_bulk"), bulk, about_bulk)
            .get(one, read, about_read)
            .put(one, upsert, about_upsert)
            .delete(one, delete, about_delete)
            .post(&format!("{one}/exclude"), exclude, about_exclude)
            .post(&format!("{one}/restore"), restore, about_restore)
    };
    let kibanas = of_stream(Routes::of("Kibana's routes"), "/internal/streams/{name}");
    of_stream(Routes::of("Features"), "/v1/spaces/{space}/streams/{name}").and(kibanas)
}

type Answer = Result<Response<Body>, Problem>;

/// The stream that a path names, in the space that it names or Kibana's.
pub(crate) fn stream_of(ids: &PathIds) -> Result<StreamKey, Problem> {
    let space = match ids.text("space") {
        "" => Space::parse(KIBANAS_SPACE).map_err(|error| Problem::invalid_id("space", &error))?,
        _ => ids.id("space")?,
    };
    Ok(StreamKey {
        space,
        name: ids.id("name")?,
    })
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeatureList")]
struct List<'a> {
    /// Those that were found and those that somebody has added.
    features: Vec<&'a Map<String, Value>>,
}

fn about_list(it: Operation) -> Operation {
    it.says("list_features", "List the features of a stream")
        .query::<bool>("excluded", "Those as well that somebody has excluded.")
        .query::<Value>("apiVersion", "Ignored.")
        .query::<Value>("elasticInternalOrigin", "Ignored.")
        .answers::<List<'_>>(StatusCode::OK, "All.")
        .refuses(&[Code::UnknownStream])
}

async fn list(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let mut query = QueryParams::of(request.uri())?;
    let with_excluded = query.parse::<bool>("excluded")?.unwrap_or(false);
    for ignored in ["apiVersion", "elasticInternalOrigin"] {
        query.take(ignored);
    }
    query.finish()?;
    let key = stream_of(&ids)?;
    let features = &state.service().features;
    let stored = features.list(state.by(), &key, with_excluded).await?;
    let features = stored.iter().map(|one| one.feature.fields()).collect();
    Ok(answer::json(StatusCode::OK, &List { features }))
}

/// A feature is an object whose fields its task type checks.
type Feature = Map<String, Value>;

fn about_read(it: Operation) -> Operation {
    it.says("get_feature", "Get a feature")
        .answers::<Feature>(StatusCode::OK, "The feature.")
        .with_etag()
        .refuses(&[Code::UnknownStream])
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let (key, id) = (stream_of(&ids)?, ids.id("uuid")?);
    let stored = state.service().features.get(state.by(), &key, &id).await?;
    Ok(shown(StatusCode::OK, &stored))
}

fn about_upsert(it: Operation) -> Operation {
    it.says("put_feature", "Add a feature, or change one")
        .if_match()
        .takes::<Feature>()
        .answers::<Feature>(StatusCode::CREATED, "It is added.")
        .answers::<Feature>(StatusCode::OK, "It is changed.")
        .with_etag()
        .refuses(&[Code::UnknownStream])
}

async fn upsert(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let (headers, bytes) = state.json_body(request).await?;
    let given: Map<String, Value> = request::json(&bytes)?;
    done(&state, &ids, &headers, Deed::Put(Value::Object(given))).await
}

fn about_delete(it: Operation) -> Operation {
    it.says("delete_feature", "Delete a feature; it may be found again")
        .if_match()
        .answers::<Acknowledged>(StatusCode::OK, "It is gone.")
        .refuses(&[Code::UnknownStream])
}

async fn delete(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    done(&state, &ids, &headers, Deed::Delete).await
}

fn about_exclude(it: Operation) -> Operation {
    it.says(
        "exclude_feature",
        "Exclude a feature, also when it is found again",
    )
    .if_match()
    .answers::<Feature>(StatusCode::OK, "The feature.")
    .with_etag()
    .refuses(&[Code::UnknownStream])
}

async fn exclude(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    done(&state, &ids, &headers, Deed::Exclude).await
}

fn about_restore(it: Operation) -> Operation {
    it.says("restore_feature", "Take back that a feature is excluded")
        .if_match()
        .answers::<Feature>(StatusCode::OK, "The feature.")
        .with_etag()
        .refuses(&[Code::UnknownStream])
}

async fn restore(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    done(&state, &ids, &headers, Deed::Restore).await
}

async fn done(state: &Asked, ids: &PathIds, headers: &HeaderMap, deed: Deed) -> Answer {
    let (key, id) = (stream_of(ids)?, ids.id("uuid")?);
    let if_version = request::if_text(headers)?;
    let wanted = Wanted { deed, if_version };
    let features = &state.service().features;
    Ok(
        match features.change(state.by(), &key, &id, &wanted).await? {
            Done::Made(stored) => shown(StatusCode::CREATED, &stored),
            Done::Changed(stored) => shown(StatusCode::OK, &stored),
            Done::Deleted => answer::json(StatusCode::OK, &Acknowledged::yes()),
        },
    )
}

fn shown(status: StatusCode, stored: &Stored) -> Response<Body> {
    let mut response = answer::json(status, stored.feature.fields());
    answer::set_etag(response.headers_mut(), &stored.version);
    response
}

/// Something was done, as Kibana says it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Acknowledged {
    /// True.
    acknowledged: bool,
}

impl Acknowledged {
    pub(crate) fn yes() -> Self {
        Self { acknowledged: true }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FeatureChanges")]
struct BulkBody {
    /// Each stands alone.
    #[schemars(length(max = 1000))]
    operations: Vec<Change>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "FeatureChange")]
enum Change {
    /// Adds one, or changes the one of its `uuid`.
    Index { feature: Map<String, Value> },
    /// Deletes one.
    Delete { id: String },
    /// Excludes one.
    Exclude { id: String },
    /// Takes that back.
    Restore { id: String },
}

/// What became of one operation of a bulk.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeatureOutcome")]
struct Outcome {
    /// The feature.
    id: String,
    /// `created`, `updated`, `deleted` or `refused`.
    outcome: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeatureOutcomes")]
struct Outcomes {
    /// Whether any was refused.
    errors: bool,
    /// In the order of the operations.
    results: Vec<Outcome>,
}

fn about_bulk(it: Operation) -> Operation {
    it.says("change_features", "Change many features")
        .takes::<BulkBody>()
        .answers::<Outcomes>(StatusCode::OK, "What became of each.")
        .refuses(&[Code::UnknownStream])
}

async fn bulk(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = stream_of(&ids)?;
    let (_, bytes) = state.json_body(request).await?;
    let BulkBody { operations } = request::json(&bytes)?;
    if operations.len() > OPERATIONS_MAX {
        let problem = format!("holds {}: at most {OPERATIONS_MAX}", operations.len());
        return Err(Problem::invalid("operations", problem));
    }
    // Who may change nothing is told so once.
    let (features, by) = (&state.service().features, state.by());
    features.check_may_change(by, &key).await?;
    let mut results = Vec::with_capacity(operations.len());
    for operation in operations {
        let (id, deed) = operation.read();
        let done = match id.parse::<DocumentId>() {
            Ok(id) => features
                .change(by, &key, &id, &deed.into())
                .await
                .map_err(Problem::from),
            Err(error) => Err(Problem::invalid_id("id", &error)),
        };
        let (outcome, problem) = match done {
            Ok(Done::Made(_)) => ("created", None),
            Ok(Done::Changed(_)) => ("updated", None),
            Ok(Done::Deleted) => ("deleted", None),
            // Nothing else can be done, for this one or the next.
            Err(problem) if problem.code() == Code::Unauthorized => return Err(problem),
            Err(problem) => ("refused", Some(problem.as_json())),
        };
        results.push(Outcome {
            id,
            outcome,
            problem,
        });
    }
    let errors = results.iter().any(|one| one.problem.is_some());
    Ok(answer::json(StatusCode::OK, &Outcomes { errors, results }))
}

impl Change {
    fn read(self) -> (String, Deed) {
        match self {
            Self::Index { feature } => {
                let named = feature.get("uuid").and_then(Value::as_str);
                // Kibana's clients let the server choose.
                let id = named.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
                (id, Deed::Put(Value::Object(feature)))
            }
            Self::Delete { id } => (id, Deed::Delete),
            Self::Exclude { id } => (id, Deed::Exclude),
            Self::Restore { id } => (id, Deed::Restore),
        }
    }
}
