//! How a caption is worded where it is written: a template, and a length.

mod cut;
mod template;

pub use cut::{cut_at_word, cut_to_bytes};
pub use template::{Template, TemplateValues};
