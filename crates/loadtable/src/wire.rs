//! The messages of `loadtable.proto`, field by field. They are private, so the format can grow
//! without changes to the types that others use.
//!
//! Fields are declared in the order of their numbers. prost writes in the order of declaration, and
//! other libraries in the order of numbers. A test proves that the bytes are equal.

use prost::Message;

/// The format that this build writes and reads. Only a change that an old reader would misread
/// raises it. New optional columns keep it, because readers skip fields that they do not know.
pub(crate) const FORMAT: u32 = 1;

/// Number of [`Table`]'s field `age_ms`, for appending the field to bytes.
pub(crate) const TABLE_AGE_TAG: u32 = 5;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Table {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(string, tag = "2")]
    pub(crate) pool: String,
    #[prost(fixed64, tag = "3")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) sequence: u64,
    #[prost(uint32, tag = "5")]
    pub(crate) age_ms: u32,
    #[prost(uint32, optional, tag = "6")]
    pub(crate) deciders: Option<u32>,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) placement_key: Vec<u8>,
    #[prost(message, optional, tag = "8")]
    pub(crate) demand: Option<Demand>,
    #[prost(message, optional, tag = "9")]
    pub(crate) classes: Option<Classes>,
    #[prost(message, optional, tag = "10")]
    pub(crate) adapters: Option<Strings>,
    #[prost(message, optional, tag = "11")]
    pub(crate) fleet: Option<Fleet>,
    #[prost(message, optional, tag = "12")]
    pub(crate) load: Option<Load>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Demand {
    #[prost(float, optional, tag = "1")]
    pub(crate) arrival_rate: Option<f32>,
    #[prost(float, optional, tag = "2")]
    pub(crate) uncached_tokens: Option<f32>,
    #[prost(float, optional, tag = "3")]
    pub(crate) output_tokens: Option<f32>,
    #[prost(float, optional, tag = "4")]
    pub(crate) adapter_load_s: Option<f32>,
    #[prost(float, optional, tag = "5")]
    pub(crate) prompt_tokens: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Strings {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) lengths: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Classes {
    #[prost(message, optional, tag = "1")]
    pub(crate) names: Option<Strings>,
    #[prost(float, repeated, tag = "2")]
    pub(crate) prefill_tokens_per_s: Vec<f32>,
    #[prost(float, repeated, tag = "3")]
    pub(crate) decode_s_per_sequence: Vec<f32>,
    #[prost(float, repeated, tag = "4")]
    pub(crate) speed: Vec<f32>,
}

/// Columns that seldom change. They are apart from [`Load`], so that a later format can leave them
/// out when a reader has them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Fleet {
    #[prost(message, optional, tag = "1")]
    pub(crate) addresses: Option<Strings>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) roles: Vec<u8>,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) class: Vec<u32>,
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) kv_blocks: Vec<u32>,
    #[prost(uint32, repeated, tag = "5")]
    pub(crate) kv_block_tokens: Vec<u32>,
    #[prost(uint32, repeated, tag = "6")]
    pub(crate) batch_limit: Vec<u32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) zones: Option<Strings>,
    #[prost(uint32, repeated, tag = "8")]
    pub(crate) zone: Vec<u32>,
}

/// Columns that change with each table.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Load {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) flags: Vec<u8>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) age_ms: Vec<u32>,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) wait_ms: Vec<u32>,
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) waiting: Vec<u32>,
    #[prost(uint32, repeated, tag = "5")]
    pub(crate) running: Vec<u32>,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) kv_used: Vec<u8>,
    #[prost(uint32, repeated, tag = "7")]
    pub(crate) in_flight: Vec<u32>,
    #[prost(uint32, repeated, tag = "8")]
    pub(crate) pending_tokens: Vec<u32>,
    #[prost(uint32, repeated, tag = "9")]
    pub(crate) adapter_counts: Vec<u32>,
    #[prost(uint32, repeated, tag = "10")]
    pub(crate) adapters: Vec<u32>,
    #[prost(message, optional, tag = "11")]
    pub(crate) heat: Option<Keyed>,
    #[prost(message, optional, tag = "12")]
    pub(crate) moved: Option<Keyed>,
    #[prost(uint32, repeated, tag = "13")]
    pub(crate) ends_per_1000_s: Vec<u32>,
    #[prost(uint32, repeated, tag = "14")]
    pub(crate) found_permille: Vec<u32>,
    #[prost(uint32, repeated, tag = "15")]
    pub(crate) prefill_permille: Vec<u32>,
    #[prost(uint32, repeated, tag = "16")]
    pub(crate) decode_permille: Vec<u32>,
    #[prost(bytes = "vec", tag = "17")]
    pub(crate) doubts: Vec<u8>,
    #[prost(message, optional, tag = "18")]
    pub(crate) probes: Option<Probes>,
    #[prost(message, optional, tag = "19")]
    pub(crate) held: Option<Keyed>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Probes {
    #[prost(fixed64, repeated, tag = "1")]
    pub(crate) proxies: Vec<u64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) rows: Vec<u32>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) numbers: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Version {
    #[prost(fixed64, tag = "1")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Report {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(string, tag = "2")]
    pub(crate) pool: String,
    #[prost(fixed64, tag = "3")]
    pub(crate) proxy: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) sequence: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) have: Option<Version>,
    #[prost(uint32, tag = "6")]
    pub(crate) wait_ms: u32,
    #[prost(uint32, tag = "7")]
    pub(crate) workers: u32,
    #[prost(uint64, tag = "8")]
    pub(crate) decided: u64,
    #[prost(message, optional, tag = "9")]
    pub(crate) addresses: Option<Strings>,
    #[prost(uint32, repeated, tag = "10")]
    pub(crate) in_flight: Vec<u32>,
    #[prost(uint32, repeated, tag = "11")]
    pub(crate) pending_tokens: Vec<u32>,
    #[prost(uint64, repeated, tag = "12")]
    pub(crate) sent: Vec<u64>,
    #[prost(uint64, repeated, tag = "13")]
    pub(crate) started: Vec<u64>,
    #[prost(uint64, repeated, tag = "14")]
    pub(crate) finished: Vec<u64>,
    #[prost(uint64, repeated, tag = "15")]
    pub(crate) failed: Vec<u64>,
    #[prost(uint64, repeated, tag = "16")]
    pub(crate) sent_tokens: Vec<u64>,
    #[prost(uint32, repeated, tag = "17")]
    pub(crate) pending: Vec<u32>,
    #[prost(message, optional, tag = "18")]
    pub(crate) prefixes: Option<Keyed>,
    #[prost(message, optional, tag = "19")]
    pub(crate) moved: Option<Keyed>,
    #[prost(uint32, repeated, tag = "20")]
    pub(crate) seen_kinds: Vec<u32>,
    #[prost(uint32, repeated, tag = "21")]
    pub(crate) seen_counts: Vec<u32>,
    #[prost(message, optional, tag = "22")]
    pub(crate) held: Option<Keyed>,
    #[prost(bytes = "vec", tag = "23")]
    pub(crate) placement_key: Vec<u8>,
}

/// Numbers by placement key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Keyed {
    #[prost(fixed64, repeated, tag = "1")]
    pub(crate) keys: Vec<u64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) values: Vec<u32>,
}
