//! What whoever runs the service asks: is it well, and what does it do?

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::described::OwnErrors;
use crate::state::State;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `warming up`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The model's name.
    #[schema(example = "tiny")]
    model: String,
    /// The service's version.
    version: &'static str,
    /// Photos that wait.
    queue: usize,
}

/// 200 once the model is warm, 503 before.
#[utoipa::path(
    get,
    path = "/health",
    tag = "Operations",
    summary = "Is it ready?",
    description = "Needs no key.",
    responses(
        (status = 200, description = "It is", body = Health),
        (status = 503, description = "The model is warming up", body = Health),
    )
)]
pub async fn health(Shared(state): Shared<Arc<State>>) -> (StatusCode, Json<Health>) {
    let (status, said) = match state.is_warm() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "warming up"),
    };
    let body = Health {
        status: said,
        model: state.model.clone(),
        version: env!("CARGO_PKG_VERSION"),
        queue: state.worker.waiting(),
    };
    (status, Json(body))
}

/// Counters for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operations",
    summary = "Counters for Prometheus",
    responses(
        (status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        OwnErrors,
    )
)]
pub async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = state.metrics.text(state.worker.waiting());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
