//! The meeting point of the driver, which makes tokens, and the response, which sends them.

use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Context;

/// The progress of one HTTP request, which may have several sequences (`n`, several prompts).
///
/// Counts instead of a queue of tokens: what the tokens are is known beforehand, so a slow reader costs no memory and gets all that
/// it missed in one piece.
#[derive(Debug)]
pub(crate) struct Call {
    waker: AtomicWaker,
    parts: Box<[Part]>,
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Part {
    produced: AtomicU32,
    cached_tokens: AtomicU32,
}

impl Call {
    pub(crate) fn new(parts: usize) -> Self {
        Self {
            waker: AtomicWaker::new(),
            parts: (0..parts).map(|_| Part::default()).collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// Driver: sequence `part` was admitted for the first time.
    pub(crate) fn on_admitted(&self, part: usize, cached_tokens: u32) {
        if let Some(part) = self.parts.get(part) {
            part.cached_tokens.store(cached_tokens, Ordering::Relaxed);
        }
    }

    /// Driver: sequence `part` has now written `produced` tokens.
    pub(crate) fn on_token(&self, part: usize, produced: u32) {
        if let Some(part) = self.parts.get(part) {
            // Releases `cached_tokens` along with it.
            part.produced.store(produced, Ordering::Release);
        }
        self.waker.wake();
    }

    /// Driver: no more tokens will come although some are missing.
    pub(crate) fn on_failed(&self) {
        self.failed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Response: asks to be woken at the next change. Look at the state *after* this.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    pub(crate) fn produced(&self, part: usize) -> u32 {
        self.parts
            .get(part)
            .map_or(0, |part| part.produced.load(Ordering::Acquire))
    }

    /// Meaningful once `produced` is more than 0.
    pub(crate) fn cached_tokens(&self, part: usize) -> u32 {
        self.parts
            .get(part)
            .map_or(0, |part| part.cached_tokens.load(Ordering::Relaxed))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}
