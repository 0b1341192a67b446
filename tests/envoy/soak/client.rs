//! Clients with bodies of all sizes. Some of them leave early.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{CHUNK, CHUNKS, HEADER, Manner};
use crate::support::client::{DECISION, Response, post, post_chunks};

const CHAT: &str = "/v1/chat/completions";
const SIZES: [usize; 8] = [500, 500, 2_000, 2_000, 16_384, 33_000, 220_000, 1_048_576];

/// Sends one request. Its kind is drawn from its number (SplitMix64).
pub(crate) async fn one(to: SocketAddr, number: u64) -> Result<(), String> {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let draw = usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0);
    let size = SIZES[draw / 16 % SIZES.len()];
    let words: String = (0..size / 10)
        .map(|n| format!("{:09} ", n ^ draw))
        .collect();
    let messages = serde_json::json!([{"role": "user", "content": words}]);
    let body = serde_json::json!({"model": "m", "messages": messages, "stream": true});
    let body = body.to_string();
    let told = |broken: String| format!("request {number} of {size} bytes: {broken}");
    match draw % 16 {
        stage @ 0..=3 => {
            // The result of a client that leaves does not matter. The connection may break at any
            // of its calls.
            let _left = leave(to, stage, &body).await;
            Ok(())
        }
        4 => {
            whole(to, Manner::Unavailable, body, |status, _| {
                [200, 503].contains(&status)
            })
            .await
        }
        5 => whole(to, Manner::Reset, body, |status, _| status >= 500).await,
        6 => {
            let answer = send(to, Manner::Break, body).await;
            let is_cut = answer.is_err();
            is_cut
                .then_some(())
                .ok_or_else(|| "an answer that breaks off came whole".to_owned())
        }
        7 => slow(to, &body).await,
        8..=10 => {
            let expected = CHUNKS * CHUNK.len();
            whole(to, Manner::Stream, body, |status, len| {
                (status, len) == (200, expected)
            })
            .await
        }
        11 => whole(to, Manner::Late, body, |status, _| status == 200).await,
        _ => {
            let length = body.len().to_string().len();
            whole(to, Manner::Plain, body, |status, len| {
                (status, len) == (200, length)
            })
            .await
        }
    }
    .map_err(told)
}

async fn send(to: SocketAddr, manner: Manner, body: String) -> Result<Response, String> {
    let headers = [
        ("content-type", "application/json"),
        (HEADER, manner.name()),
    ];
    let answer = post(to, CHAT, &headers, body).await;
    answer.map_err(|error| format!("{manner:?}: {error}"))
}

/// Sends a request and checks status and length of the answer.
async fn whole(
    to: SocketAddr,
    manner: Manner,
    body: String,
    is_well: impl Fn(u16, usize) -> bool,
) -> Result<(), String> {
    let answer = match send(to, manner, body).await {
        // An early answer, sent before the whole body was read, may be lost with the connection.
        Err(_) if matches!(manner, Manner::Reset | Manner::Unavailable) => return Ok(()),
        answer => answer?,
    };
    let (status, len) = (answer.status, answer.body.len());
    let well = is_well(status, len).then_some(());
    well.ok_or_else(|| {
        format!(
            "{manner:?}: {status}, {len} bytes: {:?}",
            answer.header(DECISION)
        )
    })
}

/// Sends a body in four pieces over 600 ms.
async fn slow(to: SocketAddr, body: &str) -> Result<(), String> {
    let pieces = body.as_bytes().chunks(body.len() / 4 + 1);
    let pieces = pieces.map(Bytes::copy_from_slice).collect();
    let headers = [("content-type", "application/json")];
    let answer = post_chunks(to, CHAT, &headers, pieces, Duration::from_millis(150)).await;
    let answer = answer.map_err(|error| format!("slow: {error}"))?;
    let is_well = answer.status == 200 && answer.body == body.len().to_string();
    is_well
        .then_some(())
        .ok_or_else(|| format!("slow: {}", answer.status))
}

/// Leaves early. `stage` 0 to 3: in the headers, in the body, before the answer, in the answer.
pub(crate) async fn leave(to: SocketAddr, stage: usize, body: &str) -> std::io::Result<()> {
    let manner = if stage == 3 {
        Manner::Stream
    } else {
        Manner::Late
    };
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: m\r\ncontent-type: application/json\r\n{HEADER}: {}\r\ncontent-length: {}\r\n\r\n",
        manner.name(),
        body.len()
    );
    let mut stream = TcpStream::connect(to).await?;
    if stage == 0 {
        stream.write_all(&head.as_bytes()[..head.len() / 2]).await?;
    } else {
        let sent = if stage == 1 {
            body.len() / 2
        } else {
            body.len()
        };
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body.as_bytes()[..sent]).await?;
    }
    if stage == 3 {
        let mut some = [0; 200];
        stream.read_exact(&mut some).await?;
    } else {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
