//! What the aggregator publishes of a pool to every proxy.

use std::sync::Arc;

/// One pool's state, as an aggregator publishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name of the pool, 1..=253 bytes.
    pub pool: String,
    /// Which table this is. Newer tables of one epoch have larger sequences.
    pub version: Version,
    /// Age of the whole table when it was sent, in milliseconds. A relay may have held it.
    pub age_ms: u32,
    /// Number of independent pickers (workers of all proxies) that reported recently. Absent before
    /// the first report.
    pub deciders: Option<u32>,
    /// What arrives at the whole pool.
    pub demand: Demand,
    /// Secret of the pool that keys placement hashes, so that clients cannot aim at an endpoint.
    pub placement_key: [u8; 16],
    /// Hardware classes. [`Endpoint::class`] is an index into this list.
    pub classes: Vec<Class>,
    /// Names of adapters that are resident at some endpoint. [`Endpoint::adapters`] has indices
    /// into this list. Sorted, unique.
    pub adapters: Vec<String>,
    /// Endpoints, sorted by address, unique.
    pub endpoints: Vec<Endpoint>,
    /// The heat list: shared keys with much of the traffic, sorted by key, unique. Absent: unknown.
    pub heat: Option<Vec<Hot>>,
    /// Conversations whose newest turns went elsewhere than their keys say, each once, as proxies
    /// reported over the last few tables. Absent: proxies do not learn this from each other.
    pub moved: Option<Vec<Moved>>,
    /// Endpoints that proxies should try out, sorted by proxy, at most one for each.
    pub probes: Vec<Probe>,
    /// What endpoints hold for their clients: responses, conversations and files, by the keyed
    /// hashes of their names. Sorted by key, unique. As reported over the last few tables. A
    /// proxy's first table has all that is remembered.
    pub held: Vec<Moved>,
}

/// An endpoint that a proxy sends its next request to, whatever the rest of the table says. An
/// endpoint without requests cannot show that it would answer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probe {
    /// [`Report::proxy`](crate::Report::proxy) of the proxy that should try it out.
    pub proxy: u64,
    /// Index into [`Table::endpoints`].
    pub endpoint: u16,
    /// Counts up within an epoch, from 1. One request for each number.
    pub number: u64,
}

/// A conversation, or something that an endpoint holds, and its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Keyed hash of the conversation, or of the held thing's name.
    pub key: u64,
    /// Index into [`Table::endpoints`], or into [`Report::endpoints`](crate::Report::endpoints).
    pub endpoint: u16,
}

/// A shared key with much of the traffic: a shared beginning of prompts, or an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hot {
    /// Keyed hash of the beginning, or of the adapter's name.
    pub key: u64,
    /// Its share of the pool's requests, in parts per million, 1 to 1,000,000.
    pub share_ppm: u32,
}

/// Identity of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Random for each start of an aggregator.
    pub epoch: u64,
    /// Counts up within an epoch, from 1.
    pub sequence: u64,
}

/// The pool's work, averaged over seconds to minutes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Requests per second over all proxies.
    pub arrival_rate: Option<f32>,
    /// Mean prompt tokens per request, cached ones included.
    pub prompt_tokens: Option<f32>,
    /// Mean uncached prompt tokens per request.
    pub uncached_tokens: Option<f32>,
    /// Mean output tokens per request.
    pub output_tokens: Option<f32>,
    /// Seconds that loading an adapter blocks an endpoint.
    pub adapter_load_s: Option<f32>,
}

/// What endpoints of one kind of hardware have in common.
///
/// Speeds are per class. Only an endpoint that differs by more than chance has its own
/// ([`Endpoint::prefill_permille`]), because a static error of 30 % between equal endpoints costs
/// more than it gives (docs/algorithm.md#own-speed).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Class {
    /// Accelerator or pod-template name, for people. May be empty.
    pub name: String,
    /// Prompt tokens per second while decoding goes on.
    pub prefill_tokens_per_s: Option<f32>,
    /// Seconds of decode that one more running sequence costs the others (`g`).
    pub decode_s_per_sequence: Option<f32>,
    /// Relative capacity. 1 is the slowest class.
    pub speed: Option<f32>,
}

