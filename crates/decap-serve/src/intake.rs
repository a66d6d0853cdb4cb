//! What comes in: bodies within their limits, photos and options out of every form of them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use crate::error::ApiError;
use crate::fallback::Passage;
use crate::fetching::{self, Room};
use crate::photo::{Photo, Sent};
use crate::state::{BODY_UNIT, State};

/// A body that has arrived, and its share of the room for bodies.
pub struct Arrived {
    /// The content.
    pub bytes: Bytes,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// Given back when the answer is done.
    pub room: OwnedSemaphorePermit,
    /// What the client said of passing it on.
    pub passage: Passage,
}

/// Reads a body; each route that takes one does it here.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::TooSlow`]; [`ApiError::Busy`] where other bodies fill the room.
pub async fn body(
    state: &Arc<State>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Arrived, ApiError> {
    let deadline = Instant::now() + state.options.request_time;
    let most = state.options.body_bytes;
    let too_large = || {
        ApiError::TooLarge(format!(
            "expected a request of at most {most} bytes, got more"
        ))
    };
    let told = headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    let expected = told.unwrap_or(most);
    if expected > most {
        return Err(too_large());
    }
    // A photo lies in memory once as it came and once as the model reads it.
    let units = u32::try_from(expected.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
    let room = Arc::clone(&state.bodies).try_acquire_many_owned(units);
    let room = room.map_err(|_| ApiError::Busy)?;
    let read = timeout_at(deadline.into(), to_bytes(body, most)).await;
    let bytes = read.map_err(|_| ApiError::TooSlow)?.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|it| it.to_string().contains("length limit")) {
            true => too_large(),
            false => ApiError::Malformed("the request broke off".into()),
        }
    })?;
    Ok(Arrived {
        bytes,
        deadline,
        room,
        passage: Passage::default(),
    })
}

/// A JSON body.
///
/// # Errors
/// As [`body`]; [`ApiError::Malformed`] for what is no JSON, [`ApiError::Unusable`] for JSON of another shape.
pub async fn json<T: DeserializeOwned>(
    state: &Arc<State>,
    request: Request,
) -> Result<(T, Arrived), ApiError> {
    let (parts, content) = request.into_parts();
    let mut arrived = body(state, &parts.headers, content).await?;
    arrived.passage = Passage::of(&parts);
    let wanted = serde_json::from_slice(&arrived.bytes).map_err(|error| no_json(&error))?;
    Ok((wanted, arrived))
}

fn no_json(error: &serde_json::Error) -> ApiError {
    match error.is_data() {
        true => ApiError::Unusable(error.to_string()),
        false => ApiError::Malformed(format!("expected JSON, got {error}")),
    }
}

/// Photos and the fields beside them.
pub struct Upload {
    /// In the order in which they came.
    pub photos: Vec<Photo>,
    /// All else, as JSON.
    pub fields: Map<String, Value>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// Given back when the answer is done.
    pub room: OwnedSemaphorePermit,
}

impl Upload {
    /// Reads photos out of a form, a raw body, or JSON.
    ///
    /// # Errors
    /// As [`body`]; [`ApiError::UnknownKind`] for a body of another kind, [`ApiError::Malformed`] for one that
    /// breaks its kind's rules, [`ApiError::Unusable`] where there is no photo, or too many.
    pub async fn read(state: &Arc<State>, request: Request) -> Result<Self, ApiError> {
        let upload = Self::read_any(state, request).await?;
        check_count(state, upload.photos.len())?;
        Ok(upload)
    }

    /// As [`Upload::read`], where there may be no photo.
    ///
    /// # Errors
    /// As [`Upload::read`].
    pub async fn read_any(state: &Arc<State>, request: Request) -> Result<Self, ApiError> {
        let (parts, content) = request.into_parts();
        let arrived = body(state, &parts.headers, content).await?;
        let whole = |bytes: &Bytes| Sent::Here(Photo::new("photo", Ok(bytes.clone())));
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind
            .and_then(|it| it.to_str().ok())
            .unwrap_or("application/octet-stream");
        let essence = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let mut fields = of_query(parts.uri.query().unwrap_or_default());
        let mut photos = Vec::new();
        match essence.as_str() {
            "application/json" => {
                let mut value: Map<String, Value> =
                    serde_json::from_slice(&arrived.bytes).map_err(|error| no_json(&error))?;
                photos = photos_in(&mut value)?;
                fields.append(&mut value);
            }
            "multipart/form-data" => {
                let whole = Request::from_parts(parts, Body::from(arrived.bytes.clone()));
                (photos, fields) = of_form(whole, fields).await?;
            }
            "application/octet-stream" => photos.push(whole(&arrived.bytes)),
            kind if kind.starts_with("image/") || kind.starts_with("video/") => {
                photos.push(whole(&arrived.bytes));
            }
            other => {
                return Err(ApiError::UnknownKind(format!(
                    "expected multipart/form-data, application/json, application/octet-stream, \
                     image/* or video/*, got `{other}`"
                )));
            }
        }
        if !photos.is_empty() {
            check_count(state, photos.len())?;
        }
        let mut room = Room(arrived.room);
        let photos = fetching::fetch_all(state, photos, arrived.deadline, &mut room).await?;
        Ok(Self {
            photos,
            fields,
            deadline: arrived.deadline,
            room: room.0,
        })
    }
}

