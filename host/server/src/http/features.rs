//! The routes for features: what a run has found in a stream, and what people make of it. Kibana's
//! paths and this host's own lead to the same handlers.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::{get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskhost_model::ids::{DocumentId, Space, StreamKey};
use taskhost_service::features::{Deed, Done, Stored, Wanted};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams};
use super::state::State;

/// The space of Kibana's routes, which name none.
pub(crate) const KIBANAS_SPACE: &str = "default";
/// Operations of one bulk.
const OPERATIONS_MAX: usize = 1_000;

pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new();
    for stream in [
        "/internal/streams/{name}",
        "/v1/spaces/{space}/streams/{name}",
    ] {
        let features = format!("{stream}/features");
        let one = format!("{features}/{{uuid}}");
        router = router
            .route(&features, get(list))
            .route(&format!("{features}/_bulk"), post(bulk))
            .route(&one, put(upsert).delete(delete).get(read))
            .route(&format!("{one}/exclude"), post(exclude))
            .route(&format!("{one}/restore"), post(restore));
    }
    router
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

#[derive(Serialize)]
struct List<'a> {
    features: Vec<&'a Map<String, Value>>,
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

async fn read(state: Asked, ids: PathIds) -> Answer {
    let (key, id) = (stream_of(&ids)?, ids.id("uuid")?);
    let stored = state.service().features.get(state.by(), &key, &id).await?;
    Ok(shown(StatusCode::OK, &stored))
}

async fn upsert(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let (headers, bytes) = state.json_body(request).await?;
    let given: Map<String, Value> = request::json(&bytes)?;
    done(&state, &ids, &headers, Deed::Put(Value::Object(given))).await
}

async fn delete(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    done(&state, &ids, &headers, Deed::Delete).await
}

async fn exclude(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    done(&state, &ids, &headers, Deed::Exclude).await
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
            Done::Deleted => answer::json(StatusCode::OK, &json!({"acknowledged": true})),
        },
    )
}

fn shown(status: StatusCode, stored: &Stored) -> Response<Body> {
    let mut response = answer::json(status, stored.feature.fields());
    answer::set_etag(response.headers_mut(), &stored.version);
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkBody {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Operation {
    Index { feature: Map<String, Value> },
    Delete { id: String },
    Exclude { id: String },
    Restore { id: String },
}

/// What became of one operation of a bulk.
#[derive(Serialize)]
struct Outcome {
    id: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
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
    let has_problems = results.iter().any(|one| one.problem.is_some());
    let answer = json!({"errors": has_problems, "results": results});
    Ok(answer::json(StatusCode::OK, &answer))
}

impl Operation {
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
