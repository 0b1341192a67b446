//! A model server's metrics page on a real socket, with many ways to misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than the timeout of [`super::Running::with`], and shorter than the aggregator waits.
pub(crate) const LATE: Duration = Duration::from_millis(500);

/// How a model server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// The whole page at `/metrics`, the selection at `/metrics/?name[]=`.
    Selecting,
    /// Several processes: the selection is 200 and empty.
    EmptySelection,
    /// No route for the selection: 404.
    NoSelection,
    /// The selection is the whole page.
    IgnoresSelection,
    /// The selection lacks a family that the whole page has.
    PartialSelection,
    /// Reads the request and never answers.
    Hung,
    /// Sends a byte now and then.
    Dripping,
    /// Sends the page after [`LATE`].
    Late,
    /// Sends the page piece by piece, for [`LATE`].
    DripsAll,
    /// Speaks HTTP/2 and closes on anything else.
    Http2,
    /// Has the page at `/metrics/`, and says so with a bare path and the header that nothing is
    /// encoded.
    MovedBelow,
    /// A page without end.
    Huge,
    /// Status 500.
    Failing,
    /// Bytes that are not HTTP.
    Garbage,
    /// 200 and a page of another program.
    Foreign,
    /// Announces more bytes than it sends.
    CutShort,
    /// Has the page at `/metrics/`, and says so with its own address, as FastAPI does.
    Moved,
    /// Redirects everybody to another server.
    MovedAway,
    /// Redirects everybody in a circle.
    Circling,
    /// Shows the page only to callers with the token `s3cret`.
    Locked,
    /// Compresses the page for all callers.
    Compressed,
}

/// A fake model server.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) scenario: Arc<Mutex<Scenario>>,
    pub(crate) waiting: Arc<Mutex<u32>>,
    /// The paths that were asked for, shortened to `whole` and `selected`.
    pub(crate) asked: Arc<Mutex<Vec<&'static str>>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(scenario: Scenario) -> Self {
        Self::start_at(scenario, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(scenario: Scenario, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let scenario = Arc::new(Mutex::new(scenario));
        let (waiting, asked) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (s, w, a) = (
            Arc::clone(&scenario),
            Arc::clone(&waiting),
            Arc::clone(&asked),
        );
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(
                    stream,
                    Arc::clone(&s),
                    Arc::clone(&w),
                    Arc::clone(&a),
                ));
            }
        });
        Self {
            address,
            scenario,
            waiting,
            asked,
            task,
        }
    }

    pub(crate) fn set(&self, scenario: Scenario) {
        *self.scenario.lock().unwrap() = scenario;
    }

    pub(crate) fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    mut stream: TcpStream,
    scenario: Arc<Mutex<Scenario>>,
    waiting: Arc<Mutex<u32>>,
    asked: Arc<Mutex<Vec<&'static str>>>,
) -> Option<()> {
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if *scenario.lock().unwrap() == Scenario::Http2 {
            if head.starts_with("PRI * HTTP/2.0") {
                let settings = b"\0\0\0\x04\0\0\0\0\0";
                stream.write_all(settings).await.ok()?;
            }
            return None;
        }
        if head.starts_with("PRI ") {
            return None;
        }
        let selected = head.starts_with("GET /metrics/?name[]=");
        let slashed = head.starts_with("GET /metrics/ HTTP/1.1\r\n");
        assert!(
            selected || slashed || head.starts_with("GET /metrics HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.to_ascii_lowercase()
                .contains("\r\naccept: text/plain;version=0.0.4\r\n"),
            "{head}"
        );
        asked
            .lock()
            .unwrap()
            .push(if selected { "selected" } else { "whole" });
        let now = *scenario.lock().unwrap();
        let load = format!(
            "vllm:num_requests_waiting {}\nvllm:num_requests_running 2\n",
            waiting.lock().unwrap()
        );
        let counters = "vllm:prompt_tokens_total 100\nvllm:generation_tokens_total 50\n";
        let padding = "python_gc_objects_collected_total{generation=\"0\"} 1\n".repeat(50);
        let whole = format!("{padding}{load}{counters}");
        let here = stream.local_addr().ok()?;
        let mut more = String::new();
        let (status, body) = match now {
            Scenario::Moved if !slashed && !selected => {
                more = format!("location: http://{here}/metrics/\r\n");
                (307, String::new())
            }
            Scenario::MovedBelow if !slashed && !selected => {
                more = "location: metrics/\r\n".to_owned();
                (308, String::new())
            }
            Scenario::MovedBelow => {
                more = "content-encoding: Identity,\r\n".to_owned();
                (200, whole)
            }
            Scenario::Late => {
                tokio::time::sleep(LATE).await;
                (200, whole)
            }
            Scenario::DripsAll => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
                let answer = head + &whole;
                for piece in answer.as_bytes().chunks(answer.len().div_ceil(10)) {
                    stream.write_all(piece).await.ok()?;
                    tokio::time::sleep(LATE / 10).await;
                }
                continue;
            }
            Scenario::MovedAway => {
                more = "location: http://127.0.0.1:1/metrics\r\n".to_owned();
                (302, String::new())
            }
            Scenario::Circling => {
                let to = if slashed { "/metrics" } else { "/metrics/" };
                more = format!("location: {to}\r\n");
                (308, String::new())
            }
            Scenario::Locked if !head.contains("\r\nauthorization: Bearer s3cret\r\n") => {
                (401, "who are you?".into())
            }
            Scenario::Compressed => {
                more = "content-encoding: gzip\r\n".to_owned();
                (200, "\u{1f}".into())
            }
            Scenario::Selecting if selected => (200, format!("{load}{counters}")),
            Scenario::PartialSelection if selected => (200, load),
            Scenario::EmptySelection if selected => (200, String::new()),
            Scenario::NoSelection if selected => (404, "no such page".into()),
            Scenario::Failing => (500, "broken".into()),
            Scenario::Foreign => (200, "up 1\n".into()),
            Scenario::Huge => (200, whole.repeat(100)),
            Scenario::Hung => std::future::pending().await,
            Scenario::Garbage => {
                stream
                    .write_all(b"\x16\x03\x01 not http\r\n\r\n")
                    .await
                    .ok()?;
                return None;
            }
            Scenario::Dripping | Scenario::CutShort => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\nvllm:")
                    .await
                    .ok()?;
                if now == Scenario::CutShort {
                    return None;
                }
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream.write_all(b"x").await.ok()?;
                }
            }
            _ => (200, whole),
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
