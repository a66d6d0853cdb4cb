//! The captioner: photo to embedding, onto the memory, into words.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::caption::{Candidate, Caption, CaptionOptions, ChosenFrom, Method, Timings};
use crate::choosing::{Chooser, Chosen};
use crate::confidence::Calibration;
use crate::consensus::Phrases;
use crate::decoder::{CONFIG_FILE, Decoder, WEIGHTS_FILE};
use crate::memory::{Evidence, Memory, MemoryOptions, Projection};
use crate::model::{MODEL_FILE, ModelDescription, TOKENIZER_FILE, open_tokenizer};
use decap_encoder::OpenOptions;
use decap_encoder::Precision;
use decap_encoder::encoder::{self, Encoder};
use decap_encoder::tokenizer::Tokenizer;
use decap_encoder::weights::Folder;
use decap_encoder::{Embedding, Embeddings};
use decap_encoder::{Error, Result};
use decap_encoder::{RunKey, hexadecimal};

/// Encoder, memory and decoder, ready to caption. A clone shares them.
#[derive(Clone)]
pub struct Captioner {
    folder: Folder,
    description: ModelDescription,
    encoder: Arc<Encoder>,
    memory: Memory,
    /// How sure captions from this memory are; unknown of another than the model's own.
    calibration: Option<Calibration>,
    /// The memory's words, read when candidates are first compared with them.
    phrases: Arc<OnceLock<Phrases>>,
    decoder: Arc<Decoder>,
    tokenizer: Tokenizer,
    precision: Precision,
}

impl Captioner {
    /// Opens the model folder at `path`, or what else `OpenOptions` makes of that name.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is not there, [`Error::Model`] where one is damaged or of a
    /// future version, [`Error::Mismatch`] where the parts do not belong together.
    pub fn open(path: &str) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Captioner::open`], with options.
    ///
    /// # Errors
    /// As [`Captioner::open`].
    pub fn open_with(reference: &str, options: &OpenOptions) -> Result<Self> {
        Self::open_folder(&options.places.find(reference)?, options)
    }

    /// Opens the model in `folder`.
    ///
    /// # Errors
    /// As [`Captioner::open`].
    pub fn open_folder(folder: &Folder, options: &OpenOptions) -> Result<Self> {
        let precision = options.precision;
        let description = ModelDescription::read(folder)?;
        let calibration = description.confidence;
        // Of about the same length, and of no use to each other.
        let (encoder, (decoder, (memory, tokenizer))) = rayon::join(
            || encoder::open_for_model(&description.encoder, folder, options),
            || {
                rayon::join(
                    || Decoder::open_with(folder, precision),
                    || (Memory::open(folder), open_tokenizer(folder)),
                )
            },
        );
        let (encoder, decoder) = (encoder?, decoder?);
        let memory = memory?.with_precision(precision);
        let tokenizer = tokenizer?;
        let decoder = decoder.with_tokenizer(&tokenizer);
        memory.check_made_by(&encoder)?;
        check_width(&decoder, &encoder, folder)?;
        Ok(Self {
            folder: folder.clone(),
            description,
            encoder,
            memory,
            calibration,
            phrases: Arc::default(),
            decoder: Arc::new(decoder),
            tokenizer,
            precision,
        })
    }

    /// Opens the model in `folder` with this captioner's encoder, which is not opened again.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the model is of another encoder; as [`Captioner::open`].
    pub fn open_beside(&self, folder: &Folder) -> Result<Self> {
        let description = ModelDescription::read(folder)?;
        let memory = Memory::open(folder)?.with_precision(self.precision);
        memory.check_made_by(&self.encoder)?;
        let tokenizer = open_tokenizer(folder)?;
        let decoder = Decoder::open_with(folder, self.precision)?.with_tokenizer(&tokenizer);
        check_width(&decoder, &self.encoder, folder)?;
        Ok(Self {
            folder: folder.clone(),
            calibration: description.confidence,
            description,
            encoder: Arc::clone(&self.encoder),
            memory,
            phrases: Arc::default(),
            decoder: Arc::new(decoder),
            tokenizer,
            precision: self.precision,
        })
    }

    /// This captioner, ready for many photos: [`Memory::ready_for_many`].
    #[must_use]
    pub fn ready_for_many(mut self) -> Self {
        self.memory = self.memory.ready_for_many();
        self
    }

    /// This captioner with `sentences` as its memory: it then speaks of what they speak of. Nothing is
    /// trained.
    ///
    /// ```
    /// let captioner = decap::Captioner::open("../../models/tiny")?
    ///     .with_memory(["a tabby cat asleep", "a tram in the city", "a boat on a lake"])?;
    /// let caption = captioner.caption("../../examples/photos/cat.webp")?;
    /// assert_eq!(caption.evidence[0].text, "a tabby cat asleep");
    /// # Ok::<(), decap::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no sentence; what the encoder's text tower says.
    pub fn with_memory<S: AsRef<str>>(
        mut self,
        sentences: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let sentences: Vec<S> = sentences.into_iter().collect();
        let memory = Memory::build(
            &self.encoder,
            &sentences,
            MemoryOptions::default(),
            "sentences given by the caller",
            None,
            |_| (),
            &AtomicBool::new(false),
        )?;
        self.set_memory(memory)?;
        Ok(self)
    }

