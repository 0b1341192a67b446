//! Bounds on what is accepted. They are part of the format: a reader refuses what exceeds them before it allocates for it.
//!
//! Decoding never holds more than about eight times the bytes it was given (a one-byte varint becomes four bytes in a
//! vector that may be half empty), so [`TABLE_BYTES`] also bounds memory.

/// Most bytes of an encoded table. 10,000 endpoints with IPv6 addresses and adapters take about 0.9 MB.
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
/// Most bytes of a pool's, class's, adapter's or zone's name; Kubernetes allows 253 for its own names.
pub const NAME_BYTES: usize = 253;
/// Most bytes of an address: `[` + 45 bytes of IPv6 + `]:65535`.
pub const ADDRESS_BYTES: usize = 53;
/// Largest count, token or millisecond value of a row: the wire stores value + 1 in 32 bits.
pub const ROW_VALUE: u32 = u32::MAX - 1;
/// Largest rate, mean or speed (per second, tokens, or relative).
pub const RATE: f32 = 1e9;
/// Largest cost per sequence or adapter load, in seconds.
pub const COST_S: f32 = 3_600.0;
/// Most shared beginnings in a table's heat list.
pub const HOT_PREFIXES: usize = 256;
/// The whole, in parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;
/// Most shared beginnings that one report counts.
pub const REPORTED_PREFIXES: usize = 64;
/// Most conversations that a table or a report says the place of.
pub const MOVED: usize = 512;
/// Most things kept by endpoints that a table says the place of; and a report.
pub const HELD: usize = 16_384;
/// See [`HELD`].
pub const REPORTED_HELD: usize = 512;
/// Most endpoints that are tried out at a time.
pub const PROBES: usize = 16;
/// Most counts of what was seen at endpoints in one report, over all of them.
pub const SEEN: usize = 16_384;
/// Most that one of these may be.
pub const SEEN_COUNT: u32 = 1_000_000_000;
/// Longest time a proxy may ask the aggregator to hold its answer, in milliseconds.
pub const WAIT_MS: u32 = 60_000;
/// Most workers of one proxy.
pub const WORKERS: u32 = 4_096;
/// Most requests that one proxy may claim to have in flight on one endpoint.
pub const REPORTED_IN_FLIGHT: u32 = 1_000_000;
/// Most pending tokens that one proxy may claim on one endpoint.
pub const REPORTED_TOKENS: u32 = 1_000_000_000;
