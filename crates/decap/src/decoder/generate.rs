//! How a caption is chosen: greedily, by beam search, or by chance.

use decap_kernels::{largest_index, log_sum_exp, on_pool};
use rayon::prelude::*;

use super::Decoder;
use super::beam::search_beams;
use super::constraints::Constraints;
use super::forward::Session;
use super::sentence::Sentence;
use super::word_table::RepeatedWords;
use decap_encoder::random::RandomStream;
use decap_encoder::{Error, Result};

/// Embeddings that are decoded side by side; more only cost memory.
const GROUP: usize = 64;

/// How captions are chosen. [`GenerateOptions::default`] is the reference's: greedy, 30 tokens.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// The way to choose.
    pub method: Method,
    /// No end before this many tokens of the caption itself.
    pub min_tokens: usize,
    /// At most this many tokens, start and end included.
    pub max_tokens: usize,
    /// Divides the logits of tokens that were written before; 1 leaves them.
    pub repetition_penalty: f32,
    /// No run of this many tokens is written twice; 0 for no such rule.
    pub no_repeat_ngram: usize,
    /// Whether a caption may say a content word twice. Default: it may, as the reference's.
    pub repeated_words: RepeatedWords,
    /// Words and phrases never to write, each as its tokenizer ids: where one has several, its
    /// last is forbidden after the others. [`Decoder::writings`] gives a phrase's ids. What has an
    /// id that the decoder does not know cannot be written in any case.
    pub banned_words: Vec<Vec<u32>>,
}

/// The way to choose the next token. Equal choices go to the lowest id.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The likeliest token each time.
    Greedy,
    /// The likeliest sentence among `width` followed side by side.
    Beam {
        /// Sentences followed.
        width: usize,
        /// A sentence's log-probability is divided by its length to this power.
        length_penalty: f32,
    },
    /// A token drawn at random.
    Sample {
        /// Divides the logits: below 1 bolder, above 1 wilder.
        temperature: f32,
        /// Only the likeliest tokens that together reach this probability are drawn from.
        top_p: f32,
        /// The same seed draws the same captions for the same list of prefixes.
        seed: u64,
    },
}

impl Method {
    /// What a sample is drawn from unless the caller says otherwise. Decoders are trained with label smoothing
    /// 0.1, which spreads a tenth of the probability over junk: a top-p of 0.9 still reaches it, 0.8 does not.
    pub const DEFAULT_TOP_P: f32 = 0.8;

    /// Beam search with so many beams; greedy with fewer than two.
    pub fn beam(width: usize, length_penalty: f32) -> Self {
        match width {
            0 | 1 => Self::Greedy,
            width => Self::Beam {
                width,
                length_penalty,
            },
        }
    }
}

/// A caption's tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// All tokens written, as tokenizer ids: start and end, where written, included.
    pub token_ids: Vec<u32>,
    /// The mean natural log-probability of these tokens, before any constraint or temperature.
    pub score: f32,
    /// The sum of these log-probabilities: that of the whole caption.
    pub log_probability: f32,
    /// Whether the caption ended by itself rather than at the greatest length.
    pub ended: bool,
    start_id: Option<u32>,
    end_id: u32,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            method: Method::Greedy,
            min_tokens: 0,
            max_tokens: 30,
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            repeated_words: RepeatedWords::default(),
            banned_words: Vec::new(),
        }
    }
}

impl Generated {
    /// The caption's own tokens: start and end left out, wherever they are, as the reference
    /// removes their text.
    pub fn caption_ids(&self) -> Vec<u32> {
        let special = |id: &u32| Some(*id) == self.start_id || *id == self.end_id;
        self.token_ids
            .iter()
            .copied()
            .filter(|id| !special(id))
            .collect()
    }
}

impl Decoder {
    /// Writes a caption for each of `prefixes` `[rows, prefix_width]`, unit vectors.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the width is not the decoder's, [`Error::Usage`] for options
    /// that make no sense.
    pub fn generate(&self, prefixes: &[f32], options: &GenerateOptions) -> Result<Vec<Generated>> {
        let captions = self.generate_best(prefixes, options, 1)?;
        Ok(captions.into_iter().flatten().collect())
    }

