//! Headers as clients send them.

use super::*;

/// The head of a POST with a JSON body to that path.
pub(in crate::facts) fn head(path: &str) -> Head {
    read(&[(":path", path)], false)
}

fn read(headers: &[(&str, &str)], end_of_stream: bool) -> Head {
    let mut all = vec![(":method", "POST"), (":path", "/v1/chat/completions")];
    all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
    all.extend(headers);
    let config = Config {
        model_header: Some("x-model".into()),
        ..Config::example()
    };
    Head::read(&HeaderPairs::of(&all), &config, end_of_stream)
}

#[test]
fn a_completion_request_with_a_json_body_is_read() {
    for path in [
        "/v1/chat/completions",
        "/v1/chat/completions?trace=1",
        "/team-a/v1/completions",
        "/v1/messages",
        "/generate",
        "/v2/rerank",
        "/v2/models/m/generate_stream",
        "/v2/models/m/versions/1/infer",
        "/llm/chat/completions",
        "/openai/deployments/d/chat/completions?api-version=2026-01-01",
        "/classify",
        "/pooling",
        "/v2/embed",
        "/api/chat",
        "/v1beta/models/g:streamGenerateContent?alt=sse",
        "/invocations",
        "/v1/audio/speech",
    ] {
        assert_eq!(read(&[(":path", path)], false).plan, Plan::Read, "{path}");
    }
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
        "text/plain",
    ] {
        assert_eq!(
            read(&[("content-type", kind)], false).plan,
            Plan::Read,
            "{kind}"
        );
    }
}

#[test]
fn whatever_is_no_completion_request_passes() {
    for headers in [
        [(":method", "GET"), (":path", "/v1/chat/completions")],
        [(":method", "CONNECT"), (":path", "/v1/chat/completions")],
        [(":method", "POST"), (":path", "/v1/models")],
        [(":method", "POST"), (":path", "/tokenize")],
        [(":method", "POST"), (":path", "/v1/messages/count_tokens")],
        [(":method", "POST"), (":path", "/v1/completions/")],
        [(":method", "POST"), (":path", "/x?y=/v1/completions")],
        [(":method", "POST"), (":path", "")],
        [(":path", "/v1/chat/completions"), ("upgrade", "websocket")],
    ] {
        assert_eq!(read(&headers, false).plan, Plan::Pass, "{headers:?}");
    }
}

#[test]
fn what_a_server_keeps_is_asked_of_it_by_whatever_method() {
    let plan = |method, path| read(&[(":method", method), (":path", path)], method != "POST");
    for (method, path) in [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/files/file-1/content"),
        ("PATCH", "/v1/vector_stores/vs_1"),
        ("PUT", "/v1/files/file-1"),
        ("POST", "/v1/threads/thread_1/messages"),
    ] {
        let head = plan(method, path);
        let found = (head.plan, head.held.is_some(), head.makes, head.is_prompt);
        assert_eq!(found, (Plan::PlaceNow, true, false, false), "{path}");
    }
    let made = plan("POST", "/v1/responses");
    assert_eq!(
        (made.plan, made.makes, made.is_prompt),
        (Plan::Read, true, true)
    );
    // A batch names the file that it is made of.
    let batch = plan("POST", "/v1/batches");
    assert_eq!(
        (batch.plan, batch.makes, batch.is_prompt),
        (Plan::Read, true, false)
    );
    let kind = ("content-type", "multipart/form-data; boundary=x");
    let file = read(&[(":path", "/v1/files"), kind], false);
    assert_eq!(
        (file.plan, file.makes, file.is_prompt),
        (Plan::PlaceNow, true, false)
    );
    // No model answers here, but the counted request may go on from a response.
    let counted = plan("POST", "/v1/responses/input_tokens");
    assert_eq!(
        (counted.plan, counted.route.goes_on, counted.is_prompt),
        (Plan::Read, true, false)
    );
    assert_eq!(plan("CONNECT", "/v1/files/file-1").plan, Plan::Pass);
    // A part of the path that only looks like a name does not make a prompt a request about a kept
    // thing.
    let prompt = plan("POST", "/containers/gpu-1/v1/chat/completions");
    assert_eq!((prompt.held, prompt.is_prompt), (None, true));
}

#[test]
fn a_body_that_can_not_be_read_is_placed_at_once() {
    assert_eq!(read(&[], true).plan, Plan::PlaceNow);
    assert_eq!(read(&[("content-length", "0")], false).plan, Plan::PlaceNow);
    assert_eq!(
        read(&[("content-encoding", "gzip")], false).plan,
        Plan::PlaceNow
    );
    for none in ["identity", "Identity", "identity, IDENTITY", "", " ,"] {
        let plan = read(&[("content-encoding", none)], false).plan;
        assert_eq!(plan, Plan::Read, "{none}");
    }
    assert_eq!(
        read(&[("content-encoding", "identity, gzip")], false).plan,
        Plan::PlaceNow
    );
    assert_eq!(
        read(
            &[("content-type", "multipart/form-data; boundary=x")],
            false
        )
        .plan,
        Plan::PlaceNow
    );
}

