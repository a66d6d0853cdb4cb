//! Captions in COCO's result form.

use std::path::Path;

use serde_json::{Value, json};

use super::Report;
use crate::System;
use decap::Result;
use decap::output::write_atomically;

impl Report<'_> {
    /// Writes `[{"image_id", "caption"}]`; ids that are numbers are written as such, as COCO's
    /// own tools expect them.
    pub(super) fn write_predictions(&self, system: &System, path: &Path) -> Result<()> {
        write_atomically(path, |file| {
            writeln!(file, "[")?;
            let captions = self.photos.items.iter().zip(&system.captions);
            for (place, (&item, caption)) in captions.enumerate() {
                let separator = if place == 0 { "" } else { ",\n" };
                let id = image_id(&self.set.items[item].id);
                let record = json!({ "image_id": id, "caption": caption.text });
                write!(file, "{separator}{record}")?;
            }
            writeln!(file, "\n]")
        })
    }
}

/// A number where the text is one and nothing is lost: `7`, but not `007`.
pub(super) fn image_id(id: &str) -> Value {
    match id.parse::<u64>() {
        Ok(number) if number.to_string() == id => json!(number),
        _ => json!(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_where_nothing_is_lost() {
        assert_eq!(image_id("391895"), json!(391_895));
        assert_eq!(image_id("007"), json!("007"));
        assert_eq!(image_id("+7"), json!("+7"));
        assert_eq!(image_id("images/7.jpg"), json!("images/7.jpg"));
    }
}
