//! What the headers tell: whether to place the request at all, and whether its body is worth reading.

use super::path::Route;
use crate::config::{Config, Mode, PoolSet, candidates};
use crate::host::HeaderPairs;
use crate::passed;

/// What to do with a request, from its headers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Plan {
    /// Not a completion request: Envoy balances it as it always did.
    #[default]
    Pass,
    /// A completion request whose body says nothing (none, compressed, not JSON): balanced by load alone.
    PlaceNow,
    /// A completion request with a body to read.
    Read,
}

/// The headers that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// What to do.
    pub(crate) plan: Plan,
    /// Destination headers that came from the client, by their place in [`Config::own_headers`].
    pub(crate) forged: u8,
    /// `Content-Length`; absent: chunked, or not a number.
    pub(crate) content_length: Option<u64>,
    /// What the path tells.
    pub(crate) route: Route,
    /// Model, from the configured header, else from the path.
    pub(crate) model: Option<Vec<u8>>,
    /// Session, from the first of the configured headers, else from the configured cookie.
    pub(crate) session: Option<Vec<u8>>,
    /// Pools that the request may belong to.
    pub(crate) pools: PoolSet,
    /// What its route says about how much is placed; absent: nothing.
    pub(crate) mode: Option<Mode>,
    /// Whether the pool is named by the route, so that no other condition counts.
    pub(crate) routed: bool,
    /// What its path looks like, where it passes although it is a POST with JSON; absent: it is not that, or known for something else.
    pub(crate) passed_shape: Option<String>,
    /// Whether the answer shall say why the request went where it went.
    pub(crate) explain: bool,
}

/// Longest model or session name that is taken from a header.
const MAX_NAME_BYTES: usize = 512;

#[derive(Default)]
struct Seen {
    post: bool,
    completion_path: bool,
    upgrade: bool,
    encoded: bool,
    not_json: bool,
    says_json: bool,
    /// The best place of a header that names the session.
    session: Option<usize>,
}

impl Head {
    /// Reads the headers of one request. `end_of_stream`: there is no body.
    pub(crate) fn read(headers: &HeaderPairs, config: &Config, end_of_stream: bool) -> Self {
        let mut head = Self::default();
        let mut seen = Seen::default();
        let (mut authority, mut path): (&[u8], &[u8]) = (b"", b"");
        let mut cookie = None;
        let mut asks = config.explain_request_header.is_none();
        for (name, value) in headers.iter() {
            head.forged |= config.own_header(name);
            match name {
                b":method" => seen.post = value == b"POST",
                b":authority" => authority = value,
                b":path" => {
                    path = path_of(value);
                    seen.completion_path = config.is_completion_path(path);
                    head.route = Route::of(path);
                }
                b"upgrade" => seen.upgrade = true,
                b"content-encoding" => seen.encoded |= !value.is_empty() && value != b"identity",
                b"content-type" => {
                    seen.not_json = !may_be_json(value);
                    seen.says_json = ends_with(media(value), b"json");
                }
                b"content-length" => head.content_length = number(value),
                _ if is(name, config.model_header.as_deref()) => head.model = kept(value),
                b"cookie" if cookie.is_none() => {
                    cookie = config.session_cookie.value(value).and_then(kept);
                }
                _ if is(name, config.explain_request_header.as_deref()) => asks = true,
                _ => {}
            }
            let place = config.session_place(name);
            let is_better = |place: &usize| seen.session.is_none_or(|best| *place < best);
            if let Some((place, name)) = place.filter(is_better).zip(kept(value)) {
                seen.session = Some(place);
                head.session = Some(name);
            }
        }
        head.pools = candidates(&config.pools, authority, path);
        head.explain = asks && config.explain_header.is_some();
        head.model = head.model.or_else(|| head.route.model.clone());
        head.session = head.session.or(cookie);
        head.plan = match seen {
            Seen {
                post: true,
                completion_path: true,
                upgrade: false,
                encoded,
                not_json,
                ..
            } if !head.pools.is_empty() || config.per_route => {
                if end_of_stream || encoded || not_json || head.content_length == Some(0) {
                    Plan::PlaceNow
                } else {
                    Plan::Read
                }
            }
            Seen {
                post: true,
                completion_path: false,
                upgrade: false,
                says_json: true,
                ..
            } if !end_of_stream => {
                head.passed_shape = passed::shape(path);
                Plan::Pass
            }
            _ => Plan::Pass,
        };
        head
    }
}

fn is(name: &[u8], configured: Option<&str>) -> bool {
    configured.is_some_and(|configured| name.eq_ignore_ascii_case(configured.as_bytes()))
}

/// Copies a name; a longer one counts as absent, because half a name is another name.
fn kept(value: &[u8]) -> Option<Vec<u8>> {
    (1..=MAX_NAME_BYTES)
        .contains(&value.len())
        .then(|| value.to_vec())
}

/// The path without query and fragment.
pub(crate) fn path_of(target: &[u8]) -> &[u8] {
    let end = target
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

/// A media type without its parameters.
fn media(content_type: &[u8]) -> &[u8] {
    let media = content_type.split(|byte| *byte == b';').next();
    media.unwrap_or_default().trim_ascii()
}

fn ends_with(media: &[u8], suffix: &[u8]) -> bool {
    media
        .len()
        .checked_sub(suffix.len())
        .and_then(|at| media.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// `curl -d` says `application/x-www-form-urlencoded` whatever it sends, and some clients say `text/plain` or nothing.
fn may_be_json(content_type: &[u8]) -> bool {
    let media = media(content_type);
    media.is_empty()
        || ends_with(media, b"json")
        || [&b"application/x-www-form-urlencoded"[..], b"text/plain"]
            .iter()
            .any(|plain| media.eq_ignore_ascii_case(plain))
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of a POST with a JSON body to that path.
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
            [
                (":method", "POST"),
                (":path", "/v1/responses/resp_1/cancel"),
            ],
            [(":method", "POST"), (":path", "/v1/completions/")],
            [(":method", "POST"), (":path", "/x?y=/v1/completions")],
            [(":method", "POST"), (":path", "")],
            [(":path", "/v1/chat/completions"), ("upgrade", "websocket")],
        ] {
            assert_eq!(read(&headers, false).plan, Plan::Pass, "{headers:?}");
        }
    }

    #[test]
    fn a_body_that_can_not_be_read_is_placed_at_once() {
        assert_eq!(read(&[], true).plan, Plan::PlaceNow);
        assert_eq!(read(&[("content-length", "0")], false).plan, Plan::PlaceNow);
        assert_eq!(
            read(&[("content-encoding", "gzip")], false).plan,
            Plan::PlaceNow
        );
        assert_eq!(
            read(&[("content-encoding", "identity")], false).plan,
            Plan::Read
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
        // HTTP/2 clients may send each cookie in a header of its own.
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
}