/// Refuses no photo, and more than may come in a request.
///
/// # Errors
/// [`ApiError::Unusable`].
pub fn check_count(state: &State, photos: usize) -> Result<(), ApiError> {
    let most = state.options.photos_a_request;
    match photos {
        0 => Err(ApiError::Unusable("expected a photo, got none".into())),
        many if many > most => Err(ApiError::Unusable(format!(
            "expected at most {most} photos in a request, got {many}"
        ))),
        _ => Ok(()),
    }
}

/// The photos of a JSON body: `image`, or `images`; each base64, an address, or an object with `name` and `data`.
fn photos_in(body: &mut Map<String, Value>) -> Result<Vec<Sent>, ApiError> {
    let one = body.remove("image").into_iter();
    let many = match body.remove("images") {
        Some(Value::Array(many)) => many,
        Some(_) => return Err(ApiError::Unusable("`images`: expected a list".into())),
        None => Vec::new(),
    };
    let read = |(index, value): (usize, Value)| {
        let usual = format!("photo {}", index + 1);
        match &value {
            Value::String(text) => Sent::from_text(&usual, text),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                let data = text("data").ok_or_else(|| {
                    ApiError::Unusable(format!("{usual}: expected `data` in base64, got none"))
                })?;
                Sent::from_text(text("name").unwrap_or(&usual), data)
            }
            _ => Err(ApiError::Unusable(format!("{usual}: expected base64"))),
        }
    };
    one.chain(many).enumerate().map(read).collect()
}

async fn of_form(
    request: Request,
    mut fields: Map<String, Value>,
) -> Result<(Vec<Sent>, Map<String, Value>), ApiError> {
    let broken = |error: &dyn std::fmt::Display| ApiError::Malformed(format!("form: {error}"));
    // The body is within this service's limit already; axum's own is lower.
    let mut request = request;
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| broken(&error))?;
    let mut photos = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().map(str::to_owned);
        let is_photo = file.is_some() || name.starts_with("image") || name.starts_with("photo");
        let bytes = field.bytes().await.map_err(|error| broken(&error))?;
        if is_photo {
            let usual = format!("photo {}", photos.len() + 1);
            photos.push(Sent::Here(Photo::new(&file.unwrap_or(usual), Ok(bytes))));
        } else {
            put(&mut fields, &name, &String::from_utf8_lossy(&bytes));
        }
    }
    Ok((photos, fields))
}

/// Fields that are lists, and those whose values are words even where they look like numbers.
const LISTS: [&str; 3] = ["ban", "without", "texts"];
const WORDS: [&str; 5] = ["model", "memory", "method", "rerank", "repeated_words"];

/// Puts a field of a form or a query among those of JSON.
fn put(fields: &mut Map<String, Value>, name: &str, text: &str) {
    if LISTS.contains(&name) {
        let list = fields
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(text.into());
        }
        return;
    }
    let scalar = serde_json::from_str(text).ok().filter(|value: &Value| {
        !WORDS.contains(&name) && (value.is_number() || value.is_boolean())
    });
    fields.insert(name.to_owned(), scalar.unwrap_or_else(|| text.into()));
}

/// The fields of a query.
fn of_query(query: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let pairs: Vec<(String, String)> =
        axum::extract::Query::try_from_uri(&format!("/?{query}").parse().unwrap_or_default())
            .map_or_else(|_| Vec::new(), |axum::extract::Query(pairs)| pairs);
    for (name, text) in pairs {
        put(&mut fields, &name, &text);
    }
    fields
}
