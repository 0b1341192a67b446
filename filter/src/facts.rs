//! Turns a request into what the decision may know about it.
//!
//! Comes in: headers and the first bytes of the body. Goes out: a
//! [`pick::Request`](trimtab_pick::Request). Never: prompt text that outlives the reading (only
//! digests and counts do), a guess (what was not seen is absent), memory that grows with the body.

mod body;
mod cookie;
mod encoding;
mod hash;
mod head;
pub(crate) mod json;
mod kept;
mod keys;
mod media;
mod message;
pub mod oracle;
mod path;
mod prompt;
mod reader;
mod tail;
mod tensor;
mod word;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use trimtab_loadtable::Table;
use trimtab_pick::{Adapter, Conversation, Prefix, Request};

pub(crate) use body::{Body, BodyFacts, Ending, Length, Rest};
pub(crate) use cookie::SessionCookie;
pub(crate) use hash::{Digest, HashKey, Hasher, Purpose};
pub(crate) use head::{Head, Plan, path_of};
pub(crate) use keys::{Names, meaning};
pub(crate) use path::Route;
pub(crate) use tail::{TAIL_BYTES, Tail};
pub(crate) use word::Word;

/// Returns the digest of the name of something that a server keeps, if the request is about it or
/// goes on from it.
pub(crate) fn held(head: &Head, body: Option<&BodyFacts>) -> Option<Digest> {
    head.held.or_else(|| body.and_then(|body| body.held))
}

/// Puts together what head and body show, sealed with the key of the pool.
///
/// - `body`: absent: it was not read.
/// - `key`: the key of `table`.
pub(crate) fn request(
    head: &Head,
    body: Option<&BodyFacts>,
    key: HashKey,
    table: &Table,
) -> Request {
    let session = head
        .session
        .as_deref()
        .map(|name| Digest::of(Purpose::Session, name));
    let history_tokens = body.map_or(0, |body| body.history_tokens);
    let adapter = model(head, body).and_then(|name| adapter(name, key, table));
    let name = adapter.map(|(digest, _)| digest);
    let client = head.client.map(|digest| digest.salted(name)).or(name);
    Request {
        held: held(head, body).map(|digest| key.seal(digest)),
        prompt_tokens: match head.is_prompt {
            true => body.and_then(|body| body.prompt_tokens).map(saturating),
            false => Some(0),
        },
        prefix: body
            .and_then(|body| body.beginning)
            .map(|beginning| beginning.salted(name))
            .map(|beginning| Prefix {
                key: key.seal(beginning.digest),
                tokens: saturating(beginning.tokens),
                head: beginning.head.map_or(0, |head| key.seal(head)),
                blocks: beginning.blocks,
            }),
        conversation: session
            .or_else(|| body.and_then(|body| body.conversation))
            .map(|digest| Conversation {
                is_named: session.is_some() || body.is_some_and(|body| body.is_named),
                key: key.seal(digest),
                history_tokens: saturating(history_tokens),
                is_cut: body.is_some_and(|body| body.is_cut),
            }),
        opening: body
            .and_then(|body| body.opening)
            .map(|digest| key.seal(digest)),
        streams: streams(head, body),
        adapter: adapter.map(|(_, adapter)| adapter),
        client: client.map_or(0, Digest::short),
    }
}

/// Whether the answer is to be streamed. The path goes before the body, the body before the API's
/// default. `None`: not known so far.
pub(crate) fn streams(head: &Head, body: Option<&BodyFacts>) -> Option<bool> {
    let by_default = || {
        let is_whole = body.is_some_and(|body| body.ending == Ending::Whole);
        (is_whole && head.route.streams_by_default).then_some(true)
    };
    head.route
        .streams
        .or_else(|| body.and_then(|body| body.stream))
        .or_else(by_default)
}

pub(crate) fn model<'a>(head: &'a Head, body: Option<&'a BodyFacts>) -> Option<&'a [u8]> {
    head.model
        .as_deref()
        .or_else(|| body.and_then(|body| body.model.as_deref()))
        .or(head.route.deployment.as_deref())
}

/// Returns text for people: how far the reading came, what it did not find, sizes.
pub(crate) fn explain(head: &Head, body: Option<&BodyFacts>) -> String {
    let ending = body.map_or("unread", |body| body.ending.as_str());
    let mut text = format!("body={ending}");
    let has_prefix = body.is_some_and(|body| body.beginning.is_some());
    let has_conversation =
        head.session.is_some() || body.is_some_and(|body| body.conversation.is_some());
    let facts = [
        ("model", model(head, body).is_some()),
        ("stream", streams(head, body).is_some()),
        ("prefix", has_prefix),
        ("conversation", has_conversation),
    ];
    let missing = facts.iter().filter(|(_, is_known)| !is_known);
    for (index, (name, _)) in missing.enumerate() {
        text.push_str(if index == 0 { "; missing=" } else { "," });
        text.push_str(name);
    }
    let sizes = [
        ("prompt_tokens", body.and_then(|body| body.prompt_tokens)),
        (
            "max_output_tokens",
            body.and_then(|body| body.max_output_tokens.map(u64::from)),
        ),
    ];
    for (name, size) in sizes {
        if let Some(size) = size {
            let at_least = name == "prompt_tokens" && body.is_some_and(|body| body.at_least);
            let more = if at_least { "+" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "; {name}={size}{more}");
        }
    }
    text
}

/// Returns the adapter of that name, and the digest of its name, which keeps its caches apart from
/// those of its base. `None`: the table does not have the name. It is then the base model, or an
/// adapter that no server holds.
///
/// The name of a base model keeps no caches apart. Clients write `model` after the messages, so
/// long bodies would otherwise get other keys than short ones.
fn adapter(name: &[u8], key: HashKey, table: &Table) -> Option<(Digest, Adapter)> {
    let index = table
        .adapters
        .binary_search_by(|adapter| adapter.as_bytes().cmp(name))
        .ok()?;
    let digest = Digest::of(Purpose::Adapter, name);
    let adapter = Adapter {
        key: key.seal(digest),
        index: u16::try_from(index).ok(),
    };
    Some((digest, adapter))
}

pub(crate) fn saturating(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
