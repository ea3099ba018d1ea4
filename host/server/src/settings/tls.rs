//! TLS of the host itself: `tls_cert` and `tls_key`, two files in PEM.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::reader::Reader;
use crate::plain_file;

pub(super) const CERT: &str = "tls_cert";
const KEY: &str = "tls_key";
/// What is read of a file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// With what the host speaks TLS.
#[derive(Clone)]
pub struct TlsSettings(Arc<ServerConfig>);

impl TlsSettings {
    /// For whoever accepts connections.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSettings")
    }
}

/// Settings are compared in tests: two that were read are two.
impl PartialEq for TlsSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsSettings {}

/// Whether it is wanted, and with what; with nothing where there is a mistake.
pub(super) fn tls(reader: &mut Reader<'_>) -> (bool, Option<TlsSettings>) {
    let mut file = |key: &'static str| match reader.text(key, "none") {
        file if file == "none" => None,
        file => Some(PathBuf::from(file)),
    };
    let files = (file(CERT), file(KEY));
    (files != (None, None), of_files(reader, files))
}

fn of_files(
    reader: &mut Reader<'_>,
    files: (Option<PathBuf>, Option<PathBuf>),
) -> Option<TlsSettings> {
    let (cert, key) = match files {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return wrong(reader, CERT, format!("has no key: `{KEY}` is missing")),
        (None, Some(_)) => {
            let problem = format!("has no certificate: `{CERT}` is missing");
            return wrong(reader, KEY, problem);
        }
    };
    let read = |file: &PathBuf| {
        plain_file::read_text(file, FILE_BYTES_MAX)
            .map_err(|error| format!("is {}, which cannot be read: {error}", file.display()))
    };
    let chain = match read(&cert).map(|text| chain_in(&text)) {
        Ok(Some(chain)) => chain,
        Ok(None) => {
            let problem = format!("is {}, which holds no certificate (PEM)", cert.display());
            return wrong(reader, CERT, problem);
        }
        Err(problem) => return wrong(reader, CERT, problem),
    };
    // Nothing of the key's file is in a mistake.
    let secret = match read(&key).map(|text| PrivateKeyDer::from_pem_slice(text.as_bytes())) {
        Ok(Ok(secret)) => secret,
        Ok(Err(_)) => {
            let problem = format!("is {}, which holds no private key (PEM)", key.display());
            return wrong(reader, KEY, problem);
        }
        Err(problem) => return wrong(reader, KEY, problem),
    };
    match config(chain, secret) {
        Ok(config) => Some(TlsSettings(Arc::new(config))),
        Err(problem) => wrong(reader, CERT, problem),
    }
}

fn wrong(reader: &mut Reader<'_>, key: &'static str, problem: String) -> Option<TlsSettings> {
    reader.contradiction(key, problem);
    None
}

fn chain_in(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    chain.ok().filter(|chain| !chain.is_empty())
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|error| format!("and `{KEY}` do not go together: {error}"))?;
    // It speaks nothing else.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let read = Settings::read(Some(&file), &|_| None, Flags::default());
        read.map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn a_certificate_and_its_key_go_together() {
        let folder = tempfile::tempdir().unwrap();
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (cert, key) = (
            write("cert.pem", one.cert.pem()),
            write("key.pem", one.signing_key.serialize_pem()),
        );
        let others = write("other.pem", other.signing_key.serialize_pem());
        let people = "identity = \"tokens\"\n";
        let both = |key: &std::path::Path| {
            format!("{people}listen = \"0.0.0.0:0\"\ntls_cert = {cert:?}\ntls_key = {key:?}\n")
        };
        let settings = read(&both(&key)).unwrap();
        assert!(settings.http.tls.is_some());
        assert!(!format!("{settings:?}").contains("BEGIN"));
        for (text, problem) in [
            (both(&others), "`tls_cert` and `tls_key` do not go together"),
            (both(&cert), "holds no private key"),
            (
                format!("{people}tls_cert = {cert:?}\n"),
                "`tls_cert` has no key",
            ),
            (
                format!("{people}tls_key = {key:?}\n"),
                "`tls_key` has no certificate",
            ),
            (
                format!("{people}tls_cert = \"no/such\"\ntls_key = {key:?}\n"),
                "`tls_cert` is no/such, which cannot be read",
            ),
            (
                format!("{people}tls_cert = {key:?}\ntls_key = {key:?}\n"),
                "which holds no certificate",
            ),
        ] {
            let said = read(&text).unwrap_err().join("\n");
            assert!(said.contains(problem), "{said}\nis not\n{problem}");
            let secret = one.signing_key.serialize_pem();
            let secret = secret.lines().nth(1).unwrap_or_default();
            assert!(!said.contains(secret), "{said}");
        }
    }
}
