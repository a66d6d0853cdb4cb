//! `decap model`: say what a model is.

use std::fmt;
use std::path::Path;

use decap::decoder::RepeatedWords;
use decap::encoder::{ENCODER_FILE, EncoderFacts};
use decap::model::{MODEL_FILE, ModelDescription, Writing};
use decap::weights::Folder;
use decap::{Captioner, Precision, Rerank};
use decap_hub::HubReference;
use indicatif::HumanCount;
use serde::Serialize;

use crate::args::ModelCommand;
use crate::bundled::BUNDLED;
use crate::encoder::{KnownPlaces, find_folder, open_options};
use crate::failure::{Failure, Outcome};
use crate::print;

/// Runs the command.
pub fn run(command: &ModelCommand) -> Result<Outcome, Failure> {
    match command {
        ModelCommand::Info { model, json } => info(model, *json)?,
        ModelCommand::Pull { model } => pull(model)?,
    }
    Ok(Outcome::AllWell)
}

fn pull(reference: &str) -> Result<(), Failure> {
    if reference == BUNDLED {
        print::line(crate::bundled::pull()?.display())?;
        return Ok(());
    }
    let id = HubReference::parse(reference).ok_or_else(|| {
        Failure::Usage(format!(
            "{reference}: expected an id of the Hugging Face Hub: OWNER/NAME or OWNER/NAME@REVISION"
        ))
    })?;
    print::line(crate::encoder::pull(&id)?.display())?;
    Ok(())
}

fn info(reference: &str, as_json: bool) -> Result<(), Failure> {
    let path = Path::new(reference);
    if path.is_file() {
        return print(
            &Facts::of_encoder(EncoderFacts::of(reference, &KnownPlaces)?),
            as_json,
        );
    }
    let folder = find_folder(reference)?;
    if folder.contains(ENCODER_FILE) || !folder.contains(MODEL_FILE) {
        return print(
            &Facts::of_encoder(EncoderFacts::of_folder(&folder, &KnownPlaces)?),
            as_json,
        );
    }
    // All parts are opened, so that what is said of them is said of a model that works.
    match Captioner::open_folder(&folder, &open_options(Precision::Auto)) {
        Ok(captioner) => print(&Facts::of_model(&captioner, &folder)?, as_json),
        Err(error) => {
            // What the model says of itself helps to find what it lacks.
            let facts = Facts {
                model: Some(ModelFacts::of(&ModelDescription::read(&folder)?)),
                ..Facts::default()
            };
            print(&facts, as_json)?;
            Err(error.into())
        }
    }
}

/// What `model info` says: the sections that there are.
#[derive(Default, Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<EncoderFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoder: Option<DecoderFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryFacts>,
}

/// What `model.json` says.
#[derive(Serialize)]
struct ModelFacts {
    name: String,
    /// Where the encoder was, and which it was.
    encoder_reference: String,
    encoder_fingerprint: String,
    tau: f32,
    /// How it writes unless told otherwise, as it would be typed.
    writing: String,
    captions: usize,
    captions_from: String,
    preset: String,
    /// The model that training started from.
    #[serde(skip_serializing_if = "String::is_empty")]
    started_from: String,
    steps: u64,
    decap_version: String,
}

/// How a model writes, as it would be typed.
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
    if writing.repeated_words == RepeatedWords::Forbid {
        typed += " --repeated-words forbid";
    }
    if writing.rerank != Rerank::None {
        typed += &format!(" --rerank {}", writing.rerank.name());
    }
    if writing.sentence_case {
        typed += " --sentence-case";
    }
    typed
}

#[derive(Serialize)]
struct DecoderFacts {
    parameters: usize,
    width: usize,
    layers: usize,
    heads: usize,
    positions: usize,
    vocabulary: usize,
    prefix_width: usize,
}

#[derive(Serialize)]
struct MemoryFacts {
    rows: usize,
    width: usize,
    dtype: &'static str,
    bytes: usize,
    source: String,
}

impl Facts {
    fn of_encoder(encoder: EncoderFacts) -> Self {
        Self {
            encoder: Some(encoder),
            ..Self::default()
        }
    }

