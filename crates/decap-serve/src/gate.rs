//! What every request passes: its number, keys, foreign pages, the form of errors, the log.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{ApiError, Dialect};
use crate::fallback::Told;
use crate::keys::ApiKeys;
use crate::options::LogRecord;
use crate::page;
use crate::state::State;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Letters of a client's own request id at most.
const ID_LETTERS: usize = 64;

/// What the gate needs to know.
#[derive(Clone)]
pub struct Gate {
    /// Shared with the routes.
    pub state: Arc<State>,
    /// Where the service listens.
    pub address: SocketAddr,
}

/// Lets a request through or not, and finishes its answer.
pub async fn pass(Shared(gate): Shared<Gate>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let state = &gate.state;
    let id = request_id(request.headers(), state);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |it| it.as_str().to_owned());
    let fallback = Told::default();
    request.extensions_mut().insert(Arc::clone(&fallback));
    let mut response = match gate.refusal(&request, &path) {
        Some(error) => axum::response::IntoResponse::into_response(error),
        None => next.run(request).await,
    };
    let error = response.extensions_mut().remove::<Arc<ApiError>>();
    if let Some(error) = &error {
        response = error.respond(Dialect::of_path(&path), &id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let took = started.elapsed();
    state
        .metrics
        .request(&route, response.status().as_u16(), took);
    if let Some(log) = &state.options.log {
        log(&LogRecord {
            request_id: &id,
            method: method.as_str(),
            path: &path,
            status: response.status().as_u16(),
            ms: took.as_secs_f64() * 1e3,
            error: error.map(|error| error.message()),
            fallback: fallback.get().cloned(),
        });
    }
    response
}

impl Gate {
    /// Why a request is not let through.
    fn refusal(&self, request: &Request, path: &str) -> Option<ApiError> {
        let headers = request.headers();
        let host = host_of(headers);
        // A page of another site that had its name point here would otherwise be taken for ours.
        let is_ours = |host: &Authority| is_this_machine(host) || self.is_named(host.host());
        if self.address.ip().is_loopback() && !host.as_ref().is_none_or(is_ours) {
            return Some(ApiError::Foreign(
                "expected a request to this machine by its own name".into(),
            ));
        }
        // Pages of other sites may send forms anywhere; browsers say where they come from.
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
            let is_own = origin.is_some_and(|(_, from)| {
                let host = host.as_ref();
                let name = from.parse::<Authority>();
                host.is_some_and(|host| host.as_str().eq_ignore_ascii_case(from))
                    || name.is_ok_and(|name| self.is_named(name.host()))
            });
            if !is_own {
                let message =
                    "expected a request from this service's own page, got one from another site";
                return Some(ApiError::Foreign(message.into()));
            }
        }
        let keys = &self.state.options.keys;
        let is_open = page::is_open(path) || matches!(path, "/health" | "/openapi.json");
        (!keys.is_empty() && !is_open && !has_key(headers, keys)).then_some(ApiError::NoKey)
    }
}

impl Gate {
    /// Whether the service was given this name.
    fn is_named(&self, name: &str) -> bool {
        let names = &self.state.options.host_names;
        names.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
}

fn has_key(headers: &HeaderMap, keys: &ApiKeys) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
    let bearer = text(&header::AUTHORIZATION).and_then(|it| it.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer.is_some_and(|(_, key)| keys.allow(key.trim()))
}

fn host_of(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

fn is_this_machine(host: &Authority) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The client's own id where it is plain, else one of ours.
fn request_id(headers: &HeaderMap, state: &State) -> String {
    let is_plain = |id: &&str| {
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
        (1..=ID_LETTERS).contains(&id.len()) && id.bytes().all(plain)
    };
    let given = headers
        .get(&REQUEST_ID)
        .and_then(|it| it.to_str().ok())
        .filter(is_plain);
    given.map_or_else(
        || format!("{:x}-{:x}", state.started, state.next_request()),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        let is = |host: &str| is_this_machine(&host.parse().unwrap());
        assert!(is("localhost:8080") && is("127.0.0.1") && is("[::1]:8080"));
        assert!(!is("evil.example:8080") && !is("localhost.evil.example") && !is("192.168.0.2"));
    }
}
