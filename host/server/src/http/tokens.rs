//! Tokens, for admins.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_model::ids::Space;
use taskhost_model::rights::{Rights, Role};
use taskhost_model::time::Timestamp;
use taskhost_model::token::Token;
use taskhost_service::tokens::TokenRequest;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{self, PathIds};

/// Stands for every space.
const EVERYWHERE: &str = "*";

pub(crate) fn routes() -> Routes {
    Routes::of("Tokens")
        .get("/v1/tokens", list, about_list)
        .post("/v1/tokens", create, about_create)
        .delete("/v1/tokens/{token}", revoke, about_revoke)
}

type Answer = Result<Response<Body>, Problem>;

/// A token to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenRequest")]
struct Wanted {
    /// Whose it is to be, as in `requested_by`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"))]
    name: String,
    /// What they may do, by space; `*` is every space.
    #[schemars(extend(
        "minProperties" = 1,
        "propertyNames" = {"pattern": r"^(\*|[a-z][a-z0-9_-]{0,63})$"},
    ))]
    roles: BTreeMap<String, Role>,
    /// Streams that they may read: names, or beginnings of names with a `*` behind. All, where it
    /// is left out.
    #[schemars(inner(regex(pattern = r"^(\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\*?)$")))]
    streams: Option<Vec<String>>,
    /// It is not accepted from then on, which is to come; none: as long as nobody revokes it.
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
struct Shown<'a> {
    /// By what it is named; no secret.
    id: &'a str,
    /// Whose it is.
    name: &'a str,
    /// What they may do, by space; `*` is every space.
    roles: BTreeMap<&'a str, Role>,
    /// Streams that they may read.
    streams: &'a [String],
    /// When it was made.
    created_at: Timestamp,
    /// By whom.
    created_by: &'a str,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// When somebody has ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// Who that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_by: Option<&'a str>,
    /// The whole of it, a secret: where it was made alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// Where it was revoked: how many others are left that may manage tokens.
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenList")]
struct List<'a> {
    /// The oldest first; those too that have ended lately.
    tokens: Vec<Shown<'a>>,
}

/// What they are for.
const DETAILS: &str = "For admins everywhere, on the embedded store with `identity = \"tokens\"`.";

fn about_list(it: Operation) -> Operation {
    it.says("list_tokens", "List tokens, without their secrets")
        .details(DETAILS)
        .answers::<List<'_>>(StatusCode::OK, "All.")
        .refuses(&[Code::NoTokens])
}

async fn list(state: Asked) -> Answer {
    let tokens = state.service().tokens.list(state.by()).await?;
    let tokens = tokens.iter().map(Shown::of).collect();
    Ok(answer::json(StatusCode::OK, &List { tokens }))
}

fn about_create(it: Operation) -> Operation {
    it.says("create_token", "Make a token")
        .details(DETAILS)
        .takes::<Wanted>()
        .answers::<Shown<'_>>(StatusCode::CREATED, "The token, whole: this once.")
        .refuses(&[Code::NoTokens])
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

fn about_revoke(it: Operation) -> Operation {
    it.says("revoke_token", "Revoke a token")
        .details(DETAILS)
        .path::<String>("token", "Its id, and never the token itself.")
        .answers::<Shown<'_>>(StatusCode::OK, "It is accepted no more.")
        .refuses(&[Code::NoTokens])
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
