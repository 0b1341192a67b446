//! Reads request bodies to their end before any handler answers.

use super::Shared;
use super::error::ApiError;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::sync::Arc;

/// Multiple of `max_body_bytes`. Of a body that is too large, this much is read and dropped before
/// the answer.
const DROPPED_BODIES: usize = 4;

/// Reads the whole body of a request, on every route, and then passes the request on.
///
/// A server that answers while the client still sends would close the connection. A proxy then
/// reports the broken connection (503 `UC` in Envoy's log) instead of the answer.
pub(super) async fn whole_body(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    match read(body, shared.spec.max_body_bytes).await {
        Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Err(error) => error.into_response(),
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, ApiError> {
    let mut pieces = body.into_data_stream();
    let (mut kept, mut seen) = (BytesMut::new(), 0usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            ApiError::bad_request(None, format!("The request body broke off: {error}."))
        })?;
        seen = seen.saturating_add(piece.len());
        if seen <= most {
            kept.extend_from_slice(&piece);
        } else {
            kept = BytesMut::new();
            if seen > most.saturating_mul(DROPPED_BODIES) {
                break;
            }
        }
    }
    if seen > most {
        return Err(ApiError::too_large());
    }
    Ok(kept.freeze())
}
