//! Tests bodies of every shape, cut everywhere.

use std::time::Duration;

use trimtab_wasmhost::{Action, Exchange, ScriptedProxy};

use crate::support::{
    EXPLAIN, chat, config_with, counter, first_host, only, ready, ready_with, reason, reported,
    table,
};

#[test]
fn a_body_cut_at_any_byte_is_placed_like_the_whole_one() {
    let body = r#"{"model": "poet", "messages": [{"role": "system", "content": "Zwölf Boxkämpfer \"jagen\" \u00fc\ud83d\ude00 😀 Viktor"}, {"role": "user", "content": "q?"}], "max_tokens": 5, "stream": true}"#;
    let whole = {
        let mut proxy = ready();
        let exchange = proxy.vm().request().body(body).finish(proxy.vm());
        (first_host(&exchange), reason(&exchange))
    };
    assert!(whole.0.is_some());
    for cut in 0..=body.len() {
        // Each cut has its own proxy, because decisions depend on earlier ones.
        if cut % 4 != 0 && !(40..110).contains(&cut) {
            continue;
        }
        let mut proxy = ready();
        let (first, rest) = body.as_bytes().split_at(cut);
        let exchange = proxy
            .vm()
            .request()
            .body_chunk(first)
            .body(rest)
            .finish(proxy.vm());
        assert_eq!(exchange.request_body, body.as_bytes(), "cut at {cut}");
        assert_eq!(
            (first_host(&exchange), reason(&exchange)),
            whole,
            "cut at {cut}"
        );
    }
}

#[test]
fn a_body_in_single_bytes_arrives_whole() {
    let mut proxy = ready();
    let body = chat(300);
    let mut request = proxy.vm().request();
    for byte in body.as_bytes() {
        request = request.body_chunk([*byte]);
    }
    let exchange = request.end();
    assert_eq!(exchange.request_body, body.as_bytes());
    assert!(first_host(&exchange).is_some());
}

#[test]
fn no_body_of_any_size_is_refused_under_a_32_kib_limit() {
    for total in [
        0,
        1,
        1_000,
        16_383,
        16_384,
        16_385,
        32_768,
        32_769,
        100_000,
        4 << 20,
    ] {
        for chunk in [1_000, 16_384, 65_536] {
            let mut proxy = ready();
            let body = chat(total);
            let mut request = proxy.vm().request();
            for part in body.as_bytes().chunks(chunk) {
                request = request.body_chunk(part);
            }
            let exchange = request.end();
            // A chunk that is larger than the limit cannot be held at all. The filter must decide
            // on it at once.
            assert!(
                !exchange.local_reply,
                "{total} bytes in chunks of {chunk}: 413"
            );
            assert_eq!(
                exchange.request_body.len(),
                body.len(),
                "{total} in {chunk}"
            );
            assert!(first_host(&exchange).is_some(), "{total} in {chunk}");
        }
    }
}

#[test]
fn a_burst_beyond_the_limit_after_a_first_small_piece_is_no_413() {
    let mut proxy = ready();
    let body = chat(100_000);
    let (first, rest) = body.as_bytes().split_at(9_000);
    let request = proxy.vm().request().body_chunk(first).body_chunk(rest);
    let exchange = request.end();
    assert!(!exchange.local_reply && first_host(&exchange).is_some());
    assert_eq!(exchange.request_body, body.as_bytes());
    exchange.finish(proxy.vm());
    proxy.run_for(Duration::from_millis(200));
    let bodies = |kind| counter(&proxy, "trimtab_bodies_total", "kind", kind);
    let counted = (bodies("cap"), bodies("not_json"));
    assert_eq!(counted, (1, 0), "read in order, each byte once");
}

