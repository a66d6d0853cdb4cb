//! decap's own API.

pub mod caption;
pub mod described;
pub mod embed;
pub mod memory;
pub mod operations;
pub mod record;
pub mod score;
pub mod sentences;
pub mod texts;
pub mod train;
pub mod wishes;

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, post};

use crate::state::State;

/// These paths, and what answers there.
pub fn routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    vec![
        ("/v1/caption", post(caption::caption)),
        ("/v1/embed", post(embed::embed)),
        ("/v1/score", post(score::score)),
        ("/v1/memories", get(memory::list).post(memory::teach)),
        ("/v1/memories/{name}", delete(memory::forget)),
        ("/v1/train", get(train::list).post(train::start)),
        ("/v1/train/{id}", get(train::status).delete(train::stop)),
        ("/health", get(operations::health)),
        ("/metrics", get(operations::metrics)),
    ]
}

/// `value` with so many decimals: as many as mean something.
pub fn rounded(value: f32, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (f64::from(value) * scale).round() / scale
}
