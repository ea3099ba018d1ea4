//! A way to an HTTP server that can be cut or held up, and that answers for it when it is told to.
//! Tests of the store include this file too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They go through.
    Open,
    /// Nothing passes, either way, and nobody is told: what was sent comes when it is open again.
    Held,
    /// Those that there are break, and new ones break at once.
    Closed,
}

/// What the way does.
#[derive(Debug)]
pub struct Trouble {
    /// The answer of this number, counted from now, is lost with its connection. 0: none.
    pub cut: AtomicU32,
    /// So many requests are answered with `status` before they come to the server.
    pub busy: AtomicU32,
    /// With what status.
    pub status: AtomicU32,
    way: watch::Sender<Way>,
}

impl Trouble {
    /// Opens, holds up or closes the way.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// A proxy before the server `http://ADDRESS`: its own address, of the same form, and what it does.
/// It lasts as long as the test.
///
/// # Panics
/// When the system has no port.
pub async fn before(server: &str) -> (String, Arc<Trouble>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.trim_start_matches("http://").trim_end_matches('/');
    let server = server.to_owned();
    let trouble = Arc::new(Trouble {
        cut: AtomicU32::new(0),
        busy: AtomicU32::new(0),
        status: AtomicU32::new(503),
        way: watch::Sender::new(Way::Open),
    });
    let of_proxy = Arc::clone(&trouble);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, trouble) = (server.clone(), Arc::clone(&of_proxy));
            tokio::spawn(async move {
                let mut way = trouble.way.subscribe();
                if pass(&mut way).await.is_none() {
                    return;
                }
                let Ok(server) = TcpStream::connect(server).await else {
                    return;
                };
                // However it ends, both sides see it.
                let _ = carry(client, server, &trouble, way).await;
            });
        }
    });
    (format!("http://{address}"), trouble)
}

/// Returns when the way is open; `None` when it is closed.
async fn pass(way: &mut watch::Receiver<Way>) -> Option<()> {
    let now = way.wait_for(|way| *way != Way::Held).await.ok()?;
    (*now == Way::Open).then_some(())
}

/// Counts down; what it was, unless it was 0 already.
fn count_down(count: &AtomicU32) -> Option<u32> {
    let less = |left: u32| left.checked_sub(1);
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .ok()
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    trouble: &Trouble,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            biased;
            changed = way.changed() => {
                if changed.is_err() || pass(&mut way).await.is_none() {
                    return Ok(());
                }
            }
            count = client.read(&mut asked) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                if count_down(&trouble.busy).is_some() {
                    let status = trouble.status.load(Ordering::SeqCst);
                    let answer = format!(
                        "HTTP/1.1 {status} Busy\r\ncontent-length: 2\r\n\
                         connection: close\r\n\r\n{{}}"
                    );
                    return client.write_all(answer.as_bytes()).await;
                }
                server.write_all(&asked[..count]).await?;
            }
            count = server.read(&mut answered) => {
                let count = count?;
                if count == 0 || count_down(&trouble.cut) == Some(1) {
                    return Ok(());
                }
                client.write_all(&answered[..count]).await?;
            }
        }
    }
}
