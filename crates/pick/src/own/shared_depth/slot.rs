//! What is known of one beginning, by comparing each prompt with the one before it.

use crate::request::{BLOCK_TOKENS, BLOCKS, Prefix};

/// Weight of a new observation in what is remembered. Prompts that begin in the same way may go on
/// in several ways.
const NEW_PART: f32 = 0.25;
/// A slot keeps its beginning for this many prompts with other beginnings. The first number is for
/// a beginning that is shared, the second for one that was seen once.
const PATIENCE: u8 = 2;
const PATIENCE_AT_FIRST: u8 = 1;
/// Tokens that the key of a prompt's first tokens stands for.
pub(super) const FIRST_TOKENS: f64 = 256.0;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    pub(super) key: u64,
    /// Digests of the newest prompt with this beginning.
    pub(super) blocks: [u32; BLOCKS],
    /// Tokens up to the last block that prompts with this beginning have in common. 0: unknown.
    tokens: f32,
    /// Tokens of the newest prompt as a whole.
    pub(super) prompt_tokens: u32,
    strikes: u8,
}

impl Slot {
    /// Returns the tokens up to the last block that prompts with this beginning have in common.
    /// `None`: no two were compared.
    pub(super) fn alike(&self) -> Option<f64> {
        (self.tokens > 0.0).then(|| f64::from(self.tokens))
    }

    /// Returns how much of a text with this beginning others most likely share. `None`: no two were
    /// compared.
    ///
    /// Texts that are equal up to one block and differ in the next part somewhere between the two:
    /// in the mean in the middle. Behind the last block the end of the text takes the place of the
    /// next one.
    pub(super) fn shared(&self, prompt_tokens: f64) -> Option<f64> {
        let alike = self.alike()?.min(prompt_tokens);
        let mut blocks = BLOCK_TOKENS.iter().map(|block| f64::from(*block));
        // What is remembered comes from several prompts and only near to a block's tokens.
        let next = blocks.find(|block| *block >= alike + 1.0);
        let next = next.unwrap_or(prompt_tokens).min(prompt_tokens);
        Some(0.5 * (alike + next))
    }

    /// Returns whether a prompt that begins in the same way may be the next turn of the one before
    /// it.
    pub(super) fn may_go_on_as(&self, prefix: &Prefix, prompt_tokens: Option<u32>) -> bool {
        let mut pairs = self.blocks.iter().zip(&prefix.blocks);
        let grows = prompt_tokens.is_some_and(|tokens| tokens > self.prompt_tokens);
        grows && pairs.all(|(before, now)| *before == 0 || before == now)
    }

    /// Compares a prompt with the one before it that began in the same way.
    pub(super) fn compare(&mut self, prefix: &Prefix) {
        if self.key != prefix.key {
            self.strikes += 1;
            let patience = match (self.tokens > 0.0, self.blocks == [0; BLOCKS]) {
                (true, _) => PATIENCE,
                (_, true) => 0,
                _ => PATIENCE_AT_FIRST,
            };
            if self.strikes > patience {
                *self = Self {
                    key: prefix.key,
                    blocks: prefix.blocks,
                    ..Self::default()
                };
            }
            return;
        }
        self.strikes = 0;
        let equal = |(a, b): &(&u32, &u32)| a == b && **a != 0;
        let pairs = || self.blocks.iter().zip(&prefix.blocks);
        let alike = pairs().take_while(equal).count();
        let comparable = pairs().take_while(|(a, b)| **a != 0 && **b != 0).count();
        let nth = alike.checked_sub(1).and_then(|last| BLOCK_TOKENS.get(last));
        let tokens = nth.map_or(FIRST_TOKENS as f32, |tokens| *tokens as f32);
        let part = match self.tokens > 0.0 {
            true => NEW_PART,
            false => 1.0,
        };
        // The shorter prompt ended before they differed. They may share more.
        if alike < comparable || tokens > self.tokens {
            self.tokens += part * (tokens - self.tokens);
        }
        let is_shorter = |at: usize| at < BLOCKS && prefix.blocks.get(at) == Some(&0);
        if alike < comparable || !is_shorter(alike) {
            self.blocks = prefix.blocks;
        }
    }
}

/// Returns how far digests reach into a marked part of so many tokens.
pub(super) fn reach(tokens: u32) -> f64 {
    let within = BLOCK_TOKENS.iter().take_while(|block| **block <= tokens);
    within
        .last()
        .map_or(FIRST_TOKENS, |block| f64::from(*block))
}
