//! The caption among candidates: what the decoder wrote, and sentences of the memory.

use std::collections::HashSet;
use std::sync::OnceLock;

use caption_words::{repeated_lemmas, words};
use rayon::prelude::*;

use crate::caption::{CaptionOptions, ChosenFrom};
use crate::consensus::{Ballot, Phrases, Rerank, best};
use crate::decoder::{Case, Decoder, GenerateOptions, Generated, Method as Choice, detokenise};
use crate::memory::Memory;
use decap_encoder::encoder::Encoder;
use decap_encoder::tokenizer::Tokenizer;
use decap_encoder::{Embedding, Embeddings};
use decap_encoder::{Error, Result};

/// A caption before its evidence.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub text: String,
    pub score: f32,
    pub from: ChosenFrom,
}

impl From<(String, f32)> for Chosen {
    fn from((text, score): (String, f32)) -> Self {
        Self {
            text,
            score,
            from: ChosenFrom::Written,
        }
    }
}

/// What the decoder wrote of one photo, and the scores.
pub(crate) type Written = Vec<(String, f32)>;

/// A candidate: the index of a written caption, or a row of the memory.
#[derive(Clone, Copy)]
enum Candidate {
    Written(usize),
    Row(usize),
}

/// The parts of a captioner that choose.
#[derive(Clone, Copy)]
pub(crate) struct Chooser<'c> {
    pub encoder: &'c Encoder,
    pub memory: &'c Memory,
    /// The memory's words, read when candidates are first compared with them.
    pub phrases: &'c OnceLock<Phrases>,
    pub decoder: &'c Decoder,
    pub tokenizer: &'c Tokenizer,
}

