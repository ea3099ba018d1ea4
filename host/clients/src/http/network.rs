//! What all requests of a host share: how names become addresses, which addresses may be reached,
//! whose certificates are trusted, and how many connections there are at once.
//!
//! # Guarantees
//! 1. A name is resolved once for a connection, every address of it is judged, and the connection
//!    goes to one of these very addresses: there is no second look at the name.
//! 2. Nothing of the environment is heeded: no proxies, no netrc. The system's certificates are
//!    trusted, or those in `SSL_CERT_FILE`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::addresses::{Range, refusal};
use super::destination::Destination;
use crate::lookups::Lookups;
use crate::secrets::KnownSecrets;
use crate::tls;

/// Requests of all runs under way; more wait for one to end.
const REQUESTS_AT_ONCE: usize = 512;
/// For one address to answer; then the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How the outside is reached. Clones are the same.
#[derive(Debug, Clone)]
pub struct Network(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: Vec<Range>,
    secrets: Arc<KnownSecrets>,
    names: Arc<dyn Names>,
    outside: Option<Arc<dyn Outside>>,
    tls: OnceCell<Arc<ClientConfig>>,
    turns: Semaphore,
}

/// Turns names into addresses.
#[async_trait]
pub trait Names: std::fmt::Debug + Send + Sync {
    /// Every address of the name.
    ///
    /// # Errors
    /// There is no such name, or nobody can tell.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// What a test of a task type puts in the place of the network: names, and whoever answers. What
/// may be reached is judged as ever.
pub trait Outside: Names {
    /// A connection to an origin, which needs no encryption. No system call is made.
    fn connect(&self, origin: &str) -> Box<dyn Connection>;
}

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// It may not be reached.
    Refused { address: IpAddr, what: &'static str },
    /// It cannot be reached now.
    Failed(String),
}

impl Network {
    /// `open`: what may be reached although it is not public.
    #[must_use]
    pub fn new(open: Vec<Range>, secrets: KnownSecrets) -> Self {
        Self::with_names(open, secrets, Arc::new(Lookups::default()))
    }

    /// The same with names of one's own.
    #[must_use]
    pub fn with_names(open: Vec<Range>, secrets: KnownSecrets, names: Arc<dyn Names>) -> Self {
        Self::of_parts(open, secrets, names, None)
    }

    /// The same without any network: for tests of a task type.
    #[must_use]
    pub fn with_outside(
        open: Vec<Range>,
        secrets: KnownSecrets,
        outside: Arc<dyn Outside>,
    ) -> Self {
        let names: Arc<dyn Names> = Arc::<dyn Outside>::clone(&outside);
        Self::of_parts(open, secrets, names, Some(outside))
    }

    fn of_parts(
        open: Vec<Range>,
        secrets: KnownSecrets,
        names: Arc<dyn Names>,
        outside: Option<Arc<dyn Outside>>,
    ) -> Self {
        Self(Arc::new(Inner {
            open,
            secrets: Arc::new(secrets),
            names,
            outside,
            tls: OnceCell::new(),
            turns: Semaphore::new(REQUESTS_AT_ONCE),
        }))
    }

    pub(crate) fn secrets(&self) -> Arc<KnownSecrets> {
        Arc::clone(&self.0.secrets)
    }

    /// Waits until a request may be sent; it is under way as long as this is held. None: never.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.turns.acquire().await.ok()
    }

    /// Connects to an address that may be reached.
    pub(super) async fn connect(
        &self,
        to: &Destination,
    ) -> Result<Box<dyn Connection>, NoConnection> {
        let addresses = self.addresses(to).await?;
        if let Some(outside) = &self.0.outside {
            return Ok(outside.connect(&to.origin));
        }
        let stream = first_that_answers(&addresses, to.port()).await?;
        if !to.is_encrypted() {
            return Ok(Box::new(stream));
        }
        let name = server_name(to).ok_or_else(|| {
            NoConnection::Failed("the host's name is none that a certificate could have".to_owned())
        })?;
        let encrypted = self.tls().await?.connect(name, stream).await;
        let encrypted = encrypted.map_err(|error| NoConnection::Failed(format!("TLS: {error}")))?;
        Ok(Box::new(encrypted))
    }

    /// Every address, each of which may be reached.
    async fn addresses(&self, to: &Destination) -> Result<Vec<IpAddr>, NoConnection> {
        let addresses = match to.host() {
            Some(Host::Ipv4(address)) => vec![address.into()],
            Some(Host::Ipv6(address)) => vec![address.into()],
            Some(Host::Domain(name)) => {
                let addresses = self.0.names.addresses(name).await;
                addresses.map_err(|error| {
                    NoConnection::Failed(format!("the name cannot be resolved: {error}"))
                })?
            }
            None => Vec::new(),
        };
        for address in &addresses {
            if let Some(what) = refusal(*address, &self.0.open) {
                let address = *address;
                return Err(NoConnection::Refused { address, what });
            }
        }
        Ok(addresses)
    }

    /// Read when it is first needed: that takes some milliseconds.
    async fn tls(&self) -> Result<TlsConnector, NoConnection> {
        let made = self.0.tls.get_or_try_init(|| async {
            let read = tokio::task::spawn_blocking(tls::config).await;
            let config = read.map_err(|error| error.to_string())??;
            Ok(Arc::new(config))
        });
        let config = made.await.map_err(NoConnection::Failed)?;
        Ok(TlsConnector::from(Arc::clone(config)))
    }
}

impl Default for Network {
    /// Nothing but public addresses, and no secrets.
    fn default() -> Self {
        Self::new(Vec::new(), KnownSecrets::new())
    }
}

#[async_trait]
impl Names for Lookups {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Self::addresses(self, name).await
    }
}

async fn first_that_answers(addresses: &[IpAddr], port: u16) -> Result<TcpStream, NoConnection> {
    let mut why = "the name has no address".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let connecting = TcpStream::connect(SocketAddr::new(*address, port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => {
                // A head and a body go out as they are written.
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }
    Err(NoConnection::Failed(why))
}

fn server_name(to: &Destination) -> Option<ServerName<'static>> {
    match to.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::from(address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::from(address))),
    }
}
