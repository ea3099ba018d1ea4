//! Tokens (`TokenStore` 1 to 4), of a store that makes its people's itself.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::requester::Authorization;
use taskhost_model::rights::{Right, Rights, Role};
use taskhost_model::time::Timestamp;
use taskhost_model::token::TokenId;

use super::Subject;
use super::given::space;
use crate::authority::Authority;
use crate::error::StoreError;
use crate::tokens::{Created, KEPT_AFTER_END, NewToken, TokenStore};

fn tokens(s: &Subject) -> &Arc<dyn TokenStore> {
    let people = s.stores.people.as_ref().expect("the store has people");
    people.tokens.as_ref().expect("with tokens")
}

fn authority(s: &Subject) -> &Arc<dyn Authority> {
    let people = s.stores.people.as_ref().expect("the store has people");
    &people.authority
}

fn new(name: &str, rights: Rights, expires_at: Option<Timestamp>) -> NewToken {
    NewToken {
        name: name.to_owned(),
        rights,
        expires_at,
        created_by: "a case".to_owned(),
    }
}

fn bearer(created: &Created) -> Authorization {
    Authorization::parse(&format!("Bearer {}", created.secret)).expect("it is one")
}

fn is_unauthorized<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unauthorized { .. }))
}

async fn admin(s: &Subject, name: &str) -> Result<(Created, TokenId), StoreError> {
    let created = tokens(s)
        .create(new(name, Rights::all(), None), None)
        .await?;
    let id = created.token.id.clone();
    Ok((created, id))
}

pub(super) async fn a_token_is_accepted_and_listed_without_its_secret(
    s: &Subject,
) -> Result<(), StoreError> {
    assert!(tokens(s).is_empty().await?);
    let rights = Rights::of(&space(), Role::Operator, &["logs-*"]);
    let made = tokens(s)
        .create(new("ann", rights.clone(), None), None)
        .await?;
    assert!(!tokens(s).is_empty().await?);
    let person = authority(s).person(&bearer(&made)).await?;
    assert_eq!(person.name, "ann");
    assert_eq!(person.token.as_deref(), Some(made.token.id.as_str()));
    let asked = [
        Right::In(space(), Role::Operator),
        Right::In(space(), Role::Admin),
    ];
    assert_eq!(
        authority(s).has(&bearer(&made), &asked).await?,
        [true, false]
    );
    let other = tokens(s).create(new("ann", rights, None), None).await?;
    assert_ne!(other.secret, made.secret);
    let listed = tokens(s).list().await?;
    assert_eq!(listed.len(), 2);
    for token in [&made, &other] {
        assert!(listed.contains(&token.token));
        assert!(!format!("{token:?} {listed:?}").contains(&token.secret));
    }
    // Nothing but the whole of it is it.
    let secret = &made.secret;
    let swapped = format!("{}{}", &secret[..21], &other.secret[21..]);
    for wrong in [
        &secret[..secret.len() - 1],
        made.token.id.as_str(),
        &swapped,
    ] {
        let wrong = Authorization::parse(&format!("Bearer {wrong}")).expect("it is one");
        assert!(is_unauthorized(&authority(s).person(&wrong).await));
    }
    Ok(())
}

pub(super) async fn a_revoked_token_is_nobodys_at_once(s: &Subject) -> Result<(), StoreError> {
    let (root, root_id) = admin(s, "root").await?;
    let rights = Rights::of(&space(), Role::Viewer, &["*"]);
    let ann = tokens(s)
        .create(new("ann", rights, None), Some(&root_id))
        .await?;
    let hour = Duration::from_secs(3_600);
    let key = authority(s).grant(&bearer(&ann), "a run's", hour).await?;
    assert_eq!(authority(s).person(&key.authorization).await?.name, "ann");
    let revoked = tokens(s)
        .revoke(&ann.token.id, "root", Some(&root_id))
        .await?;
    let revoked = revoked.expect("it is there");
    assert_eq!(revoked.admins_left, 1);
    assert_eq!(revoked.token.revoked_by.as_deref(), Some("root"));
    for own in [&bearer(&ann), &key.authorization] {
        assert!(is_unauthorized(&authority(s).person(own).await));
        assert!(is_unauthorized(&authority(s).has(own, &[]).await));
        assert!(is_unauthorized(&authority(s).grant(own, "", hour).await));
    }
    // Again it changes nothing, and of what there is not nothing is said.
    s.wait_ms(5);
    let again = tokens(s)
        .revoke(&ann.token.id, "other", Some(&root_id))
        .await?;
    assert_eq!(again.map(|it| it.token), Some(revoked.token));
    let none = TokenId::of([9; 8]);
    assert_eq!(tokens(s).revoke(&none, "root", None).await?, None);
    // The last admin's may go as well: it is told.
    let last = tokens(s).revoke(&root_id, "root", Some(&root_id)).await?;
    assert_eq!(last.map(|it| it.admins_left), Some(0));
    assert!(is_unauthorized(&authority(s).person(&bearer(&root)).await));
    Ok(())
}

pub(super) async fn of_two_that_revoke_each_other_one_does(s: &Subject) -> Result<(), StoreError> {
    for round in 0..20 {
        let (_, one) = admin(s, &format!("one-{round}")).await?;
        let (_, two) = admin(s, &format!("two-{round}")).await?;
        let (first, second) = tokio::join!(
            tokens(s).revoke(&two, "one", Some(&one)),
            tokens(s).revoke(&one, "two", Some(&two)),
        );
        let done = [first.is_ok(), second.is_ok()];
        assert!(done[0] != done[1], "{round}: {done:?}");
        assert!(is_unauthorized(&first) || is_unauthorized(&second));
        let listed = tokens(s).list().await?;
        let alive = |id: &TokenId| listed.iter().any(|it| it.id == *id && it.is_alive(s.now()));
        assert!(alive(&one) != alive(&two));
    }
    Ok(())
}

pub(super) async fn whose_token_has_ended_changes_nothing(s: &Subject) -> Result<(), StoreError> {
    let (_, root) = admin(s, "root").await?;
    let (_, other) = admin(s, "other").await?;
    tokens(s).revoke(&root, "other", Some(&other)).await?;
    let made = tokens(s)
        .create(new("eve", Rights::all(), None), Some(&root))
        .await;
    assert!(is_unauthorized(&made));
    let revoked = tokens(s).revoke(&other, "root", Some(&root)).await;
    assert!(is_unauthorized(&revoked));
    assert_eq!(tokens(s).list().await?.len(), 2);
    Ok(())
}

pub(super) async fn a_token_ends_by_its_time_and_is_gone_later(
    s: &Subject,
) -> Result<(), StoreError> {
    let soon = s.now().plus(Duration::from_secs(60));
    let ann = tokens(s)
        .create(new("ann", Rights::all(), Some(soon)), None)
        .await?;
    let hour = Duration::from_secs(3_600);
    let key = authority(s).grant(&bearer(&ann), "", hour).await?;
    assert_eq!(authority(s).person(&key.authorization).await?.name, "ann");
    s.clock.advance(Duration::from_secs(60));
    for own in [&bearer(&ann), &key.authorization] {
        assert!(is_unauthorized(&authority(s).person(own).await));
    }
    assert!(!tokens(s).is_empty().await?, "there has been one");
    assert_eq!(tokens(s).list().await?.len(), 1);
    s.clock.advance(KEPT_AFTER_END + Duration::from_secs(1));
    let (_, other) = admin(s, "other").await?;
    let listed = tokens(s).list().await?;
    assert_eq!(listed.iter().map(|it| &it.id).collect::<Vec<_>>(), [&other]);
    Ok(())
}
