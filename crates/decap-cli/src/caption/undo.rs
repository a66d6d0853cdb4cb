//! `decap caption --undo`: decap's words leave photos, and what stood there before comes back.

use std::path::Path;

use decap::Error;
use decap_sources::metadata::Outcome;
use decap_sources::sidecar::TextSidecars;
use decap_sources::{Effect, PlaceOptions, undo_at};

use crate::args::CaptionArgs;
use crate::failure::{Failure, Outcome as RunOutcome, complaint};
use crate::inputs::{Depth, Finder};
use crate::name;
use crate::print;
use crate::writer::field_name;

/// Runs the command.
pub fn run(args: &CaptionArgs) -> Result<RunOutcome, Failure> {
    let depth = match args.recursive {
        true => Depth::Recursive,
        false => Depth::Flat,
    };
    let place = PlaceOptions {
        file_bytes: args.limits.max_file_bytes,
        times: args.write.place.times(),
        effect: args.write.place.effect(),
        ..PlaceOptions::default()
    };
    let mut texts = TextSidecars::default();
    let mut outcome = RunOutcome::AllWell;
    let mut finder = Finder::new(&args.paths, depth);
    while let Some(inputs) = finder.next_few()? {
        for input in inputs {
            let undone = input.and_then(|path| Ok((undo_one(&path, &place, &mut texts)?, path)));
            match undone {
                Ok((Some(what), path)) => {
                    print::line(format!("{}\t{what}", name::of(&path)))?;
                }
                Ok((None, _)) => {}
                Err(error) => {
                    outcome = RunOutcome::SomeFailed;
                    print::warn(complaint(&error));
                }
            }
        }
    }
    texts.finish()?;
    Ok(outcome)
}

/// What was taken back of a photo, for a person; nothing where decap wrote nothing.
fn undo_one(
    path: &Path,
    place: &PlaceOptions,
    texts: &mut TextSidecars,
) -> Result<Option<String>, Error> {
    let (mut undone, mut edited) = (Vec::new(), Vec::new());
    let mut note = |what: String, outcome| match outcome {
        Outcome::Undone => undone.push(what),
        _ => edited.push(what),
    };
    for outcome in undo_at(path, place)? {
        for (field, what) in outcome.fields {
            let mut place = field_name(field).to_owned();
            if outcome.path != path {
                place += &format!(" in {}", name::of(&outcome.path));
            }
            note(place, what);
        }
    }
    for outcome in texts.undo(path, place.effect)? {
        note(name::of(&outcome.path), outcome.outcome);
    }
    let took = match place.effect {
        Effect::Write => "took back",
        Effect::Pretend => "would take back",
    };
    let mut parts = Vec::new();
    if !undone.is_empty() {
        parts.push(format!("{took} {}", undone.join(", ")));
    }
    if !edited.is_empty() {
        parts.push(format!("left {}, edited since", edited.join(", ")));
    }
    Ok((!parts.is_empty()).then(|| parts.join("; ")))
}
