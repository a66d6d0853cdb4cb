//! The page at `/`: plain files within the program, and a policy that lets in nothing else.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::state::State;

/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// These paths.
pub fn routes() -> Router<Arc<State>> {
    let html = || file("text/html; charset=utf-8", include_str!("index.html"));
    let css = || file("text/css; charset=utf-8", include_str!("page.css"));
    let js = || file("text/javascript; charset=utf-8", include_str!("page.js"));
    Router::new()
        .route("/", get(async move || html()))
        .route("/page.css", get(async move || css()))
        .route("/page.js", get(async move || js()))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}
