//! Who asks: nothing but a few paths answers anybody who is not somebody. It is asked before a
//! route is looked for, so that none can be forgotten.

use std::ops::Deref;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request};
use taskhost_model::requester::{Authorization, Requester};
use taskhost_model::trace::TraceParent;

use super::codes::Code;
use super::guard;
use super::problem::Problem;
use super::state::State;
use super::traced::Within;
use crate::post::PATH;

/// What is answered to anybody: whether the host lives and is ready, and how it is asked. It shows
/// nothing that is anybody's.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/docs"];
/// The files of the pages, the same for everybody.
pub(crate) const ASSETS: &str = "/assets/";

/// What the handlers of everything else are handed: the host's state, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    state: State,
    by: Requester,
    trace: Option<TraceParent>,
}

impl Asked {
    /// The span that the request is, or belongs to.
    pub(crate) fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// Whoever asks.
    pub(crate) fn by(&self) -> &Requester {
        &self.by
    }
}

impl Deref for Asked {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl FromRequestParts<State> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let by = parts.extensions.get::<Requester>().cloned();
        Ok(Self {
            state: state.clone(),
            by: by.ok_or_else(nobody)?,
            trace: parts.extensions.get::<Within>().map(|Within(place)| *place),
        })
    }
}

/// Lets a request in with who it is from, or says why not.
pub(crate) async fn admit(state: &State, request: &mut Request<Body>) -> Result<(), Problem> {
    let path = request.uri().path();
    // A hint comes from another machine, and shows by its seal that it may.
    if path == PATH {
        return Ok(());
    }
    let has_people = state.has_people();
    if has_people {
        guard::check_origin(request.headers())?;
    } else {
        guard::check(request.headers(), request.uri())?;
    }
    if OPEN.contains(&path) || path.starts_with(ASSETS) {
        return Ok(());
    }
    let authorization = match has_people {
        true => authorization(request.headers())?,
        false => None,
    };
    let by = state.service().recognize(authorization.as_ref()).await?;
    request.extensions_mut().insert(by);
    Ok(())
}

/// Nothing of what was sent is repeated.
fn authorization(headers: &HeaderMap) -> Result<Option<Authorization>, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(nobody());
    };
    let parsed = value.to_str().ok().map(Authorization::parse);
    match parsed {
        Some(Ok(authorization)) => Ok(Some(authorization)),
        Some(Err(error)) => Err(Problem::new(Code::Unauthorized, error.to_string())),
        None => Err(nobody()),
    }
}

fn nobody() -> Problem {
    let detail = "this host knows people by their credentials for Elasticsearch: send one \
                  `Authorization` header, of `Basic` (base64 of NAME:PASSWORD), `ApiKey` (a key as \
                  Elasticsearch encodes it) or `Bearer` (a token of Elasticsearch)";
    Problem::new(Code::Unauthorized, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_request_carries_one_credential_and_is_never_quoted() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(AUTHORIZATION, value);
            }
            authorization(&headers)
        };
        let one = read(&["ApiKey c2VjcmV0"]).unwrap();
        assert_eq!(one.unwrap().header(), "ApiKey c2VjcmV0");
        for bad in [
            &[][..],
            &["Basic c2VjcmV0", "Basic c2VjcmV0"],
            &["c2VjcmV0"],
            &["Basic c2VjcmV0 x"],
            &["Basic c2VjcmV0\u{e9}"],
        ] {
            let refused = format!("{:?}", read(bad).unwrap_err());
            assert!(refused.contains("Unauthorized"), "{refused}");
            assert!(!refused.contains("c2VjcmV0"), "{refused}");
        }
    }
}
