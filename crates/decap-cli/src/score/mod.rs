//! `decap score`: caption metrics without Java.

mod clip;
mod output;

use std::path::{Path, PathBuf};

use caption_metrics::{
    Bootstrap, Comparison, Diversity, DocumentFrequencies, Error, Interval, MissingIds, Options,
    Predictions, References, Scores, Tokenization, TrainingCaptions, compare, diversity, intervals,
    score, self_cider,
};
use decap_eval::ClipScores;

use crate::args::ScoreArgs;
use crate::captions::{of_file, open_meteor, read_predictions, read_references};
use crate::eval::find_spice;
use crate::failure::{Failure, Outcome};
use crate::memory::read_all;
use crate::output::{self as outputs, Own};
use crate::print;

/// All that one run found out.
struct Findings {
    scores: Scores,
    /// Empty where none were asked for.
    intervals: Vec<Interval>,
    diversity: Diversity,
    /// The mean over images.
    self_cider: Option<f64>,
    clip_scores: Option<ClipScores>,
    /// The other system against this one.
    comparison: Option<Vec<Comparison>>,
}

impl Findings {
    /// Scores over all images that are present, by the field's names.
    fn values(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let clip = self.clip_scores.iter().flat_map(ClipScores::means);
        self.scores.corpus.named().chain(clip)
    }
}

/// Runs the command.
pub fn run(args: &ScoreArgs) -> Result<Outcome, Failure> {
    check_outputs(args)?;
    prepare_meteor(args)?;
    // Without these there was only METEOR's data to make: the parser lets nothing else through.
    let (Some(references), Some(predictions)) = (&args.references, &args.predictions) else {
        return Ok(Outcome::AllWell);
    };
    let files = Files {
        references,
        predictions,
    };
    let references = read_references(references)?;
    if let Some(path) = &args.write_df {
        DocumentFrequencies::of_references(&references).write(path)?;
    }
    let predictions = read_predictions(predictions)?;
    let options = options(args)?;
    let bootstrap = bootstrap(args)?;
    let mut scores =
        score(&references, &predictions, &options).map_err(|error| files.blame(error))?;
    report_what_is_missing(&scores, files.predictions);
    let clip_scores = clip::scores(args, files.references, &references, &mut scores)?;
    let mut intervals = match args.draws {
        0 => Vec::new(),
        _ => intervals(&scores, &bootstrap),
    };
    if args.draws > 0 {
        intervals.extend(
            clip_scores
                .iter()
                .flat_map(|clip| clip.intervals(&bootstrap)),
        );
    }
    let findings = Findings {
        intervals,
        diversity: measure_diversity(args, &scores)?,
        self_cider: measure_self_cider(args, &references)?,
        clip_scores,
        comparison: compare_with(args, files, &references, &scores, &options, &bootstrap)?,
        scores,
    };
    output::print(&findings, args.json)?;
    if let Some(path) = &args.per_image {
        output::write_per_image(path, &findings)?;
    }
    Ok(Outcome::AllWell)
}

/// Refuses, before any work, to write over a file that is read.
fn check_outputs(args: &ScoreArgs) -> Result<(), Failure> {
    let inputs = || {
        let named = args.references.iter().chain(&args.predictions);
        let named = named.chain(&args.compare).chain(&args.df);
        let named = named.chain(&args.several).chain(&args.training_text);
        named.map(PathBuf::as_path)
    };
    if let Some(path) = &args.per_image {
        outputs::check(path, inputs(), &Own::StartsWith(&[b"id,prediction,"]))?;
    }
    if let Some(path) = &args.write_df {
        outputs::check(path, inputs(), &Own::StartsWith(&[b"images "]))?;
    }
    if let (Some(_), Some(path)) = (&args.prepare_meteor, &args.meteor) {
        outputs::check(path, inputs(), &Own::StartsWith(&[b"METEOR-1.5-en"]))?;
    }
    Ok(())
}

fn prepare_meteor(args: &ScoreArgs) -> Result<(), Failure> {
    if let (Some(package), Some(file)) = (&args.prepare_meteor, &args.meteor) {
        let prepared = caption_metrics::meteor::prepare(package, file)?;
        print::tell(format!(
            "{}: METEOR's data, {} words with synonyms and {} paraphrases of {} phrases",
            file.display(),
            prepared.num_synonym_words,
            prepared.num_paraphrases,
            prepared.num_phrases
        ));
    }
    Ok(())
}

