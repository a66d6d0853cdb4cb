//! `decap align`: two towers into one space.

use decap::encoder::ImageViews;
use decap_train::align::{
    AlignInputs, AlignOptions, AlignProgress, AlignReport, EpochReport, FailedPhoto, Recalls,
    Stage, align,
};
use indicatif::ProgressBar;

use crate::args::AlignArgs;
use crate::cache::cache_folder;
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Runs the command.
pub fn run(args: &AlignArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    let inputs = AlignInputs {
        pairs: args.pairs.clone(),
        image_towers: args.image_tower.clone(),
        text_tower: args.text_tower.clone(),
        cache: Some(cache_folder(args.cache.as_deref())?),
    };
    let mut watch = Watch {
        bar: ProgressBar::hidden(),
        stage: None,
    };
    let report = align(&inputs, &options(args), &args.out, &mut watch, stop.flag())?;
    watch.bar.finish_and_clear();
    if args.json {
        print::line(format!("{}", serde_json::json!(report)))?;
    } else {
        print_report(&report)?;
    }
    print::tell(format!("wrote {}", args.out.display()));
    Ok(if report.failed.is_empty() {
        Outcome::AllWell
    } else {
        Outcome::SomeFailed
    })
}

fn options(args: &AlignArgs) -> AlignOptions {
    let default = AlignOptions::default();
    let mut options = default.clone();
    options.name = args.name.clone();
    options.width = args.width.unwrap_or(default.width);
    options.image_hidden = args.hidden.unwrap_or(default.image_hidden);
    options.views = args.views.unwrap_or(default.views);
    options.image_views = if args.mirror {
        ImageViews::Mirrored
    } else {
        ImageViews::Plain
    };
    options.batch = args.batch.unwrap_or(default.batch);
    options.negatives = args.negatives.unwrap_or(default.negatives);
    options.epochs = args.epochs.unwrap_or(default.epochs);
    options.learning_rate = args.learning_rate.unwrap_or(default.learning_rate);
    options.dropout = args.dropout.unwrap_or(default.dropout);
    options.class_repeats = args.class_repeats.unwrap_or(default.class_repeats);
    options.tau = args.tau.unwrap_or(default.tau);
    options.seed = args.seed;
    options
}

fn print_report(report: &AlignReport) -> Result<(), Failure> {
    print::line(format!(
        "photos learned from {}, with {} captions; could not be used {}",
        report.train_photos,
        report.train_captions,
        report.failed.len()
    ))?;
    print_recalls("development", &report.dev)?;
    if let Some(test) = &report.test {
        print_recalls("test", test)?;
    }
    Ok(())
}

fn print_recalls(name: &str, recalls: &Recalls) -> Result<(), Failure> {
    let line = |values: &[f64; 3]| values.map(|value| format!("{value:.3}")).join(" / ");
    print::line(format!("{name} ({} photos)  recall@1/5/10", recalls.photos))?;
    print::line(format!("  photo to text  {}", line(&recalls.image_to_text)))?;
    print::line(format!("  text to photo  {}", line(&recalls.text_to_image)))?;
    Ok(())
}

/// Draws a bar a stage.
struct Watch {
    bar: ProgressBar,
    stage: Option<Stage>,
}

impl AlignProgress for Watch {
    fn advanced(&mut self, stage: Stage, done: usize, total: usize) {
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.bar.finish_and_clear();
            let unit = match stage {
                Stage::Photos => "photos",
                Stage::Captions => "captions",
            };
            self.bar = progress::bar(total as u64, unit);
        }
        self.bar.set_position(done as u64);
    }

    fn photo_failed(&mut self, photo: &FailedPhoto) {
        self.bar
            .suspend(|| print::tell(format!("decap: {}", photo.error)));
    }

    fn epoch_done(&mut self, epoch: &EpochReport) {
        self.bar.finish_and_clear();
        print::tell(format!(
            "epoch {}/{}  loss {:.3}  photo to text recall@1 {:.3}  text to photo {:.3}",
            epoch.epoch,
            epoch.epochs,
            epoch.loss,
            epoch.dev.image_to_text[0],
            epoch.dev.text_to_image[0]
        ));
    }
}
