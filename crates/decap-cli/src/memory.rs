//! `decap memory`: build, inspect, search, extend.

use std::path::{Path, PathBuf};

use decap::Embeddings;
use decap::encoder::Encoder;
use decap::memory::{EncodingProgress, Memory, MemoryOptions, TextEmbeddings};
use decap::model::MODEL_FILE;
use decap::output::{FolderLock, check_folder_is_own, probe, write_folder_atomically};
use decap::pipeline::{ReadOptions, embed};
use decap::weights::Folder;
use serde_json::json;

use crate::args::{MemoryBuildArgs, MemoryCommand};
use crate::bundled::BUNDLED;
use crate::cache::cache_folder;
use crate::captions::read_captions;
use crate::encoder::{open_encoder, open_memory};
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// Runs the command.
pub fn run(command: &MemoryCommand) -> Result<Outcome, Failure> {
    match command {
        MemoryCommand::Build {
            captions,
            split,
            out,
            encoder,
            seed,
            cache,
            options,
            precision,
        } => {
            let encoder = open_encoder(encoder, precision.precision)?;
            let source = Source {
                files: captions,
                splits: split,
            };
            build(&source, out, &encoder, *seed, cache.as_deref(), options)?;
        }
        MemoryCommand::Info { memory, json } => info(memory, *json)?,
        MemoryCommand::Search {
            query,
            memory,
            encoder,
            top,
            json,
            precision,
        } => {
            let encoder = encoder.as_deref().unwrap_or(usual_encoder(memory));
            let encoder = open_encoder(encoder, precision.precision)?;
            search(query, memory, &encoder, *top, *json)?;
        }
        MemoryCommand::Add {
            memory,
            captions,
            encoder,
            cache,
            precision,
        } => {
            let encoder = open_encoder(encoder, precision.precision)?;
            add(memory, captions, &encoder, &cache_folder(cache.as_deref())?)?;
        }
    }
    Ok(Outcome::AllWell)
}

/// Caption files, and the splits of them that are wanted; no splits are all.
struct Source<'a> {
    files: &'a [PathBuf],
    splits: &'a [String],
}

fn build(
    source: &Source<'_>,
    out: &Path,
    encoder: &Encoder,
    seed: u64,
    cache: Option<&Path>,
    args: &MemoryBuildArgs,
) -> Result<(), Failure> {
    let stop = Stop::on_ctrl_c();
    refuse_memory(out)?;
    check_folder_is_own(out, &[])?;
    // The folder is made beside its place.
    probe(&out.with_file_name(".probe"))?;
    let mut options = MemoryOptions::default();
    options.max_rows = args.memory_rows;
    options.seed = seed;
    options.dtype = args.memory_dtype;
    let captions = read_all(source.files, source.splits)?;
    let bar = progress::bar(captions.len() as u64, "captions embedded");
    let memory = Memory::build(
        encoder,
        &captions,
        options,
        &names(source.files),
        Some(&cache_folder(cache)?),
        |encoding| bar.set_position(encoding.done as u64),
        stop.flag(),
    )?;
    bar.finish_and_clear();
    write_folder_atomically(out, &[], |folder| memory.save(folder))?;
    print::tell(format!(
        "wrote {}: {}",
        out.display(),
        sentences(memory.len())
    ));
    Ok(())
}

fn sentences(count: usize) -> String {
    match count {
        1 => "1 sentence".to_owned(),
        count => format!("{count} sentences"),
    }
}

/// Refuses a folder with a memory in it, which may hold sentences that were added.
fn refuse_memory(out: &Path) -> Result<(), Failure> {
    if !out.join(Memory::FILES[0]).exists() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: there is a memory already\n  `decap memory add` extends it; or choose another folder",
        out.display()
    )))
}

fn info(memory: &str, as_json: bool) -> Result<(), Failure> {
    let memory = open_memory(memory)?;
    let info = memory.info();
    let bytes = memory.rows().as_bytes().len();
    if as_json {
        let record = json!({
            "rows": memory.len(),
            "width": memory.width(),
            "dtype": memory.rows().dtype().name(),
            "bytes": bytes,
            "encoder": info.encoder_name,
            "encoder_fingerprint": info.encoder_fingerprint,
            "source": info.source,
        });
        print::line(record)?;
        return Ok(());
    }
    print::line(format!("sentences    {}", memory.len()))?;
    print::line(format!("width        {}", memory.width()))?;
    print::line(format!(
        "stored as    {} ({:.1} MiB)",
        memory.rows().dtype().name(),
        bytes as f64 / f64::from(1 << 20)
    ))?;
    print::line(format!(
        "encoder      {} ({})",
        info.encoder_name, info.encoder_fingerprint
    ))?;
    print::line(format!("source       {}", info.source))?;
    for caption in memory.captions().iter().take(3) {
        print::line(format!("e.g.         {caption}"))?;
    }
    Ok(())
}