#[test]
fn at_most_the_first_16_kib_are_held_and_of_later_chunks_only_the_end_is_read() {
    const KIB: usize = 1_024;
    // Later chunks are read only if the body has not said whether to stream. With a length only the
    // last 8 KiB are read, and the first body does not come that far. Without a length every chunk
    // is read.
    for (length, begins, read) in [
        (Some(216 * KIB), "{", 0),
        (Some(116 * KIB), "{", 8),
        (None, r#"{"stream": true, "#, 0),
        (None, "{", 100),
    ] {
        let mut proxy = ready();
        let mut request = proxy.vm().request();
        if let Some(length) = length {
            request = request.header("content-length", length.to_string());
        }
        let mut exchange = request.leave_open();
        let mut held = 0;
        while exchange.request_headers.is_none() {
            let text = if held == 0 { begins } else { "" };
            exchange.body(proxy.vm(), format!("{text:1024}"), false);
            held += KIB;
        }
        assert_eq!(held, 16 * KIB);
        let reads = |proxy: &ScriptedProxy| {
            let script = &proxy.workers[0].script;
            script.count("proxy_get_buffer_bytes")
        };
        let before = reads(&proxy);
        for _ in 0..100 {
            exchange.body(proxy.vm(), [b' '; KIB], false);
            assert_eq!(exchange.actions.last(), Some(&Action::Continue));
        }
        assert_eq!(reads(&proxy) - before, read, "{length:?}, {begins}");
        exchange.close(proxy.vm());
    }
}

#[test]
fn bodies_that_are_no_json_are_placed_by_load() {
    let mut proxy = ready();
    let deep = "[".repeat(15_000);
    let bodies: [&[u8]; 10] = [
        b"",
        b"null",
        b"{",
        b"not json",
        b"\xff\xfe\x00",
        b"{\"model\": 5}",
        b"{\"messages\": {}}",
        b"{\"prompt\": [1, 2, [3]]}",
        deep.as_bytes(),
        b"{\"model\": \"m\"} trailing",
    ];
    for body in bodies {
        let exchange = proxy.vm().request().body(body);
        assert!(
            first_host(&exchange).is_some() && exchange.request_ended,
            "{:?}",
            String::from_utf8_lossy(body)
        );
        assert_eq!(exchange.request_body, body);
        exchange.finish(proxy.vm());
        assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
    }
}

/// Returns the body's part of the explain header.
fn told(exchange: &Exchange) -> String {
    let headers = exchange.response_headers.as_ref().expect("answered");
    let text = headers.text(EXPLAIN).expect("explained");
    let (_, told) = text.split_once("; body=").expect("speaks of the body");
    told.to_owned()
}

/// Returns whether the first message behind a system prompt of so many bytes told which
/// conversation the request belongs to.
fn tells_conversation(proxy: &mut ScriptedProxy, system_bytes: usize) -> bool {
    let body = format!(
        r#"{{"model": "m", "stream": true, "messages": [{{"role": "system", "content": "{}"}}, {{"role": "user", "content": "why?"}}, {{"role": "assistant", "content": "{}"}}]}}"#,
        "s".repeat(system_bytes),
        "a".repeat(300_000),
    );
    let mut request = proxy
        .vm()
        .request()
        .header("content-length", body.len().to_string());
    for part in body.as_bytes().chunks(5_000) {
        request = request.body_chunk(part);
    }
    let exchange = request.end();
    assert!(!exchange.local_reply && first_host(&exchange).is_some());
    assert_eq!(exchange.request_body, body.as_bytes());
    let exchange = exchange.finish(proxy.vm());
    !told(&exchange).contains("conversation")
}

#[test]
fn behind_a_long_system_prompt_reading_goes_on_to_the_first_message() {
    let with = |settings: &str| ready_with(&config_with(settings), &table());
    let told = [1_000, 16_300, 40_000, 70_000, 130_900, 140_000]
        .map(|bytes| tells_conversation(&mut with(""), bytes));
    assert_eq!(told, [true, true, true, true, true, false]);
    let never = &mut with(r#""read_on_bytes": 0"#);
    assert!(!tells_conversation(never, 40_000));
    let short = &mut with(r#""read_on_bytes": 32768"#);
    assert!(tells_conversation(short, 30_000) && !tells_conversation(short, 40_000));
}

#[test]
fn how_each_reading_ended_is_counted_and_explained() {
    let mut proxy = ready();
    let behind = format!(
        r#"{{"messages": [{{"role": "user", "content": "{}"}}], "model": "m"}}"#,
        "word ".repeat(8_000)
    );
    let bodies = [
        (
            "whole",
            r#"{"model": "m", "prompt": "four", "max_tokens": 7}"#,
            "whole; missing=stream,prefix,conversation; prompt_tokens=1; max_output_tokens=7",
        ),
        (
            "cap",
            &behind,
            "cap; missing=model,stream,conversation; prompt_tokens=10004",
        ),
        (
            "broken",
            r#"{"model": "m", "prompt": "four", 'user': 'ann'}"#,
            "broken; missing=stream,prefix,conversation; prompt_tokens=1+",
        ),
        (
            "unfinished",
            r#"{"model": "m""#,
            "unfinished; missing=stream,prefix,conversation",
        ),
        (
            "not_json",
            "<html>",
            "not_json; missing=model,stream,prefix,conversation",
        ),
    ];
    for (kind, body, expected) in bodies {
        let request = proxy
            .vm()
            .request()
            .header("content-length", body.len().to_string());
        let exchange = match kind {
            // The rest of the body is still to come.
            "cap" => request.body_chunk(body).leave_open(),
            _ => request.body(body),
        };
        assert!(first_host(&exchange).is_some(), "{kind}: placed by now");
        let exchange = exchange.finish(proxy.vm());
        assert_eq!(told(&exchange), expected, "{kind}");
    }
    let exchange = proxy.vm().request().end().finish(proxy.vm());
    assert_eq!(
        told(&exchange),
        "unread; missing=model,stream,prefix,conversation"
    );
    proxy.run_for(Duration::from_millis(200));
    for (kind, ..) in bodies {
        let count = counter(&proxy, "trimtab_bodies_total", "kind", kind);
        assert_eq!(count, 1, "{kind}");
    }
}

/// Returns the reported uncached tokens: those sent, and those without a first byte.
fn booked(proxy: &mut ScriptedProxy) -> (u64, u64) {
    let row = reported(proxy).endpoints.remove(0);
    (row.sent_tokens, row.pending_tokens.into())
}

#[test]
fn a_prompt_without_a_length_is_booked_by_what_was_read_and_at_its_end_by_what_passed() {
    let body = chat(405_000);
    let tokens = 101_250..101_300;
    for by_trailers in [false, true] {
        let mut proxy = ready_with(&config_with(""), &only(1, &[0]));
        let mut exchange = proxy.vm().request().leave_open();
        let mut chunks = body.as_bytes().chunks(10_000).peekable();
        while let Some(chunk) = chunks.next() {
            let is_last = chunks.peek().is_none();
            exchange.body(proxy.vm(), chunk, is_last && !by_trailers);
            if !is_last {
                continue;
            }
            if by_trailers {
                let (sent, _) = booked(&mut proxy);
                assert!((4_900..5_100).contains(&sent), "{sent}: two chunks came");
                let trailers = [("t", "1")].into_iter().collect();
                let direction = trimtab_wasmhost::Direction::Request;
                proxy.vm().trailers(exchange.stream, direction, trailers);
            }
        }
        let (sent, pending) = booked(&mut proxy);
        assert!(
            tokens.contains(&sent) && pending == sent,
            "{sent}, {pending}"
        );
        exchange.collect(proxy.vm());
        let exchange = exchange.finish(proxy.vm());
        let told = told(&exchange);
        assert!(told.starts_with("cap; ") && told.ends_with('+'), "{told}");
        assert_eq!(booked(&mut proxy), (sent, 0));
    }
}

#[test]
fn the_end_of_a_body_that_is_known_by_then_changes_nothing() {
    let long = chat(405_000);
    let blob = format!(r#"{{"blob": "{}", "prompt": "four"}}"#, "b".repeat(200_000));
    for (body, has_length, tokens) in [
        (&long, true, 101_250..101_300),
        // Nothing of the prompt was seen, so the pool's mean counts.
        (&blob, true, 500..501),
        (&blob, false, 500..501),
    ] {
        let mut proxy = ready_with(&config_with(""), &only(1, &[0]));
        let mut request = proxy.vm().request();
        if has_length {
            request = request.header("content-length", body.len().to_string());
        }
        let (first, rest) = body.split_at(20_000);
        let mut exchange = request.body_chunk(first).leave_open();
        let before = booked(&mut proxy);
        assert!(tokens.contains(&before.0), "{before:?}");
        exchange.body(proxy.vm(), rest.as_bytes(), true);
        assert_eq!(booked(&mut proxy), before);
        exchange.collect(proxy.vm());
        exchange.finish(proxy.vm());
    }
}

#[test]
fn a_document_that_is_complete_does_not_wait_for_the_end_of_the_stream() {
    let mut proxy = ready();
    let exchange = proxy.vm().request().body_chunk(chat(500)).leave_open();
    assert!(first_host(&exchange).is_some() && !exchange.request_ended);
}

#[test]
fn a_session_in_a_header_or_a_cookie_keeps_requests_together() {
    let fields = r#""session_header": "x-session", "session_cookie": "sid""#;
    let mut proxy = ready_with(&config_with(fields), &table());
    for (name, value, is_session) in [
        ("x-session", "ann", true),
        ("cookie", "theme=dark; sid=ann", true),
        ("cookie", "theme=dark", false),
    ] {
        let request = proxy.vm().request().header(name, value);
        let exchange = request.body(r#"{"prompt": "p"}"#).finish(proxy.vm());
        let told = told(&exchange);
        assert_eq!(!told.contains("conversation"), is_session, "{told}");
    }
}

#[test]
fn without_a_body_the_headers_alone_are_enough() {
    let mut proxy = ready();
    let exchange = proxy.vm().request().end();
    assert!(first_host(&exchange).is_some() && exchange.request_ended);
    assert_eq!(exchange.actions, [Action::Continue]);
}

#[test]
fn trailers_end_a_held_request() {
    let mut proxy = ready();
    let mut exchange = proxy
        .vm()
        .request()
        .body_chunk(r#"{"model": "m""#)
        .leave_open();
    assert_eq!(exchange.request_headers, None, "held");
    let trailers = [("t", "1")].into_iter().collect();
    proxy.vm().trailers(
        exchange.stream,
        trimtab_wasmhost::Direction::Request,
        trailers,
    );
    exchange.collect(proxy.vm());
    assert!(exchange.request_ended && first_host(&exchange).is_some());
}
