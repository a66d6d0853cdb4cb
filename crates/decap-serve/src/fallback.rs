//! What decap can't answer, passed on to another server.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use ureq::Agent;

use crate::intake::Arrived;
use crate::options::FallbackOptions;
use crate::state::State;

/// Marks a request that was passed on, so that it goes no further; and an answer that came from elsewhere.
pub static PASSED_ON: HeaderName = HeaderName::from_static("x-decap-passed-on");

/// Requests that are with the other server at a time.
const AT_A_TIME: usize = 8;
/// Bytes of its answer at most.
const LARGEST_ANSWER: usize = 16 << 20;
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// Bytes that are read at a time, and pieces that wait for the client.
const PIECE: usize = 16 << 10;
const PIECES_WAITING: usize = 4;

/// Why a request is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The caption is unsure.
    Unsure,
    /// The prompt asks for something other than a caption.
    Prompt,
}

impl Reason {
    /// A word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsure => "unsure",
            Self::Prompt => "prompt",
        }
    }
}

/// What the log is told of passing a request on; shared with [`gate`](crate::gate).
pub type Told = Arc<OnceLock<String>>;

/// What is known of a request's way.
#[derive(Debug, Default)]
pub struct Passage {
    /// Another decap passed it on to this one.
    was_passed_on: bool,
    told: Told,
}

impl Passage {
    /// That of a request.
    pub fn of(parts: &Parts) -> Self {
        Self {
            was_passed_on: parts.headers.contains_key(&PASSED_ON),
            told: parts.extensions.get::<Told>().cloned().unwrap_or_default(),
        }
    }
}

/// The other server.
pub struct Fallback {
    agent: Agent,
    options: FallbackOptions,
    turns: Arc<Semaphore>,
}

/// The beginning of an answer.
struct Begun {
    status: StatusCode,
    kind: Option<HeaderValue>,
    first: Bytes,
}

impl Fallback {
    /// The server that `options` name.
    pub fn new(options: FallbackOptions) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(options.time))
            .timeout_connect(Some(LONGEST_CONNECT))
            .http_status_as_error(false)
            // The server that was named answers, and no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("decap/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        Self {
            agent: Agent::new_with_config(config),
            options,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// The other server's answer to the request at `path`; nothing where it gives none, so that decap's own
    /// answer stands.
    pub async fn answer(
        &self,
        state: &State,
        arrived: &Arrived,
        path: &str,
        reason: Reason,
    ) -> Option<Response> {
        if arrived.passage.was_passed_on {
            return None;
        }
        let answer = self.try_answer(arrived, path, reason).await;
        state.metrics.passed_on(reason.name(), answer.is_ok());
        // It is told once a request.
        let _told = arrived.passage.told.set(match &answer {
            Ok(_) => format!("passed on: {}", reason.name()),
            Err(error) => format!("not passed on ({}): {error}", reason.name()),
        });
        answer.ok()
    }

    async fn try_answer(
        &self,
        arrived: &Arrived,
        path: &str,
        reason: Reason,
    ) -> Result<Response, String> {
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        let turn = turn.map_err(|_| format!("{AT_A_TIME} requests are passed on already"))?;
        let request = Request {
            agent: self.agent.clone(),
            address: join(&self.options.url, path),
            key: self.options.key.clone(),
            body: self.body(&arrived.bytes)?,
        };
        let (begin, begun) = oneshot::channel();
        let (pieces, rest) = mpsc::channel(PIECES_WAITING);
        spawn_blocking(move || request.run(begin, &pieces, turn));
        let begun = begun.await.map_err(|_| "it broke".to_owned())??;
        let first = stream::iter([Ok::<_, io::Error>(begun.first)]);
        let rest = stream::unfold(rest, async |mut rest| Some((rest.recv().await?, rest)));
        let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
        let mut response = Response::new(body);
        *response.status_mut() = begun.status;
        let headers = response.headers_mut();
        headers.insert(&PASSED_ON, HeaderValue::from_static(reason.name()));
        if let Some(kind) = begun.kind {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// The request's body, with the other server's name of its model where there is one.
    fn body(&self, bytes: &Bytes) -> Result<Bytes, String> {
        let Some(model) = &self.options.model else {
            return Ok(bytes.clone());
        };
        let mut body: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        body["model"] = Value::from(model.as_str());
        Ok(body.to_string().into())
    }
}

/// A request to the other server.
struct Request {
    agent: Agent,
    address: String,
    key: Option<String>,
    body: Bytes,
}

impl Request {
    /// Sends it, and what comes back as it comes. Ends when the client has left.
    fn run(
        self,
        begin: oneshot::Sender<Result<Begun, String>>,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
        _turn: OwnedSemaphorePermit,
    ) {
        let mut request = self
            .agent
            .post(&self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(&PASSED_ON, "1");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let begun = request.send(&self.body[..]).map_err(|it| it.to_string());
        let begun = begun.and_then(|answer| {
            let (parts, body) = answer.into_parts();
            if !parts.status.is_success() {
                return Err(format!("it answered {}", parts.status.as_u16()));
            }
            let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
            let mut body = body.into_reader();
            // One that breaks off before it begins is no answer.
            let first = piece(&mut body).map_err(|error| error.to_string())?;
            let status = parts.status;
            Ok((
                Begun {
                    status,
                    kind,
                    first,
                },
                body,
            ))
        });
        let (begun, mut body) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let _left = begin.send(Err(error));
                return;
            }
        };
        let mut sent = begun.first.len();
        let mut is_there = begin.send(Ok(begun)).is_ok();
        while is_there {
            let next = match piece(&mut body) {
                Ok(next) if next.is_empty() => break,
                Ok(next) if sent + next.len() > LARGEST_ANSWER => {
                    Err(io::Error::other("the answer is too large"))
                }
                next => next,
            };
            sent += next.as_ref().map_or(0, Bytes::len);
            // An error ends the answer where it is: the client sees that it broke off.
            let is_broken = next.is_err();
            is_there = pieces.blocking_send(next).is_ok() && !is_broken;
        }
    }
}

/// What comes next; nothing at the end.
fn piece(body: &mut impl Read) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let read = body.read(&mut piece)?;
    piece.truncate(read);
    Ok(piece.into())
}

/// The address of `path` on the server at `url`, which may end in `/v1` as OpenAI's addresses do.
fn join(url: &str, path: &str) -> String {
    let url = url.trim_end_matches('/');
    let path = match url.ends_with("/v1") {
        true => path.strip_prefix("/v1").unwrap_or(path),
        false => path,
    };
    format!("{url}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_to_either_form_of_address() {
        for url in [
            "http://a:1",
            "http://a:1/",
            "http://a:1/v1",
            "http://a:1/v1/",
        ] {
            assert_eq!(join(url, "/v1/responses"), "http://a:1/v1/responses");
        }
        assert_eq!(
            join("http://a/ollama", "/api/chat"),
            "http://a/ollama/api/chat"
        );
    }
}
