//! The expected answer of each kind of request, and how often each was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hyper::Method;

use super::asked::Asked;
use super::digest;
use super::kind::KINDS;
use super::server::{ASLEEP, GOT, LENGTH, SAID};
use crate::kept;
use crate::soak::client::leave;
use crate::support::client::{DECISION, ask_body};

/// A request that takes longer counts as hanging.
const LIMIT: Duration = Duration::from_secs(30);
/// Time until a report and a table have told the proxy what a server keeps.
const WORD: Duration = Duration::from_millis(300);
const LEAVES: [&str; 4] = [
    "leaves in its headers",
    "leaves in its body",
    "leaves before the answer",
    "leaves in the answer",
];
const KEPT: &str = "responses that go on";

/// The book of one run.
#[derive(Debug)]
pub(crate) struct Book {
    /// Statuses that the model servers give when asked directly, by kind.
    statuses: BTreeMap<&'static str, BTreeSet<u16>>,
    sent: Mutex<BTreeMap<&'static str, u64>>,
}

impl Book {
    /// Asks each model server directly for each kind.
    pub(crate) async fn open(servers: &[SocketAddr]) -> Self {
        let mut statuses: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
        for (name, asked) in KINDS {
            for (n, server) in (0..).zip(servers) {
                let answer = asked(n).send(*server, true).await;
                let answer = answer.unwrap_or_else(|error| panic!("{name}, directly: {error}"));
                statuses.entry(name).or_default().insert(answer.status);
            }
        }
        Self {
            statuses,
            sent: Mutex::default(),
        }
    }

    /// Returns the number of kinds of requests.
    pub(crate) fn kinds() -> usize {
        KINDS.len() + LEAVES.len() + 1
    }

    /// Returns how many requests were sent, by kind.
    pub(crate) fn sent(&self) -> BTreeMap<&'static str, u64> {
        self.sent.lock().unwrap().clone()
    }

    /// Sends one request. Its number decides its kind.
    pub(crate) async fn one(&self, to: SocketAddr, number: u64) -> Result<(), String> {
        // Clients begin with different kinds.
        let turn = (number & 0xffff_ffff) + (number >> 32) * 5;
        let place = usize::try_from(turn % Self::kinds() as u64).unwrap_or(0);
        let single = KINDS.get(place);
        let stage = place.saturating_sub(KINDS.len());
        let name = match single {
            Some((name, _)) => name,
            None => LEAVES.get(stage).unwrap_or(&KEPT),
        };
        *self.sent.lock().unwrap().entry(name).or_default() += 1;
        let sent = async {
            match single {
                Some((name, asked)) => self.single(to, name, &asked(number)).await,
                None if stage < LEAVES.len() => {
                    let body = ask_body(&format!("question {number}"));
                    // The result does not matter.
                    let _left = leave(to, stage, &body).await;
                    Ok(())
                }
                None => goes_on(to, number).await,
            }
        };
        let outcome = tokio::time::timeout(LIMIT, sent).await;
        let outcome = outcome.unwrap_or_else(|_| Err("hangs".to_owned()));
        outcome.map_err(|failure| format!("{name}, request {number}: {failure}"))
    }

    /// Checks that the answer is the server's, and that the server got the whole request.
    async fn single(&self, to: SocketAddr, name: &str, asked: &Asked) -> Result<(), String> {
        let answer = asked.send(to, false).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let (status, length) = (answer.status, answer.body.len());
        let wrong = if !answer.header(ASLEEP).is_empty() {
            Some("sent to a server that sleeps".to_owned())
        } else if !answer.header(SAID).is_empty() {
            let expected = (
                answer.header(SAID),
                answer.header(LENGTH),
                answer.header(GOT),
            );
            let length = if asked.wants_body() {
                length.to_string()
            } else {
                answer.header(LENGTH).to_owned()
            };
            let found = (status.to_string(), length, digest(&asked.body));
            let is_well = expected == (&*found.0, &*found.1, &*found.2);
            (!is_well).then(|| format!("{found:?}, and the server says {expected:?}"))
        } else if answer.headers.contains_key("x-envoy-upstream-service-time") {
            let expected = &self.statuses[name];
            let is_well = expected.contains(&status);
            (!is_well).then(|| format!("{status}, and model servers say {expected:?}"))
        } else {
            Some(format!("{status} by Envoy: {:?}", answer.body))
        };
        wrong.map_or(Ok(()), |wrong| {
            Err(format!("{wrong}; {}", answer.header(DECISION)))
        })
    }
}

/// Makes a response, reads it, continues it and deletes it. No answer may be 404.
async fn goes_on(to: SocketAddr, number: u64) -> Result<(), String> {
    let streams = number.is_multiple_of(2);
    let (made, name) = kept::create(to, None, streams).await;
    tokio::time::sleep(WORD).await;
    let (found, _) = kept::ask(to, Method::GET, &name).await;
    let (next, _) = kept::create(to, Some(&name), !streams).await;
    let (deleted, _) = kept::ask(to, Method::DELETE, &name).await;
    let statuses = [made, found, next, deleted];
    let is_well = statuses == [200; 4];
    is_well
        .then_some(())
        .ok_or_else(|| format!("{name} made, asked for, gone on from, deleted: {statuses:?}"))
}
