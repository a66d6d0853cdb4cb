//! `decap import` and `decap export`: DeCap checkpoints of PyTorch, in and out.

use std::path::{Path, PathBuf};

use decap::Precision;
use decap::decoder::{WeightsDtype, open_weights};
use decap::memory::MemoryOptions;
use decap::model::Writing;
use decap::output::probe;
use decap::weights::Folder;
use decap_train::{ModelRecipe, Start, TrainOptions, import_model};

use crate::args::{ExportArgs, ExportForm, ImportArgs};
use crate::cache::cache_folder;
use crate::encoder::{find_folder, open_encoder};
use crate::failure::{Failure, Outcome};
use crate::memory::{names, read_all};
use crate::output::{self, Own};
use crate::print;
use crate::progress;
use crate::stop::Stop;
use crate::train::encoder_reference;

/// Runs `decap import`.
pub fn run(args: &ImportArgs) -> Result<Outcome, Failure> {
    let stop = Stop::on_ctrl_c();
    probe(&args.out.with_file_name(".probe"))?;
    let captions = read_all(&args.captions, &args.split)?;
    let encoder = open_encoder(&args.encoder, Precision::F32)?;
    let name = args
        .out
        .file_name()
        .unwrap_or(args.out.as_os_str())
        .to_string_lossy();
    let recipe = ModelRecipe {
        name: name.into_owned(),
        encoder_reference: encoder_reference(&args.encoder),
        captions_from: names(&args.captions),
        preset: format!(
            "imported from {}",
            names(std::slice::from_ref(&args.checkpoint))
        ),
        train: {
            let mut options = TrainOptions::paper();
            options.weights_dtype = WeightsDtype::F32;
            options
        },
        foundation: None,
        start: Start::Fresh,
        memory: {
            let mut options = MemoryOptions::default();
            options.max_rows = args.memory.memory_rows;
            options.seed = args.seed;
            options.dtype = args.memory.memory_dtype;
            options
        },
        tau: args.tau.unwrap_or(encoder.tau()),
        writing: Writing::default(),
        cache: cache_folder(args.cache.as_deref())?,
    };
    let bar = progress::bar(captions.len() as u64, "captions embedded");
    let encoding =
        |progress: decap::memory::EncodingProgress| bar.set_position(progress.done as u64);
    import_model(
        &encoder,
        &args.checkpoint,
        &captions,
        &recipe,
        &args.out,
        encoding,
        stop.flag(),
    )?;
    bar.finish_and_clear();
    print::tell(format!(
        "wrote {0}\n  try: decap caption photo.jpg --model {0}",
        args.out.display()
    ));
    Ok(Outcome::AllWell)
}

/// Runs `decap export`.
pub fn export(args: &ExportArgs) -> Result<Outcome, Failure> {
    let folder = find_folder(&args.model)?;
    let of_model = match &folder {
        Folder::Disk(path) => files_of(path),
        Folder::Compiled { .. } => Vec::new(),
    };
    // A zip archive, as `torch.save` writes it; safetensors begin with the length of their header.
    let own: &[&[u8]] = match args.to {
        ExportForm::DecapPt => &[b"PK\x03\x04"],
        ExportForm::Safetensors => &[],
    };
    let inputs = of_model.iter().map(PathBuf::as_path);
    output::check(&args.output, inputs, &Own::StartsWith(own))?;
    let (weights, vocabulary) = open_weights(&folder)?;
    match args.to {
        ExportForm::DecapPt => weights.export_torch(&args.output)?,
        ExportForm::Safetensors => weights.save(&args.output, WeightsDtype::F32)?,
    }
    print::tell(format!("wrote {}", args.output.display()));
    if vocabulary.is_compact() {
        print::warn(format!(
            "  this decoder knows {} of the tokenizer's ids and has numbers of its own for them, which \
             the file does not hold: `vocabulary` in the model's decoder.json maps them, and `decap \
             import` takes no such file",
            vocabulary.len()
        ));
    }
    Ok(Outcome::AllWell)
}

/// The files of a model's folder, which no output may be.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    files.map(walkdir::DirEntry::into_path).collect()
}
