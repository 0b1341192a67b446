//! Server-sent events: one per token. Each write has all events since the last write.

use super::ending::{finish_reason, usage};
use super::kinds::{Choice, Kind};
use super::prepare::Job;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use serde_json::json;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a streaming answer.
///
/// A chunk is a few constant parts and a word, copied into a buffer. A JSON tree per token would
/// cost more than everything else that the server does.
#[derive(Debug)]
pub(super) struct Events {
    job: Job,
    /// Tokens of each choice that were already written.
    sent: Vec<u32>,
    /// The constant beginning of each event: `data: {"id": ... "choices":[`
    head: Bytes,
    buffer: BytesMut,
    ended: bool,
}

const AFTER_WORD: &str = r#""},"logprobs":null,"finish_reason":"#;
const AFTER_TEXT: &str = r#"","logprobs":null,"finish_reason":"#;

impl Events {
    pub(super) fn new(job: Job) -> Self {
        let object = if job.kind == Kind::Chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        // The id needs no escape. The model's name comes from the client, so the JSON writer must
        // escape it.
        let head = format!(
            r#"data: {{"id":"{}","object":"{object}","created":{},"model":{},"choices":["#,
            job.id,
            job.created_unix_s,
            json!(job.model)
        );
        Self {
            sent: vec![0; job.choices.len()],
            job,
            head: Bytes::from(head),
            buffer: BytesMut::new(),
            ended: false,
        }
    }

    /// Appends what choice `part` wrote since the last call. Returns whether the choice is
    /// complete.
    fn append(&mut self, part: usize) -> bool {
        let (Some(&choice), Some(sent)) = (self.job.choices.get(part), self.sent.get_mut(part))
        else {
            return true;
        };
        let produced = self.job.call.produced(part).min(choice.output_tokens);
        let from = std::mem::replace(sent, produced);
        if from == 0 && produced > 0 && self.job.kind == Kind::Chat {
            self.open(part);
            self.buffer
                .put_slice(br#","delta":{"role":"assistant","content":""#);
            self.close(AFTER_WORD, None);
        }
        for index in from..produced {
            self.word(part, &choice, index);
        }
        produced == choice.output_tokens
    }

    fn word(&mut self, part: usize, choice: &Choice, index: u32) {
        self.open(part);
        let chat = self.job.kind == Kind::Chat;
        self.buffer.put_slice(if chat {
            br#","delta":{"content":""#
        } else {
            br#","text":""#
        });
        if index > 0 || !chat {
            self.buffer.put_u8(b' ');
        }
        self.buffer.put_slice(choice.answer.word(index).as_bytes());
        let finish = (index + 1 == choice.output_tokens).then(|| finish_reason(choice.finish));
        self.close(if chat { AFTER_WORD } else { AFTER_TEXT }, finish);
    }

    fn open(&mut self, part: usize) {
        self.buffer.put_slice(&self.head);
        self.buffer.put_slice(br#"{"index":"#);
        put_number(&mut self.buffer, part);
    }

    fn close(&mut self, after: &str, finish: Option<&str>) {
        self.buffer.put_slice(after.as_bytes());
        match finish {
            Some(reason) => {
                self.buffer.put_u8(b'"');
                self.buffer.put_slice(reason.as_bytes());
                self.buffer.put_u8(b'"');
            }
            None => self.buffer.put_slice(b"null"),
        }
        self.buffer.put_slice(b"}]}\n\n");
    }

    fn end(&mut self) {
        if self.job.include_usage {
            self.buffer.put_slice(&self.head);
            self.buffer.put_slice(b"],\"usage\":");
            self.buffer
                .put_slice(usage(&self.job).to_string().as_bytes());
            self.buffer.put_slice(b"}\n\n");
        }
        self.buffer.put_slice(b"data: [DONE]\n\n");
        self.ended = true;
    }
}

fn put_number(buffer: &mut BytesMut, number: usize) {
    // There is nearly always a single choice, so this avoids the formatting machinery.
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => buffer.put_u8(b'0' + digit),
        _ => buffer.put_slice(number.to_string().as_bytes()),
    }
}

impl Stream for Events {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.job.call.register(context);
        let mut complete = true;
        for part in 0..this.job.choices.len() {
            complete &= this.append(part);
        }
        if complete {
            this.end();
        } else if this.buffer.is_empty() {
            if this.job.call.has_failed() {
                this.ended = true;
                // Ends the connection without the last chunk, so that the client cannot take the
                // answer for complete.
                return Poll::Ready(Some(Err(io::Error::other("the engine stopped"))));
            }
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(this.buffer.split().freeze())))
    }
}
