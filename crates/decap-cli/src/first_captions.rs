//! What a new model writes: three photos that come with the program, and a comparison with what could be had
//! without training.

use decap::Precision;
use decap_train::Trial;

use crate::args::TrainArgs;
use crate::cache::cache_folder;
use crate::encoder::open_captioner;
use crate::failure::Failure;
use crate::print;

/// Photos of everyday scenes: name, WebP.
const PHOTOS: [(&str, &[u8]); 3] = [
    ("a boat", include_bytes!("../photos/boat.webp")),
    ("a bench", include_bytes!("../photos/bench.webp")),
    ("a cat", include_bytes!("../photos/cat.webp")),
];

/// Tells what the model of `args` writes; `other` names a trained model of the same encoder.
pub fn tell(
    args: &TrainArgs,
    captions: &[String],
    held_out: &[usize],
    other: Option<&str>,
) -> Result<(), Failure> {
    if print::is_quiet() {
        return Ok(());
    }
    let model = args.out.to_string_lossy();
    let captioner = open_captioner(&model, Precision::Auto)?;
    print::tell("photos that come with the program, captioned with it:");
    for (name, photo) in PHOTOS {
        let caption = captioner.caption(photo)?;
        print::tell(format!("  {name:<9}{}", caption.text));
    }
    let other = match other {
        Some(model) => Some(open_captioner(model, Precision::Auto)?),
        None => None,
    };
    let cache = cache_folder(args.cache.as_deref())?;
    if let Some(trial) = Trial::of(captioner, other, captions, held_out, &cache)? {
        tell_trial(&trial);
    }
    Ok(())
}

fn tell_trial(trial: &Trial) {
    let swapped = trial.swapped.map_or_else(String::new, |swapped| {
        format!(
            ", {:.0} by the model that it started from with these captions as its memory",
            swapped.score
        )
    });
    print::tell(format!(
        "CIDEr-D of {} held-out captions, rewritten from near them: {:.0}; {:.0} by the nearest caption{swapped}",
        trial.captions, trial.trained, trial.nearest
    ));
    if !trial.has_learned() {
        print::tell(
            "It has not learnt to write: give more captions, or start from a trained model (--from). \
             `decap caption photo.jpg --memory CAPTIONS` needs no training",
        );
    } else if trial.swap_is_better() {
        print::tell(
            "The memory alone does better: decap caption photo.jpg --memory CAPTIONS needs no training",
        );
    }
}
