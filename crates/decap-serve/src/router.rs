//! Which path is answered by what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use crate::api::{caption, embed, memory, operations, score};
use crate::error::ApiError;
use crate::gate::{Gate, pass};
use crate::state::State;
use crate::{ollama, openai, page};

/// All routes, behind the gate.
pub fn router(state: Arc<State>, address: SocketAddr) -> Router {
    let gate = Gate {
        state: Arc::clone(&state),
        address,
    };
    Router::new()
        .merge(page::routes())
        .merge(openai::routes())
        .merge(ollama::routes())
        .route("/v1/caption", post(caption::caption))
        .route("/v1/embed", post(embed::embed))
        .route("/v1/score", post(score::score))
        .route("/v1/memories", get(memory::list).post(memory::teach))
        .route("/v1/memories/{name}", delete(memory::forget))
        .route("/health", get(operations::health))
        .route("/metrics", get(operations::metrics))
        .fallback(async || ApiError::NotFound("there is nothing at this path".into()))
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .with_state(state)
        .layer(from_fn_with_state(gate, pass))
}
