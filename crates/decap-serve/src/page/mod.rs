//! The page at `/`: plain files within the program, and a policy that lets in nothing else.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::state::State;

/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// These paths, and what answers there.
pub fn routes() -> Vec<(&'static str, MethodRouter<Arc<State>>)> {
    const HTML: &str = "text/html; charset=utf-8";
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    let files: [(_, _, &[u8]); 7] = [
        ("/", HTML, include_bytes!("index.html")),
        ("/page.css", CSS, include_bytes!("page.css")),
        ("/page.js", JS, include_bytes!("page.js")),
        (
            "/example.webp",
            "image/webp",
            include_bytes!("example.webp"),
        ),
        ("/docs", HTML, include_bytes!("docs.html")),
        ("/docs.css", CSS, include_bytes!("docs.css")),
        ("/docs.js", JS, include_bytes!("docs.js")),
    ];
    let route = |(path, kind, content)| (path, get(async move || file(kind, content)));
    files.into_iter().map(route).collect()
}

/// Whether a path is one of the page, which needs no key: it holds nothing of anybody.
pub fn is_open(path: &str) -> bool {
    matches!(
        path,
        "/" | "/page.css" | "/page.js" | "/example.webp" | "/docs" | "/docs.css" | "/docs.js"
    )
}

fn file(kind: &'static str, content: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}
