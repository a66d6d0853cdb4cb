//! `decap memory`: build, inspect, search, extend.

use std::path::{Path, PathBuf};

use decap::encoder::Encoder;
use decap::media;
use decap::memory::{Memory, MemoryBuilder, MemoryInfo, MemoryOptions};
use decap::weights::{Folder, write_folder_atomically};
use serde_json::json;

use crate::args::{MemoryBuildArgs, MemoryCommand};
use crate::encoder::{encode_sentences, open_encoder, open_memory};
use crate::failure::{Failure, Outcome};
use crate::stop::Stop;

/// Runs the command.
pub fn run(command: &MemoryCommand) -> Result<Outcome, Failure> {
    match command {
        MemoryCommand::Build {
            captions,
            out,
            encoder,
            seed,
            options,
            precision,
        } => {
            let encoder = open_encoder(encoder, precision.precision)?;
            build(captions, out, &encoder, *seed, options)?;
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
            let encoder = encoder.as_deref().unwrap_or(memory);
            let encoder = open_encoder(encoder, precision.precision)?;
            search(query, memory, &encoder, *top, *json)?;
        }
        MemoryCommand::Add {
            memory,
            captions,
            encoder,
            precision,
        } => {
            let encoder = open_encoder(encoder, precision.precision)?;
            add(memory, captions, &encoder)?;
        }
    }
    Ok(Outcome::AllWell)
}

fn build(
    captions: &[PathBuf],
    out: &Path,
    encoder: &Encoder,
    seed: u64,
    args: &MemoryBuildArgs,
) -> Result<(), Failure> {
    let stop = Stop::on_ctrl_c();
    let options = MemoryOptions {
        max_rows: args.memory_rows,
        seed,
        dtype: args.memory_dtype.parse()?,
    };
    let chosen = MemoryBuilder::choose(read_all(captions)?, options)?;
    let embeddings = encode_sentences(encoder, chosen.captions(), &stop)?;
    let info = MemoryInfo {
        encoder_fingerprint: encoder.fingerprint().to_owned(),
        encoder_name: encoder.name().to_owned(),
        source: names(captions),
    };
    let memory = chosen.finish(&embeddings, info)?;
    write_folder_atomically(out, |folder| memory.save(folder))?;
    eprintln!("wrote {}: {} sentences", out.display(), memory.len());
    Ok(())
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
        println!("{record}");
        return Ok(());
    }
    println!("sentences    {}", memory.len());
    println!("width        {}", memory.width());
    println!(
        "stored as    {} ({:.1} MiB)",
        memory.rows().dtype().name(),
        bytes as f64 / f64::from(1 << 20)
    );
    println!(
        "encoder      {} ({})",
        info.encoder_name, info.encoder_fingerprint
    );
    println!("source       {}", info.source);
    for caption in memory.captions().iter().take(3) {
        println!("e.g.         {caption}");
    }
    Ok(())
}

fn search(
    query: &str,
    memory: &str,
    encoder: &Encoder,
    top: usize,
    as_json: bool,
) -> Result<(), Failure> {
    let memory = open_memory(memory)?;
    memory.check_encoder(encoder.fingerprint(), encoder.name())?;
    let path = Path::new(query);
    let embedding = if path.is_file() {
        let image = media::image::open(path, &media::image::Limits::default())?;
        encoder.encode_image(&image)?
    } else {
        let embeddings = encoder.encode_texts(&[query])?;
        embeddings
            .get(0)
            .ok_or_else(|| Failure::Usage("nothing to search for".to_owned()))?
    };
    for found in memory.search(&embedding, top)? {
        if as_json {
            println!("{}", json!(found));
        } else {
            println!("{:.4}  {}", found.cosine, found.text);
        }
    }
    Ok(())
}

fn add(path: &Path, captions: &[PathBuf], encoder: &Encoder) -> Result<(), Failure> {
    let stop = Stop::on_ctrl_c();
    let memory = Memory::open(&Folder::disk(path))?;
    memory.check_encoder(encoder.fingerprint(), encoder.name())?;
    let more = memory.missing(read_all(captions)?);
    let embeddings = encode_sentences(encoder, &more, &stop)?;
    let extended = memory.extended(&more, &embeddings)?;
    extended.save(path)?;
    eprintln!("added {} sentences: {} now", more.len(), extended.len());
    Ok(())
}

/// The captions of all files, in order.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut captions = Vec::new();
    for path in paths {
        captions.extend(decap::dataset::read_captions(path)?.into_texts());
    }
    Ok(captions)
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
