//! Makes a request of a turn, with what a filter would know.

use trimtab_loadtable::Table;
use trimtab_pick::{Adapter, BLOCK_TOKENS, Conversation, Prefix, Request};
use trimtab_workload::{Rng, Role, Turn};

use crate::scenario::Deciders;

/// Shared beginnings shorter than this get no key, as in the filter.
const MIN_PREFIX_TOKENS: u32 = 256;
/// Constants that make different kinds of keys from the same numbers.
const CONVERSATION: u64 = 0x636f_6e76;
const PREFIX: u64 = 0x7072_6566;
const OPENING: u64 = 0x6f70_656e;
const ADAPTER: u64 = 0x6164_6170;

/// Returns the name of an adapter.
pub(crate) fn adapter_name(index: u32) -> String {
    format!("adapter-{index:05}")
}

/// Returns what the filter knows of a turn, read as the scenario says: keys, sizes, and the adapter
/// if the newest table knows it.
///
/// - `stretch`: factor by which the filter misjudges lengths.
pub(crate) fn request(
    turn: &Turn,
    session: u64,
    stretch: f64,
    table: Option<&Table>,
    deciders: &Deciders,
) -> Request {
    // `as` saturates. Neither factor is negative.
    let judged = |tokens: u32| (f64::from(tokens) * stretch) as u32;
    let text = Request {
        prompt_tokens: Some(judged(turn.prompt.tokens())),
        prefix: head(turn, deciders.read_tokens),
        streams: Some(true),
        adapter: turn.adapter.map(|index| adapter(index, table)),
        ..Request::default()
    };
    if !deciders.marked {
        return text;
    }
    let seen = Seen::of(turn, deciders);
    let beginning = turn.prompt.parts.first().map_or(0, |part| part.segment.id);
    let beginning = match deciders.own_endings {
        true => key(beginning, session),
        false => beginning,
    };
    let marked = |head: Prefix| match seen.system {
        Some(tokens) if tokens >= MIN_PREFIX_TOKENS => Prefix {
            key: key(PREFIX, beginning),
            tokens: judged(tokens),
            head: head.key,
            ..head
        },
        _ => head,
    };
    Request {
        prefix: text.prefix.map(marked),
        conversation: seen.opens.then(|| Conversation {
            is_named: false,
            key: key(CONVERSATION, session),
            history_tokens: judged(seen.history),
            is_cut: seen.is_cut,
        }),
        opening: seen.is_opening.then(|| key(OPENING, session)),
        ..text
    }
}

/// What the read part of a turn shows.
struct Seen {
    /// Tokens of the system prompt. Absent: it goes on behind the read part.
    system: Option<u32>,
    /// Tokens up to the assistant's last answer, as far as it was read; 0 on the first turn.
    history: u32,
    /// Whether the first message behind the system prompt was read to its end.
    opens: bool,
    /// Whether the read part ends in that message.
    is_opening: bool,
    /// Whether the prompt goes on behind the read part.
    is_cut: bool,
}

impl Seen {
    fn of(turn: &Turn, deciders: &Deciders) -> Self {
        let mut read_tokens = deciders.read_tokens.max(1);
        loop {
            let seen = Self::in_first(read_tokens, turn);
            let is_told = seen.opens || seen.is_opening || !seen.is_cut;
            read_tokens = read_tokens.saturating_mul(2);
            if is_told || read_tokens > deciders.read_on_tokens {
                return seen;
            }
        }
    }

    /// - `read_tokens`: length of the read part.
    fn in_first(read_tokens: u32, turn: &Turn) -> Self {
        let (mut end, mut system, mut history, mut first) = (0_u32, 0, 0, None);
        for part in &turn.prompt.parts {
            let begin = end;
            end = end.saturating_add(part.segment.tokens);
            match part.role {
                Role::System if first.is_none() => system = end,
                Role::Assistant if begin < read_tokens => history = end.min(read_tokens),
                _ => {}
            }
            if part.role != Role::System && first.is_none() {
                first = Some((begin, end));
            }
        }
        let (begins, ends) = first.unwrap_or((0, 0));
        Self {
            system: (system <= read_tokens).then_some(system),
            history,
            opens: ends <= read_tokens,
            is_opening: begins < read_tokens && read_tokens < ends,
            is_cut: end > read_tokens,
        }
    }
}

/// Returns digests of the beginning of a turn's text. Returns `None` if the text is too short.
///
/// - `read_tokens`: length of the part of the text that is read.
fn head(turn: &Turn, read_tokens: u32) -> Option<Prefix> {
    let beginning = |tokens: u32| {
        if tokens > read_tokens {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_workload::{Part, Prompt, Segment};

    fn turn(parts: &[(Role, u32)]) -> Turn {
        let part = |(id, &(role, tokens)): (u64, &(Role, u32))| Part {
            role,
            segment: Segment { id, tokens },
        };
        Turn {
            think_s: 0.0,
            prompt: Prompt {
                parts: (1..).zip(parts).map(part).collect(),
            },
            answer: Segment { id: 99, tokens: 1 },
            adapter: None,
        }
    }

    fn read(parts: &[(Role, u32)]) -> Request {
        let deciders = Deciders {
            count: 1,
            workers: 1,
            tick_s: 0.0,
            zipf: 0.0,
            sticky: false,
            marked: true,
            own_endings: false,
            read_tokens: 4_000,
            read_on_tokens: 32_000,
        };
        request(&turn(parts), 7, 1.0, None, &deciders)
    }

    #[test]
    fn of_a_long_turn_as_much_is_known_as_was_read() {
        use Role::{Assistant, System, User};
        let history = |parts: &[(Role, u32)]| {
            let of = read(parts).conversation.unwrap();
            (of.history_tokens, of.is_cut)
        };
        let short = [(System, 1_000), (User, 500), (Assistant, 200), (User, 50)];
        assert_eq!(history(&short), (1_700, false));
        let long = [&short[..], &[(Assistant, 100), (User, 9_000)]].concat();
        assert_eq!(history(&long), (1_850, true));
        let answer = [(User, 500), (Assistant, 9_000), (User, 50)];
        assert_eq!(history(&answer), (4_000, true));
        assert_eq!(read(&long).prompt_tokens, Some(10_850));
    }

    #[test]
    fn behind_a_long_system_prompt_reading_goes_on_to_the_first_message() {
        use Role::{System, User};
        let first = |system, user| read(&[(System, system), (User, user)]);
        for system in [5_000, 15_000, 31_000] {
            let request = first(system, 500);
            assert!(request.conversation.is_some(), "{system}");
            assert_eq!(request.prefix.unwrap().tokens, system);
        }
        let beyond = first(40_000, 500);
        assert_eq!((beyond.conversation, beyond.opening), (None, None));
        assert_eq!(beyond.prefix.unwrap().tokens, MIN_PREFIX_TOKENS);
        let opening = first(3_000, 9_000);
        assert!(opening.conversation.is_none() && opening.opening.is_some());
    }
}
