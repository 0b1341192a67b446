//! Bodies of every kind pass whole, below a listener limit of 32 KiB.

use std::time::Duration;

use bytes::Bytes;
use gzip::gzip_stored;

use crate::support::client::{chat_body, post_chunks};
use crate::support::{Backend, Stage, eventually, post};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a body, wants 200 and the very same bytes at the server that waits least.
async fn passes_whole(what: &str, headers: &[(&str, &str)], body: Vec<u8>) {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    let before = a.count() + b.count();
    let response = post(stage.address, CHAT, headers, body.clone())
        .await
        .unwrap();
    assert_eq!(response.status, 200, "{what}");
    assert_eq!(a.count() + b.count(), before + 1, "{what}: sent once");
    let to = [&a, &b]
        .into_iter()
        .find(|backend| backend.name() == endpoint(&response));
    let to = to.unwrap_or_else(|| panic!("{what}: not placed: {:?}", response.headers));
    assert!(
        to.seen().pop().unwrap().body == body,
        "{what}: the body is as it was sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_placed_by_load() {
    passes_whole("text", &[JSON], b"{\"model\": nonsense \xff\xfe".to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_placed_by_load() {
    passes_whole("empty", &[JSON], Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_4_mib_passes_below_the_limit() {
    let body = chat_body(&"word ".repeat(4 * 1024 * 1024 / 5 + 1));
    assert!(body.len() > 4 * 1024 * 1024);
    passes_whole("4 MiB", &[JSON], body.into_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_placed_by_load() {
    let body = gzip_stored(chat_body("compressed").as_bytes());
    passes_whole("gzip", &[JSON, ("content-encoding", "gzip")], body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_around_the_decision_point_and_the_limit_pass_chunked_and_with_a_length() {
    let a = Backend::start().await;
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    for size in [
        500, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 70_000, 300_000,
    ] {
        let body = chat_body(&"x".repeat(size));
        let response = post(stage.address, CHAT, &[JSON], body.clone())
            .await
            .unwrap();
        assert_eq!(response.status, 200, "{size} with a length");
        assert!(a.seen().pop().unwrap().body == body, "{size} with a length");
        for chunk in [1_000, 16_384, 65_536] {
            let chunks = body
                .as_bytes()
                .chunks(chunk)
                .map(Bytes::copy_from_slice)
                .collect();
            let response = post_chunks(stage.address, CHAT, &[JSON], chunks, Duration::ZERO)
                .await
                .unwrap();
            assert_eq!(response.status, 200, "{size} in chunks of {chunk}");
            assert!(
                a.seen().pop().unwrap().body == body,
                "{size} in chunks of {chunk}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_within_a_character_and_an_escape_is_read_as_if_it_came_at_once() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    // Equal loads: only the prompt's own place can bring the pieces and the whole to the same server.
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 0), (&c, 0)]).await;
    let prompt = "Übergrößenträger 日本語 🚀 \"quoted\" \\ back ".repeat(60);
    let body = chat_body(&prompt);
    let whole = post(stage.address, CHAT, &[JSON], body.clone())
        .await
        .unwrap()
        .ok();
    assert!(endpoint(&whole).starts_with("127."), "{:?}", whole.headers);
    let cut = body
        .as_bytes()
        .windows(2)
        .position(|pair| pair[0] == 0xf0)
        .unwrap()
        + 2;
    let escape = body.find("\\\\").unwrap() + 1;
    for at in [1, cut, escape, body.len() - 1] {
        let (head, tail) = body.as_bytes().split_at(at);
        let chunks = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
        let pieces = post_chunks(
            stage.address,
            CHAT,
            &[JSON],
            chunks,
            Duration::from_millis(30),
        )
        .await
        .unwrap()
        .ok();
        assert!(
            endpoint(&pieces).starts_with("127."),
            "{:?}",
            pieces.headers
        );
        let arrived = [&a, &b, &c]
            .into_iter()
            .any(|backend| backend.seen().pop().is_some_and(|seen| seen.body == body));
        assert!(arrived, "cut at {at}: the body is as it was sent");
    }
    let bodies = eventually("the bodies are counted", async || {
        let name = "wasmcustom.trimtab_bodies_total";
        let bodies = stage.envoy.stats(name).await.unwrap();
        (bodies.values().sum::<u64>() >= 5).then_some(bodies)
    })
    .await;
    assert!(
        bodies.keys().all(|name| name.ends_with("kind.whole")),
        "{bodies:?}"
    );
}

/// The endpoint named by the explain header.
fn endpoint(response: &crate::support::Response) -> &str {
    let (_, rest) = response
        .header("x-trimtab-decision")
        .split_once("endpoint=")
        .unwrap_or_default();
    rest.split(';').next().unwrap_or_default().trim()
}

mod gzip {
    //! gzip without compression ("stored" blocks): enough for a body that the filter must not read.

    /// A gzip stream of one stored block.
    pub(super) fn gzip_stored(data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(&crc32(data).to_le_bytes());
        out.extend_from_slice(&u32::from(length).to_le_bytes());
        out
    }

    fn crc32(data: &[u8]) -> u32 {
        !data.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        })
    }
}
