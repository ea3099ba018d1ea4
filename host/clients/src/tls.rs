//! TLS of requests that leave the host.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What every client of this host says and believes: the system's authorities, TLS 1.2 and 1.3.
///
/// # Errors
/// In words; only a broken build has them.
pub(crate) fn config() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        tracing::warn!(
            errors = errors.join("; "),
            "the system has no certificate authorities: no `https` address can be reached. Install \
             them (on Debian `ca-certificates`), or set SSL_CERT_FILE"
        );
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