impl<'c> Chooser<'c> {
    /// The memory's words.
    pub(crate) fn phrases(&self) -> &'c Phrases {
        self.phrases
            .get_or_init(|| Phrases::of(self.memory.captions()))
    }

    /// What the decoder writes, best first, for each of `prefixes` `[rows, prefix_width]`: one caption, or
    /// all of its beams where one of them is to be chosen.
    pub(crate) fn write(&self, prefixes: &[f32], options: &CaptionOptions) -> Result<Vec<Written>> {
        let (generate, count) = match options.rerank_in_use() {
            Rerank::None => (options.generate.clone(), 1),
            _ => with_beams(&options.generate, options.consensus.beams),
        };
        let written = self.decoder.generate_best(prefixes, &generate, count)?;
        let one = |caption: Generated| -> Result<(String, f32)> {
            let text = self.tokenizer.decode(&caption.caption_ids())?;
            Ok((self.finished(&text, options.case), caption.score))
        };
        let several = |captions: Vec<Generated>| captions.into_iter().map(one).collect();
        written.into_iter().map(several).collect()
    }

    /// The choice among what was `written` `[rows]` behind `prefixes` and the memory's nearest sentences,
    /// for photos with these `embeddings` `[rows, width]`.
    pub(crate) fn choose(
        &self,
        embeddings: &Embeddings,
        prefixes: &[f32],
        written: Vec<Written>,
        options: &CaptionOptions,
    ) -> Result<Vec<Chosen>> {
        if options.rerank_in_use() == Rerank::None {
            return Ok(written.into_iter().flatten().map(Chosen::from).collect());
        };
        let found = self.judge(embeddings, &written, options)?;
        let width = self.decoder.config().prefix_width;
        let photos = found
            .into_iter()
            .zip(written)
            .zip(prefixes.chunks_exact(width));
        photos
            .map(|((found, mut written), prefix)| match found {
                Candidate::Row(row) => {
                    let sentence = self.memory.captions().get(row);
                    let ids = self.tokenizer.encode(sentence)?;
                    Ok(Chosen {
                        text: self.as_written(sentence, &ids, options.case)?,
                        score: self.decoder.score(prefix, &ids)?,
                        from: ChosenFrom::Memory,
                    })
                }
                Candidate::Written(index) => Ok(written.swap_remove(index).into()),
            })
            .collect()
    }

    /// The choice among the memory's nearest sentences alone.
    pub(crate) fn choose_retrieved(
        &self,
        embeddings: &Embeddings,
        options: &CaptionOptions,
    ) -> Result<Vec<Chosen>> {
        if options.consensus.retrieved == 0 {
            let message = "method consensus: expected memory sentences to choose among, got none";
            return Err(Error::Usage(message.into()));
        }
        let none = vec![Written::new(); embeddings.len()];
        let found = self
            .judge(embeddings, &none, options)?
            .into_iter()
            .enumerate();
        let rows = found.filter_map(|(photo, found)| match found {
            Candidate::Row(row) => Some((photo, row)),
            Candidate::Written(_) => None,
        });
        rows.map(|(photo, row)| {
            Ok(Chosen {
                text: self.memory.captions().get(row).to_owned(),
                score: row_of(embeddings, photo)?.cosine(&self.memory.row(row)?),
                from: ChosenFrom::Memory,
            })
        })
        .collect()
    }

    /// The best candidate of each photo; where none has a word, the first that was written, or else the
    /// nearest sentence.
    fn judge(
        &self,
        embeddings: &Embeddings,
        written: &[Written],
        options: &CaptionOptions,
    ) -> Result<Vec<Candidate>> {
        let consensus = &options.consensus;
        consensus.check()?;
        let by_consensus = options.is_by_consensus();
        let voters = match by_consensus {
            true => consensus.voters_of(self.memory.len()),
            false => 0,
        };
        let wanted = voters.max(consensus.retrieved);
        let nearest = self.memory.weighted(embeddings, consensus.tau, wanted)?;
        let cosine_weight = if by_consensus { consensus.cosine } else { 1.0 };
        let banned = self.banned_phrases(&options.generate)?;
        let texts: Vec<&str> = written
            .iter()
            .flatten()
            .map(|(text, _)| text.as_str())
            .collect();
        let own = match cosine_weight == 0.0 || texts.is_empty() {
            true => Embeddings::empty(self.encoder.width()),
            false => self.encoder.encode_texts(&texts)?,
        };
        let firsts = written.iter().scan(0, |next, one| {
            let first = *next;
            *next += one.len();
            Some(first)
        });
        let photos: Vec<(usize, usize)> = firsts.enumerate().collect();
        photos
            .into_par_iter()
            .map(|(photo, first)| {
                let nearest = &nearest[photo];
                let nearest_few = &nearest[..consensus.retrieved.min(nearest.len())];
                let may_be_said = |words: &[String]| is_allowed(words, &banned, options);
                let (candidates, said) = self.candidates(&written[photo], nearest_few, may_be_said);
                let repeated: Vec<usize> = said
                    .iter()
                    .map(|words| repeated_lemmas(words.iter().map(String::as_str)))
                    .collect();
                let agreement = match by_consensus {
                    true => self.agreement(&said, &nearest[..voters.min(nearest.len())]),
                    false => vec![0.0; candidates.len()],
                };
                let cosines = match cosine_weight == 0.0 {
                    true => None,
                    false => Some(self.cosines(embeddings, photo, &candidates, &own, first)?),
                };
                let cosines = cosines.as_deref().map(|cosines| (cosines, cosine_weight));
                let found = best(&agreement, &repeated, consensus.repeat_penalty, cosines);
                let fallback = match (written[photo].is_empty(), nearest.first()) {
                    (true, Some(&(row, _))) => Candidate::Row(row),
                    _ => Candidate::Written(0),
                };
                Ok(found.map_or(fallback, |index| candidates[index]))
            })
            .collect()
    }

    /// The candidates of one photo, and their words; no two have the same. What was written obeys the
    /// constraints already.
    fn candidates(
        &self,
        written: &Written,
        nearest: &[(usize, f32)],
        may_be_said: impl Fn(&[String]) -> bool,
    ) -> (Vec<Candidate>, Vec<Vec<String>>) {
        let captions = self.memory.captions();
        let written = (0..)
            .zip(written)
            .map(|(index, (text, _))| (Candidate::Written(index), text.as_str()));
        let rows = nearest
            .iter()
            .map(|&(row, _)| (Candidate::Row(row), captions.get(row)));
        let mut known = HashSet::new();
        written
            .chain(rows)
            .map(|(candidate, text)| (candidate, words(text)))
            .filter(|(candidate, words)| {
                let is_written = matches!(candidate, Candidate::Written(_));
                let is_caption = !words.is_empty() && (is_written || may_be_said(words));
                is_caption && known.insert(words.clone())
            })
            .unzip()
    }

    /// The words of each banned phrase.
    fn banned_phrases(&self, generate: &GenerateOptions) -> Result<Vec<Vec<String>>> {
        let banned = generate.banned_words.iter();
        banned
            .map(|ids| Ok(words(&self.tokenizer.decode(ids)?)))
            .collect()
    }

    fn agreement(&self, said: &[Vec<String>], voters: &[(usize, f32)]) -> Vec<f64> {
        let phrases = self.phrases();
        let mut unknown = Vec::new();
        let numbers = said
            .iter()
            .map(|words| phrases.numbers(words, &mut unknown));
        Ballot::new(phrases, numbers.collect()).agreement(voters)
    }

    /// The cosine of each candidate to the photo. `own` `[all written, width]` has this photo's written
    /// candidates from row `first`.
    fn cosines(
        &self,
        embeddings: &Embeddings,
        photo: usize,
        candidates: &[Candidate],
        own: &Embeddings,
        first: usize,
    ) -> Result<Vec<f32>> {
        let query = row_of(embeddings, photo)?;
        let cosine = |candidate: &Candidate| match *candidate {
            Candidate::Row(row) => Ok(query.cosine(&self.memory.row(row)?)),
            Candidate::Written(index) => Ok(query.cosine(&row_of(own, first + index)?)),
        };
        candidates.iter().map(cosine).collect()
    }

    /// A memory sentence, `ids` by the tokenizer, in the form in which this decoder writes.
    fn as_written(&self, sentence: &str, ids: &[u32], case: Case) -> Result<String> {
        let decoded = self.tokenizer.decode(ids)?;
        // The tokenizer may lack a letter or an accent, which the sentence keeps.
        let text = if words(&decoded) == words(sentence) {
            decoded
        } else if decoded.chars().any(char::is_uppercase) {
            sentence.to_owned()
        } else {
            sentence.to_lowercase()
        };
        Ok(self.finished(&text, case))
    }

    /// Decoded text as it is shown.
    fn finished(&self, decoded: &str, case: Case) -> String {
        match self.tokenizer.keeps_spaces() {
            true => case.of(decoded.trim()),
            false => detokenise(decoded, case),
        }
    }
}