#[test]
fn the_first_of_the_known_session_headers_counts_and_a_configured_one_replaces_them() {
    let session = |setting: &str, headers: &[(&str, &str)]| {
        let json = format!(r#"{{"pool": "p", "aggregator": {{"cluster": "c"}}{setting}}}"#);
        let config = Config::parse(json.as_bytes()).unwrap();
        let head = Head::read(&HeaderPairs::of(headers), &config, false);
        head.session.map(|name| String::from_utf8(name).unwrap())
    };
    let (codex, opencode) = (("session-id", "a"), ("X-Session-Affinity", "b"));
    for headers in [[codex, opencode], [opencode, codex]] {
        assert_eq!(session("", &headers).as_deref(), Some("b"));
    }
    assert_eq!(
        session("", &[("x-session-id", ""), codex]).as_deref(),
        Some("a")
    );
    assert_eq!(session("", &[("x-correlation-id", "c")]), None);
    assert_eq!(session(r#", "session_header": "X-Mine""#, &[codex]), None);
    let list = r#", "session_header": ["x-mine", "Session-Id"]"#;
    assert_eq!(
        session(list, &[codex, ("x-mine", "m")]).as_deref(),
        Some("m")
    );
    assert_eq!(session(list, &[codex]).as_deref(), Some("a"));
    assert_eq!(
        session(r#", "session_header": []"#, &[codex, opencode]),
        None
    );
    for wrong in [r#""a b""#, "[3]", r#"[""]"#, "7", "{}"] {
        let json = format!(
            r#"{{"pool": "p", "aggregator": {{"cluster": "c"}}, "session_header": {wrong}}}"#
        );
        let problems = Config::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(problems.contains("session_header"), "{problems}");
    }
}

#[test]
fn a_post_with_json_that_passes_is_told_by_the_shape_of_its_path() {
    let shape = |headers: &[(&str, &str)]| read(headers, false).passed_shape;
    let json = ("content-type", "application/json; charset=utf-8");
    assert_eq!(
        shape(&[(":path", "/llm/v3/ask?q=1"), json]).as_deref(),
        Some("/llm/v3/ask")
    );
    assert_eq!(shape(&[(":path", "/v1/chat/completions"), json]), None);
    assert_eq!(shape(&[(":path", "/tokenize"), json]), None);
    assert_eq!(shape(&[(":path", "/ask")]), None);
    assert_eq!(shape(&[(":path", "/ask"), (":method", "PUT"), json]), None);
    assert_eq!(shape(&[(":path", "/ask"), ("upgrade", "h2c"), json]), None);
    assert_eq!(read(&[(":path", "/ask"), json], true).passed_shape, None);
}

#[test]
fn the_session_header_goes_before_the_cookie() {
    let session = |headers: &[(&str, &str)]| {
        let mut all = vec![(":method", "POST"), (":path", "/v1/messages")];
        all.extend(headers);
        let json = r#"{"pool": "p", "aggregator": {"cluster": "c"}, "session_header": "x-session", "session_cookie": "sid"}"#;
        let config = Config::parse(json.as_bytes()).unwrap();
        let head = Head::read(&HeaderPairs::of(&all), &config, false);
        head.session.map(|name| String::from_utf8(name).unwrap())
    };
    let (header, cookie) = (("x-session", "a"), ("cookie", "x=1; sid=b"));
    assert_eq!(session(&[header, cookie]).as_deref(), Some("a"));
    assert_eq!(session(&[cookie, header]).as_deref(), Some("a"));
    assert_eq!(session(&[cookie]).as_deref(), Some("b"));
    // HTTP/2 clients may send each cookie in its own header.
    assert_eq!(
        session(&[("cookie", "x=1"), cookie, ("cookie", "sid=c")]).as_deref(),
        Some("b")
    );
    assert_eq!(
        session(&[("cookie", &format!("sid={}", "b".repeat(513)))]),
        None
    );
    assert_eq!(session(&[("x-session", ""), cookie]).as_deref(), Some("b"));
}

#[test]
fn a_model_in_the_path_goes_behind_the_configured_header() {
    let triton = (":path", "/v2/models/m/infer");
    let model = |headers: &[(&str, &str)]| read(headers, false).model;
    assert_eq!(model(&[triton]).as_deref(), Some(&b"m"[..]));
    assert_eq!(
        model(&[triton, ("x-model", "n")]).as_deref(),
        Some(&b"n"[..])
    );
}

#[test]
fn values_that_make_no_sense_are_absent() {
    assert_eq!(
        read(&[("content-length", "-3")], false).content_length,
        None
    );
    assert_eq!(
        read(&[("content-length", "99999999999999999999999")], false).content_length,
        None
    );
    assert_eq!(
        read(&[("content-length", "17")], false).content_length,
        Some(17)
    );
    assert_eq!(
        read(&[("x-model", "m")], false).model.as_deref(),
        Some(&b"m"[..])
    );
    assert_eq!(read(&[("x-model", &"m".repeat(513))], false).model, None);
}

#[test]
fn a_forged_destination_is_seen_on_every_kind_of_request() {
    assert_eq!(
        read(
            &[
                ("x-gateway-destination-endpoint", "10.0.0.1:1"),
                (":method", "GET")
            ],
            false
        )
        .forged,
        1
    );
    assert_eq!(
        read(&[("X-Gateway-Destination-Endpoint", "")], false).forged,
        1
    );
    assert_eq!(read(&[], false).forged, 0);
}
