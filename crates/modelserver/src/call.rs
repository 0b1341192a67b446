//! The progress of a request, shared by the driver, which makes tokens, and the response, which
//! sends them.

use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Context;

/// The progress of one HTTP request. It may have several sequences (`n`, several prompts).
///
/// Holds counts and no queue of tokens, because the tokens are known beforehand. So a slow reader
/// costs no memory, and gets all tokens that it missed in one piece.
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

    /// Called by the driver: sequence `part` was admitted for the first time.
    pub(crate) fn on_admitted(&self, part: usize, cached_tokens: u32) {
        if let Some(part) = self.parts.get(part) {
            part.cached_tokens.store(cached_tokens, Ordering::Relaxed);
        }
    }

    /// Called by the driver: sequence `part` has written `produced` tokens in all.
    pub(crate) fn on_token(&self, part: usize, produced: u32) {
        if let Some(part) = self.parts.get(part) {
            // `Release` also publishes `cached_tokens`.
            part.produced.store(produced, Ordering::Release);
        }
        self.waker.wake();
    }

    /// Called by the driver: no more tokens will come, although some are missing.
    pub(crate) fn on_failed(&self) {
        self.failed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Called by the response: asks to be woken at the next change. The caller must read the state
    /// *after* this call.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    pub(crate) fn produced(&self, part: usize) -> u32 {
        self.parts
            .get(part)
            .map_or(0, |part| part.produced.load(Ordering::Acquire))
    }

    /// Returns the cached tokens of a sequence. Only valid once `produced` is more than 0.
    pub(crate) fn cached_tokens(&self, part: usize) -> u32 {
        self.parts
            .get(part)
            .map_or(0, |part| part.cached_tokens.load(Ordering::Relaxed))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}
