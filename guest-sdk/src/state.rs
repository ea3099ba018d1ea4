//! What a task keeps from one attempt of its run to the next.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::state;
use crate::error::Error;
use crate::json::{answer, encode};

/// Keeps checkpoints: places to go on from. Reached as `clients.state`.
///
/// They survive a failed attempt, a crash of the host, a drain and a newer version of the type; a
/// new schedule, the result and a deletion end them. A value has at most 1 MiB, all of a task
/// together 8 MiB. Each goes on working when the run is asked to stop, until the grace ends.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Place {
///     done: u64,
/// }
/// /// Another number whenever `Place` changes: what an older version has saved is left alone then.
/// const FORM: u32 = 1;
///
/// let mut place: Place = clients.state.load("place", FORM)?.unwrap_or_default();
/// while place.done < 1_000 {
///     place.done += 1;
///     clients.state.save("place", FORM, &place)?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct State;

impl State {
    /// Keeps a value as JSON, in place of the former one; it is on disk when this answers.
    ///
    /// # Errors
    /// `invalid` key (1 to 255 bytes), `too-large`, `unavailable`; `not-json` where the value
    /// cannot be JSON.
    pub fn save(
        &self,
        key: &str,
        schema_version: u32,
        value: &impl Serialize,
    ) -> Result<(), Error> {
        let text = encode(value, "the checkpoint")?;
        self.save_bytes(key, schema_version, text.as_bytes())
    }

    /// What was saved under the key with this `schema_version`; none where there is nothing, or
    /// something of another form.
    ///
    /// # Errors
    /// `invalid` key, `unavailable`; `unexpected-answer` where it is not a `T`.
    pub fn load<T: DeserializeOwned>(
        &self,
        key: &str,
        schema_version: u32,
    ) -> Result<Option<T>, Error> {
        let kept = self.load_bytes(key)?;
        let kept = kept.filter(|(_, version)| *version == schema_version);
        kept.map(|(value, _)| answer(&String::from_utf8_lossy(&value), "what was saved there"))
            .transpose()
    }

    /// Keeps bytes, in place of the former ones; they are on disk when this answers.
    ///
    /// # Errors
    /// `invalid` key (1 to 255 bytes), `too-large`, `unavailable`.
    pub fn save_bytes(&self, key: &str, schema_version: u32, value: &[u8]) -> Result<(), Error> {
        ask_host("state.save");
        Ok(state::save(key, value, schema_version)?)
    }

    /// What was saved under the key, and with which `schema_version`.
    ///
    /// # Errors
    /// `invalid` key, `unavailable`.
    pub fn load_bytes(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Error> {
        ask_host("state.load");
        let kept = state::load(key)?;
        Ok(kept.map(|kept| (kept.value, kept.schema_version)))
    }

    /// Forgets what was saved under the key, if there is something.
    ///
    /// # Errors
    /// `invalid` key, `unavailable`.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        ask_host("state.delete");
        Ok(state::delete(key)?)
    }
}
