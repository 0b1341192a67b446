//! What servers keep for their clients, by path: `/v1/responses/{id}` and paths below it. Only the
//! server that made it can serve a request about it.
//!
//! Names are those of the APIs of OpenAI and Anthropic, and of servers that offer parts of them
//! (vLLM, SGLang, llama-stack). SGLang's sessions have paths of their own.

/// Parts of a path under which clients make and find kept things.
const COLLECTIONS: [&[u8]; 12] = [
    b"responses",
    b"conversations",
    b"files",
    b"uploads",
    b"batches",
    b"videos",
    b"assistants",
    b"threads",
    b"vector_stores",
    b"containers",
    b"jobs",
    b"evals",
];
/// Bytes of the longest name.
const MAX_BYTES: usize = 2_048;

/// Whether a POST to the path makes a thing that the server keeps. Its name is in the answer.
pub(crate) fn makes(path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|byte| *byte == b'/').next();
    path.starts_with(b"/")
        && last.is_some_and(|last| last == b"open_session" || COLLECTIONS.contains(&last))
}

/// Whether an answer about a kept thing describes it, and so may name others that its server keeps:
/// `/v1/batches/{id}` names the files with the results.
pub(crate) fn describes(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').next();
    last.is_some_and(|last| last == b"cancel" || is_name(last))
}

/// Returns the name of the kept thing that the path is about. `None`: it is about none.
pub(crate) fn name(path: &[u8]) -> Option<&[u8]> {
    let parts = path.split(|byte| *byte == b'/');
    let mut parts = parts.filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let name = parts.peek().filter(|name| is_name(name));
        if let Some(name) = name.filter(|_| COLLECTIONS.contains(&part)) {
            return Some(name);
        }
    }
    None
}

/// Whether the path is that of messages in a thread. No model answers there, unlike at
/// `/v1/messages`.
pub(crate) fn is_in_thread(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|byte| *byte == b'/').skip(1);
    parts.next().is_some_and(is_name) && parts.next() == Some(b"threads")
}

/// Whether a part of a path is a name. A name has `_` or `-` in it, or is long and has digits;
/// words like `compact` are neither. `input_tokens` is no name: `/v1/responses/input_tokens` counts
/// the tokens of a request.
fn is_name(part: &[u8]) -> bool {
    let is_marked = part.contains(&b'_') || part.contains(&b'-');
    let is_number = part.len() >= 8 && part.iter().any(u8::is_ascii_digit);
    (is_marked || is_number) && part != b"input_tokens" && part.len() <= MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::{describes, is_in_thread, makes, name};

    #[test]
    fn names_stand_behind_their_collections() {
        for (path, expected) in [
            ("/v1/responses/resp_1", Some("resp_1")),
            ("/team/v1/responses/resp_1/input_items", Some("resp_1")),
            ("/v1/responses/resp_1/cancel", Some("resp_1")),
            ("/v1/conversations/conv_7/items/msg_1", Some("conv_7")),
            ("/v1/files/file-3/content", Some("file-3")),
            ("/v1/batches/batch_9/cancel", Some("batch_9")),
            ("/files/v1/responses/resp_1", Some("resp_1")),
            (
                "/v1/responses/6f9619ff8b86d011b42d00cf4fc964ff",
                Some("6f9619ff8b86d011b42d00cf4fc964ff"),
            ),
            ("//v1//responses//resp_1", Some("resp_1")),
            ("/v1/threads/thread_1/messages", Some("thread_1")),
            ("/v1/fine_tuning/jobs/ftjob-1/cancel", Some("ftjob-1")),
            ("/v1/videos/video_1/content", Some("video_1")),
            ("/v1/responses", None),
            ("/v1/responses/", None),
            ("/v1/responses/input_tokens", None),
            ("/v1/responses/compact", None),
            ("/v1/chat/completions", None),
            ("", None),
        ] {
            let found = name(path.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{path}");
        }
        assert!(makes(b"/v1/responses") && makes(b"/x/v1/files/") && makes(b"/open_session"));
        assert!(describes(b"/v1/batches/batch_9") && describes(b"/v1/batches/batch_9/cancel"));
        assert!(!describes(b"/v1/files/file-3/content") && !describes(b""));
        assert!(is_in_thread(b"/v1/threads/thread_1/messages") && !is_in_thread(b"/v1/messages"));
        assert!(!makes(b"/v1/responses/resp_1") && !makes(b"/v1/models") && !makes(b""));
    }
}