/// These options with at least so many beams, and their number; what samples draws one caption as ever.
fn with_beams(generate: &GenerateOptions, beams: usize) -> (GenerateOptions, usize) {
    let mut generate = generate.clone();
    let (width, length_penalty) = match generate.method {
        Choice::Greedy => (beams, 1.0),
        Choice::Beam {
            width,
            length_penalty,
        } => (width.max(beams), length_penalty),
        Choice::Sample { .. } => return (generate, 1),
    };
    generate.method = Choice::Beam {
        width,
        length_penalty,
    };
    (generate, width)
}

/// Whether a caption of these words keeps to what was asked of captions: nothing banned, and a length within
/// the limits, which count words as tokens.
fn is_allowed(words: &[String], banned: &[Vec<String>], options: &CaptionOptions) -> bool {
    let has = |phrase: &Vec<String>| {
        !phrase.is_empty()
            && words
                .windows(phrase.len())
                .any(|run| run == phrase.as_slice())
    };
    let lengths = options.generate.min_tokens..=options.generate.max_tokens;
    let is_kept = || lengths.contains(&words.len()) && !banned.iter().any(has);
    // What writes no words obeys no rule about writing them.
    !options.method.writes() || is_kept()
}

fn row_of(embeddings: &Embeddings, row: usize) -> Result<Embedding> {
    let missing = || Error::Usage(format!("expected an embedding {row}, got fewer"));
    embeddings.get(row).ok_or_else(missing)
}
