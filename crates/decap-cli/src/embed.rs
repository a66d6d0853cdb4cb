//! `decap embed`: photos or sentences to unit vectors.

use std::path::{Path, PathBuf};

use decap::encoder::Encoder;
use decap::output::write_atomically;
use decap::pipeline::{ReadOptions, embed_each};
use decap::{Error, InputFault};
use decap_sources::source::SourceOptions;
use serde_json::json;

use crate::args::EmbedArgs;
use crate::cache::{embedding_cache, tell_cache};
use crate::encoder::{encode_sentences, open_encoder};
use crate::failure::{Failure, Outcome, complaint};
use crate::inputs::{Depth, Opened, Opener};
use crate::name;
use crate::output::{self, Own};
use crate::print;
use crate::progress;
use crate::stop::Stop;

/// One row an input, in order: its key and its embedding, or why there is none.
type Row = (&'static str, String, Result<Vec<f32>, Error>);

/// Runs the command.
pub fn run(args: &EmbedArgs) -> Result<Outcome, Failure> {
    let format = Format::of(&args.output)?;
    let own = match format {
        Format::Npy => Own::StartsWith(&[b"\x93NUMPY"]),
        Format::JsonLines => Own::JsonWith(&["embedding", "error"]),
    };
    let typed = args.paths.iter().chain(&args.text).map(PathBuf::as_path);
    output::check(&args.output, typed, &own)?;
    let encoder = open_encoder(&args.encoder, args.precision.precision)?;
    let mut failed = false;
    let rows = match &args.text {
        Some(path) => text_rows(&encoder, path, &mut failed)?,
        None => image_rows(&encoder, args, &mut failed)?,
    };
    if rows.is_empty() {
        // What is wrong with each path has been told.
        print::warn("decap: no photo or video to embed: nothing was written");
        return Ok(Outcome::SomeFailed);
    }
    write(&args.output, format, rows, encoder.width())?;
    print::tell(format!("wrote {}", args.output.display()));
    Ok(if failed {
        Outcome::SomeFailed
    } else {
        Outcome::AllWell
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    JsonLines,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("jsonl") => Ok(Self::JsonLines),
            _ => Err(Failure::Usage(format!(
                "{}: expected a name that ends in .npy or .jsonl",
                path.display()
            ))),
        }
    }
}

/// Sets `failed` where a line is blank.
fn text_rows(encoder: &Encoder, path: &Path, failed: &mut bool) -> Result<Vec<Row>, Failure> {
    // Row n is line n, blank ones included.
    let lines = caption_data::read_by_position(path)?;
    let texts: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
    let embeddings = encode_sentences(encoder, &texts, &Stop::default())?;
    let mut embedded = embeddings.rows();
    let row = |(place, line): (usize, Option<String>)| {
        let blank = || InputFault::Empty(format!("line {}: expected text, got none", place + 1));
        let row = match &line {
            Some(_) => Ok(embedded.next().unwrap_or_default().to_vec()),
            None => Err(Error::input(path, blank())),
        };
        if let Err(error) = &row {
            *failed = true;
            print::warn(complaint(error));
        }
        ("text", line.unwrap_or_default(), row)
    };
    Ok(lines.into_iter().enumerate().map(row).collect())
}

/// Sets `failed` where an input is reported instead of embedded.
fn image_rows(encoder: &Encoder, args: &EmbedArgs, failed: &mut bool) -> Result<Vec<Row>, Failure> {
    let depth = if args.recursive {
        Depth::Recursive
    } else {
        Depth::Flat
    };
    let mut options = SourceOptions::default();
    options.file_bytes = args.limits.max_file_bytes;
    options.column = args.column.clone();
    let mut read = ReadOptions::default();
    read.batch = args.batch;
    read.limits = args.limits.limits();
    read.video = args.limits.video(read.video.frames);
    read.cache = embedding_cache(args.cache.as_deref(), encoder)?;
    options.reach = args.fetch.reach();
    let mut opener = Opener::new(&args.paths, depth, options);
    let mut rows = Vec::new();
    while let Some(few) = opener.next_few()? {
        embed_few(encoder, few, &read, &mut rows, failed)?;
    }
    tell_cache(read.cache.as_ref());
    Ok(rows)
}

/// Appends a row for each photo; sets `failed` as [`image_rows`] does.
fn embed_few(
    encoder: &Encoder,
    few: Vec<Opened>,
    read: &ReadOptions,
    rows: &mut Vec<Row>,
    failed: &mut bool,
) -> Result<(), Failure> {
    let mut photos = Vec::new();
    for photo in few {
        match photo {
            Ok(photo) => photos.push(photo),
            Err(error) => {
                *failed = true;
                print::warn(complaint(&error));
            }
        }
    }
    let bar = progress::bar(photos.len() as u64, "photos");
    let stop = Stop::default();
    embed_each(encoder, photos, read, stop.flag(), |one| {
        let row = one
            .result
            .map(|(embedding, ())| embedding.as_slice().to_vec());
        for warning in &one.warnings {
            let told = format!("decap: {}: {warning}", name::of(one.input.name()));
            bar.suspend(|| print::warn(told));
        }
        if let Err(error) = &row {
            *failed = true;
            bar.suspend(|| print::warn(complaint(error)));
        }
        rows.push(("path", name::of(one.input.name()), row));
        bar.inc(1);
        Ok::<_, Failure>(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Writes the rows; in a `.npy` file an input that failed is a row of NaN, so that row n stays
/// input n.
fn write(path: &Path, format: Format, rows: Vec<Row>, width: usize) -> Result<(), Failure> {
    match format {
        Format::Npy => {
            let values: Vec<f32> = rows
                .into_iter()
                .flat_map(|(.., row)| row.unwrap_or_else(|_| vec![f32::NAN; width]))
                .collect();
            write_atomically(path, |file| decap::write_npy(file, &values, width))?;
        }
        Format::JsonLines => write_atomically(path, |file| {
            for (key, name, row) in rows {
                let line = match row {
                    Ok(embedding) => json!({ key: name, "embedding": embedding }),
                    Err(error) => json!({
                        key: name,
                        "error": { "kind": error.kind(), "message": error.to_string() },
                    }),
                };
                writeln!(file, "{line}")?;
            }
            Ok(())
        })?,
    }
    Ok(())
}
