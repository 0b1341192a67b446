//! Tests that bodies of every kind pass completely with a listener limit of 32 KiB.

use std::iter;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Version;

use crate::support::client::{DECISION, chat_body, post_chunks, post_pieces};
use crate::support::config::Form;
use crate::support::gzip::gzip_stored;
use crate::support::{Backend, RELEASES, Release, Stage, StageOptions, eventually, post};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a body. Expects 200, and exactly these bytes at the server with the shortest wait.
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
        .find(|backend| backend.name() == response.endpoint());
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
async fn a_compressed_body_is_placed_by_load() {
    let body = gzip_stored(chat_body("compressed").as_bytes());
    passes_whole("gzip", &[JSON, ("content-encoding", "gzip")], body).await;
}

/// Sizes on both sides of the decision point and of the listener's limit, up to the most that the
/// route keeps for a retry.
const SIZES: [usize; 11] = [
    500,
    4_000,
    16_383,
    16_384,
    16_385,
    32_767,
    32_768,
    32_769,
    100_000,
    1 << 20,
    8 << 20,
];

/// Returns a chat completion request of that many bytes. No two parts of it are equal.
fn body_of(size: usize) -> Bytes {
    let (head, tail) = (
        r#"{"messages": [{"role": "user", "content": ""#,
        r#""}], "model": "m"}"#,
    );
    let mut text = String::from(head);
    for n in 0.. {
        if text.len() + tail.len() >= size {
            break;
        }
        text += &format!("{n} words ");
    }
    text.truncate(size - tail.len());
    text += tail;
    assert_eq!(text.len(), size);
    text.into()
}

/// Returns the sizes of the pieces in which a body comes: in one piece, in equal pieces, and in a
/// small piece with a burst after it. A proxy that holds the small piece gets the burst at once.
fn cuts(size: usize) -> Vec<Vec<usize>> {
    let mut cuts = vec![vec![size]];
    for piece in [1_000, 16_384, 65_536] {
        let whole = size / piece;
        if (1..300).contains(&whole) {
            let rest = size % piece;
            let rest = (rest > 0).then_some(rest);
            cuts.push(iter::repeat_n(piece, whole).chain(rest).collect());
        }
    }
    if size > 9_000 {
        cuts.push(vec![9_000, size - 9_000]);
    }
    cuts
}

