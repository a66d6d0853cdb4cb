//! What a client is told when something fails, in the form that its API has for it.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use decap::{Error, InputFault};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// An error of decap's own API: RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:decap:` and the kind.
    #[serde(rename = "type")]
    #[schema(example = "urn:decap:too_large")]
    pub of_type: String,
    /// The status in words.
    #[schema(example = "Payload Too Large")]
    pub title: &'static str,
    /// The status.
    #[schema(example = 413)]
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// What is wrong, for programs; kinds are only ever added.
    #[schema(example = "too_large")]
    pub kind: &'static str,
    /// `urn:decap:request:` and the `x-request-id` of the answer.
    pub instance: String,
}

/// Seconds after which a client that was refused may ask again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why a request is not answered.
#[derive(Debug)]
pub enum ApiError {
    /// It is not what the API describes.
    Malformed(String),
    /// It has no key, or a wrong one.
    NoKey,
    /// A page of another site sent it.
    Foreign(String),
    /// This service does not do it.
    Off(String),
    /// Something else is in its place now.
    Taken(String),
    /// There is nothing of that name.
    NotFound(String),
    /// The path is right, the method is not.
    WrongMethod,
    /// It did not arrive in time.
    TooSlow,
    /// It is larger than it may be.
    TooLarge(String),
    /// It is of a kind that is not read.
    UnknownKind(String),
    /// It can be read, and asks for what cannot be.
    Unusable(String),
    /// There is no room for it now.
    Busy,
    /// The service stops.
    Stopping,
    /// Its time ran out before the model came to it.
    OutOfTime,
    /// The library says no.
    Library(Error),
    /// Something broke inside; the service goes on.
    Broken,
}

/// Whose clients are answered: each API has its own form of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// decap's own: RFC 9457.
    Own,
    /// OpenAI's error object.
    OpenAi,
    /// Ollama's error string.
    Ollama,
}

impl Dialect {
    /// The one that is spoken at a path.
    pub fn of_path(path: &str) -> Self {
        let openai = ["/v1/chat/", "/v1/embeddings", "/v1/models", "/v1/responses"];
        match path {
            _ if path.starts_with("/api/") => Self::Ollama,
            _ if openai.iter().any(|prefix| path.starts_with(prefix)) => Self::OpenAi,
            _ => Self::Own,
        }
    }
}

impl ApiError {
    /// The status, and a short stable word for programs: the one place that decides them.
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no_key"),
            Self::Foreign(_) => (StatusCode::FORBIDDEN, "foreign"),
            Self::Off(_) => (StatusCode::FORBIDDEN, "off"),
            Self::Taken(_) => (StatusCode::CONFLICT, "taken"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnknownKind(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_kind"),
            Self::Unusable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unusable"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::OutOfTime => (StatusCode::GATEWAY_TIMEOUT, "out_of_time"),
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "broken"),
            Self::Library(error) => (library_status(error), error.kind()),
        }
    }

    /// What a person reads.
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(message)
            | Self::Foreign(message)
            | Self::Off(message)
            | Self::Taken(message)
            | Self::NotFound(message)
            | Self::TooLarge(message)
            | Self::UnknownKind(message)
            | Self::Unusable(message) => message.clone(),
            Self::NoKey => "expected a key of this service in `Authorization: Bearer KEY`".into(),
            Self::WrongMethod => "this path does not take this method".into(),
            Self::TooSlow => "the request took too long to arrive".into(),
            Self::Busy => "too much waits already; ask again after the time in Retry-After".into(),
            Self::Stopping => "the service stops".into(),
            Self::OutOfTime => "the time for this request ran out; send fewer photos".into(),
            Self::Broken => "something broke inside; the service goes on".into(),
            Self::Library(error) => error.to_string(),
        }
    }

    /// The answer, in the form of `dialect`.
    pub fn respond(&self, dialect: Dialect, request_id: &str) -> Response {
        let (status, kind) = self.status();
        let message = self.message();
        let (content_type, body) = match dialect {
            Dialect::Own => (
                "application/problem+json",
                json!(Problem {
                    of_type: format!("urn:decap:{kind}"),
                    title: status.canonical_reason().unwrap_or_default(),
                    status: status.as_u16(),
                    detail: message,
                    kind,
                    instance: format!("urn:decap:request:{request_id}"),
                }),
            ),
            Dialect::OpenAi => (
                "application/json",
                json!({ "error": {
                    "message": message,
                    "type": openai_type(status),
                    "param": null,
                    "code": kind,
                }}),
            ),
            Dialect::Ollama => ("application/json", json!({ "error": message })),
        };
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn library_status(error: &Error) -> StatusCode {
    match error {
        Error::Input { fault, .. } => match fault {
            InputFault::OverLimit { .. } | InputFault::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            InputFault::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        },
        Error::Usage(_) | Error::Mismatch(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unavailable(_) => StatusCode::NOT_IMPLEMENTED,
        Error::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What OpenAI's clients sort errors by.
fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl IntoResponse for ApiError {
    /// The status and the error itself; [`gate`](crate::gate) gives it the form of the path's API.
    fn into_response(self) -> Response {
        let mut response = self.status().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
