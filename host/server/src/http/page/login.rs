//! The form by which somebody with a browser says who they are.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::super::asked::LOGIN;
use super::super::problem::Problem;
use super::super::state::State;
use super::shell;

/// The page, with what was wrong at the last try.
pub(crate) fn login(
    state: &State,
    next: Option<&str>,
    problem: Option<&Problem>,
) -> Response<Body> {
    let status = problem.map_or(StatusCode::OK, Problem::status);
    let main = html! {
        h1 { "Who are you?" }
        (shell::alert(problem))
        (form(state.has_tokens(), next.unwrap_or("/")))
    };
    shell::page(status, "Log in", &main, None)
}

/// The form alone.
pub(super) fn form(has_tokens: bool, next: &str) -> Markup {
    html! {
        form method="post" action=(LOGIN) {
            input type="hidden" name="next" value=(next);
            @if has_tokens {
                p { label { "Token " input type="password" name="token" required
                    autocomplete="current-password"; } }
                p.hint { "An admin makes one with " code { "taskhost token create" } "." }
            } @else {
                p { label { "Name " input type="text" name="username" required
                    autocomplete="username"; } }
                p { label { "Password " input type="password" name="password" required
                    autocomplete="current-password"; } }
            }
            p { button type="submit" { "Log in" } }
        }
    }
}
