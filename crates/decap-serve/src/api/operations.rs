//! What whoever runs the service asks: is it well, and what does it do?

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::state::State;

/// 200 once the model is warm, 503 before.
pub async fn health(Shared(state): Shared<Arc<State>>) -> (StatusCode, Json<Value>) {
    let (status, said) = match state.is_warm() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "warming up"),
    };
    let body = json!({
        "status": said,
        "model": state.model,
        "version": env!("CARGO_PKG_VERSION"),
        "queue": state.worker.waiting(),
    });
    (status, Json(body))
}

/// Counters for Prometheus.
pub async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = state.metrics.text(state.worker.waiting());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
