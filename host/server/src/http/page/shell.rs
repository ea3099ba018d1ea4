//! What is around every page: its head, its headers, its files, and what is shown where something
//! was refused. Nothing comes from outside, and nothing runs but the files here.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::header::{HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::super::answer;
use super::super::asked::ASSETS;
use super::super::codes::Code;
use super::super::problem::{self, Problem};
use super::super::request::PathIds;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Inline script and style are refused as well: what stands in a stream can become neither.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Changes with the files, so that a browser may keep them for ever.
static EDITION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    [STYLE, SCRIPT, ICON]
        .iter()
        .for_each(|file| hasher.write(file.as_bytes()));
    format!("{:016x}", hasher.finish())
});

/// What the script listens to.
pub(super) struct Live {
    /// The task.
    pub(super) task: String,
    /// Where documents are counted.
    pub(super) count: String,
}

/// A response that is finished though its status is no success.
#[derive(Debug, Clone, Copy)]
struct Finished;

/// Whether there is a page at this path, for people with a browser.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with("/streams/") || path.starts_with("/spaces/")
}

/// A whole page.
pub(super) fn page(
    status: StatusCode,
    title: &str,
    main: &Markup,
    live: Option<&Live>,
) -> Response<Body> {
    let file = |name: &str| format!("{ASSETS}{name}?{}", *EDITION);
    let task = live.map(|live| live.task.as_str());
    let count = live.map(|live| live.count.as_str());
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · taskhost" }
                link rel="icon" href=(file("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(file("page.css"));
                @if live.is_some() { script src=(file("page.js")) defer {} }
            }
            body {
                a.skip href="#main" { "Skip to the page" }
                header { a href="/" { "taskhost" } }
                main #main tabindex="-1" data-task=[task] data-count=[count] { (main) }
            }
        }
    };
    document(status, whole)
}

/// A part of a page, without what is around it.
pub(super) fn bare(part: &Markup) -> Response<Body> {
    document(StatusCode::OK, part.clone())
}

fn document(status: StatusCode, text: Markup) -> Response<Body> {
    let mut response = answer::bytes_of("text/html; charset=utf-8", status, text.into_string());
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` browsers would send forms with the origin `null`.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response.extensions_mut().insert(Finished);
    response
}

/// What went wrong, where something did; the script puts another one into its place.
pub(super) fn alert(problem: Option<&Problem>) -> Markup {
    html! {
        div #alert role="alert" {
            @if let Some(problem) = problem {
                div.callout.bad {
                    p { b { "This was not done" } }
                    p { (problem.words()) }
                }
            }
        }
    }
}

/// A response to somebody with a browser: what was refused is a page as well.
pub(crate) fn finish(response: Response<Body>, path: &str) -> Response<Body> {
    if response.extensions().get::<Finished>().is_some() {
        return response;
    }
    let (parts, problem) = match problem::taken(response, path) {
        Ok(response) => return response,
        Err(refused) => *refused,
    };
    let main = html! {
        h1 { (problem.title()) }
        p { (problem.detail()) }
        @if problem.code() != Code::Unauthorized { p { a href="/" { "All streams" } } }
    };
    let mut page = page(problem.status(), problem.title(), &main, None);
    for (name, value) in &parts.headers {
        if !page.headers().contains_key(name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// A file of the pages.
pub(super) async fn asset(ids: PathIds) -> Result<Response<Body>, Problem> {
    let (kind, text) = match ids.text("name") {
        "page.css" => ("text/css; charset=utf-8", STYLE),
        "page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        name => {
            let detail = format!("there is no file `{name}`");
            return Err(Problem::new(Code::NotFound, detail));
        }
    };
    let mut response = answer::bytes_of(kind, StatusCode::OK, text);
    let headers = response.headers_mut();
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, kept);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
