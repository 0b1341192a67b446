//! Whose fault an error is that a server wrote in place of an answer.
//!
//! A server that has begun to answer with 200 can only write down what went wrong. Where that is
//! its own failure, the answer is no success: a server whose every stream fails at once would look
//! like the fastest of all.

/// Keys whose number is a status of HTTP.
const CODES: [&[u8]; 4] = [
    b"\"code\"",
    b"\"status\"",
    b"\"status_code\"",
    b"\"statusCode\"",
];

/// Types of errors that servers are to blame for: vLLM and SGLang, OpenAI, Anthropic.
const TYPES: [&[u8]; 5] = [
    b"\"InternalServerError\"",
    b"\"internal_server_error\"",
    b"\"server_error\"",
    b"\"api_error\"",
    b"\"INTERNAL\"",
];

/// Returns whether an answer that is an error blames the server: by a status of 500 to 599,
/// or by its type. An error that blames nobody counts as the client's.
///
/// Quotes within a text have a backslash before them, so no text that a client had repeated looks
/// like a key.
pub(crate) fn is_servers(piece: &[u8]) -> bool {
    let blames = |code: &&'static [u8]| after(piece, code).any(is_5xx);
    CODES.iter().any(blames) || TYPES.iter().any(|kind| after(piece, kind).next().is_some())
}

/// Returns what follows each place where `word` stands.
fn after<'p>(piece: &'p [u8], word: &'static [u8]) -> impl Iterator<Item = &'p [u8]> {
    let places = piece.windows(word.len()).enumerate();
    places
        .filter(move |(_, window)| *window == word)
        .filter_map(move |(at, _)| piece.get(at.saturating_add(word.len())..))
}

/// Returns whether `: 5xx` follows, with or without quotes.
fn is_5xx(rest: &[u8]) -> bool {
    let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else {
        return false;
    };
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    match value {
        [b'5', tens, ones, end, ..] => {
            tens.is_ascii_digit() && ones.is_ascii_digit() && !end.is_ascii_digit()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_servers;

    #[test]
    fn a_status_of_500_or_a_type_blames_the_server_and_nothing_else_does() {
        for blames in [
            // vLLM, SGLang.
            r#"data: {"error":{"message":"x","type":"InternalServerError","param":null,"code":500}}"#,
            r#"data: {"error": {"object":"error", "message": "CUDA", "code" : "503" }}"#,
            r#"{"object":"error","message":"x","status_code":599}"#,
            // OpenAI, Anthropic, Gemini.
            r#"data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#,
            r#"data: {"type":"error","error":{"type":"api_error","message":"x"}}"#,
            r#"data: {"error":{"code":13,"status":"INTERNAL"}}"#,
        ] {
            assert!(is_servers(blames.as_bytes()), "{blames}");
        }
        for not in [
            r#"data: {"error":{"message":"too long","type":"BadRequestError","code":400}}"#,
            r#"data: {"error":{"message":"the code is \"code\":500, \"server_error\"","code":422}}"#,
            r#"data: {"error":"no such model"}"#,
            r#"data: {"error":{"code":5}}"#,
            r#"data: {"error":{"code":5000}}"#,
            r#"data: {"error":{"code":50"#,
            r#"data: {"error":{"codes":500,"postcode":500}}"#,
            "",
        ] {
            assert!(!is_servers(not.as_bytes()), "{not}");
        }
    }
}
