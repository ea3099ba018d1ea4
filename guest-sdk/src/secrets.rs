//! Secrets, which never enter the guest.

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::secrets;
use crate::error::Error;

/// Placeholders of secrets that the descriptor asks for
/// ([`Descriptor::secret`](crate::Descriptor::secret)) and the operator allows. Reached as
/// `clients.secrets`.
///
/// The host puts a secret in the place of its placeholder while a request goes out: in the values
/// of headers alone, and only for origins that the operator has authorized for it. In what comes
/// back it is overwritten with `*`.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use taskhost_sdk::HttpRequest;
///
/// let key = clients.secrets.placeholder("api-key")?;
/// let request = HttpRequest::get("https://api.example.org/").header("x-api-key", key);
/// clients.http.send(request)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Secrets;

impl Secrets {
    /// What stands for the secret in this attempt; another one in the next.
    ///
    /// # Errors
    /// `denied` (the descriptor does not ask for it, or the operator does not allow it),
    /// `not-found` (the operator has not set it up).
    pub fn placeholder(&self, name: &str) -> Result<String, Error> {
        ask_host("secrets.placeholder");
        Ok(secrets::placeholder(name)?)
    }
}
