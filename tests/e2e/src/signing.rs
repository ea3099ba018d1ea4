//! Signs components as their authors do, with keys made on the spot.

use std::io::Cursor;

use minisign::KeyPair;

/// Somebody who signs.
#[derive(Debug)]
pub struct Signer(KeyPair);

impl Signer {
    /// Somebody with a new key.
    #[must_use]
    pub fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().expect("a key can be made"))
    }

    /// As it stands in `trusted_keys`.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.0.pk.to_base64()
    }

    /// The key's id, as people see it.
    #[must_use]
    pub fn id(&self) -> String {
        let id = self.0.pk.keynum().iter().rev();
        id.map(|byte| format!("{byte:02X}")).collect()
    }

    /// The text of the `.minisig` file for these bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        let (public, secret) = (&self.0.pk, &self.0.sk);
        let signed = minisign::sign(Some(public), secret, Cursor::new(bytes), None, None);
        signed.expect("it can be signed").into_string()
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}
