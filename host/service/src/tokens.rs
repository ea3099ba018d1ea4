//! Tokens, as admins make, list and revoke them. Each change is written before it is answered, and
//! counts from then on for everybody.

use std::sync::Arc;

use taskhost_model::audit::{Act, Outcome};
use taskhost_model::requester::Requester;
use taskhost_model::rights::{Rights, names_streams};
use taskhost_model::time::Timestamp;
use taskhost_model::token::{Token, TokenId, is_name};
use taskhost_store::tokens::{Created, NewToken, Revoked, TokenStore};

use crate::core::Core;
use crate::error::{FieldError, ServiceError};

/// Names of streams that one token has at most.
const STREAMS_MAX: usize = 100;
/// Spaces that one token has a role in at most.
const SPACES_MAX: usize = 100;

/// Tokens for admins. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    core: Arc<Core>,
    store: Option<Arc<dyn TokenStore>>,
}

/// A token that is wanted.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Whose it is to be.
    pub name: String,
    /// What they are to be able to do.
    pub rights: Rights,
    /// When it is to end by itself.
    pub expires_at: Option<Timestamp>,
}

impl Tokens {
    pub(crate) fn new(core: &Arc<Core>, store: Option<Arc<dyn TokenStore>>) -> Self {
        Self {
            core: Arc::clone(core),
            store,
        }
    }

    /// Makes a token; its secret is in the answer, and nowhere after that.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for whoever is no admin, [`ServiceError::Invalid`] with every
    /// mistake, [`ServiceError::NoTokens`] where people are known otherwise, or what the store
    /// says.
    pub async fn create(
        &self,
        by: &Requester,
        request: TokenRequest,
    ) -> Result<Created, ServiceError> {
        let store = self.for_admin(by).await?;
        check(&request, self.core.clock.now())?;
        let new = NewToken {
            name: request.name,
            rights: request.rights,
            expires_at: request.expires_at,
            created_by: by.name.clone(),
        };
        let act = Act::everywhere("token.create", &new.name).with(described(&new.rights));
        let (own, audit) = (own_token(by), self.core.audit.clone());
        let by = by.clone();
        whole(async move {
            let create = async { Ok(store.create(new, own.as_ref()).await?) };
            audit.kept(&by, act, create).await
        })
        .await
    }

    /// All tokens, the oldest first: those too that have ended lately.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn list(&self, by: &Requester) -> Result<Vec<Token>, ServiceError> {
        Ok(self.for_admin(by).await?.list().await?)
    }

    /// Ends a token, at once: whoever comes with it from now on is nobody, what they watch ends
    /// within seconds, and no run of theirs begins any more.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or as [`Self::create`].
    pub async fn revoke(&self, by: &Requester, id: &str) -> Result<Revoked, ServiceError> {
        let store = self.for_admin(by).await?;
        let missing = || ServiceError::NotFound {
            what: "token of this id".to_owned(),
        };
        let id = TokenId::parse(id).ok_or_else(missing)?;
        let act = Act::everywhere("token.revoke", &id);
        let (own, audit) = (own_token(by), self.core.audit.clone());
        let by = by.clone();
        whole(async move {
            let revoke = async {
                let revoked = store.revoke(&id, &by.name, own.as_ref()).await?;
                revoked.ok_or_else(missing)
            };
            audit.kept_as(&by, act, revoke, |_| Outcome::Done).await
        })
        .await
    }

    async fn for_admin(&self, by: &Requester) -> Result<Arc<dyn TokenStore>, ServiceError> {
        self.core.caller(by).must_be_admin().await?;
        self.store.clone().ok_or(ServiceError::NoTokens)
    }
}

/// Which token they have shown: who has lost it meanwhile changes nothing more.
fn own_token(by: &Requester) -> Option<TokenId> {
    by.origin.token.as_deref().and_then(TokenId::parse)
}

/// Carried out to the end, also when whoever asks hangs up.
async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    let done = tokio::spawn(change).await;
    done.map_err(|error| ServiceError::Internal {
        reason: error.to_string(),
    })?
}

fn check(request: &TokenRequest, now: Timestamp) -> Result<(), ServiceError> {
    let TokenRequest {
        name,
        rights,
        expires_at,
    } = request;
    let mut errors = Vec::new();
    let mut wrong = |field: &str, problem: String| {
        errors.push(FieldError {
            field: field.to_owned(),
            problem,
        });
    };
    if !is_name(name) {
        let problem = "has to be 1 to 64 letters, digits and `. _ @ + -`, a letter or digit first";
        wrong("name", problem.to_owned());
    }
    if rights.everywhere.is_none() && rights.spaces.is_empty() {
        let problem = "are missing: {\"SPACE\": \"viewer\"}, or \"*\" for every space, with one of \
                       viewer, operator and admin";
        wrong("roles", problem.to_owned());
    }
    if rights.spaces.len() > SPACES_MAX {
        wrong("roles", format!("are for more than {SPACES_MAX} spaces"));
    }
    if rights.streams.len() > STREAMS_MAX {
        wrong("streams", format!("has more than {STREAMS_MAX} names"));
    }
    if !rights.streams.iter().all(|text| names_streams(text)) {
        let problem = "has to have names of streams, or beginnings of names with a `*` behind";
        wrong("streams", problem.to_owned());
    }
    if expires_at.is_some_and(|at| at <= now) {
        wrong("expires_at", "is over already".to_owned());
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(ServiceError::Invalid { errors }),
    }
}

/// Rights in a few words, for the audit log.
fn described(rights: &Rights) -> String {
    let everywhere = rights.everywhere.map(|role| format!("*: {role}"));
    let spaces = rights
        .spaces
        .iter()
        .map(|(space, role)| format!("{space}: {role}"));
    let roles: Vec<String> = everywhere.into_iter().chain(spaces).collect();
    format!(
        "{}; streams {}",
        roles.join(", "),
        rights.streams.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use taskhost_model::ids::Space;
    use taskhost_model::rights::Role;

    use super::*;

    #[test]
    fn every_mistake_of_a_token_is_told() {
        let now = Timestamp::from_ms(5);
        let wrong = TokenRequest {
            name: "a b".to_owned(),
            rights: Rights {
                streams: vec!["logs-*".to_owned(), "*x".to_owned()],
                ..Rights::default()
            },
            expires_at: Some(now),
        };
        let ServiceError::Invalid { errors } = check(&wrong, now).unwrap_err() else {
            panic!("it is invalid")
        };
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "roles", "streams", "expires_at"]);
        let space = Space::parse("default").unwrap();
        let fine = TokenRequest {
            name: "ann".to_owned(),
            rights: Rights::of(&space, Role::Viewer, &["*", "logs-*", "one"]),
            expires_at: None,
        };
        assert!(check(&fine, now).is_ok());
        assert_eq!(
            described(&fine.rights),
            "default: viewer; streams *, logs-*, one"
        );
    }
}
