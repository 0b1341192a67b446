//! What the headers show: whether to place the request at all, and whether its body is worth
//! reading.

use super::hash::{Digest, Purpose};
use super::kept;
use super::path::Route;
use crate::config::{Config, Mode, PoolSet, candidates};
use crate::host::HeaderPairs;
use crate::plugin::unplaced_paths;

/// What to do with a request, from its headers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Plan {
    /// Not placed: Envoy balances the request by itself.
    #[default]
    Pass,
    /// Placed by its headers alone: a completion request whose body says nothing (none, compressed,
    /// not JSON), or a request about something that a server keeps.
    PlaceNow,
    /// Placed after its body was read: a completion request, or a request that may name or make
    /// something that a server keeps.
    Read,
}

/// The headers that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// What to do, if the request belongs to a pool.
    pub(crate) plan: Plan,
    /// Headers that only the filter may set but the client sent: a bit set by their place in
    /// [`Config::own_headers`].
    pub(crate) forged: u8,
    /// `Content-Length`. Absent: chunked, or not a number.
    pub(crate) content_length: Option<u64>,
    /// What the path shows.
    pub(crate) route: Route,
    /// Model, from the configured header, else from the path.
    pub(crate) model: Option<Vec<u8>>,
    /// Session, from the first of the configured headers, else from the configured cookie.
    pub(crate) session: Option<Vec<u8>>,
    /// Digest of the credentials.
    pub(crate) client: Option<Digest>,
    /// Digest of the name of something that a server keeps and that the path is about.
    pub(crate) held: Option<Digest>,
    /// The request makes something that its server keeps from now on. The answer names it.
    pub(crate) makes: bool,
    /// The answer may name what its server keeps: something new, or the results of a batch.
    pub(crate) tells: bool,
    /// The method is none that makes anything, so an answer begins at once.
    pub(crate) is_plain: bool,
    /// A model is to answer. Else the request is about what a server keeps.
    pub(crate) is_prompt: bool,
    /// Pools that the request may belong to.
    pub(crate) pools: PoolSet,
    /// The mode that the route names. Absent: it names none.
    pub(crate) mode: Option<Mode>,
    /// Whether the route names the pool, so that no other condition counts.
    pub(crate) routed: bool,
    /// Shape of the path of a POST with JSON that passes. Absent: the request is not one, or the
    /// path is known for something else.
    pub(crate) passed_shape: Option<String>,
    /// Whether the answer shall say why the request went where it went.
    pub(crate) explain: bool,
}

/// Bytes of the longest model or session name that is taken from a header.
const MAX_NAME_BYTES: usize = 512;

#[derive(Default)]
struct Seen {
    post: bool,
    /// The methods of requests about something that exists: GET, HEAD, DELETE, PATCH or PUT.
    plain: bool,
    completion_path: bool,
    upgrade: bool,
    encoded: bool,
    not_json: bool,
    says_json: bool,
    /// The best place so far of a header that names the session.
    session: Option<usize>,
}

impl Head {
    /// Reads the headers of one request.
    ///
    /// - `end_of_stream`: there is no body.
    pub(crate) fn read(headers: &HeaderPairs, config: &Config, end_of_stream: bool) -> Self {
        let mut head = Self::default();
        let mut seen = Seen::default();
        let (mut authority, mut path): (&[u8], &[u8]) = (b"", b"");
        let mut cookie = None;
        let mut asks = config.explain_request_header.is_none();
        for (name, value) in headers.iter() {
            head.forged |= config.own_header(name);
            match name {
                b":method" => {
                    seen.post = value == b"POST";
                    seen.plain = matches!(value, b"GET" | b"HEAD" | b"DELETE" | b"PATCH" | b"PUT");
                }
                b":authority" => authority = value,
                b":path" => {
                    path = path_of(value);
                    seen.completion_path =
                        config.is_completion_path(path) && !kept::is_in_thread(path);
                    head.route = Route::of(path);
                }
                b"upgrade" => seen.upgrade = true,
                b"content-encoding" => {
                    seen.encoded |= value.split(|byte| *byte == b',').any(is_coding)
                }
                b"content-type" => {
                    seen.not_json = !may_be_json(value);
                    seen.says_json = ends_with(media(value), b"json");
                }
                b"content-length" => head.content_length = number(value),
                b"authorization" | b"x-api-key" | b"api-key" | b"x-goog-api-key" => {
                    head.client = Some(Digest::of(Purpose::Client, value));
                }
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
        head.makes = seen.post && kept::makes(path);
        (head.is_plain, head.is_prompt) = (seen.plain, seen.post && seen.completion_path);
        let name = kept::name(path).filter(|_| !seen.completion_path);
        head.held = name.map(|name| Digest::of(Purpose::Held, name));
        head.tells = head.makes || name.is_some() && kept::describes(path);
        let is_kept =
            !seen.upgrade && (head.makes || head.held.is_some() && (seen.post || seen.plain));
        head.plan = match seen {
            Seen {
                post: true,
                upgrade: false,
                completion_path,
                encoded,
                not_json,
                ..
            } if completion_path || head.makes || head.route.goes_on => {
                if end_of_stream || encoded || not_json || head.content_length == Some(0) {
                    Plan::PlaceNow
                } else {
                    Plan::Read
                }
            }
            _ if is_kept => Plan::PlaceNow,
            Seen {
                post: true,
                completion_path: false,
                upgrade: false,
                says_json: true,
                ..
            } if !end_of_stream => {
                head.passed_shape = unplaced_paths::shape(path);
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

/// Whether a content coding changes bytes. Case does not matter in names (RFC 9110, 8.4.1).
fn is_coding(name: &[u8]) -> bool {
    let name = name.trim_ascii();
    !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")
}

/// Copies a name. A longer one counts as absent, because half a name is another name.
fn kept(value: &[u8]) -> Option<Vec<u8>> {
    (1..=MAX_NAME_BYTES)
        .contains(&value.len())
        .then(|| value.to_vec())
}

/// Returns the path without query and fragment.
pub(crate) fn path_of(target: &[u8]) -> &[u8] {
    let end = target
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

/// Returns a media type without its parameters.
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

/// Whether a body of this content type may be JSON. `curl -d` says
/// `application/x-www-form-urlencoded` for any body, and some clients say `text/plain` or nothing.
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
pub(super) mod tests;
