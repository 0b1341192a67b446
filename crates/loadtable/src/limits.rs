//! Bounds on what is accepted. They are part of the format: a reader refuses what exceeds them
//! before it allocates memory for it.
//!
//! Decoding never holds more than about eight times the bytes of its input. A varint of one byte
//! becomes four bytes in a vector that may be half empty. So [`TABLE_BYTES`] also bounds memory.

/// Most bytes of an encoded table. 10,000 endpoints with IPv6 addresses and adapters take about
/// 0.9 MB.
pub const TABLE_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of an encoded report.
pub const REPORT_BYTES: usize = 1024 * 1024;
/// Most endpoints in a table or a report. Larger fleets are split into pools.
pub const ENDPOINTS: usize = 10_000;
/// Most hardware classes in a table.
pub const CLASSES: usize = 256;
/// Most adapter names in a table. Their indices must fit `u16`.
pub const ADAPTERS: usize = 4_096;
/// Most resident adapters over all endpoints together.
pub const RESIDENT_ADAPTERS: usize = 200_000;
/// Most distinct zones in a table.
pub const ZONES: usize = 1_024;
/// Most bytes of the name of a pool, class, adapter or zone. Kubernetes allows 253 for its own
/// names.
pub const NAME_BYTES: usize = 253;
/// Most bytes of an address: `[` + 45 bytes of IPv6 + `]:65535`.
pub const ADDRESS_BYTES: usize = 53;
/// Largest count, token or millisecond value of a row. The wire stores value + 1 in 32 bits.
pub const ROW_VALUE: u32 = u32::MAX - 1;
/// Largest rate, mean or speed (per second, tokens, or relative).
pub const RATE: f32 = 1e9;
/// Largest cost per sequence or adapter load, in seconds.
pub const COST_S: f32 = 3_600.0;
/// Most shared keys in a table's heat list.
pub const HOT_PREFIXES: usize = 256;
/// The whole, in parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;
/// Most shared keys that one report counts.
pub const REPORTED_PREFIXES: usize = 64;
/// Most moved conversations in a table or a report.
pub const MOVED: usize = 512;
/// Most held things in a table, and in a report.
pub const HELD: usize = 16_384;
/// See [`HELD`].
pub const REPORTED_HELD: usize = 512;
/// Most endpoints that are tried out at a time.
pub const PROBES: usize = 16;
/// Most counts of what was seen in one report, over all of its endpoints.
pub const SEEN: usize = 16_384;
/// Largest of these counts.
pub const SEEN_COUNT: u32 = 1_000_000_000;
/// Longest time that a proxy may ask the aggregator to hold its answer, in milliseconds.
pub const WAIT_MS: u32 = 60_000;
/// Most workers of one proxy.
pub const WORKERS: u32 = 4_096;
/// Most requests that one proxy may claim to have in flight on one endpoint.
pub const REPORTED_IN_FLIGHT: u32 = 1_000_000;
/// Most pending tokens that one proxy may claim on one endpoint.
pub const REPORTED_TOKENS: u32 = 1_000_000_000;
