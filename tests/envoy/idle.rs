//! Tests connections that were idle for a while, to servers that close them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Answer, ScriptedAggregator, Stage, StageOptions, chat, row, table};

/// Idle time after which gunicorn closes a connection.
const GUNICORN: Duration = Duration::from_secs(2);
/// The same for uvicorn, under vLLM and SGLang.
const UVICORN: Duration = Duration::from_secs(5);

/// A server that has closed an idle connection, with the close still under way when the next
/// request comes. It answers that request with a reset, as the kernel does for a closed connection.
/// In a network with a delay of a few milliseconds this happens to one request in fifty.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accept: JoinHandle<()>,
}

impl Server {
    /// A server that keeps idle connections for this long.
    async fn start(kept: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, kept));
            }
        });
        Self {
            address,
            connections,
            accept,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Answers each request of a connection, until one comes too late.
async fn serve(mut stream: TcpStream, kept: Duration) {
    let mut idle_since = Instant::now();
    let mut request = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece).await else {
            return;
        };
        if request.is_empty() && idle_since.elapsed() >= kept {
            // With linger 0, dropping the stream resets the connection.
            stream.set_zero_linger().unwrap();
            return;
        }
        request.extend_from_slice(&piece[..read]);
        if !is_whole(&request) {
            continue;
        }
        request.clear();
        let body = r#"{"choices":[]}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        idle_since = Instant::now();
    }
}

/// Whether the request is there with its whole body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

async fn loses_nothing(kept: Duration) {
    let server = Server::start(kept).await;
    let aggregator = ScriptedAggregator::start(Answer::Table(table(
        1,
        vec![row(&server.address.to_string(), 0)],
    )))
    .await;
    let stage = Stage::start(
        &[server.address],
        aggregator.address,
        StageOptions::default(),
    )
    .await;
    stage.placing().await;
    for _ in 0..3 {
        chat(stage.address, "first").await.unwrap().ok();
        tokio::time::sleep(kept + Duration::from_millis(200)).await;
        chat(stage.address, "after a pause").await.unwrap().ok();
    }
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(
        (2..=16).contains(&connections),
        "kept while in use: {connections}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_on_a_connection_that_its_server_has_closed_for_being_idle() {
    tokio::join!(loses_nothing(GUNICORN), loses_nothing(UVICORN));
}
