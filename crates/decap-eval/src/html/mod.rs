//! What the pages of this crate share: their style, text made safe, links to photos.

mod escape;
mod original;

pub(crate) use escape::{escaped, for_script, without_folders};
pub(crate) use original::Originals;

/// The style of all pages.
pub(crate) const CSS: &str = include_str!("page.css");