    /// Writes the `count` best captions for each of `prefixes` `[rows, prefix_width]`, unit vectors:
    /// `[rows][1..=count]`, best first by the value that beams compete for. The first is what
    /// [`Decoder::generate`] writes.
    ///
    /// Beam search has as many as it follows beams, at most; the other methods write one.
    ///
    /// # Errors
    /// As [`Decoder::generate`]; [`Error::Usage`] for a `count` of 0.
    ///
    /// ```
    /// use decap::decoder::{GenerateOptions, Method};
    /// let captioner = decap::Captioner::open("../../models/tiny")?;
    /// let prefix = captioner.memory().row(7)?;
    /// let mut options = GenerateOptions::default();
    /// options.method = Method::Beam { width: 6, length_penalty: 1.0 };
    /// let captions = captioner.decoder().generate_best(prefix.as_slice(), &options, 6)?;
    /// assert_eq!((captions.len(), captions[0].len()), (1, 6));
    /// for caption in &captions[0] {
    ///     let text = captioner.tokenizer().decode(&caption.caption_ids())?;
    ///     println!("{:.2}  {text}", caption.log_probability);
    /// }
    /// # Ok::<(), decap::Error>(())
    /// ```
    pub fn generate_best(
        &self,
        prefixes: &[f32],
        options: &GenerateOptions,
        count: usize,
    ) -> Result<Vec<Vec<Generated>>> {
        self.check(options)?;
        if count == 0 {
            let message = "count: expected at least 1 caption, got 0";
            return Err(Error::Usage(message.into()));
        }
        self.count_prefixes(prefixes)?;
        Ok(on_pool(|| self.generate_checked(prefixes, options, count)))
    }

    fn generate_checked(
        &self,
        prefixes: &[f32],
        options: &GenerateOptions,
        count: usize,
    ) -> Vec<Vec<Generated>> {
        let constraints = Constraints::new(self, options);
        let mut captions: Vec<Vec<Generated>> = Vec::new();
        let only = |sentences: Vec<Sentence>| sentences.into_iter().map(|one| vec![one]).collect();
        for group in prefixes.chunks(GROUP * self.config.prefix_width) {
            let written: Vec<Vec<Sentence>> = match options.method {
                Method::Beam {
                    width,
                    length_penalty,
                } => search_beams(
                    self,
                    group,
                    &constraints,
                    options.max_tokens,
                    width,
                    length_penalty,
                    count.min(width),
                ),
                Method::Greedy => {
                    only(self.follow(group, &constraints, options.max_tokens, &Pick::Likeliest))
                }
                Method::Sample {
                    temperature,
                    top_p,
                    seed,
                } => {
                    let first_row = captions.len() as u64;
                    let pick = Pick::Random {
                        temperature,
                        top_p,
                        seed,
                        first_row,
                    };
                    only(self.follow(group, &constraints, options.max_tokens, &pick))
                }
            };
            let finish = |one: Vec<Sentence>| one.into_iter().map(|one| self.finish(one)).collect();
            captions.extend(written.into_iter().map(finish));
        }
        captions
    }

