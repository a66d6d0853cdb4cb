//! Where many photos come from, and where captions go: into a photo's metadata and beside the photo,
//! without touching what people wrote.
//!
//! [`fetch`] knows photos of the web, [`source`] reads archives and tables one photo after the other, [`shard`] captions one of them as a
//! whole. [`record`] is the form of a caption's line, [`finished`] has others for whole files, [`webdataset`] packs
//! photos with their captions.
//! [`metadata`] works on bytes. [`write_to`] and [`undo_at`] work on photos' files, and
//! [`sidecar::TextSidecars`] on texts beside them. [`wording`] is how a caption is worded there.

pub mod fetch;
pub mod finished;
pub mod metadata;
pub mod name;
pub mod record;
pub mod shard;
pub mod sidecar;
pub mod source;
pub mod webdataset;
pub mod wording;

mod photo_file;
mod place;
mod whose;

pub use photo_file::{Effect, FileStamp, Times};
pub use place::{PlaceOptions, PlaceOutcome, date_of, undo_at, write_to};
pub use whose::Existing;