    /// Takes another memory. How sure captions are is then unknown.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where another encoder made it; the memory then stays as it is.
    pub fn set_memory(&mut self, memory: Memory) -> Result<()> {
        memory.check_made_by(&self.encoder)?;
        self.memory = memory.with_precision(self.precision);
        self.calibration = None;
        self.phrases = Arc::default();
        Ok(())
    }

    /// The model's own choice of everything.
    pub fn options(&self) -> CaptionOptions {
        let writing = &self.description.writing;
        CaptionOptions {
            tau: self.description.tau,
            query_expansion: writing.query_expansion,
            top_k: writing.top_k,
            rerank: writing.rerank,
            consensus: writing.consensus.clone(),
            generate: writing.generate_options(),
            case: writing.case(),
            ..CaptionOptions::default()
        }
    }

    /// Captions one embedding of this captioner's encoder.
    ///
    /// # Errors
    /// [`Error::Model`] where a network cannot run, [`Error::Usage`] for options that make no sense.
    pub fn caption_embedding(
        &self,
        embedding: &Embedding,
        options: &CaptionOptions,
    ) -> Result<Caption> {
        let row = Embeddings::new(embedding.as_slice().to_vec(), embedding.width())?;
        let (captions, _) = self.caption_embeddings(&row, options)?;
        only(captions)
    }

    /// Captions embeddings `[rows, width]` together, in order; and where the time went.
    ///
    /// # Errors
    /// As [`Captioner::caption_embedding`].
    pub fn caption_embeddings(
        &self,
        embeddings: &Embeddings,
        options: &CaptionOptions,
    ) -> Result<(Vec<Caption>, Timings)> {
        if embeddings.is_empty() {
            return Ok((Vec::new(), Timings::default()));
        }
        let started = Instant::now();
        let chooser = self.chooser();
        let (prefixes, evidence) = self.prefixes(embeddings, options)?;
        let confidences = match &self.calibration {
            Some(calibration) => calibration.confidences(&self.memory, embeddings)?,
            None => Vec::new(),
        };
        let project_ms = milliseconds(started);
        let started = Instant::now();
        let written = match options.method.writes() {
            true => chooser.write(&prefixes, options)?,
            false => Vec::new(),
        };
        let generate_ms = milliseconds(started);
        let candidates: Vec<Vec<Candidate>> = written.iter().map(|it| candidates_of(it)).collect();
        let mut candidates = candidates.into_iter();
        let started = Instant::now();
        let chosen = match options.method {
            Method::Retrieval => self.retrieve(embeddings)?,
            Method::Consensus => chooser.choose_retrieved(embeddings, options)?,
            _ => chooser.choose(embeddings, &prefixes, written, options)?,
        };
        let choose_ms = milliseconds(started);
        let mut confidences = confidences.into_iter();
        let captions = chosen
            .into_iter()
            .zip(evidence)
            .map(|(chosen, evidence)| Caption {
                confidence: confidences.next(),
                text: chosen.text,
                score: chosen.score,
                chosen_from: chosen.from,
                evidence,
                candidates: candidates.next().unwrap_or_default(),
            })
            .collect();
        Ok((
            captions,
            Timings {
                project_ms,
                generate_ms,
                choose_ms,
                ..Timings::default()
            },
        ))
    }

    /// What the decoder is given for `embeddings` `[rows, width]` with [`Method::Projection`]: their projections onto
    /// the memory, of unit length.
    ///
    /// # Errors
    /// As [`Captioner::caption_embedding`].
    pub fn project(&self, embeddings: &Embeddings, options: &CaptionOptions) -> Result<Embeddings> {
        let mut options = options.clone();
        options.method = Method::Projection;
        options.evidence = 0;
        let (prefixes, _) = self.prefixes(embeddings, &options)?;
        Embeddings::new(prefixes, embeddings.width())
    }

    /// How sure captions from this memory are, where the model knows.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The encoder.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The support memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The memory's words.
    pub(crate) fn phrases(&self) -> &Phrases {
        self.chooser().phrases()
    }

