//! How captions are worded: `--template` and `--max-chars`.

use std::path::Path;

use decap::Caption;
use decap_sources::wording::{Template, TemplateValues, cut_at_word};
use decap_sources::{PlaceOptions, date_of};

use crate::args::CaptionArgs;
use crate::failure::Failure;
use crate::name;

/// The wording that was typed.
pub struct Wording {
    template: Option<Template>,
    max_chars: Option<usize>,
    place: PlaceOptions,
    typed: String,
}

impl Wording {
    /// Reads what was typed.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the template has a field that does not exist, or asks for evidence that is
    /// not to be found.
    pub fn of(args: &CaptionArgs) -> Result<Self, Failure> {
        let typed = args.write.template.clone().unwrap_or_default();
        let template = args.write.template.as_deref().map(Template::parse);
        let template = template.transpose()?;
        if args.evidence == 0 && template.as_ref().is_some_and(Template::wants_evidence) {
            return Err(Failure::Usage(
                "--template asks for {evidence}: expected --evidence of at least 1, got 0".into(),
            ));
        }
        Ok(Self {
            template,
            max_chars: args.write.place.max_chars,
            place: PlaceOptions {
                file_bytes: args.limits.max_file_bytes,
                ..PlaceOptions::default()
            },
            typed,
        })
    }

    /// A caption as it is to be written.
    pub fn of_caption(&self, path: &Path, caption: &Caption) -> String {
        let text = match &self.template {
            None => caption.text.clone(),
            Some(template) => {
                let date = match template.wants_date() {
                    // A date that cannot be read is none.
                    true => date_of(path, &self.place).ok().flatten(),
                    false => None,
                };
                let stem = path.file_stem().unwrap_or_default();
                let evidence = caption.evidence.first();
                template.fill(&TemplateValues {
                    caption: caption.text.clone(),
                    path: name::of(path),
                    stem: name::of(Path::new(stem)),
                    date: date.unwrap_or_default(),
                    evidence: evidence.map_or_else(String::new, |it| it.text.clone()),
                    score: format!("{:.2}", caption.score),
                    confidence: caption
                        .confidence
                        .map_or_else(String::new, |sure| format!("{sure:.2}")),
                })
            }
        };
        match self.max_chars {
            Some(most) => cut_at_word(&text, most).to_owned(),
            None => text,
        }
    }

    /// What a run's key contains of it; nothing where nothing was typed.
    pub fn run_key_part(&self) -> Option<String> {
        let is_plain = self.template.is_none() && self.max_chars.is_none();
        (!is_plain).then(|| format!("wording {:?} {:?}", self.typed, self.max_chars))
    }
}
