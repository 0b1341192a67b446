//! What servers keep for their clients, by path: `/v1/responses/{id}` and what is below. Only the server that made it can serve a request for it.

/// Where such things are made, and under which they stand.
const COLLECTIONS: [&[u8]; 4] = [b"responses", b"conversations", b"files", b"batches"];
/// Longest name.
const MAX_BYTES: usize = 256;

/// Whether a POST to the path makes one, whose name is in the answer.
pub(crate) fn makes(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').next();
    path.starts_with(b"/") && last.is_some_and(|last| COLLECTIONS.contains(&last))
}

/// The name of the one that the path is about; absent: it is about none.
pub(crate) fn name(path: &[u8]) -> Option<&[u8]> {
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let name = parts.peek().filter(|name| is_name(name));
        if let Some(name) = name.filter(|_| COLLECTIONS.contains(&part)) {
            return Some(name);
        }
    }
    None
}

/// Names have a mark in them, which words like `compact` have not. `/v1/responses/input_tokens` counts the tokens of a request.
fn is_name(part: &[u8]) -> bool {
    let is_marked = part.contains(&b'_') || part.contains(&b'-');
    is_marked && part != b"input_tokens" && part.len() <= MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::{makes, name};

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
        assert!(makes(b"/v1/responses") && makes(b"/x/v1/files"));
        assert!(!makes(b"/v1/responses/resp_1") && !makes(b"/v1/models") && !makes(b""));
    }
}
