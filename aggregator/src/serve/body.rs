//! Tables as bodies of answers.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::Instant;

/// The content type of tables and reports.
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// Returns the milliseconds since `at`.
pub(super) fn age_ms(at: Instant) -> u32 {
    u32::try_from(at.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// Returns an answer with a table that was published at `at`.
pub(super) fn protobuf(bytes: &Bytes, at: Instant) -> Response {
    let age_ms = age_ms(at);
    // A waiting proxy gets the shared bytes. A proxy that comes later gets a copy with the table's
    // age.
    let bytes = if age_ms == 0 {
        bytes.clone()
    } else {
        Bytes::from(trimtab_loadtable::with_age(bytes, age_ms))
    };
    ([(CONTENT_TYPE, PROTOBUF)], bytes).into_response()
}
