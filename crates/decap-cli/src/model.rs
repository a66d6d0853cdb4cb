//! `decap model`: say what a model is.

use std::path::Path;

use decap::Captioner;
use decap::encoder::clip::Clip;
use decap::encoder::{self, ENCODER_FILE, Encoder, ImageViews};
use decap::hub::HubReference;
use decap::model::{MODEL_FILE, ModelDescription, Writing};
use decap::weights::Folder;
use serde_json::{Value, json};

use crate::args::ModelCommand;
use crate::encoder::download;
use crate::failure::{Failure, Outcome};

/// Runs the command.
pub fn run(command: &ModelCommand) -> Result<Outcome, Failure> {
    match command {
        ModelCommand::Info { model, json } => info(model, *json)?,
        ModelCommand::Pull { model } => pull(model)?,
    }
    Ok(Outcome::AllWell)
}

fn pull(reference: &str) -> Result<(), Failure> {
    let id = HubReference::parse(reference).ok_or_else(|| {
        Failure::Usage(format!(
            "{reference}: expected an id of the Hugging Face Hub: OWNER/NAME or OWNER/NAME@REVISION"
        ))
    })?;
    println!("{}", crate::encoder::pull(&id)?.display());
    Ok(())
}

fn info(reference: &str, as_json: bool) -> Result<(), Failure> {
    download(reference)?;
    let path = Path::new(reference);
    let folder = match path.is_file() {
        true => Folder::disk(path),
        false => encoder::find_folder(reference)?,
    };
    let is_clip = path.is_file()
        || !folder.contains(MODEL_FILE) && !folder.contains(ENCODER_FILE) && Clip::is_clip(&folder);
    let record = if is_clip {
        json!({ "encoder": Clip::open(&folder.path(""))?.description()? })
    } else if folder.contains(MODEL_FILE) {
        let captioner = Captioner::open_folder(&folder)?;
        json!({
            "model": model_record(&captioner),
            "encoder": encoder_record(captioner.encoder()),
            "decoder": decoder_record(&captioner),
            "memory": memory_record(&captioner),
        })
    } else {
        json!({ "encoder": encoder_record(&*encoder::open_folder(&folder)?) })
    };
    if as_json {
        println!("{record}");
    } else {
        print_record(&record);
    }
    Ok(())
}

fn model_record(captioner: &Captioner) -> Value {
    let ModelDescription {
        name,
        tau,
        writing,
        provenance,
        ..
    } = captioner.description();
    json!({
        "name": name,
        "tau": tau.to_string().parse::<f64>().unwrap_or_default(),
        "writing": writing_of(writing),
        "captions": provenance.captions,
        "captions from": provenance.captions_from,
        "preset": provenance.preset,
        "steps": provenance.steps,
        "made by": format!("decap {}", provenance.decap_version),
    })
}

/// How the model writes unless told otherwise, as it would be typed.
fn writing_of(writing: &Writing) -> String {
    let mut typed = format!(
        "--beam {} --max-length {}",
        writing.beam, writing.max_tokens
    );
    if writing.length_penalty != 1.0 {
        typed += &format!(" --length-penalty {}", writing.length_penalty);
    }
    if writing.repetition_penalty != 1.0 {
        typed += &format!(" --repetition-penalty {}", writing.repetition_penalty);
    }
    if writing.no_repeat_ngram > 0 {
        typed += &format!(" --no-repeat-ngram {}", writing.no_repeat_ngram);
    }
    if writing.sentence_case {
        typed += " --sentence-case";
    }
    typed
}

fn encoder_record(encoder: &Encoder) -> Value {
    let towers = encoder.image_towers().iter().map(|tower| {
        let preprocess = tower.preprocess();
        format!("{} px to {} features", preprocess.size, tower.width())
    });
    json!({
        "name": encoder.name(),
        "fingerprint": encoder.fingerprint(),
        "width": encoder.width(),
        "image tower": towers.collect::<Vec<_>>().join(" + "),
        "image views": match encoder.image_views() {
            ImageViews::Plain => "plain",
            ImageViews::Mirrored => "plain and mirrored",
        },
    })
}

fn decoder_record(captioner: &Captioner) -> Value {
    let config = captioner.decoder().config();
    json!({
        "parameters": config.num_parameters(),
        "width": config.width,
        "layers": config.num_layers,
        "heads": config.num_heads,
        "vocabulary": config.vocabulary_size,
        "prefix width": config.prefix_width,
    })
}

fn memory_record(captioner: &Captioner) -> Value {
    let memory = captioner.memory();
    json!({
        "rows": memory.len(),
        "dtype": memory.rows().dtype().name(),
        "bytes": memory.rows().as_bytes().len(),
        "source": memory.info().source,
    })
}

/// Sections, and a line a field.
fn print_record(record: &Value) {
    for (section, fields) in record.as_object().into_iter().flatten() {
        println!("{section}");
        for (name, value) in fields.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            println!("  {name:<14} {text}");
        }
    }
}
