//! Errors in OpenAI's shape, with vLLM's types and codes.

use axum::Json;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    /// The field at fault, if there is one.
    pub(crate) param: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn bad_request(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "BadRequestError",
            message: message.into(),
            param,
        }
    }

    pub(crate) fn not_found(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "NotFoundError",
            message: message.into(),
            param,
        }
    }

    pub(crate) fn too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            kind: "BadRequestError",
            message: "The request body is larger than the server allows (max_body_bytes)."
                .to_owned(),
            param: None,
        }
    }

    pub(crate) fn overloaded(most: usize) -> Self {
        let message = format!(
            "The server holds {most} sequences, its limit (max_sequences). Try again later."
        );
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "ServiceUnavailableError",
            message,
            param: None,
        }
    }

    pub(crate) fn stopped() -> Self {
        let message = "The engine stopped before the answer was complete.".to_owned();
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "InternalServerError",
            message,
            param: None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.status.as_u16(),
        }});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

pub(super) async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::not_found(None, format!("There is nothing at {}.", uri.path()))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}.", uri.path());
    ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        kind: "BadRequestError",
        message,
        param: None,
    }
}
