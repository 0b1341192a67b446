//! The responses that a server remembers.

use super::request::Asked;
use crate::api::body::{Content, Message};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use tokio::task::AbortHandle;

/// Most responses that are remembered.
const ENTRY_LIMIT: usize = 4_096;
/// Most bytes of all remembered responses together.
const BYTES_LIMIT: usize = 64 << 20;
/// Bytes that an item or a message takes in addition to its text.
const PIECE_BYTES: usize = 96;

/// Responses by id. The oldest are dropped when there are too many, or they take too much memory.
#[derive(Debug, Default)]
pub(crate) struct Store {
    by_id: HashMap<String, Entry>,
    /// The ids, oldest first.
    order: VecDeque<String>,
    bytes: usize,
}

/// One response. Parts that the next turn does not need stay JSON text, which takes less memory.
#[derive(Debug)]
pub(super) struct Entry {
    response: String,
    items: Vec<String>,
    history: Vec<Message>,
    background: bool,
    /// The task that works on the response. `None` once it is done.
    pub(super) task: Option<AbortHandle>,
    bytes: usize,
}

/// Why a response was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelError {
    Unknown,
    /// The response did not run in the background.
    Synchronous,
}

impl Entry {
    /// Makes an entry. `answer` is the assistant's text. It is empty while it is not known.
    pub(super) fn new(response: &Value, asked: Asked, answer: String) -> Self {
        let id = response["id"].as_str().unwrap_or_default();
        let name = |(place, mut item): (usize, Value)| {
            if let Some(fields) = item.as_object_mut() {
                let name = || format!("msg_{}_{place}", id.trim_start_matches("resp_")).into();
                fields.entry("id").or_insert_with(name);
            }
            item.to_string()
        };
        let mut entry = Self {
            items: asked.items.into_iter().enumerate().map(name).collect(),
            history: asked.history,
            background: asked.background,
            response: String::new(),
            task: None,
            bytes: 0,
        };
        entry.set(response, answer);
        entry
    }

    fn set(&mut self, response: &Value, answer: String) {
        self.response = response.to_string();
        if !answer.is_empty() {
            self.history.push(Message {
                role: "assistant".to_owned(),
                content: Some(Content::Text(answer)),
            });
        }
        let said = |message: &Message| match &message.content {
            Some(Content::Text(text)) => PIECE_BYTES + text.len(),
            _ => PIECE_BYTES,
        };
        let item = |item: &String| PIECE_BYTES + item.len();
        self.bytes = self.response.len()
            + self.items.iter().map(item).sum::<usize>()
            + self.history.iter().map(said).sum::<usize>();
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_str(&self.response).ok()
    }
}

impl Store {
    pub(super) fn insert(&mut self, id: String, entry: Entry) {
        self.bytes += entry.bytes;
        self.order.push_back(id.clone());
        self.by_id.insert(id, entry);
        self.forget();
    }

    /// Drops the oldest entries until the rest fits.
    fn forget(&mut self) {
        while self.order.len() > ENTRY_LIMIT || self.bytes > BYTES_LIMIT {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.drop_entry(&oldest);
        }
    }

    fn drop_entry(&mut self, id: &str) -> bool {
        let Some(entry) = self.by_id.remove(id) else {
            return false;
        };
        self.bytes -= entry.bytes;
        if let Some(task) = entry.task {
            task.abort();
        }
        true
    }

    /// Drops one entry and ends its task. Returns `false` if there is no such entry.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.order.retain(|other| other != id);
        self.drop_entry(id)
    }

    /// Stores the result of a background task. Does nothing if the entry was dropped or cancelled
    /// in the meantime.
    pub(super) fn finish(&mut self, id: &str, response: &Value, answer: String) {
        let Some(entry) = self.by_id.get_mut(id) else {
            return;
        };
        if entry.task.take().is_none() {
            return;
        }
        let before = entry.bytes;
        entry.set(response, answer);
        self.bytes = self.bytes - before + entry.bytes;
        self.forget();
    }

    /// Ends the work on a response and returns the response. A response that is done stays as it
    /// is.
    pub(super) fn cancel(&mut self, id: &str) -> Result<Value, CancelError> {
        let entry = self.by_id.get(id).ok_or(CancelError::Unknown)?;
        if !entry.background {
            return Err(CancelError::Synchronous);
        }
        let mut response = entry.value().ok_or(CancelError::Unknown)?;
        if let Some(task) = &entry.task {
            task.abort();
            response["status"] = json!("cancelled");
            self.finish(id, &response, String::new());
        }
        Ok(response)
    }

    pub(super) fn response(&self, id: &str) -> Option<Value> {
        self.by_id.get(id).and_then(Entry::value)
    }

    /// Returns the items of the response's input, in the order of the request.
    pub(super) fn items(&self, id: &str) -> Option<Vec<Value>> {
        let items = self.by_id.get(id)?.items.iter();
        Some(
            items
                .filter_map(|item| serde_json::from_str(item).ok())
                .collect(),
        )
    }

    /// Returns the conversation up to and including this response.
    pub(super) fn history(&self, id: &str) -> Option<Vec<Message>> {
        self.by_id.get(id).map(|entry| entry.history.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, size: usize) -> Entry {
        let asked = Asked {
            items: vec![json!({"role": "user", "content": "a".repeat(size)})],
            ..Asked::default()
        };
        Entry::new(&json!({"id": id}), asked, "yes".to_owned())
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_size() {
        let mut store = Store::default();
        for number in 0..ENTRY_LIMIT + 10 {
            let id = format!("resp_{number}");
            store.insert(id.clone(), entry(&id, 10));
        }
        assert_eq!(
            (store.by_id.len(), store.order.len()),
            (ENTRY_LIMIT, ENTRY_LIMIT)
        );
        assert!(store.response("resp_9").is_none() && store.response("resp_10").is_some());
        for number in 0..8 {
            let id = format!("large_{number}");
            store.insert(id.clone(), entry(&id, BYTES_LIMIT / 4));
        }
        assert!(store.response("large_4").is_none() && store.response("large_7").is_some());
        assert!(store.bytes <= BYTES_LIMIT);
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut store = Store::default();
        store.insert("resp_1".to_owned(), entry("resp_1", 100));
        assert_eq!(store.items("resp_1").unwrap()[0]["id"], "msg_1_0");
        assert!(store.remove("resp_1") && !store.remove("resp_1"));
        store.finish("resp_1", &json!({}), "late".to_owned());
        assert_eq!(
            (store.bytes, store.order.len(), store.by_id.len()),
            (0, 0, 0)
        );
    }
}
