use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trimtab_workload::{Arrivals, Component, Dist, Limits, Shape, Workload};

use super::*;
use crate::load::Balancer;

/// How a fake server answers.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    /// Sends headers at once, the first word after 50 ms, the second after 20 ms more.
    Streams,
    /// Answers 503.
    Refuses,
    /// Sends headers and one word, then closes the connection.
    Breaks,
    /// Sends headers, then nothing.
    Hangs,
}

/// Starts a server that runs until the test ends. Returns its address and the bodies that it
/// receives.
async fn server(behaviour: Behaviour) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, behaviour, seen.clone()));
        }
    });
    (address, bodies)
}

async fn connection(
    mut stream: TcpStream,
    behaviour: Behaviour,
    seen: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            match bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => read_more(&mut stream, &mut bytes).await?,
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length: usize = text
            .split("content-length: ")
            .nth(1)?
            .split("\r\n")
            .next()?
            .parse()
            .ok()?;
        while bytes.len() < head + length {
            read_more(&mut stream, &mut bytes).await?;
        }
        seen.lock()
            .unwrap()
            .push(String::from_utf8_lossy(&bytes[head..head + length]).into_owned());
        bytes.drain(..head + length);
        answer(&mut stream, behaviour).await?;
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    (stream.read_buf(bytes).await.ok()? > 0).then_some(())
}

async fn answer(stream: &mut TcpStream, behaviour: Behaviour) -> Option<()> {
    if matches!(behaviour, Behaviour::Refuses) {
        return stream
            .write_all(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")
            .await
            .ok();
    }
    let head = "HTTP/1.1 200 OK\r\nx-upstream: 10.0.0.1:80\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    if matches!(behaviour, Behaviour::Hangs) {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let word = |word: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n")
    };
    let end = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\ndata: [DONE]\n\n";
    tokio::time::sleep(Duration::from_millis(50)).await;
    chunk(stream, &word("said ")).await?;
    if matches!(behaviour, Behaviour::Breaks) {
        return None;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    chunk(stream, &(word("so ") + end)).await?;
    stream.write_all(b"0\r\n\r\n").await.ok()
}

async fn chunk(stream: &mut TcpStream, text: &str) -> Option<()> {
    stream
        .write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
        .await
        .ok()
}

fn lane(address: SocketAddr) -> Arc<Lane> {
    Arc::new(Lane {
        name: "lane",
        route: Route::Proxy(address),
        progress: Progress::default(),
        client: Client::default(),
    })
}

/// Returns 100 sessions per second with two turns each.
fn sessions() -> impl Iterator<Item = Session> {
    let shape = Shape {
        first_input_tokens: Dist::Constant(10.0),
        later_input_tokens: Dist::Constant(5.0),
        output_tokens: Dist::Constant(2.0),
        turns: Dist::Constant(2.0),
        think_s: Dist::Constant(0.01),
        ..Shape::default()
    };
    let mix = vec![Component {
        name: "chat".to_owned(),
        weight: 1.0,
        shape,
    }];
    let arrivals = Arrivals::Poisson {
        sessions_per_s: 100.0,
    };
    Workload {
        arrivals,
        mix,
        limits: Limits::default(),
    }
    .stream(1)
    .unwrap()
}

async fn run(
    lanes: &[Arc<Lane>],
    sessions: impl Iterator<Item = Session>,
    stop_s: f64,
    drain: Duration,
) {
    let plan = Plan {
        start: Instant::now(),
        stop_s,
        catch_up_s: 5.0,
        drain,
        pace: Pace {
            ttft_s: 0.05,
            tpot_s: 0.01,
        },
        model: "base".to_owned(),
        adapters: Vec::new(),
    };
    drive(sessions, lanes, plan).await;
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_lane_gets_every_session_and_its_next_turn_repeats_the_answer() {
    let (one, first) = server(Behaviour::Streams).await;
    let (two, _) = server(Behaviour::Streams).await;
    let lanes = [lane(one), lane(two)];
    run(&lanes, sessions().take(5), 2.0, LONG).await;
    for lane in &lanes {
        assert_eq!(lane.progress.in_flight(), 0);
        lane.progress.with_records(|records| {
            assert_eq!(records.len(), 10);
            assert!(
                records
                    .iter()
                    .all(|r| r.failure.is_none() && r.cached_tokens == 16 && r.prompt_tokens == 40)
            );
            assert!(
                records
                    .iter()
                    .all(|r| r.endpoint.as_deref() == Some("10.0.0.1:80"))
            );
        });
    }
    let bodies = first.lock().unwrap();
    assert_eq!(
        bodies
            .iter()
            .filter(|body| body.contains(r#""role":"assistant","content":"said so ""#))
            .count(),
        5
    );
}

#[tokio::test]
async fn the_first_token_is_timed_by_its_body_chunk_and_not_by_the_headers() {
    let (address, _) = server(Behaviour::Streams).await;
    let lane = lane(address);
    run(std::slice::from_ref(&lane), sessions().take(3), 2.0, LONG).await;
    lane.progress.with_records(|records| {
        for record in records {
            assert!(record.ttft_s.unwrap() >= 0.05, "{record:?}");
            assert!(record.tpot_s.unwrap() >= 0.015, "{record:?}");
        }
    });
}

#[tokio::test]
async fn failures_have_their_kind_and_end_their_session() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (refuses, _) = server(Behaviour::Refuses).await;
    let (breaks, _) = server(Behaviour::Breaks).await;
    for (address, failure) in [
        (closed, Failure::Connect),
        (refuses, Failure::Status(503)),
        (breaks, Failure::Stream),
    ] {
        let lane = lane(address);
        run(std::slice::from_ref(&lane), sessions().take(2), 1.0, LONG).await;
        lane.progress.with_records(|records| {
            assert_eq!(records.len(), 2, "{failure:?}");
            assert!(
                records
                    .iter()
                    .all(|record| record.failure == Some(failure.clone())),
                "{records:?}"
            );
        });
    }
}

#[tokio::test]
async fn what_is_unfinished_when_the_drain_is_over_is_recorded_as_such() {
    let (address, _) = server(Behaviour::Hangs).await;
    let lane = lane(address);
    run(
        std::slice::from_ref(&lane),
        sessions().take(3),
        0.2,
        Duration::from_millis(100),
    )
    .await;
    assert_eq!(lane.progress.in_flight(), 0);
    lane.progress.with_records(|records| {
        assert_eq!(records.len(), 3);
        assert!(
            records.iter().all(
                |record| record.failure == Some(Failure::Unfinished) && record.ttft_s.is_none()
            )
        );
    });
}

#[tokio::test]
async fn nothing_is_sent_after_the_stop() {
    let (address, bodies) = server(Behaviour::Streams).await;
    let balanced = Route::Direct(Balancer::round_robin(&[address]));
    let lane = Arc::new(Lane {
        name: "lane",
        route: balanced,
        progress: Progress::default(),
        client: Client::default(),
    });
    run(std::slice::from_ref(&lane), sessions(), 0.3, LONG).await;
    let sent = lane.progress.with_records(|records| {
        assert!(
            records
                .iter()
                .all(|record| record.due_s < 0.3 && record.sent_s >= record.due_s)
        );
        records.len()
    });
    assert!((10..=70).contains(&sent), "{sent}");
    assert_eq!(bodies.lock().unwrap().len(), sent);
}
