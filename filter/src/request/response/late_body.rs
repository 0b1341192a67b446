//! What the rest of a request's body shows while the request is already on its way.

use super::InFlight;
use crate::request::answer::Waiting;
use crate::sync::exchange;

impl InFlight {
    /// All of the request's body has gone out.
    pub(crate) fn on_whole(&mut self) {
        if let Some(sent) = &mut self.sent {
            self.pool.with(|state| state.books.on_whole(sent));
        }
    }

    /// The request's body has ended, and its prompt has `tokens` tokens.
    pub(crate) fn on_prompt(&mut self, tokens: u32) {
        let Some(more) = self.booking.grow(tokens) else {
            return;
        };
        let now = self.now();
        let (pool, booking) = (&self.pool, &self.booking);
        let Some(sent) = &mut self.sent else { return };
        pool.with(|state| {
            if state.books.on_grown(now, sent, booking, more) {
                exchange::on_large(pool, state);
            }
        });
        self.predicted_ms = self.predicted_ms.and_then(|_| sent.predicted_ms());
    }

    /// The end of the request's body says that the answer is streamed.
    pub(crate) fn on_streamed(&mut self) {
        self.streams = true;
        self.waiting.iter_mut().for_each(Waiting::expect_stream);
        let booking = &mut self.booking;
        if let Some(sent) = &mut self.sent {
            self.pool
                .with(|state| state.books.on_streamed(sent, booking));
        }
    }
}
