//! `/login` and `/logout`: a browser gets a session for a token, or for what Elasticsearch knows
//! somebody by.

use axum::body::Body;
use axum::extract;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use taskhost_model::requester::Authorization;
use url::form_urlencoded;

use super::answer;
use super::asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::page;
use super::problem::Problem;
use super::request::{self, QueryParams};
use super::state::State;

pub(crate) fn routes() -> Routes {
    Routes::of("Sessions")
        .get(asked::LOGIN, ask, about_ask)
        .post(asked::LOGIN, login, about_login)
        .post(asked::LOGOUT, logout, about_logout)
}

type Answer = Result<Response<Body>, Problem>;

/// With what somebody comes: one of these, whole.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Credential")]
struct Given {
    /// A token of this host, or of Elasticsearch.
    token: Option<String>,
    /// A key of Elasticsearch, as it encodes it.
    api_key: Option<String>,
    /// As Elasticsearch knows somebody, without a colon.
    username: Option<String>,
    /// And the password.
    password: Option<String>,
    /// The page that they wanted.
    next: Option<String>,
}

/// What may be refused where nobody has to be somebody yet.
const REFUSED: [Code; 3] = [Code::NotFound, Code::Unauthorized, Code::TooManyRequests];

fn about_ask(it: Operation) -> Operation {
    it.says("page_of_login", "Say who you are, as a page")
        .open()
        .query::<String>("next", "The path of the page to go to.")
        .answers_other(StatusCode::OK, "text/html", "The form.")
        .refuses(&REFUSED)
}

/// The form.
async fn ask(extract::State(state): extract::State<State>, request: Request<Body>) -> Answer {
    must_have_people(&state)?;
    let mut query = QueryParams::of(request.uri())?;
    let next = query.take("next");
    query.finish()?;
    Ok(page::login(&state, next.as_deref(), None))
}

fn about_login(it: Operation) -> Operation {
    it.says("log_in", "Begin a session, which a cookie keeps")
        .details(
            "With one credential: in `Authorization`, or in the body. The page's own form is \
             answered with the page that was wanted.",
        )
        .open()
        .may_take::<Given>()
        .answers_nothing(StatusCode::NO_CONTENT, "The cookie is set.")
        .refuses(&REFUSED)
}

/// From a form, or as JSON; or as the `Authorization` of the request itself.
async fn login(extract::State(state): extract::State<State>, request: Request<Body>) -> Answer {
    must_have_people(&state)?;
    let address = asked::address(&state, &request);
    let own = asked::credential(request.headers());
    let types = ["application/json", "application/x-www-form-urlencoded"];
    let (headers, bytes) = state.body(request, &types).await?;
    let is_form = is_form(&headers);
    let given = match is_form {
        true => of_form(&bytes),
        false => request::json_or_empty(&bytes)?,
    };
    let next = given.next.as_deref().map(own_path);
    let begun = begun(&state, address, own, &given).await;
    match (begun, is_form) {
        (Ok(session), _) => {
            let mut response = match is_form {
                true => see(next.unwrap_or("/")),
                false => answer::empty(StatusCode::NO_CONTENT),
            };
            state.cookie().set(response.headers_mut(), &session);
            answer::no_store(response.headers_mut());
            Ok(response)
        }
        (Err(problem), true) => Ok(page::login(&state, next, Some(&problem))),
        (Err(problem), false) => Err(problem),
    }
}

async fn begun(
    state: &State,
    address: Option<std::net::IpAddr>,
    own: Option<Authorization>,
    given: &Given,
) -> Result<String, Problem> {
    let own = match own {
        Some(own) => own,
        None => given.authorization()?,
    };
    asked::recognized(state, address, &own).await?;
    Ok(state.service().sessions.begin(&own)?)
}

fn about_logout(it: Operation) -> Operation {
    it.says("log_out", "End a session")
        .open()
        .answers_nothing(StatusCode::NO_CONTENT, "The cookie is gone.")
        .refuses(&REFUSED)
}

/// A change by a browser with a cookie: from a page of this host.
async fn logout(extract::State(state): extract::State<State>, request: Request<Body>) -> Answer {
    must_have_people(&state)?;
    let headers = request.headers();
    if let Some(shown) = state.cookie().shown(headers) {
        asked::check_cookie(&Method::POST, headers)?;
        state.service().sessions.end(shown);
    }
    let mut response = match is_form(headers) {
        true => see(asked::LOGIN),
        false => answer::empty(StatusCode::NO_CONTENT),
    };
    state.cookie().clear(response.headers_mut());
    answer::no_store(response.headers_mut());
    Ok(response)
}

fn must_have_people(state: &State) -> Result<(), Problem> {
    match state.has_people() {
        true => Ok(()),
        false => Err(Problem::new(
            Code::NotFound,
            "this host has one user, whom it does not ask who they are",
        )),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(axum::http::header::CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}

fn of_form(bytes: &[u8]) -> Given {
    let mut given = Given::default();
    for (field, value) in form_urlencoded::parse(bytes) {
        let value = value.trim().to_owned();
        let place = match &*field {
            "token" => &mut given.token,
            "api_key" => &mut given.api_key,
            "username" => &mut given.username,
            "password" => &mut given.password,
            "next" => &mut given.next,
            _ => continue,
        };
        *place = Some(value).filter(|value| !value.is_empty());
    }
    given
}

impl Given {
    /// Nothing of what was given is repeated.
    fn authorization(&self) -> Result<Authorization, Problem> {
        let header = match (&self.token, &self.api_key, &self.username, &self.password) {
            (Some(token), None, None, None) => format!("Bearer {token}"),
            (None, Some(key), None, None) => format!("ApiKey {key}"),
            (None, None, Some(name), Some(password)) if !name.contains(':') => {
                format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
            }
            _ => {
                let detail = "one of these is needed: `token`; `api_key`; `username`, without a \
                              colon, and `password`";
                return Err(Problem::invalid("token", detail));
            }
        };
        let wrong = |_| Problem::new(Code::Unauthorized, "what was given is no credential");
        Authorization::parse(&header).map_err(wrong)
    }
}

/// A path on this host, and nothing that leads elsewhere.
fn own_path(path: &str) -> &str {
    let mut bytes = path.bytes();
    let is_own = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own && is_plain { path } else { "/" }
}

fn see(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for own in ["/", "/streams/a?b=c", "/spaces/x"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x",
            "/\t/evil.example",
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn one_credential_is_taken_and_none_is_repeated() {
        let header = |form: &str| {
            let own = of_form(form.as_bytes()).authorization();
            own.map(|own| own.header().to_owned())
                .map_err(|problem| format!("{problem:?}"))
        };
        assert_eq!(header("token=+t0k+").unwrap(), "Bearer t0k");
        assert_eq!(header("api_key=k").unwrap(), "ApiKey k");
        assert_eq!(
            header("username=ann&password=a%3Ab&token=").unwrap(),
            "Basic YW5uOmE6Yg=="
        );
        for wrong in [
            "",
            "token=a&password=s3cret",
            "username=a",
            "password=s3cret",
        ] {
            assert!(!header(wrong).unwrap_err().contains("s3cret"), "{wrong}");
        }
    }
}
