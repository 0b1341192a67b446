//! Computes the chained block hashes of a prompt, as a prefix cache uses them.

use crate::Turn;
use crate::rng::mix;

/// Clears `out`, and appends one hash per *full* block of `block_tokens` tokens of the turn's
/// prompt.
///
/// As in vLLM, a block's hash covers the adapter and everything before the block. So equal hashes
/// mean equal prefixes. The hash is computed from the structure (which stretch of which segment),
/// not from text. It takes O(parts + blocks) and makes no tokens. If `block_tokens` is 0, `out`
/// stays empty.
pub fn block_hashes(turn: &Turn, block_tokens: u32, out: &mut Vec<u64>) {
    out.clear();
    if block_tokens == 0 {
        return;
    }
    let mut chain = mix(
        0x626c_6f63_6b73,
        turn.adapter.map_or(0, |index| u64::from(index) + 1),
    );
    let mut room = block_tokens;
    for part in &turn.prompt.parts {
        chain = mix(chain, part.role as u64);
        let mut at = 0;
        while at < part.segment.tokens {
            let take = room.min(part.segment.tokens - at);
            chain = mix(
                mix(chain, part.segment.id),
                u64::from(at) << 32 | u64::from(take),
            );
            at += take;
            room -= take;
            if room == 0 {
                out.push(chain);
                room = block_tokens;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Part, Prompt, Role, Segment};
    use proptest::prelude::*;

    fn turn(segments: &[(u64, u32)], adapter: Option<u32>) -> Turn {
        let part = |&(id, tokens)| Part {
            role: Role::User,
            segment: Segment { id, tokens },
        };
        let prompt = Prompt {
            parts: segments.iter().map(part).collect(),
        };
        Turn {
            think_s: 0.0,
            prompt,
            answer: Segment { id: 0, tokens: 1 },
            adapter,
        }
    }

    /// Counts the blocks in common the simple way: by the longest common prefix of the text, in
    /// whole blocks.
    fn common_blocks_of_text(a: &Turn, b: &Turn, block: usize) -> usize {
        let words = |turn: &Turn| {
            let mut text = String::new();
            turn.prompt
                .parts
                .iter()
                .for_each(|part| part.segment.write_words(&mut text));
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        words(a)
            .iter()
            .zip(&words(b))
            .take_while(|(x, y)| x == y)
            .count()
            / block
    }

    fn hashes(turn: &Turn) -> Vec<u64> {
        let mut out = Vec::new();
        block_hashes(turn, 16, &mut out);
        out
    }

    #[test]
    fn only_full_blocks_are_hashed() {
        assert_eq!(hashes(&turn(&[(1, 15)], None)).len(), 0);
        assert_eq!(hashes(&turn(&[(1, 10), (2, 38)], None)).len(), 3);
    }

    #[test]
    fn adapters_share_no_blocks() {
        assert_ne!(
            hashes(&turn(&[(1, 16)], None)),
            hashes(&turn(&[(1, 16)], Some(0)))
        );
    }

    proptest! {
        #[test]
        fn equal_hashes_are_equal_beginnings_of_text(
            shared in prop::collection::vec((0_u64..5, 1_u32..50), 0..5),
            left in 1_u32..60, right in 1_u32..60,
        ) {
            let with = |id, tokens| turn(&[shared.as_slice(), &[(id, tokens)]].concat(), None);
            let (a, b) = (with(100, left), with(101, right));
            let common = hashes(&a).iter().zip(&hashes(&b)).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common, common_blocks_of_text(&a, &b, 16));
        }
    }
}