    fn chooser(&self) -> Chooser<'_> {
        Chooser {
            encoder: &self.encoder,
            memory: &self.memory,
            phrases: &self.phrases,
            decoder: &self.decoder,
            tokenizer: &self.tokenizer,
        }
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The decoder's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tells apart all that decides the caption of an embedding: the model, its memory with every
    /// sentence, the precision, and `options`. It reads the decoder's files, so it takes a moment.
    ///
    /// # Errors
    /// [`Error::Io`] where a file of the model is gone.
    pub fn run_key(&self, options: &CaptionOptions) -> Result<RunKey> {
        let mut hasher = Sha256::new();
        for name in [MODEL_FILE, CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE] {
            // Only a model without a tokenizer of its own lacks one of them.
            if name != TOKENIZER_FILE || self.folder.contains(name) {
                hasher.update(name);
                hasher.update(Sha256::digest(&*self.folder.bytes(name)?));
            }
        }
        let model = hexadecimal(&hasher.finalize());
        Ok(RunKey::of(&[
            "caption 2",
            self.encoder.run_key().as_str(),
            &model,
            &self.memory.digest(),
            self.precision.name(),
            // All of the options' fields, to the last digit.
            &format!("{options:?}"),
        ]))
    }

    /// What the model says of itself.
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// What the decoder is given for each embedding, and the evidence for it: the memory's sentences
    /// that the caption comes from.
    fn prefixes(
        &self,
        embeddings: &Embeddings,
        options: &CaptionOptions,
    ) -> Result<(Vec<f32>, Vec<Vec<Evidence>>)> {
        match options.method {
            Method::Projection => {
                let expanded = self.expanded(embeddings, options)?;
                let embeddings = expanded.as_ref().unwrap_or(embeddings);
                let projections = self.projected(embeddings, options, options.evidence)?;
                let prefixes = projections.iter().flat_map(|p| p.embedding.as_slice());
                let prefixes = prefixes.copied().collect();
                let evidence = projections.into_iter().map(|p| p.evidence);
                Ok((prefixes, evidence.collect()))
            }
            // Its sentences vote, by their cosines at this temperature.
            Method::Consensus => {
                let tau = options.consensus.tau;
                let voters = self.memory.project(embeddings, tau, options.evidence)?;
                Ok((Vec::new(), voters.into_iter().map(|p| p.evidence).collect()))
            }
            // The memory has no part in it.
            Method::Visual => {
                let none = vec![Vec::new(); embeddings.len()];
                Ok((embeddings.as_slice().to_vec(), none))
            }
            // One sentence decides all.
            Method::Nearest | Method::Retrieval => {
                let mut prefixes = Vec::with_capacity(embeddings.as_slice().len());
                let mut evidence = Vec::with_capacity(embeddings.len());
                for found in self.memory.nearest(embeddings)? {
                    prefixes.extend_from_slice(self.memory.row(found.row)?.as_slice());
                    let only = Evidence {
                        text: found.text,
                        weight: 1.0,
                    };
                    evidence.push(match options.evidence {
                        0 => Vec::new(),
                        _ => vec![only],
                    });
                }
                Ok((prefixes, evidence))
            }
        }
    }

    /// Each embedding with its projection added, where that is asked for.
    fn expanded(
        &self,
        embeddings: &Embeddings,
        options: &CaptionOptions,
    ) -> Result<Option<Embeddings>> {
        let share = options.query_expansion;
        if share == 0.0 {
            return Ok(None);
        }
        if !(share > 0.0 && share.is_finite()) {
            return Err(Error::Usage(format!(
                "query expansion: expected at least 0, got {share}"
            )));
        }
        let mut values = embeddings.as_slice().to_vec();
        let projections = self.projected(embeddings, options, 0)?;
        let projected = projections.iter().flat_map(|p| p.embedding.as_slice());
        for (value, projected) in values.iter_mut().zip(projected) {
            *value += share * projected;
        }
        Ok(Some(Embeddings::new(values, embeddings.width())?))
    }

    fn projected(
        &self,
        embeddings: &Embeddings,
        options: &CaptionOptions,
        evidence: usize,
    ) -> Result<Vec<Projection>> {
        match options.top_k {
            None => self.memory.project(embeddings, options.tau, evidence),
            Some(top_k) => {
                self.memory
                    .project_onto_nearest(embeddings, options.tau, top_k, evidence)
            }
        }
    }

    fn retrieve(&self, embeddings: &Embeddings) -> Result<Vec<Chosen>> {
        let nearest = self.memory.nearest(embeddings)?;
        let chosen = nearest.into_iter().map(|found| Chosen {
            text: found.text,
            score: found.cosine,
            from: ChosenFrom::Memory,
        });
        Ok(chosen.collect())
    }
}

fn only(captions: Vec<Caption>) -> Result<Caption> {
    let mut captions = captions.into_iter();
    let first = captions.next();
    first.ok_or_else(|| Error::Usage("no embedding to caption".into()))
}

fn check_width(decoder: &Decoder, encoder: &Encoder, folder: &Folder) -> Result<()> {
    let (expected, got) = (encoder.width(), decoder.config().prefix_width);
    if expected == got {
        return Ok(());
    }
    Err(Error::model(
        folder.path(CONFIG_FILE),
        format!("expected a decoder for embeddings of width {expected}, got {got}"),
    ))
}

fn candidates_of(written: &[(String, f32)]) -> Vec<Candidate> {
    let candidate = |(text, score): &(String, f32)| Candidate {
        text: text.clone(),
        score: *score,
    };
    written.iter().map(candidate).collect()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
