//! What the worker's thread runs: the model, or in tests something that stands for it.

use std::sync::atomic::AtomicBool;

use decap::memory::{Captions, Memory};
use decap::pipeline::{ReadOptions, embed_each};
use decap::{CaptionOptions, Captioner, Embedding, Embeddings, Error, Input, Result};

use super::job::{CaptionPlan, Job, MemoryKey, Outcome, Picture, Work};

/// Runs photos of one kind of work.
pub trait Engine: Send + 'static {
    /// The outcomes of `jobs`, which all have the same work, in order.
    ///
    /// # Errors
    /// What fails for all of them.
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>>;
}

/// The service's own captioner, and the one that it is now.
pub struct Model {
    /// As it came: with the model's own memory, and all that is known of it.
    own: Captioner,
    /// As the last plan wanted it.
    captioner: Captioner,
    /// Which model that one is, and which memory it has.
    memory_key: MemoryKey,
    read: ReadOptions,
}

impl Model {
    /// This captioner, which reads photos as `read` says.
    pub fn new(captioner: Captioner, read: ReadOptions) -> Self {
        Self {
            own: captioner.clone(),
            memory_key: MemoryKey::default(),
            captioner,
            read,
        }
    }

    /// Takes the model and the memory of `plan`, unless it has them already.
    fn remember(&mut self, plan: &CaptionPlan) -> Result<()> {
        if self.memory_key == plan.memory_key {
            return Ok(());
        }
        let own = plan.model.as_ref().map_or(&self.own, |it| &it.captioner);
        let mut captioner = own.clone();
        match (plan.memory.as_deref(), plan.memory_key.without.as_slice()) {
            (None, []) => {}
            (Some(memory), []) => captioner.set_memory(memory.clone())?,
            (memory, without) => {
                let memory = memory.unwrap_or(own.memory());
                captioner.set_memory(lacking(memory, without)?)?;
            }
        }
        self.captioner = captioner;
        self.memory_key.clone_from(&plan.memory_key);
        Ok(())
    }

    /// The options of `plan`, with the tokens of its banned phrases.
    fn options(&self, plan: &CaptionPlan) -> Result<CaptionOptions> {
        let mut options = plan.options.clone();
        for phrase in &plan.ban {
            let (decoder, tokenizer) = (self.captioner.decoder(), self.captioner.tokenizer());
            let writings = decoder.writings(tokenizer, phrase)?;
            options.generate.banned_words.extend(writings);
        }
        Ok(options)
    }
}

impl Engine for Model {
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>> {
        let Some(first) = jobs.first() else {
            return Ok(Vec::new());
        };
        let stop = AtomicBool::new(false);
        let input = |job: &Job| {
            let input = match &job.picture {
                Picture::File(bytes) => Input::from(bytes.as_ref()),
                Picture::Frame(image) => Input::from(image.clone()),
                // It is not read again.
                Picture::Seen(_) => Input::from(Vec::new()),
            };
            input.named(job.name.as_str())
        };
        let seen: Vec<&Embedding> = jobs.iter().filter_map(seen).collect();
        let inputs = jobs.iter().map(input);
        let mut outcomes = Vec::with_capacity(jobs.len());
        match &first.work {
            Work::Caption(plan) => {
                self.remember(plan)?;
                let options = self.options(plan)?;
                let captioner = &self.captioner;
                if seen.len() == jobs.len() {
                    return caption_seen(captioner, &seen, &options);
                }
                captioner.caption_each(inputs, &self.read, &options, &stop, |one| {
                    outcomes.push(Outcome::Caption(one.result, one.timings));
                    Ok::<_, Error>(())
                })?;
            }
            Work::Embed => {
                let encoder = self.captioner.encoder();
                embed_each(encoder, inputs, &self.read, &stop, |one| {
                    let embedding = one.result.map(|(embedding, ())| embedding);
                    outcomes.push(Outcome::Embedding(embedding));
                    Ok::<_, Error>(())
                })?;
            }
        }
        Ok(outcomes)
    }
}

/// The embedding of what was seen already.
fn seen(job: &Job) -> Option<&Embedding> {
    match &job.picture {
        Picture::Seen(embedding) => Some(embedding),
        _ => None,
    }
}

/// Captions of what was seen already.
fn caption_seen(
    captioner: &Captioner,
    seen: &[&Embedding],
    options: &CaptionOptions,
) -> Result<Vec<Outcome>> {
    let mut embeddings = Embeddings::empty(captioner.encoder().width());
    for embedding in seen {
        embeddings.push(embedding)?;
    }
    let (captions, timings) = captioner.caption_embeddings(&embeddings, options)?;
    let outcome = |caption| Outcome::Caption(Ok(caption), timings);
    Ok(captions.into_iter().map(outcome).collect())
}

/// `memory` but for these sentences.
fn lacking(memory: &Memory, without: &[String]) -> Result<Memory> {
    let is_kept = |&row: &usize| !without.iter().any(|it| it == memory.captions().get(row));
    let kept: Vec<usize> = (0..memory.len()).filter(is_kept).collect();
    if kept.is_empty() {
        let message = "`without`: expected to leave some sentence in the memory, got all of them";
        return Err(Error::Usage(message.into()));
    }
    let captions = Captions::from_sentences(kept.iter().map(|&row| memory.captions().get(row)));
    Memory::new(memory.rows().select(&kept), captions, memory.info().clone())
}
