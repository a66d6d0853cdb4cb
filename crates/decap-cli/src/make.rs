//! `decap make`: a captioner of a known encoder, in one command.

use std::ffi::OsString;

use decap::model::MODEL_FILE;
use decap_train::CHECKPOINT_FILE;
use indicatif::HumanCount;

use crate::args::{Cli, Command, MakeArgs};
use crate::failure::{Failure, Outcome};
use crate::made::{self, MAKEABLE, Makeable};
use crate::memory::read_all;
use crate::print;
use crate::train;

/// Runs the command.
pub fn run(args: &MakeArgs) -> Result<Outcome, Failure> {
    let Some(wanted) = &args.what else {
        return list();
    };
    let known = MAKEABLE.iter().find(|known| known.name == wanted);
    let known = known.ok_or_else(|| {
        let names: Vec<&str> = MAKEABLE.iter().map(|known| known.name).collect();
        Failure::Usage(format!(
            "{wanted}: expected one of {}\n  `decap train captions.txt --encoder {wanted}` takes any encoder",
            names.join(", ")
        ))
    })?;
    let name = args.name.as_deref().unwrap_or(known.name);
    if !made::is_name(name) {
        return Err(Failure::Usage(format!(
            "--name {name}: expected letters, digits, `-`, `_` and `.` alone"
        )));
    }
    let out = made::folder_of(name)?;
    let to_try = || print::tell(format!("  try: decap caption photo.jpg --model {name}"));
    if out.join(MODEL_FILE).exists() {
        print::tell(format!("{name} is made already, in {}", out.display()));
        to_try();
        return Ok(Outcome::AllWell);
    }
    let captions = match args.captions.is_empty() {
        true => made::coco_captions()?,
        false => read_all(&args.captions, &[])?,
    };
    tell_what(known, name, captions.len(), args.captions.is_empty());
    let typed = options(args, known, &out);
    let cli = Cli::typed(typed).map_err(|error| Failure::Usage(error.to_string()))?;
    let Command::Train(options) = cli.command else {
        return Err(Failure::Usage("expected options of `decap train`".into()));
    };
    let outcome = train::train(&options, &captions, "the same command goes on from here")?;
    to_try();
    Ok(outcome)
}

/// What `decap train` is told.
fn options(args: &MakeArgs, known: &Makeable, out: &std::path::Path) -> Vec<OsString> {
    let mut typed: Vec<OsString> = ["decap", "train"].map(OsString::from).into();
    match args.captions.is_empty() {
        true => typed.push("coco-captions.txt".into()),
        false => typed.extend(args.captions.iter().map(|path| path.into())),
    }
    typed.extend(["--encoder", known.encoder, "--preset", "robust", "--out"].map(OsString::from));
    typed.push(out.into());
    if let Some(steps) = args.max_steps {
        typed.extend(["--max-steps".into(), steps.to_string().into()]);
    }
    // It is one command: what was begun goes on.
    if out.join(CHECKPOINT_FILE).exists() {
        typed.push("--resume".into());
    }
    typed
}

fn tell_what(known: &Makeable, name: &str, captions: usize, are_of_coco: bool) {
    let Makeable {
        encoder,
        download,
        licence,
        ..
    } = known;
    let whose = match are_of_coco {
        true => " of COCO (https://cocodataset.org, CC BY 4.0), which come with decap",
        false => "",
    };
    print::tell(format!(
        "making {name}\n  encoder: {encoder} ({licence}), {download} to download unless it is in the cache\n  \
         text: {} captions{whose}",
        HumanCount(captions as u64)
    ));
}

fn list() -> Result<Outcome, Failure> {
    for known in MAKEABLE {
        let is_made = made::folder_of(known.name).is_ok_and(|it| it.join(MODEL_FILE).exists());
        let state = if is_made { "made" } else { "not made" };
        let Makeable {
            name,
            encoder,
            download,
            licence,
        } = known;
        print::line(format!(
            "{name:<12}{encoder:<36}{download:<9}{licence:<13}{state}"
        ))?;
    }
    Ok(Outcome::AllWell)
}
