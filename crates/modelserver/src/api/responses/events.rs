//! A streamed response: OpenAI's typed events, each with a sequence number.

use super::Turn;
use super::object::{self, Outcome};
use crate::api::prepare::Job;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a streamed response. Unlike a chat, it begins before prefill, because the creation
/// of the response is an event.
#[derive(Debug)]
pub(super) struct Events {
    job: Job,
    /// `None` once the last event was written.
    turn: Option<Turn>,
    /// Tokens that were already written.
    sent: u32,
    /// Sequence number of the next event.
    sequence: u64,
    buffer: BytesMut,
}

impl Events {
    pub(super) fn new(job: Job, turn: Turn) -> Self {
        let mut events = Self {
            job,
            sent: 0,
            sequence: 0,
            buffer: BytesMut::new(),
            turn: None,
        };
        let open = turn.template.value(Outcome::Open("in_progress"));
        for kind in ["response.created", "response.in_progress"] {
            events.event(kind, json!({"response": open}));
        }
        events.turn = Some(turn);
        events
    }

    fn event(&mut self, kind: &str, mut fields: Value) {
        fields["type"] = kind.into();
        fields["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        // Writing to a growing buffer cannot fail.
        let _ = write!(self.buffer, "event: {kind}\ndata: {fields}\n\n");
    }

    /// Appends the events that begin the answer's message.
    fn begin(&mut self, turn: &Turn) {
        let item = turn.template.message("in_progress", &[]);
        self.event(
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
        );
        self.content(
            turn,
            "response.content_part.added",
            json!({"part": object::part("")}),
        );
    }

    /// Appends an event about the one part of the one message.
    fn content(&mut self, turn: &Turn, kind: &str, mut fields: Value) {
        fields["item_id"] = turn.template.message_id().into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        self.event(kind, fields);
    }

    /// Appends one token. The text is assembled by hand, because a JSON tree per token would cost
    /// more than everything else.
    fn word(&mut self, message_id: &str, word: &str, index: u32) {
        const KIND: &str = "response.output_text.delta";
        let (space, sequence) = (if index > 0 { " " } else { "" }, self.sequence);
        self.sequence += 1;
        // Writing to a growing buffer cannot fail.
        let _ = write!(
            self.buffer,
            "event: {KIND}\ndata: {{\"type\":\"{KIND}\",\"sequence_number\":{sequence},\"item_id\":\"{message_id}\",\
             \"output_index\":0,\"content_index\":0,\"delta\":\"{space}{word}\",\"logprobs\":[]}}\n\n"
        );
    }

    fn end(&mut self, turn: Turn) {
        let (text, status) = (object::text(&self.job), object::status(&self.job));
        self.content(
            &turn,
            "response.output_text.done",
            json!({"text": text, "logprobs": []}),
        );
        let part = object::part(&text);
        self.content(&turn, "response.content_part.done", json!({"part": part}));
        let item = turn.template.message(status, &[part]);
        self.event(
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
        );
        let response = turn.finish(&self.job);
        self.event(&format!("response.{status}"), json!({"response": response}));
    }

    /// Appends what was written since the last call. Returns whether the answer is complete.
    fn append(&mut self, turn: &Turn) -> bool {
        let Some(&choice) = self.job.choices.first() else {
            return true;
        };
        let produced = self.job.call.produced(0).min(choice.output_tokens);
        if self.sent == 0 && produced > 0 {
            self.begin(turn);
        }
        for index in self.sent..produced {
            self.word(turn.template.message_id(), choice.answer.word(index), index);
        }
        self.sent = produced;
        produced == choice.output_tokens
    }
}

impl Stream for Events {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(turn) = this.turn.take() else {
            return Poll::Ready(None);
        };
        this.job.call.register(context);
        if this.append(&turn) {
            this.end(turn);
        } else if this.buffer.is_empty() {
            if this.job.call.has_failed() {
                let response = turn.template.value(Outcome::Failed);
                this.event("response.failed", json!({"response": response}));
            } else {
                this.turn = Some(turn);
                return Poll::Pending;
            }
        } else {
            this.turn = Some(turn);
        }
        Poll::Ready(Some(Ok(this.buffer.split().freeze())))
    }
}
