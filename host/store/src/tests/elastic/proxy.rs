//! A way to Elasticsearch that can be cut, and that answers for it when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::open::ElasticConnection;

/// What the way does.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The answer of this number, counted from now, is lost with its connection. 0: none.
    pub(super) cut: AtomicU32,
    /// So many requests are answered with this status before they come to the server.
    pub(super) busy: AtomicU32,
    pub(super) status: AtomicU32,
}

/// A connection that leads over a proxy, and what the proxy does.
pub(super) async fn through_a_proxy(to: &ElasticConnection) -> (ElasticConnection, Arc<Trouble>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = to.urls[0].trim_start_matches("http://").to_owned();
    let server = server.trim_end_matches('/').to_owned();
    let trouble = Arc::<Trouble>::default();
    let of_proxy = Arc::clone(&trouble);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, trouble) = (server.clone(), Arc::clone(&of_proxy));
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(server).await else {
                    return;
                };
                // However it ends, both sides see it.
                let _ = carry(client, server, &trouble).await;
            });
        }
    });
    let mut through = to.clone();
    through.urls = vec![format!("http://{address}")];
    (through, trouble)
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
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
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
