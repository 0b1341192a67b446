//! Tables as bodies of answers.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::Instant;

/// The type of a table, and of a report.
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// Milliseconds since then.
pub(super) fn age_ms(at: Instant) -> u32 {
    u32::try_from(at.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// A table that was published at that time.
pub(super) fn protobuf(bytes: &Bytes, at: Instant) -> Response {
    let age_ms = age_ms(at);
    // A waiting proxy gets the shared bytes; one that comes late gets its own copy, which says how late.
    let bytes = if age_ms == 0 {
        bytes.clone()
    } else {
        Bytes::from(trimtab_loadtable::with_age(bytes, age_ms))
    };
    ([(CONTENT_TYPE, PROTOBUF)], bytes).into_response()
}