    /// Writes one token a sequence until all have ended; those that have are left out.
    ///
    /// Buffers are made before the first token; none is made for a token.
    fn follow(
        &self,
        prefixes: &[f32],
        constraints: &Constraints,
        max_tokens: usize,
        pick: &Pick,
    ) -> Vec<Sentence> {
        let vocabulary_size = self.config.vocabulary_size;
        let rows = prefixes.len() / self.config.prefix_width;
        let mut sentences = vec![Sentence::with_capacity(max_tokens); rows];
        let mut live: Vec<usize> = (0..rows).collect();
        let (mut parents, mut tokens) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut choices = Vec::with_capacity(rows);
        let mut chooser = Chooser {
            constraints,
            pick,
            otherwise: self.config.end_token,
            scratch: vec![0.0; vocabulary_size],
        };
        let mut session = Session::new(&self.network, rows, max_tokens);
        let mut step_logits = session.start(prefixes, &[]);
        for step in 0..max_tokens {
            parents.clear();
            tokens.clear();
            chooser.choose(step_logits, &sentences, &live, step, &mut choices);
            for (row, choice) in choices.iter().enumerate() {
                let sentence = &mut sentences[live[row]];
                sentence.push(choice.token, choice.log_probability);
                sentence.ended = choice.token == self.config.end_token;
                if !sentence.ended {
                    parents.push(row);
                    tokens.push(choice.token);
                }
            }
            if parents.is_empty() || step + 1 == max_tokens {
                break;
            }
            for (place, &parent) in parents.iter().enumerate() {
                live[place] = live[parent];
            }
            session.reorder(&parents);
            step_logits = session.step(&tokens);
        }
        sentences
    }

    fn finish(&self, sentence: Sentence) -> Generated {
        let tokenizer_id = |&token: &u32| self.vocabulary.tokenizer_id(token);
        let count = sentence.tokens.len().max(1) as f64;
        Generated {
            token_ids: sentence.tokens.iter().filter_map(tokenizer_id).collect(),
            score: (sentence.log_probability / count) as f32,
            log_probability: sentence.log_probability as f32,
            ended: sentence.ended,
            start_id: self.config.start_token.as_ref().and_then(tokenizer_id),
            end_id: tokenizer_id(&self.config.end_token).unwrap_or(u32::MAX),
        }
    }

    fn check(&self, options: &GenerateOptions) -> Result<()> {
        let refuse = |message: String| Err(Error::Usage(message));
        if !(1..=self.config.num_positions).contains(&options.max_tokens) {
            return refuse(format!(
                "max_tokens: expected 1 to {}, got {}",
                self.config.num_positions, options.max_tokens
            ));
        }
        if options.min_tokens > options.max_tokens {
            return refuse(format!(
                "min_tokens: expected at most max_tokens {}, got {}",
                options.max_tokens, options.min_tokens
            ));
        }
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if !positive(options.repetition_penalty) {
            return refuse(format!(
                "repetition_penalty: expected a positive number, got {}",
                options.repetition_penalty
            ));
        }
        match options.method {
            Method::Greedy => Ok(()),
            Method::Beam { width, .. } if !(1..=1024).contains(&width) => {
                refuse(format!("beam width: expected 1 to 1024, got {width}"))
            }
            Method::Beam { length_penalty, .. } if !length_penalty.is_finite() => refuse(format!(
                "length_penalty: expected a number, got {length_penalty}"
            )),
            Method::Sample { temperature, .. } if !positive(temperature) => refuse(format!(
                "temperature: expected a positive number, got {temperature}"
            )),
            Method::Sample { top_p, .. } if !(positive(top_p) && top_p <= 1.0) => refuse(format!(
                "top_p: expected above 0 and at most 1, got {top_p}"
            )),
            Method::Beam { .. } | Method::Sample { .. } => Ok(()),
        }
    }
}

/// A token and its log-probability before constraints.
#[derive(Debug, Clone, Copy)]
struct Choice {
    token: u32,
    log_probability: f32,
}

/// Chooses a token for each row of logits.
struct Chooser<'a> {
    constraints: &'a Constraints<'a>,
    pick: &'a Pick,
    /// The token where all are forbidden.
    otherwise: u32,
    /// A row of logits to constrain, `[vocabulary_size]`.
    scratch: Vec<f32>,
}

