//! Which path is answered by what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;

use crate::error::ApiError;
use crate::gate::{Gate, pass};
use crate::state::State;
use crate::{api, ollama, openai, openapi, page};

/// The paths of all APIs, and what answers there; `/openapi.json` describes each.
pub fn api_routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    let mut routes = api::routes();
    routes.extend(openai::routes());
    routes.extend(ollama::routes());
    routes
}

/// All routes, behind the gate.
pub fn router(state: Arc<State>, address: SocketAddr) -> Router {
    let gate = Gate {
        state: Arc::clone(&state),
        address,
    };
    let routes = api_routes()
        .into_iter()
        .chain(openapi::routes())
        .chain(page::routes());
    routes
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(async || ApiError::NotFound("there is nothing at this path".into()))
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .with_state(state)
        .layer(from_fn_with_state(gate, pass))
}
