//! Makes a request of a turn, with what a filter would know.

use trimtab_loadtable::Table;
use trimtab_pick::{Adapter, BLOCK_TOKENS, Conversation, Prefix, Request};
use trimtab_workload::{Rng, Role, Turn};

/// Shared beginnings shorter than this get no key, as in the filter.
const MIN_PREFIX_TOKENS: u32 = 256;
/// Constants that make different kinds of keys from the same numbers.
const CONVERSATION: u64 = 0x636f_6e76;
const PREFIX: u64 = 0x7072_6566;
const ADAPTER: u64 = 0x6164_6170;

/// Returns the name of an adapter.
pub(crate) fn adapter_name(index: u32) -> String {
    format!("adapter-{index:05}")
}

/// Returns what the filter knows of a turn that is one text, as completion APIs send it: sizes, and
/// digests of its beginning.
pub(crate) fn unmarked(turn: &Turn, session: u64, stretch: f64, table: Option<&Table>) -> Request {
    Request {
        prefix: head(turn),
        conversation: None,
        ..request(turn, session, stretch, table)
    }
}

/// Returns what the filter knows of a turn whose system prompt ends with tokens of its own.
pub(crate) fn own_ending(
    turn: &Turn,
    session: u64,
    stretch: f64,
    table: Option<&Table>,
) -> Request {
    let marked = request(turn, session, stretch, table);
    let own = |prefix: Prefix| match prefix.head {
        0 => prefix,
        _ => Prefix {
            key: key(prefix.key, session),
            ..prefix
        },
    };
    Request {
        prefix: marked.prefix.map(own),
        ..marked
    }
}

/// Returns what the filter knows of a turn: keys, sizes, and the adapter if the newest table knows
/// it. `stretch` is the factor by which the filter misjudges lengths.
pub(crate) fn request(turn: &Turn, session: u64, stretch: f64, table: Option<&Table>) -> Request {
    // `as` saturates. Neither factor is negative.
    let judged = |tokens: u32| (f64::from(tokens) * stretch) as u32;
    let parts = &turn.prompt.parts;
    let system: u32 = parts
        .iter()
        .take_while(|part| part.role == Role::System)
        .map(|part| part.segment.tokens)
        .sum();
    let newest = parts.last().map_or(0, |part| part.segment.tokens);
    let past = parts.iter().any(|part| part.role == Role::Assistant);
    let history = if past {
        turn.prompt.tokens() - newest
    } else {
        0
    };
    let beginning = parts.first().map_or(0, |part| part.segment.id);
    let marked = |head: Prefix| match system >= MIN_PREFIX_TOKENS {
        true => Prefix {
            key: key(PREFIX, beginning),
            tokens: judged(system),
            head: head.key,
            ..head
        },
        false => head,
    };
    Request {
        held: None,
        prompt_tokens: Some(judged(turn.prompt.tokens())),
        prefix: head(turn).map(marked),
        conversation: Some(Conversation {
            is_named: false,
            key: key(CONVERSATION, session),
            history_tokens: judged(history),
        }),
        opening: None,
        streams: Some(true),
        adapter: turn.adapter.map(|index| adapter(index, table)),
    }
}

/// Returns digests of the beginning of a turn's text. Returns `None` if the text is too short.
fn head(turn: &Turn) -> Option<Prefix> {
    let beginning = |tokens: u32| {
        let mut left = tokens;
        let mut digest = Rng::derive(PREFIX, 0);
        for part in &turn.prompt.parts {
            let taken = part.segment.tokens.min(left);
            left -= taken;
            digest = Rng::derive(digest.next_u64() ^ part.segment.id, u64::from(taken));
            if left == 0 {
                return Some(digest.next_u64());
            }
        }
        None
    };
    // 0 stands for no digest, so a digest is never 0.
    let block = |tokens| beginning(tokens).map_or(0, |digest| digest as u32 | 1);
    beginning(MIN_PREFIX_TOKENS).map(|key| Prefix {
        key,
        tokens: MIN_PREFIX_TOKENS,
        head: 0,
        blocks: BLOCK_TOKENS.map(block),
    })
}

fn adapter(index: u32, table: Option<&Table>) -> Adapter {
    let name = adapter_name(index);
    let found = table.and_then(|table| table.adapters.binary_search(&name).ok());
    Adapter {
        key: key(ADAPTER, u64::from(index)),
        index: found.and_then(|index| u16::try_from(index).ok()),
    }
}

fn key(kind: u64, id: u64) -> u64 {
    Rng::derive(kind, id).next_u64()
}
