//! What the report was made of, when, and by which command.

use decap::{Rerank, grouped};
use std::fmt::Write as _;

use super::Report;
use super::date::DateTime;
use crate::html::{escaped, without_folders};

impl Report<'_> {
    /// The line below the title: how many photos, by what, and when.
    pub(super) fn by_line(&self) -> String {
        let photos = counted(self.photos.items.len(), "photo");
        let date = DateTime::utc(self.made_at);
        let program = match self.program.is_empty() {
            true => String::new(),
            false => format!(" · {}", escaped(&self.program)),
        };
        format!(
            "<p class=\"by\">{photos}{program} · <time datetime=\"{}\">{}</time></p>\n",
            date.machine(),
            date.day_for_people()
        )
    }

    /// The section that says how to make the same report again.
    pub(super) fn facts(&self) -> String {
        let model = &self.model;
        let photos = grouped(self.photos.items.len());
        let mut facts = vec![
            ("Photos", format!("{photos} from {}", self.set.name)),
            (
                "Model",
                format!("{} (encoder {})", model.name, model.encoder),
            ),
            (
                "Decoder trained on",
                sentences(model.training_sentences, &model.training_text),
            ),
            (
                "Memory",
                sentences(model.memory_sentences, &model.memory_text),
            ),
            ("Temperature tau", model.tau.to_string()),
        ];
        let reranks = self.systems.iter().map(|one| one.options.rerank_in_use());
        if let Some(rerank) = reranks.into_iter().find(|&how| how != Rerank::None) {
            facts.push(("Captions chosen by", rerank.name().to_owned()));
        }
        if self.set.without_references > 0 {
            let left_out = counted(self.set.without_references, "photo");
            facts.push(("Left out", format!("{left_out} without references")));
        }
        let date = DateTime::utc(self.made_at);
        let by = match self.program.is_empty() {
            true => String::new(),
            false => format!(", by {}", self.program),
        };
        facts.push(("Made", format!("{}{by}", date.for_people())));
        let mut html = String::from("<h2 id=\"run\">This run</h2>\n<dl class=\"facts\">\n");
        for (name, value) in facts {
            let _infallible = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
        }
        if !self.command.is_empty() {
            // Lines break between words, not after the hyphens of an option.
            let words = self.command.split(' ');
            let words = words.map(|word| format!("<span>{}</span>", escaped(word)));
            let command = words.collect::<Vec<_>>().join(" ");
            let _infallible = writeln!(html, "<dt>Command</dt><dd><code>{command}</code></dd>");
        }
        html + "</dl>\n"
    }

    /// The photos that are missing from all scores; empty where there are none.
    pub(super) fn failures(&self) -> String {
        let failures = &self.photos.failures;
        if failures.is_empty() {
            return String::new();
        }
        let verb = if failures.len() == 1 { "is" } else { "are" };
        let mut html = format!(
            "<details class=\"warning\"><summary>{} could not be read and {verb} not scored.\
             </summary><ul>\n",
            counted(failures.len(), "photo")
        );
        for failure in failures {
            let path = &self.set.items[failure.item].path;
            let message = match path.is_absolute() {
                true => {
                    let path = path.to_string_lossy();
                    failure.message.replace(&*path, &without_folders(&path))
                }
                false => failure.message.clone(),
            };
            let _infallible = writeln!(html, "<li>{}</li>", escaped(&message));
        }
        html + "</ul></details>\n"
    }
}

/// `1 photo`, `90,100 photos`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{} {noun}s", grouped(count)),
    }
}

/// `7 sentences from captions.txt`.
fn sentences(count: usize, text: &str) -> String {
    let sentences = counted(count, "sentence");
    match without_folders(text) {
        text if text.is_empty() => sentences,
        text => format!("{sentences} from {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_nouns_follow_them() {
        let cases = [
            (0, "0 photos"),
            (1, "1 photo"),
            (999, "999 photos"),
            (1000, "1,000 photos"),
            (12_345_678, "12,345,678 photos"),
        ];
        for (count, text) in cases {
            assert_eq!(counted(count, "photo"), text);
        }
    }
}