/// Sends bodies of every size, cut in every way, with and without a length, over both versions of
/// HTTP. Each must arrive at the server byte for byte, with its length if it had one, and must be
/// placed.
pub(crate) async fn every_body_passes(what: &str, stage: &Stage, server: &Backend) {
    for size in SIZES {
        let body = body_of(size);
        for cut in cuts(size) {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                for has_length in [true, false] {
                    let pieces = (cut.len(), cut[0]);
                    let what = format!(
                        "{what}: {size} bytes over {version:?} in {pieces:?} pieces, length: {has_length}"
                    );
                    let mut rest = body.clone();
                    let pieces = cut.iter().map(|piece| rest.split_to(*piece)).collect();
                    let length = has_length.then_some(size);
                    let before = server.count();
                    let answer = post_pieces(stage.address, version, length, pieces).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(answer.status, 200, "{what}");
                    assert_eq!(answer.endpoint(), server.name(), "{what}: placed");
                    assert_eq!(server.count(), before + 1, "{what}: sent once");
                    let seen = server.seen().pop().unwrap();
                    assert!(seen.body == body, "{what}: the body is as it was sent");
                    let told = seen.headers.get("content-length");
                    let told = told.map(|told| told.to_str().unwrap().parse().unwrap());
                    assert_eq!(told, length, "{what}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_from_500_bytes_to_8_mib_pass_below_the_limit_with_and_without_a_length() {
    for release in RELEASES {
        for form in [Form::Single, Form::Pair] {
            let server = Backend::start().await;
            let (stage, _aggregator) = Stage::on(release, form, &[(&server, 0)]).await;
            let before = server.count();
            every_body_passes(&format!("{form:?} on {release:?}"), &stage, &server).await;
            let sent = (server.count() - before) as u64;
            eventually("every body is counted", async || {
                let bodies = stage.metrics("trimtab_bodies_total").await;
                (bodies.values().sum::<u64>() >= sent).then_some(())
            })
            .await;
            let not_json = "trimtab_bodies_total.pool.default.kind.not_json";
            assert_eq!(
                stage.metric(not_json).await,
                0,
                "{form:?} on {release:?}: each byte is read once"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_prompt_without_a_length_is_booked_whole_once_it_has_passed() {
    for release in RELEASES {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let server = Backend::start().await;
            let (stage, aggregator) = Stage::on(release, Form::Single, &[(&server, 0)]).await;
            let mut rest = body_of(405_000);
            let mut pieces: Vec<_> = (0..24).map(|_| rest.split_to(16_384)).collect();
            pieces.push(rest);
            let answer = post_pieces(stage.address, version, None, pieces).await;
            let answer = answer.unwrap().ok();
            let told = answer.header(DECISION);
            let (_, tokens) = told.split_once("; prompt_tokens=").unwrap();
            let tokens = tokens.split(';').next().unwrap();
            let least = tokens.strip_suffix('+').map(str::parse::<u32>);
            let least = least.unwrap_or_else(|| panic!("{release:?}, {version:?}: {told}"));
            assert!(least.unwrap() < 60_000, "{release:?}, {version:?}: {told}");
            eventually("all of the prompt is reported", async || {
                let reports = aggregator.reports();
                let rows = reports.iter().flat_map(|report| &report.endpoints);
                let sent = rows.map(|row| row.sent_tokens).max()?;
                (101_000..101_300).contains(&sent).then_some(())
            })
            .await;
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
    // All loads are equal. So only the prompt's own place can bring both the pieces and the whole
    // to the same server.
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 0), (&c, 0)]).await;
    let prompt = "Übergrößenträger 日本語 🚀 \"quoted\" \\ back ".repeat(60);
    let body = chat_body(&prompt);
    let whole = post(stage.address, CHAT, &[JSON], body.clone())
        .await
        .unwrap()
        .ok();
    assert!(whole.endpoint().starts_with("127."), "{:?}", whole.headers);
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
            pieces.endpoint().starts_with("127."),
            "{:?}",
            pieces.headers
        );
        let arrived = [&a, &b, &c]
            .into_iter()
            .any(|backend| backend.seen().pop().is_some_and(|seen| seen.body == body));
        assert!(arrived, "cut at {at}: the body is as it was sent");
    }
    let bodies = eventually("the bodies are counted", async || {
        let bodies = stage.metrics("trimtab_bodies_total").await;
        (bodies.values().sum::<u64>() >= 5).then_some(bodies)
    })
    .await;
    assert!(
        bodies.keys().all(|name| name.ends_with("kind.whole")),
        "{bodies:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_limit_is_below_what_the_filter_wants_to_read_requests_are_placed_late_and_whole()
{
    let server = Backend::start().await;
    let options = StageOptions {
        plugin: Some("\"decide_after_bytes\": 131072, \"decide_within\": \"500ms\"".to_owned()),
        // In later releases the route's limit for retries is the effective one.
        release: Some(Release::Oldest),
        ..StageOptions::default()
    };
    let (stage, _aggregator) = Stage::placing_by(options, &[(&server, 0)]).await;
    for (size, first) in [(60_000, 1_000), (400_000, 9_000)] {
        let mut rest = body_of(size);
        let body = rest.clone();
        let pieces = vec![rest.split_to(first), rest];
        let started = Instant::now();
        let answer = post_pieces(stage.address, Version::HTTP_11, Some(size), pieces).await;
        assert_eq!(answer.unwrap().ok().endpoint(), server.name());
        assert!(server.seen().pop().unwrap().body == body, "{size}: whole");
        let took = started.elapsed();
        assert!(took > Duration::from_millis(450), "it was held: {took:?}");
    }
}