impl Chooser<'_> {
    /// Fills `choices` for `logits` `[live, vocabulary_size]`; `live` are the sentences' indices.
    fn choose(
        &mut self,
        logits: &[f32],
        sentences: &[Sentence],
        live: &[usize],
        step: usize,
        choices: &mut Vec<Choice>,
    ) {
        let rows = logits.par_chunks_exact(self.scratch.len());
        if matches!(self.pick, Pick::Likeliest) && self.constraints.are_none() {
            let choice = |raw| self.of(raw, likeliest(raw));
            rows.map(choice).collect_into_vec(choices);
            return;
        }
        choices.clear();
        for (row, raw) in logits.chunks_exact(self.scratch.len()).enumerate() {
            self.scratch.copy_from_slice(raw);
            self.constraints
                .apply(&sentences[live[row]].tokens, &mut self.scratch);
            let token = self
                .pick
                .choose(&self.scratch, live[row] as u64, step as u64);
            choices.push(self.of(raw, token));
        }
    }

    fn of(&self, raw: &[f32], token: Option<u32>) -> Choice {
        let token = token.unwrap_or(self.otherwise);
        Choice {
            token,
            log_probability: raw[token as usize] - log_sum_exp(raw),
        }
    }
}

enum Pick {
    Likeliest,
    Random {
        temperature: f32,
        top_p: f32,
        seed: u64,
        first_row: u64,
    },
}

impl Pick {
    /// A token by `logits` `[vocabulary_size]`, or `None` where all are forbidden.
    fn choose(&self, logits: &[f32], row: u64, step: u64) -> Option<u32> {
        match *self {
            Self::Likeliest => likeliest(logits),
            Self::Random {
                temperature,
                top_p,
                seed,
                first_row,
            } => {
                let stream = RandomStream::new(&[seed, first_row + row]);
                sample(logits, temperature, top_p, stream.uniform(step))
            }
        }
    }
}

/// The lowest id of the largest logit.
fn likeliest(logits: &[f32]) -> Option<u32> {
    largest_index(logits).map(|token| token as u32)
}

/// Holtzman et al., *The Curious Case of Neural Text Degeneration*, section 3.1: the smallest set
/// of likeliest tokens whose probabilities sum to `top_p`; `draw` in `0.0..1.0` picks within it.
fn sample(logits: &[f32], temperature: f32, top_p: f32, draw: f64) -> Option<u32> {
    let largest = logits[likeliest(logits)? as usize];
    let weight = |logit: f32| f64::from((logit - largest) / temperature).exp();
    let mut choices: Vec<(f64, u32)> = (0..)
        .zip(logits)
        .map(|(token, &logit)| (weight(logit), token))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    choices.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let total: f64 = choices.iter().map(|(weight, _)| weight).sum();
    let mut kept = 0.0;
    let nucleus = choices.iter().take_while(|(weight, _)| {
        let begins_inside = kept < f64::from(top_p) * total;
        kept += weight;
        begins_inside
    });
    let nucleus: Vec<_> = nucleus.collect();
    let mut rest = draw * nucleus.iter().map(|(weight, _)| weight).sum::<f64>();
    for (weight, token) in &nucleus {
        rest -= weight;
        if rest < 0.0 {
            return Some(*token);
        }
    }
    nucleus.last().map(|(_, token)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lowest_id() {
        assert_eq!(likeliest(&[0.0, 2.0, 2.0, 1.0]), Some(1));
        assert_eq!(likeliest(&[f32::NEG_INFINITY; 3]), None);
    }

    #[test]
    fn the_nucleus_holds_the_likeliest_tokens() {
        let logits = [0.5_f32, 0.3, 0.2].map(f32::ln);
        let draws = |top_p: f32, draw: f64| sample(&logits, 1.0, top_p, draw);
        assert_eq!(draws(1.0, 0.0), Some(0));
        assert_eq!(draws(1.0, 0.49), Some(0));
        assert_eq!(draws(1.0, 0.51), Some(1));
        assert_eq!(draws(1.0, 0.81), Some(2));
        assert_eq!(draws(0.45, 0.99), Some(0));
        assert_eq!(draws(0.6, 0.99), Some(1));
        // A low temperature leaves the likeliest token alone.
        assert_eq!(sample(&logits, 0.01, 1.0, 0.999), Some(0));
        assert_eq!(sample(&[f32::NEG_INFINITY; 3], 1.0, 1.0, 0.5), None);
    }
}
