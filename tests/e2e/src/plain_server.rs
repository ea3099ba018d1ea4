//! An HTTP server on loopback that says just what a test wants, byte for byte. Tests of the client
//! include this file too.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A server; it is gone when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests, whole.
    seen: Mutex<Vec<String>>,
    visitors: Mutex<Vec<SocketAddr>>,
    /// A permit for each connection that has been answered.
    begun: Tokens,
    /// A permit for each connection that the client has closed.
    hung_up: Tokens,
}

#[derive(Debug)]
struct Tokens(Semaphore);

impl Default for Tokens {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// What a server makes of a request.
type Answering = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// How a server goes on after a request.
#[derive(Clone)]
enum Manner {
    /// Answers and closes.
    Answers(Arc<Answering>),
    /// Says that, and then nothing.
    Silent(&'static [u8]),
    /// Says the first, and then the second again and again.
    Endless(&'static [u8], &'static [u8]),
}

/// An answer with a body.
#[must_use]
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

impl Server {
    /// Answers each request with what `answer` makes of it.
    pub async fn new(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::with(Manner::Answers(Arc::new(answer))).await
    }

    /// Says that after a request, and then nothing.
    pub async fn silent(first: &'static [u8]) -> Self {
        Self::with(Manner::Silent(first)).await
    }

    /// Says the first after a request, and then the second again and again.
    pub async fn endless(first: &'static [u8], then: &'static [u8]) -> Self {
        Self::with(Manner::Endless(first, then)).await
    }

    async fn with(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let serving = tokio::spawn(serve(listener, manner, Arc::clone(&state)));
        Self {
            origin,
            state,
            serving,
        }
    }

    /// A URL of it; `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.origin.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Requests so far, whole.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Who has connected.
    #[must_use]
    pub fn visitors(&self) -> Vec<SocketAddr> {
        self.state.visitors.lock().unwrap().clone()
    }

    /// Returns when a silent server has said what it says.
    pub async fn begun(&self) {
        self.state.begun.0.acquire().await.unwrap().forget();
    }

    /// Returns when a client has closed a connection.
    pub async fn hangs_up(&self) {
        self.state.hung_up.0.acquire().await.unwrap().forget();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, manner: Manner, state: Arc<State>) {
    while let Ok((stream, visitor)) = listener.accept().await {
        state.visitors.lock().unwrap().push(visitor);
        let (manner, state) = (manner.clone(), Arc::clone(&state));
        tokio::spawn(async move { converse(stream, manner, &state).await.ok() });
    }
}

async fn converse(mut stream: TcpStream, manner: Manner, state: &State) -> io::Result<()> {
    let request = read(&mut stream).await?;
    state.seen.lock().unwrap().push(request.clone());
    match manner {
        Manner::Answers(answer) => stream.write_all(&answer(&request)).await?,
        Manner::Silent(first) => {
            stream.write_all(first).await?;
            state.begun.0.add_permits(1);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
            state.hung_up.0.add_permits(1);
        }
        Manner::Endless(first, then) => {
            stream.write_all(first).await?;
            let many = then.repeat(1024);
            loop {
                stream.write_all(&many).await?;
            }
        }
    }
    Ok(())
}

/// A whole request, as text.
async fn read(stream: &mut TcpStream) -> io::Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let wanted = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= wanted.map_or(0, |length| length.parse().unwrap()) {
            return Ok(text.into_owned());
        }
    }
}