fn bootstrap(args: &ScoreArgs) -> Result<Bootstrap, Failure> {
    if args.compare.is_some() && args.draws == 0 {
        let message =
            "expected --draws of at least 1 with --compare, got 0: significance needs them";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok({
        let mut options = Bootstrap::default();
        options.num_samples = args.draws;
        options
    })
}

fn options(args: &ScoreArgs) -> Result<Options, Failure> {
    Ok({
        let mut options = Options::default();
        options.meteor = args.meteor.as_deref().map(open_meteor).transpose()?;
        options.spice = args.spice.as_deref().and_then(find_spice);
        options.document_frequencies = args
            .df
            .as_ref()
            .map(DocumentFrequencies::read)
            .transpose()?;
        options.tokenization = match args.tokenized {
            true => Tokenization::Tokenized,
            false => Tokenization::PennTreebank,
        };
        options.missing_ids = match args.allow_missing {
            true => MissingIds::LeaveOut,
            false => MissingIds::Refuse,
        };
        options
    })
}

fn report_what_is_missing(scores: &Scores, predictions: &Path) {
    let predictions = predictions.display();
    if !scores.missing.is_empty() {
        let missing = &scores.missing;
        print::tell(format!(
            "decap: {predictions}: left out {} ids: {missing}",
            missing.predictions.len() + missing.references.len(),
        ));
    }
    for note in &scores.notes {
        print::tell(format!("decap: {predictions}: {note}"));
    }
}

/// How varied the captions are that were scored.
fn measure_diversity(args: &ScoreArgs, scores: &Scores) -> Result<Diversity, Failure> {
    let scored = scores.images.iter();
    let scored = scored.map(|image| (image.id.clone(), image.prediction.clone()));
    let predictions = Predictions::new(scored)?;
    let training = match args.training_text.is_empty() {
        true => None,
        false => {
            let captions = read_all(&args.training_text, &[])?;
            Some(TrainingCaptions::new(captions.iter().map(String::as_str)))
        }
    };
    Ok(diversity(&predictions, training.as_ref()))
}

fn measure_self_cider(args: &ScoreArgs, references: &References) -> Result<Option<f64>, Failure> {
    let Some(path) = &args.several else {
        return Ok(None);
    };
    let several = read_references(path)?;
    let captions: Vec<Vec<String>> = several
        .images()
        .iter()
        .map(|image| image.captions.clone())
        .collect();
    let single = captions
        .iter()
        .filter(|captions| captions.len() < 2)
        .count();
    if single > 0 {
        print::tell(format!(
            "decap: {}: {single} images have one caption, which has no diversity",
            path.display()
        ));
    }
    let each = self_cider(&captions, references);
    Ok(Some(each.iter().sum::<f64>() / each.len().max(1) as f64))
}

/// The paired bootstrap against `--compare`; the second system is the other one.
fn compare_with(
    args: &ScoreArgs,
    files: Files<'_>,
    references: &References,
    scores: &Scores,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Option<Vec<Comparison>>, Failure> {
    let Some(path) = &args.compare else {
        return Ok(None);
    };
    let predictions = read_predictions(path)?;
    let files = Files {
        predictions: path,
        ..files
    };
    let other = score(references, &predictions, options).map_err(|error| files.blame(error))?;
    report_what_is_missing(&other, path);
    let comparison = compare(scores, &other, bootstrap);
    Ok(Some(comparison.map_err(of_file(path))?))
}

/// What is scored against what.
#[derive(Clone, Copy)]
struct Files<'a> {
    references: &'a Path,
    predictions: &'a Path,
}

impl Files<'_> {
    /// The error with the file whose fault it is, and what to do about it.
    fn blame(self, error: Error) -> Failure {
        let (references, predictions) = (self.references.display(), self.predictions.display());
        match error {
            Error::Mismatch(_) => Failure::Scoring(format!(
                "{predictions} against {references}: {error}\n  \
                 --allow-missing scores the ids that both sides have; with --json it lists the others"
            )),
            Error::NoImages => Failure::Scoring(format!(
                "{predictions} against {references}: {error}\n  \
                 ids are compared letter by letter: do both files name images in the same way?"
            )),
            error => of_file(self.predictions)(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { path, source } => decap::Error::Io { path, source }.into(),
            error => Self::Scoring(error.to_string()),
        }
    }
}
