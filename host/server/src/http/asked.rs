//! Who asks: nothing but a few paths answers anybody who is not somebody. It is asked before a
//! route is looked for, so that none can be forgotten.

use std::net::IpAddr;
use std::ops::Deref;
use std::time::Instant;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request};
use taskhost_model::requester::{Authorization, Requester};
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;

use super::codes::Code;
use super::guard;
use super::problem::Problem;
use super::rates::Who;
use super::state::State;
use super::traced::Within;
use crate::post::PATH;

/// What is answered to anybody: whether the host lives and is ready. It shows nothing that is
/// anybody's.
const OPEN: [&str; 2] = ["/livez", "/readyz"];
/// Where a browser says who it comes for, and that it comes for nobody any more.
pub(crate) const LOGIN: &str = "/login";
pub(crate) const LOGOUT: &str = "/logout";
/// The files of the pages, the same for everybody.
pub(crate) const ASSETS: &str = "/assets/";

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

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
            by: by.ok_or_else(|| nobody(state))?,
            trace: parts.extensions.get::<Within>().map(|Within(place)| *place),
        })
    }
}

/// When a session ends that a request has come with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionUntil(pub(crate) Timestamp);

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
    let address = address(state, request);
    let mut by = if has_people {
        if path == LOGIN || path == LOGOUT {
            return count(state, address.map(Who::address));
        }
        let (own, until) = shown(state, request)?;
        if let Some(until) = until {
            request.extensions_mut().insert(SessionUntil(until));
        }
        let by = recognized(state, address, &own).await?;
        count(state, Some(Who::Person(by.name.clone())))?;
        by
    } else {
        state.service().recognize(None).await?
    };
    by.origin.address = address;
    request.extensions_mut().insert(by);
    Ok(())
}

/// What a request comes with: its own `Authorization`, or a browser's session, with its end.
fn shown(
    state: &State,
    request: &Request<Body>,
) -> Result<(Authorization, Option<Timestamp>), Problem> {
    let headers = request.headers();
    if headers.contains_key(AUTHORIZATION) {
        return Ok((authorization(headers)?, None));
    }
    let Some(shown) = state.cookie().shown(headers) else {
        return Err(nobody(state));
    };
    let opened = state.service().sessions.opened(shown);
    let opened = opened.ok_or_else(|| {
        Problem::new(
            Code::Unauthorized,
            "the session has ended: log in again, at /login",
        )
    })?;
    check_cookie(request.method(), headers)?;
    Ok((opened.authorization, Some(opened.until)))
}

/// A browser sends a cookie whoever makes it: a change has to come from a page of this host, and
/// say so.
pub(crate) fn check_cookie(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() || guard::is_of_this_origin(headers) {
        return Ok(());
    }
    let detail = "a change that comes with a session has to come from a page of this host, and its \
                  `Origin` says that it does not";
    Err(Problem::new(Code::OriginNotAllowed, detail))
}

/// Who has this, asked for as often as the address may.
pub(crate) async fn recognized(
    state: &State,
    address: Option<IpAddr>,
    own: &Authorization,
) -> Result<Requester, Problem> {
    count(state, address.map(Who::address))?;
    Ok(state.service().recognize(Some(own)).await?)
}

/// Where a request comes from: what the proxy says, where there is one.
pub(crate) fn address(state: &State, request: &Request<Body>) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    match state.is_behind_proxy() {
        true => forwarded(request.headers()).or(peer),
        false => peer,
    }
}

/// The last address is what the proxy itself has seen; whoever asks may have written the others.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let mut all = headers.get_all("x-forwarded-for").iter();
    let last = all.next_back().and_then(|value| value.to_str().ok())?;
    let last = last.rsplit(',').next()?.trim();
    last.parse::<IpAddr>().ok().map(|it| it.to_canonical())
}

fn count(state: &State, who: Option<Who>) -> Result<(), Problem> {
    let Some(who) = who else {
        return Ok(());
    };
    state.rates().count(who, Instant::now()).map_err(|after| {
        let detail = "you send more requests than this host takes of one person or one address \
                      (`http.requests_a_second` in its settings)";
        Problem::new(Code::TooManyRequests, detail).retried_after(after)
    })
}

/// The credential of a request, where it has one that could be one.
pub(crate) fn credential(headers: &HeaderMap) -> Option<Authorization> {
    authorization(headers).ok()
}

/// Nothing of what was sent is repeated.
fn authorization(headers: &HeaderMap) -> Result<Authorization, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(unclear());
    };
    let parsed = value.to_str().ok().map(Authorization::parse);
    match parsed {
        Some(Ok(authorization)) => Ok(authorization),
        Some(Err(error)) => Err(Problem::new(Code::Unauthorized, error.to_string())),
        None => Err(unclear()),
    }
}

fn unclear() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "send one `Authorization` header, in visible ASCII",
    )
}

fn nobody(state: &State) -> Problem {
    let detail = match state.has_tokens() {
        true => {
            "this host knows people by its tokens: send one as `Authorization: Bearer TOKEN`; an \
             admin makes one with `taskhost token create`"
        }
        false => {
            "this host knows people by their credentials for Elasticsearch: send one \
             `Authorization` header, of `Basic` (base64 of NAME:PASSWORD), `ApiKey` (a key as \
             Elasticsearch encodes it) or `Bearer` (a token of Elasticsearch)"
        }
    };
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
        assert_eq!(one.header(), "ApiKey c2VjcmV0");
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

    #[test]
    fn a_proxy_says_last_what_it_has_seen_itself() {
        let said = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            forwarded(&headers).map(|it| it.to_string())
        };
        assert_eq!(said(&["10.0.0.1"]).unwrap(), "10.0.0.1");
        assert_eq!(said(&["6.6.6.6, 10.0.0.2"]).unwrap(), "10.0.0.2");
        assert_eq!(
            said(&["10.0.0.3", "6.6.6.6,::ffff:10.0.0.4"]).unwrap(),
            "10.0.0.4"
        );
        for none in [&[][..], &["unknown"], &["10.0.0.1, "]] {
            assert_eq!(said(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_change_with_a_session_comes_from_a_page_of_this_host() {
        let checked = |method: Method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("a.example:1"));
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            check_cookie(&method, &headers).is_ok()
        };
        assert!(checked(Method::GET, None));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert!(checked(method.clone(), Some("https://a.example:1")));
            for foreign in [None, Some("null"), Some("https://evil.example"), Some("")] {
                assert!(!checked(method.clone(), foreign), "{method} {foreign:?}");
            }
        }
    }
}
