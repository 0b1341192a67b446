//! Request -> what the decision may know of it.
//!
//! Comes in: headers and the first bytes of the body. Goes out: a [`pick::Request`](trimtab_pick::Request). Never: prompt text that
//! outlives the reading (only digests and counts do), a guess (what was not seen is absent), memory that grows with the body.

mod body;
mod hash;
mod head;
mod json;
mod keys;
mod message;
mod prompt;
mod word;

#[cfg(test)]
mod tests;

use trimtab_loadtable::Table;
use trimtab_pick::{Adapter, Conversation, Prefix, Request};

pub(crate) use body::{Body, BodyFacts};
pub(crate) use hash::{Digest, HashKey, Purpose};
pub(crate) use head::{Head, Plan, path_of};

/// Puts together what head and body told, under the key of `table`'s pool. `body`: absent when it was not read or is not JSON.
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
    let model = head
        .model
        .as_deref()
        .or_else(|| body.and_then(|body| body.model.as_deref()));
    Request {
        prompt_tokens: body.map(|body| saturating(body.prompt_tokens)),
        prefix: body
            .and_then(|body| body.prefix)
            .map(|(digest, tokens)| Prefix {
                key: key.seal(digest),
                tokens: saturating(tokens),
            }),
        conversation: session
            .or_else(|| body.and_then(|body| body.conversation))
            .map(|digest| Conversation {
                key: key.seal(digest),
                history_tokens: saturating(history_tokens),
            }),
        streams: body.and_then(|body| body.stream),
        adapter: model.and_then(|name| adapter(name, key, table)),
    }
}

/// The adapter of that name; absent: the table knows none, so it is the base model or an adapter that no server holds.
fn adapter(name: &[u8], key: HashKey, table: &Table) -> Option<Adapter> {
    let index = table
        .adapters
        .binary_search_by(|adapter| adapter.as_bytes().cmp(name))
        .ok()?;
    Some(Adapter {
        key: key.seal(Digest::of(Purpose::Adapter, name)),
        index: u16::try_from(index).ok(),
    })
}

fn saturating(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
