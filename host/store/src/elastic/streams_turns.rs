//! How many searches somebody may have at work in the cluster at once: a run that asks for a
//! hundred samples is served, but no faster than this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use taskhost_model::requester::Credential;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::error::StoreError;
use super::client::unavailable;

/// Searches that one credential has at work at once.
pub(super) const SEARCHES_AT_ONCE: usize = 5;

/// The turns of everybody who reads.
#[derive(Debug, Default)]
pub(super) struct SearchTurns(Mutex<HashMap<Credential, Weak<Semaphore>>>);

impl SearchTurns {
    /// A turn, kept while a search is at work; in the order of asking.
    pub(super) async fn turn(
        &self,
        credential: &Credential,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = self.of(credential).acquire_owned().await;
        turn.map_err(|_| unavailable("searches have ended"))
    }

    fn of(&self, credential: &Credential) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(credential).and_then(Weak::upgrade) {
            return turns;
        }
        // Those that nobody waits for or has are gone with the last turn.
        all.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(SEARCHES_AT_ONCE));
        all.insert(credential.clone(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::requester::Authorization;

    #[tokio::test]
    async fn each_credential_has_its_own_turns_and_none_is_kept() {
        let turns = SearchTurns::default();
        let other = Credential::Own(Authorization::parse("ApiKey eA").unwrap());
        let mut taken = Vec::new();
        for _ in 0..SEARCHES_AT_ONCE {
            taken.push(turns.turn(&Credential::SingleUser).await.unwrap());
        }
        let own = turns.of(&Credential::SingleUser);
        assert_eq!(own.available_permits(), 0);
        let one = turns.turn(&other).await.unwrap();
        drop((taken, own, one));
        turns.of(&other);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
