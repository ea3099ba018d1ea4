//! Tokens, for admins.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{delete, get};
use serde::{Deserialize, Serialize};
use taskhost_model::ids::Space;
use taskhost_model::rights::{Rights, Role};
use taskhost_model::time::Timestamp;
use taskhost_model::token::Token;
use taskhost_service::tokens::TokenRequest;

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{self, PathIds};
use super::state::State;

/// Stands for every space.
const EVERYWHERE: &str = "*";

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/tokens", get(list).post(create))
        .route("/v1/tokens/{token}", delete(revoke))
}

type Answer = Result<Response<Body>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    roles: BTreeMap<String, Role>,
    /// All, where it is left out.
    streams: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
}

impl Wanted {
    fn request(self) -> Result<TokenRequest, Problem> {
        let mut rights = Rights {
            streams: self.streams.unwrap_or_else(|| vec!["*".to_owned()]),
            ..Rights::default()
        };
        for (space, role) in self.roles {
            if space == EVERYWHERE {
                rights.everywhere = Some(role);
                continue;
            }
            let space =
                Space::parse(&space).map_err(|error| Problem::invalid_id("roles", &error))?;
            rights.spaces.insert(space, role);
        }
        Ok(TokenRequest {
            name: self.name,
            rights,
            expires_at: self.expires_at,
        })
    }
}

/// A token, without its secret but in the answer to whoever has made it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    roles: BTreeMap<&'a str, Role>,
    streams: &'a [String],
    created_at: Timestamp,
    created_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admins_left: Option<usize>,
}

impl<'a> Shown<'a> {
    fn of(token: &'a Token) -> Self {
        let Rights {
            everywhere,
            spaces,
            streams,
        } = &token.rights;
        let everywhere = everywhere.map(|role| (EVERYWHERE, role));
        let spaces = spaces.iter().map(|(space, role)| (space.as_str(), *role));
        Self {
            id: token.id.as_str(),
            name: &token.name,
            roles: spaces.chain(everywhere).collect(),
            streams,
            created_at: token.created_at,
            created_by: &token.created_by,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            revoked_by: token.revoked_by.as_deref(),
            token: None,
            admins_left: None,
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    tokens: Vec<Shown<'a>>,
}

async fn list(state: Asked) -> Answer {
    let tokens = state.service().tokens.list(state.by()).await?;
    let tokens = tokens.iter().map(Shown::of).collect();
    Ok(answer::json(StatusCode::OK, &List { tokens }))
}

async fn create(state: Asked, request: Request<Body>) -> Answer {
    let (_, bytes) = state.json_body(request).await?;
    let wanted: Wanted = request::json(&bytes)?;
    let wish = wanted.request()?;
    let created = state.service().tokens.create(state.by(), wish).await?;
    let shown = Shown {
        token: Some(&created.secret),
        ..Shown::of(&created.token)
    };
    let mut response = answer::json(StatusCode::CREATED, &shown);
    answer::no_store(response.headers_mut());
    Ok(response)
}

async fn revoke(state: Asked, ids: PathIds) -> Answer {
    let tokens = &state.service().tokens;
    let revoked = tokens.revoke(state.by(), ids.text("token")).await?;
    let shown = Shown {
        admins_left: Some(revoked.admins_left),
        ..Shown::of(&revoked.token)
    };
    Ok(answer::json(StatusCode::OK, &shown))
}