    fn of_model(captioner: &Captioner, folder: &Folder) -> Result<Self, Failure> {
        let description = captioner.description();
        Ok(Self {
            model: Some(ModelFacts::of(description)),
            encoder: Some(EncoderFacts::for_model(
                &description.encoder,
                folder,
                &KnownPlaces,
            )?),
            decoder: Some(DecoderFacts::of(captioner)),
            memory: Some(MemoryFacts::of(captioner)),
        })
    }
}

impl ModelFacts {
    fn of(description: &ModelDescription) -> Self {
        let ModelDescription {
            name,
            encoder,
            tau,
            writing,
            provenance,
            ..
        } = description;
        Self {
            name: name.clone(),
            encoder_reference: encoder.reference.clone(),
            encoder_fingerprint: encoder.fingerprint.clone(),
            tau: *tau,
            writing: writing_of(writing),
            captions: provenance.captions,
            captions_from: provenance.captions_from.clone(),
            preset: provenance.preset.clone(),
            started_from: provenance.started_from.clone(),
            steps: provenance.steps,
            decap_version: provenance.decap_version.clone(),
        }
    }
}

impl DecoderFacts {
    fn of(captioner: &Captioner) -> Self {
        let config = captioner.decoder().config();
        Self {
            parameters: config.num_parameters(),
            width: config.width,
            layers: config.num_layers,
            heads: config.num_heads,
            positions: config.num_positions,
            vocabulary: config.vocabulary_size,
            prefix_width: config.prefix_width,
        }
    }
}

impl MemoryFacts {
    fn of(captioner: &Captioner) -> Self {
        let memory = captioner.memory();
        Self {
            rows: memory.len(),
            width: memory.width(),
            dtype: memory.rows().dtype().name(),
            bytes: memory.rows().as_bytes().len(),
            source: memory.info().source.clone(),
        }
    }
}

/// Prints one JSON object, or sections with a line a fact.
fn print(facts: &Facts, as_json: bool) -> Result<(), Failure> {
    if as_json {
        // Written directly: a detour over `Value` would write 0.03 as 0.029999999329447746.
        let record = serde_json::to_string(facts).map_err(std::io::Error::from)?;
        print::line(record)?;
        return Ok(());
    }
    print_section("model", facts.model.as_ref())?;
    print_section("encoder", facts.encoder.as_ref())?;
    print_section("decoder", facts.decoder.as_ref())?;
    print_section("memory", facts.memory.as_ref())?;
    Ok(())
}

fn print_section(title: &str, section: Option<&impl fmt::Display>) -> Result<(), Failure> {
    if let Some(section) = section {
        print::line(title)?;
        for line in section.to_string().lines() {
            print::line(format!("  {line}"))?;
        }
    }
    Ok(())
}

impl fmt::Display for ModelFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name         {}", self.name)?;
        writeln!(
            f,
            "made with    encoder {} ({:.12})",
            self.encoder_reference, self.encoder_fingerprint
        )?;
        writeln!(
            f,
            "captions     {} from {}",
            HumanCount(self.captions as u64),
            self.captions_from
        )?;
        write!(f, "recipe       {}, {} steps", self.preset, self.steps)?;
        match self.started_from.as_str() {
            "" => writeln!(f)?,
            model => writeln!(f, ", started from {model}")?,
        }
        writeln!(f, "writing      {}, tau {}", self.writing, self.tau)?;
        write!(f, "made by      decap {}", self.decap_version)
    }
}

impl fmt::Display for DecoderFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            parameters,
            width,
            layers,
            heads,
            positions,
            vocabulary,
            prefix_width,
        } = self;
        writeln!(f, "parameters   {}", HumanCount(*parameters as u64))?;
        writeln!(
            f,
            "shape        {layers} layers of {width} ({heads} heads), {positions} positions"
        )?;
        writeln!(f, "vocabulary   {} tokens", HumanCount(*vocabulary as u64))?;
        write!(f, "prefix       from embeddings {prefix_width} wide")
    }
}

impl fmt::Display for MemoryFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "rows         {}, {} wide",
            HumanCount(self.rows as u64),
            self.width
        )?;
        writeln!(
            f,
            "stored as    {} ({:.1} MiB)",
            self.dtype,
            self.bytes as f64 / f64::from(1 << 20)
        )?;
        write!(f, "source       {}", self.source)
    }
}
