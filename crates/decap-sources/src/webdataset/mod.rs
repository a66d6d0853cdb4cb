//! Captions in tar archives, as WebDataset has them: files of one sample share a name up to its first dot, and stand
//! together (<https://github.com/webdataset/webdataset>).

mod added;
mod pack;

pub(crate) use added::add_captions;
pub use pack::{Content, Pack, Packed, bytes_of};
