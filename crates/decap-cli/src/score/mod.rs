//! `decap score`: caption metrics without Java.

pub mod args;
mod clip;
mod output;

use caption_metrics::{
    Bootstrap, Comparison, Diversity, DocumentFrequencies, Error, Interval, Meteor, MissingIds,
    Options, Predictions, References, Scores, Tokenization, TrainingCaptions, compare, diversity,
    intervals, read_predictions, read_references, score, self_cider,
};
use decap::eval::ClipScores;

use crate::eval::find_spice;
use crate::failure::{Failure, Outcome};
use crate::memory::read_all;
use args::ScoreArgs;

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

/// Runs the command.
pub fn run(args: &ScoreArgs) -> Result<Outcome, Failure> {
    if let (Some(package), Some(file)) = (&args.prepare_meteor, &args.meteor) {
        caption_metrics::meteor::prepare(package, file)?;
    }
    let references = read_references(&args.references)?;
    if let Some(path) = &args.write_df {
        DocumentFrequencies::of_references(&references).write(path)?;
    }
    let predictions = read_predictions(&args.predictions)?;
    let options = options(args)?;
    let bootstrap = Bootstrap {
        num_samples: args.draws,
        ..Bootstrap::default()
    };
    let scores = score(&references, &predictions, &options)?;
    report_what_is_missing(&scores, &args.predictions.display().to_string());
    let findings = Findings {
        intervals: match args.draws {
            0 => Vec::new(),
            _ => intervals(&scores, &bootstrap),
        },
        diversity: measure_diversity(args, &predictions)?,
        self_cider: measure_self_cider(args, &references)?,
        clip_scores: clip::scores(args, &references, &scores)?,
        comparison: compare_with(args, &references, &scores, &options, &bootstrap)?,
        scores,
    };
    output::print(&findings, args.json)?;
    if let Some(path) = &args.per_image {
        output::write_per_image(path, &findings)?;
    }
    Ok(Outcome::AllWell)
}

fn options(args: &ScoreArgs) -> Result<Options, Failure> {
    Ok(Options {
        meteor: args.meteor.as_ref().map(Meteor::open).transpose()?,
        spice: args.spice.as_deref().and_then(find_spice),
        document_frequencies: args
            .df
            .as_ref()
            .map(DocumentFrequencies::read)
            .transpose()?,
        tokenization: match args.tokenized {
            true => Tokenization::Tokenized,
            false => Tokenization::PennTreebank,
        },
        missing_ids: match args.allow_missing {
            true => MissingIds::LeaveOut,
            false => MissingIds::Refuse,
        },
    })
}

fn report_what_is_missing(scores: &Scores, predictions: &str) {
    if !scores.missing.is_empty() {
        let missing = &scores.missing;
        eprintln!(
            "decap: {predictions}: left out {} ids: {missing}",
            missing.predictions.len() + missing.references.len(),
        );
    }
    for note in &scores.notes {
        eprintln!("decap: {predictions}: {note}");
    }
}

fn measure_diversity(args: &ScoreArgs, predictions: &Predictions) -> Result<Diversity, Failure> {
    let training = match args.training_text.is_empty() {
        true => None,
        false => {
            let captions = read_all(&args.training_text, &[])?;
            Some(TrainingCaptions::new(captions.iter().map(String::as_str)))
        }
    };
    Ok(diversity(predictions, training.as_ref()))
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
        eprintln!(
            "decap: {}: {single} images have one caption, which has no diversity",
            path.display()
        );
    }
    let each = self_cider(&captions, references);
    Ok(Some(each.iter().sum::<f64>() / each.len().max(1) as f64))
}

/// The paired bootstrap against `--compare`; the second system is the other one.
fn compare_with(
    args: &ScoreArgs,
    references: &References,
    scores: &Scores,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Option<Vec<Comparison>>, Failure> {
    let Some(path) = &args.compare else {
        return Ok(None);
    };
    let other = score(references, &read_predictions(path)?, options)?;
    report_what_is_missing(&other, &path.display().to_string());
    Ok(Some(compare(scores, &other, bootstrap)?))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Mismatch(_) => Self::Scoring(format!(
                "{error}\n  --allow-missing scores the ids that both sides have"
            )),
            error => Self::Scoring(error.to_string()),
        }
    }
}
