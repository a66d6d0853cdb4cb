//! Photos at addresses of the web, where the service was told to fetch them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use decap::{Error, Input};
use futures_util::stream::{self, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::error::ApiError;
use crate::photo::{Photo, Sent};
use crate::state::{BODY_UNIT, State};

/// Photos of a request that are fetched at a time.
const AT_A_TIME: usize = 4;

/// A request's share of the room for bodies.
pub struct Room(pub OwnedSemaphorePermit);

/// The photos of a request, with those that lie elsewhere fetched. One that can't be fetched has its error in its
/// place. What was fetched takes its share of the room for bodies, which `room` then holds.
///
/// # Errors
/// [`ApiError::Unusable`] for an address where this service fetches nothing.
pub async fn fetch_all(
    state: &Arc<State>,
    sent: Vec<Sent>,
    deadline: Instant,
    room: &mut Room,
) -> Result<Vec<Photo>, ApiError> {
    let is_elsewhere = |it: &Sent| matches!(it, Sent::Elsewhere(_));
    if state.fetcher.is_none() && sent.iter().any(is_elsewhere) {
        let message = "expected the photo itself in base64 or a data URL, got the address of one; this service \
                       fetches nothing unless it is started with --allow-urls";
        return Err(ApiError::Unusable(message.into()));
    }
    let mut photos = Vec::with_capacity(sent.len());
    let mut fetching = stream::iter(sent)
        .map(async |one| match one {
            Sent::Here(photo) => (photo, None),
            Sent::Elsewhere(address) => match fetch(state, &address, deadline).await {
                Ok((bytes, share)) => (Photo::new(&address, Ok(bytes)), Some(share)),
                Err(error) => (Photo::new(&address, Err(error)), None),
            },
        })
        .buffered(AT_A_TIME);
    while let Some((photo, share)) = fetching.next().await {
        if let Some(share) = share {
            room.0.merge(share);
        }
        photos.push(photo);
    }
    Ok(photos)
}

/// A photo's bytes, and their share of the room for bodies.
async fn fetch(
    state: &Arc<State>,
    address: &str,
    deadline: Instant,
) -> Result<(Bytes, OwnedSemaphorePermit), ApiError> {
    let fetcher = state.fetcher.clone().ok_or(ApiError::Broken)?;
    let units = |bytes: u64| u32::try_from(bytes.div_ceil(BODY_UNIT as u64)).unwrap_or(u32::MAX);
    let wanted = address.to_owned();
    let bodies = Arc::clone(&state.bodies);
    let fetched = async {
        // As much as may come, until it is known how much came. Whoever gives up leaves it to the download.
        let most = units(fetcher.largest());
        let share = bodies.acquire_many_owned(most).await;
        let share = share.map_err(|_| ApiError::Stopping)?;
        let fetching = spawn_blocking(move || (fetcher.fetch(&wanted), share));
        let (photo, mut share) = fetching.await.map_err(|_| ApiError::Broken)?;
        let bytes = match photo.map_err(of_download)? {
            Input::Bytes { bytes, .. } => Bytes::from(bytes),
            _ => return Err(ApiError::Broken),
        };
        let spare = most.saturating_sub(units(bytes.len() as u64));
        drop(share.split(spare as usize));
        Ok((bytes, share))
    };
    let in_time = timeout_at(deadline.into(), fetched).await;
    in_time.map_err(|_| ApiError::OutOfTime)?
}

/// A download that failed is the address's fault, not the service's.
fn of_download(error: Error) -> ApiError {
    match error {
        Error::Io { .. } => ApiError::Unusable(error.to_string()),
        other => ApiError::Library(other),
    }
}