/// The encoder to search with where none is named: a model's own; for a mere memory that with which
/// memories are built unless told otherwise.
fn usual_encoder(memory: &str) -> &str {
    let is_mere_memory = Path::new(memory).join(Memory::FILES[0]).exists()
        && !Path::new(memory).join(MODEL_FILE).exists();
    match is_mere_memory {
        true => BUNDLED,
        false => memory,
    }
}

fn search(
    query: &str,
    memory: &str,
    encoder: &Encoder,
    top: usize,
    as_json: bool,
) -> Result<(), Failure> {
    let memory = open_memory(memory)?;
    memory.check_made_by(encoder)?;
    let path = Path::new(query);
    let embedding = if path.is_file() || decap::media::is_named_like_a_photo(path) {
        embed(encoder, path, &ReadOptions::default())?
    } else {
        let embeddings = encoder.encode_texts(&[query])?;
        embeddings
            .get(0)
            .ok_or_else(|| Failure::Usage("nothing to search for".to_owned()))?
    };
    for found in memory.search(&embedding, top)? {
        if as_json {
            print::line(format!("{}", json!(found)))?;
        } else {
            print::line(format!("{:.4}  {}", found.cosine, found.text))?;
        }
    }
    Ok(())
}

fn add(path: &Path, captions: &[PathBuf], encoder: &Encoder, cache: &Path) -> Result<(), Failure> {
    let stop = Stop::on_ctrl_c();
    // From reading to writing: two at once would each lose the other's sentences.
    let _lock = FolderLock::hold(path)?;
    let memory = Memory::open(&Folder::disk(path))?;
    memory.check_made_by(encoder)?;
    let more = memory.missing(read_all(captions, &[])?);
    let texts: Vec<&str> = more.iter().map(String::as_str).collect();
    let bar = progress::bar(texts.len() as u64, "captions embedded");
    let encoded = |encoding: EncodingProgress| bar.set_position(encoding.done as u64);
    let known = TextEmbeddings::of(encoder, &texts, Some(cache), encoded, stop.flag())?;
    bar.finish_and_clear();
    let mut values = vec![0.0; known.len() * known.width()];
    for (index, row) in values.chunks_exact_mut(known.width()).enumerate() {
        known.copy_row(index, row);
    }
    let embeddings = Embeddings::new(values, known.width())?;
    let extended = memory.extended(&more, &embeddings)?;
    memory.save_extended(&extended, path)?;
    print::tell(format!(
        "added {}: {} now",
        sentences(more.len()),
        extended.len()
    ));
    Ok(())
}

/// The captions of all files, in order; those of `splits` alone where some are named.
///
/// # Errors
/// What reading them says, and where a file has none of the splits.
pub fn read_all(paths: &[PathBuf], splits: &[String]) -> Result<Vec<String>, Failure> {
    let wanted: Vec<&str> = splits.iter().map(|split| split.trim()).collect();
    let mut all = Vec::new();
    for path in paths {
        let captions = read_captions(path)?;
        if wanted.is_empty() {
            all.extend(captions.into_texts());
            continue;
        }
        let chosen = captions.in_splits(&wanted);
        if chosen.is_empty() {
            let found = match &captions.splits()[..] {
                [] => format!("a file ({}) that names no splits", captions.format()),
                splits => format!("captions of {}", splits.join(", ")),
            };
            return Err(Failure::Usage(format!(
                "{}: expected captions of split {}, got {found}",
                path.display(),
                wanted.join(", "),
            )));
        }
        all.extend(chosen.into_texts());
    }
    Ok(all)
}

/// The files' names, for the provenance of what was made from them.
pub fn names(paths: &[PathBuf]) -> String {
    let names = paths.iter().map(|path| {
        path.file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    });
    names.collect::<Vec<_>>().join(", ")
}