/// One endpoint's row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Endpoint {
    /// `ip:port` or `[ipv6]:port`, the stable identity of the endpoint.
    pub address: String,
    /// What the endpoint does.
    pub role: Role,
    /// Whether it may be chosen.
    pub state: State,
    /// Why it is not ready. Absent: it is ready, or discovery says its state. Shown only: nothing
    /// is decided by it.
    pub doubt: Option<Doubt>,
    /// Index into [`Table::classes`].
    pub class: Option<u16>,
    /// Age of this row beyond [`Table::age_ms`], in milliseconds.
    pub age_ms: u32,
    /// Predicted milliseconds until a new request's prefill starts.
    pub wait_ms: Option<u32>,
    /// Requests in the engine's queue.
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Share of the KV cache that live requests use, 0..=1.
    pub kv_used: Option<f32>,
    /// Whether the last interval ran (nearly) full prefill budgets.
    pub prefill_busy: Option<bool>,
    /// Requests in flight, summed over all proxies that report.
    pub in_flight: Option<u32>,
    /// Uncached prompt tokens that all proxies have sent there and that have no first byte yet.
    pub pending_tokens: Option<u32>,
    /// KV blocks in the device cache.
    pub kv_blocks: Option<u32>,
    /// Tokens per KV block.
    pub kv_block_tokens: Option<u32>,
    /// Most sequences in one batch.
    pub batch_limit: Option<u32>,
    /// Requests that recently ended there in 1,000 seconds: how soon batch slots and KV blocks
    /// become free.
    pub ends_per_1000_s: Option<u32>,
    /// Share of the prompt tokens expected in its cache that was found there, in thousandths. Less
    /// than 1,000 where the cache has lost some of what pickers expect in it. Absent: unknown, or
    /// as expected.
    pub found_permille: Option<u32>,
    /// Prefill speed, in thousandths of its class's. Absent: as the class.
    pub prefill_permille: Option<u32>,
    /// Speed of decoding, in thousandths of its class's. Absent: as the class.
    pub decode_permille: Option<u32>,
    /// Resident adapters: those that the endpoint has loaded. Ascending indices into
    /// [`Table::adapters`]. `None`: the server does not say.
    pub adapters: Option<Vec<u16>>,
    /// Whether an adapter that is not resident could be loaded at once: running requests do not use
    /// all slots, and waiting ones do not want the free ones.
    pub adapter_room: Option<bool>,
    /// Zone. Shown only: nothing is decided by it. May be empty. Shared, because a table has few
    /// zones and many endpoints.
    pub zone: Arc<str>,
}

/// What an endpoint does in a disaggregated pool. Pickers choose only endpoints that do both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Prefill and decode.
    #[default]
    Both,
    /// Prefill only.
    Prefill,
    /// Decode only.
    Decode,
}

impl Role {
    /// Returns a word for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

/// Whether an endpoint may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// May be chosen.
    #[default]
    Ready,
    /// Never chosen. Finishes the requests that it has.
    Draining,
    /// Not known to work. Chosen only when more endpoints are suspect than ready, because then the
    /// scraping has failed.
    Suspect,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Draining, Self::Suspect];

    /// Returns a word for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Suspect => "suspect",
        }
    }
}

/// Why an endpoint is not [`State::Ready`] although discovery does not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Its page gives no answer, and no proxy has had an answer from the endpoint since.
    Unreachable,
    /// Its server answers, but without the metrics of a known engine. No proxy has had a good
    /// answer from the endpoint yet.
    Unreadable,
    /// Its counters stand still while requests are there.
    Stalled,
    /// The engine sleeps.
    Asleep,
    /// Its server answers, but its page takes too long. No proxy has had a good answer from the
    /// endpoint yet.
    Late,
}

impl Doubt {
    /// Every doubt, in the order of their numbers on the wire, which begin at 1.
    pub const ALL: [Self; 5] = [
        Self::Unreachable,
        Self::Unreadable,
        Self::Stalled,
        Self::Asleep,
        Self::Late,
    ];

    /// Returns the doubt with this number on the wire. `None`: no doubt, or one that this reader
    /// does not know.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Returns a word for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unreadable => "unreadable",
            Self::Stalled => "stalled",
            Self::Asleep => "asleep",
            Self::Late => "late",
        }
    }

    /// Returns what the doubt means for the endpoint, for people.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "its page cannot be reached: no requests until it can, or until proxies get answers there"
            }
            Self::Unreadable => {
                "it answers, but its page cannot be read: single requests try it out until one is answered well"
            }
            Self::Stalled => {
                "its counters stand still while requests are there: no more of them, but single ones now and then, until it goes on"
            }
            Self::Asleep => "the engine sleeps: no requests until it wakes up",
            Self::Late => {
                "it answers, but its page takes too long: single requests try it out until one is answered well or a page comes"
            }
        }
    }
}
