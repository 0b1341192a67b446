//! The kinds of requests of odd clients.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::asked::{Asked, Way};
use crate::support::client::ask_body;
use crate::support::gzip::gzip_stored;

const CHAT: &str = "/v1/chat/completions";

/// A kind of request: its name, and a function that makes the request of a number.
pub(crate) type Kind = (&'static str, fn(u64) -> Asked);

/// All kinds of single requests.
pub(crate) const KINDS: [Kind; 41] = [
    ("plain", |n| chat(text(n))),
    ("streamed", |n| chat(with(n, "\"stream\": true"))),
    ("mark of UTF-8", |n| chat(format!("\u{feff}{}", text(n)))),
    ("UTF-16 LE", |n| chat(utf_16(n, u16::to_le_bytes))),
    ("UTF-16 BE", |n| chat(utf_16(n, u16::to_be_bytes))),
    ("UTF-32 LE", |n| chat(utf_32(n, u32::to_le_bytes))),
    ("UTF-32 BE", |n| chat(utf_32(n, u32::to_be_bytes))),
    ("NaN", |n| {
        chat(with(n, "\"temperature\": NaN, \"top_p\": -Infinity"))
    }),
    ("300 deep", |n| {
        let deep = ["[".repeat(300), "]".repeat(300)].concat();
        chat(with(n, &format!("\"extra\": {deep}")))
    }),
    ("200 KB before the messages", |n| {
        chat(with(n, &format!("\"extra\": \"{}\"", "b".repeat(200_000))))
    }),
    ("400 KB in chunks", |n| {
        chat(ask_body(&format!("{n:09} ").repeat(40_000))).by(Way::Pieces(vec![16_384; 30]))
    }),
    ("byte by byte", |n| {
        chat(text(n)).by(Way::Pieces(vec![1; 40]))
    }),
    ("picture", |n| chat(picture(n))),
    ("half a picture", |n| {
        let mut body = picture(n);
        body.truncate(150_000);
        chat(body).say(400)
    }),
    ("token ids", |n| {
        let ids: Vec<u64> = (0..2_000).map(|place| (place * 7 + n) % 30_000).collect();
        to(
            "/v1/completions",
            &json!({"model": "m", "prompt": ids, "max_tokens": 4}),
        )
    }),
    ("cut", |n| {
        let body = text(n);
        chat(body[..body.len() / 2].to_owned()).say(400)
    }),
    ("empty", |_| chat(String::new()).say(400)),
    ("gzip", |n| {
        chat(gzip_stored(text(n).as_bytes())).with("content-encoding", "gzip")
    }),
    ("no JSON", |_| {
        chat(b"{\"model\": nonsense \xff\xfe".to_vec()).say(400)
    }),
    ("members twice", |n| {
        chat(with(n, "\"messages\": [], \"model\": 7, \"model\": \"n\""))
    }),
    ("Azure", |n| {
        let path = "/openai/deployments/m/chat/completions?api-version=2024-10-21";
        Asked::post(path, text(n))
    }),
    ("embed", |n| {
        to(
            "/v2/embed",
            &json!({"model": "m", "texts": [n.to_string()]}),
        )
    }),
    ("classify", |n| {
        to("/classify", &json!({"model": "m", "input": n.to_string()}))
    }),
    ("sound", |n| {
        let part = format!(
            "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{n}{}\r\n--b--\r\n",
            "\u{1}".repeat(40_000)
        );
        Asked::post("/v1/audio/transcriptions", part)
            .with("content-type", "multipart/form-data; boundary=b")
    }),
    ("unknown path", |n| {
        to("/v1/unheard/of", &json!({"question": n}))
    }),
    ("models", |_| Asked::bare(Method::GET, "/v1/models")),
    ("HEAD", |_| Asked::bare(Method::HEAD, "/v1/models")),
    ("OPTIONS", |_| Asked::bare(Method::OPTIONS, CHAT)),
    ("session header", |n| {
        let names = ["x-session-id", "session_id", "x-claude-code-session-id"];
        let name = names[usize::try_from(n % 3).unwrap_or(0)];
        chat(text(n)).with(name, &format!("session-{}", n % 10))
    }),
    ("cookie", |n| {
        chat(text(n)).with("cookie", &format!("a=b; session={}", n % 10))
    }),
    ("salt", |n| {
        chat(with(n, &format!("\"cache_salt\": \"salt-{}\"", n % 20)))
    }),
    ("header of 40 KB", |n| {
        chat(text(n)).with("x-enormous", &"e".repeat(40_000))
    }),
    ("many headers", |n| {
        (0..80).fold(chat(text(n)), |asked, _| asked.with("x-many", "m"))
    }),
    ("expects 100", |n| chat(text(n)).by(Way::Expecting)),
    ("HTTP/2", |n| chat(text(n)).by(Way::Http2(Vec::new()))),
    ("HTTP/2 in pieces", |n| {
        chat(picture(n)).by(Way::Http2(vec![1, 9_000, 200_000]))
    }),
    ("forged destination", |n| {
        let forged = crate::support::client::DESTINATION;
        chat(text(n)).with(forged, "192.0.2.1:1")
    }),
    ("pauses", |n| {
        let mut asked = chat(text(n)).by(Way::Pieces(vec![30; 4]));
        asked.pause = Duration::from_millis(120);
        asked
    }),
    ("slow", |n| {
        // Longer than the filter waits for a body.
        let mut asked = chat(text(n)).by(Way::Pieces(vec![30; 2]));
        asked.pause = Duration::from_millis(700);
        asked
    }),
    ("refused", |n| chat(text(n)).say(422)),
    ("fails", |n| chat(text(n)).say(500)),
];

fn chat(body: impl Into<Vec<u8>>) -> Asked {
    Asked::post(CHAT, body)
}

fn to(path: &str, body: &Value) -> Asked {
    Asked::post(path, body.to_string())
}

fn text(n: u64) -> String {
    ask_body(&format!("question {n} \u{e9}\u{65e5}\u{1f680}"))
}

/// Returns the text with further members at its beginning.
fn with(n: u64, members: &str) -> String {
    text(n).replacen('{', &format!("{{{members}, "), 1)
}

/// Returns the text with a byte order mark at its beginning; every second one has none.
fn marked(n: u64) -> String {
    let mark = if n.is_multiple_of(2) { "\u{feff}" } else { "" };
    format!("{mark}{}", text(n))
}

fn utf_16(n: u64, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    marked(n).encode_utf16().flat_map(bytes).collect()
}

fn utf_32(n: u64, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    marked(n).chars().map(u32::from).flat_map(bytes).collect()
}

/// Returns a question about a picture of 300 KB.
fn picture(n: u64) -> String {
    let url = format!("data:image/png;base64,{n:08}{}", "A".repeat(300_000));
    let parts = json!([
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is it?"},
    ]);
    json!({"model": "m", "messages": [{"role": "user", "content": parts}], "max_tokens": 8})
        .to_string()
}
