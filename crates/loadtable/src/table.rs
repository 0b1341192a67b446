//! What the aggregator tells every proxy about a pool.

use std::sync::Arc;

/// One pool's state, as published by an aggregator.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name of the pool, 1..=253 bytes.
    pub pool: String,
    /// Which table this is; newer tables of one epoch have larger sequences.
    pub version: Version,
    /// Age of the whole table when it was sent, in milliseconds (a relay may have held it).
    pub age_ms: u32,
    /// Number of independent deciders (workers of all proxies) that the aggregator has heard from lately; absent before the first report.
    pub deciders: Option<u32>,
    /// What arrives at the whole pool.
    pub demand: Demand,
    /// Per-pool secret that keys placement hashes, so that clients cannot aim at an endpoint.
    pub placement_key: [u8; 16],
    /// Hardware classes; [`Endpoint::class`] indexes this list.
    pub classes: Vec<Class>,
    /// Names of adapters that are resident somewhere; [`Endpoint::adapters`] indexes this list. Sorted, unique.
    pub adapters: Vec<String>,
    /// Endpoints, sorted by address, unique.
    pub endpoints: Vec<Endpoint>,
    /// Shared beginnings of prompts with much of the traffic, sorted by key, unique. Absent: the publisher does not know.
    pub heat: Option<Vec<Hot>>,
    /// Conversations whose newest turns went where their keys do not say, as proxies reported over the last few tables, each
    /// once. Absent: the publisher passes nothing on.
    pub moved: Option<Vec<Moved>>,
    /// Endpoints that are tried out, sorted by proxy, one each at most.
    pub probes: Vec<Probe>,
    /// What endpoints keep for their clients, responses, conversations, files, by the keyed hashes of their names; sorted by key, unique. As reported
    /// over the last few tables, in a proxy's first table all that is remembered.
    pub held: Vec<Moved>,
}

/// An endpoint that a proxy sends its next request to, whatever the rest of the table says: whoever gets no requests can not show that they
/// would be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probe {
    /// [`Report::proxy`](crate::Report::proxy) of who is asked.
    pub proxy: u64,
    /// Index into [`Table::endpoints`].
    pub endpoint: u16,
    /// Counts up within an epoch, from 1: one request each.
    pub number: u64,
}

/// A conversation, or something that an endpoint keeps, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Keyed hash of it.
    pub key: u64,
    /// Index into [`Table::endpoints`], or into [`Report::endpoints`](crate::Report::endpoints).
    pub endpoint: u16,
}

/// A shared beginning of prompts with much of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hot {
    /// Keyed hash of the beginning.
    pub key: u64,
    /// Its share of the pool's requests, in parts per million, 1 to 1,000,000.
    pub share_ppm: u32,
}

/// Identity of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Random per aggregator start.
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
    /// Seconds an endpoint is blocked when it loads an adapter that is not resident.
    pub adapter_load_s: Option<f32>,
}

/// What endpoints of one kind of hardware have in common. Speeds are per class and not per endpoint:
/// a static error of 30 % between equal endpoints costs more than it gives (docs/algorithm.md#own-speed).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Class {
    /// Accelerator or pod-template name, for people; may be empty.
    pub name: String,
    /// Prompt tokens per second while decoding goes on.
    pub prefill_tokens_per_s: Option<f32>,
    /// Seconds of decode that one more running sequence costs the others (`g`).
    pub decode_s_per_sequence: Option<f32>,
    /// Relative capacity, 1 = the slowest class.
    pub speed: Option<f32>,
}

/// One endpoint's row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Endpoint {
    /// `ip:port` or `[ipv6]:port`; the stable identity of the endpoint.
    pub address: String,
    /// What the endpoint does.
    pub role: Role,
    /// Whether it may be chosen.
    pub state: State,
    /// Why it may not be. Absent: it may, or discovery says so. Shown only: nothing is decided by it.
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
    /// Share of the KV cache in use by live requests, 0..=1.
    pub kv_used: Option<f32>,
    /// Whether the last interval ran (nearly) full prefill budgets.
    pub prefill_busy: Option<bool>,
    /// Requests in flight summed over all proxies that report.
    pub in_flight: Option<u32>,
    /// Uncached prompt tokens sent by all proxies and not yet answered by a first byte.
    pub pending_tokens: Option<u32>,
    /// KV blocks in the device cache.
    pub kv_blocks: Option<u32>,
    /// Tokens per KV block.
    pub kv_block_tokens: Option<u32>,
    /// Most sequences in one batch.
    pub batch_limit: Option<u32>,
    /// Requests that end there in 1,000 seconds, as of late: how soon batch slots and KV blocks become free.
    pub ends_per_1000_s: Option<u32>,
    /// Of the prompt tokens that proxies expected in its cache, what was found there, in thousandths: less than 1,000 where the cache
    /// loses what deciders believe it has. Absent: nobody knows, or as expected.
    pub found_permille: Option<u32>,
    /// Prefill speed, in thousandths of its class's. Absent: as the class.
    pub prefill_permille: Option<u32>,
    /// Speed of decoding, in thousandths of its class's. Absent: as the class.
    pub decode_permille: Option<u32>,
    /// Resident adapters, as indices into [`Table::adapters`], ascending. `None`: the server does not say.
    pub adapters: Option<Vec<u16>>,
    /// Whether an adapter that is not resident could be loaded at once: a slot is neither in use by running requests
    /// nor wanted by waiting ones.
    pub adapter_room: Option<bool>,
    /// Zone, shown only: nothing is decided by it. May be empty. Shared, because a table has few zones and many endpoints.
    pub zone: Arc<str>,
}

/// What an endpoint does in a disaggregated pool.
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

/// Whether an endpoint may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Chosen freely.
    #[default]
    Ready,
    /// Finishes what it has; never chosen.
    Draining,
    /// Not scraped lately; used only when more endpoints are so than ready, because then it is the scraping that fails.
    Suspect,
}

/// Why an endpoint that is listed as any other is not [`State::Ready`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Its page gives no answer, and no proxy has had one of the endpoint since.
    Unreachable,
    /// Its server answers, without the metrics of a known engine, and no proxy has had a good answer of the endpoint yet.
    Unreadable,
    /// Its counters stand still while requests are there.
    Stalled,
    /// The engine sleeps.
    Asleep,
    /// Its server answers, only its page takes too long, and no proxy has had a good answer of the endpoint yet.
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

    /// By its number on the wire; absent: none, or one that this reader does not know.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// A word for it, lower case.
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

    /// What that means for the endpoint, for people.
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
