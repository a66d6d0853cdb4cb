//! What a client may choose for its captions, under the names of the command line.

use decap::decoder::{Case, Method as Choice, RepeatedWords};
use decap::{CaptionOptions, Method, Rerank};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{Object, ObjectBuilder, Type};

use crate::error::ApiError;
use crate::memories::OWN;
use crate::state::State;
use crate::worker::{CaptionPlan, MemoryKey};

/// What one photo may cost at most.
const MOST_BEAMS: usize = 16;
const MOST_TOKENS: usize = 200;
const MOST_EVIDENCE: usize = 50;
const MOST_PHRASES: usize = 64;
/// Temperatures at least.
const LEAST_DIVISOR: f32 = 1e-6;

const RERANKS: [Rerank; 3] = [Rerank::None, Rerank::Encoder, Rerank::Consensus];
const REPEATED_WORDS: [RepeatedWords; 2] = [RepeatedWords::Allow, RepeatedWords::Forbid];

/// The options of a caption.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wishes {
    /// How a photo becomes a caption.
    #[schema(schema_with = methods)]
    pub method: Option<String>,
    /// Softmax temperature of the projection.
    #[schema(minimum = 0.000001)]
    pub tau: Option<f32>,
    /// Memory sentences to show.
    #[schema(minimum = 0, maximum = 50)]
    pub evidence: Option<usize>,
    /// Beams; 1 is greedy.
    #[schema(minimum = 1, maximum = 16)]
    pub beam: Option<usize>,
    /// Above 1, longer captions.
    pub length_penalty: Option<f32>,
    /// Sample at this temperature.
    #[schema(minimum = 0.000001)]
    pub temperature: Option<f32>,
    /// Sample from so much probability.
    #[schema(minimum = 0.000001, maximum = 1)]
    pub top_p: Option<f32>,
    /// Seed of the sampling.
    #[schema(minimum = 0, format = "uint64")]
    pub seed: Option<u64>,
    /// Tokens at least.
    #[schema(minimum = 0, maximum = 200)]
    pub min_length: Option<usize>,
    /// Tokens at most.
    #[schema(minimum = 1, maximum = 200)]
    pub max_length: Option<usize>,
    /// Above 1, fewer repetitions.
    pub repetition_penalty: Option<f32>,
    /// No run of so many tokens twice.
    #[schema(minimum = 0)]
    pub no_repeat_ngram: Option<usize>,
    /// Whether a caption may say a content word twice.
    #[schema(schema_with = repeated_words)]
    pub repeated_words: Option<String>,
    /// Words and phrases that are never written.
    #[schema(max_items = 64)]
    pub ban: Vec<String>,
    /// Capital letter and full stop.
    pub sentence_case: Option<bool>,
    /// How the caption is chosen among several.
    #[schema(schema_with = reranks)]
    pub rerank: Option<String>,
    /// Never a memory sentence.
    pub written_only: Option<bool>,
    /// The model to use: `decap` or one that was trained here.
    pub model: Option<String>,
    /// The memory to use.
    pub memory: Option<String>,
    /// Memory sentences to leave out.
    #[schema(max_items = 64)]
    pub without: Vec<String>,
    /// How many of the captions that the decoder considered to show.
    #[schema(minimum = 0, maximum = 16)]
    pub candidates: Option<usize>,
}

/// The schema of a text that is one of `names`, or of none, which leaves the choice to the model.
fn named<'a>(meaning: &str, names: impl Iterator<Item = &'a str>) -> Object {
    let none = std::iter::once(Value::Null);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(meaning))
        .enum_values(Some(names.map(Value::from).chain(none)))
        .build()
}

fn methods() -> Object {
    named(
        "How a photo becomes a caption.",
        Method::ALL.iter().map(|it| it.name()),
    )
}

fn reranks() -> Object {
    named(
        "How the caption is chosen among several.",
        RERANKS.iter().map(|it| it.name()),
    )
}

fn repeated_words() -> Object {
    named(
        "Whether a caption may say a content word twice.",
        REPEATED_WORDS.iter().map(|&it| name_of_repeated(it)),
    )
}

fn name_of_repeated(words: RepeatedWords) -> &'static str {
    match words {
        RepeatedWords::Forbid => "forbid",
        _ => "allow",
    }
}

impl Wishes {
    /// The wishes among a request's fields.
    ///
    /// # Errors
    /// [`ApiError::Unusable`] for a field that is not known or has a value of another kind.
    pub fn of(fields: Map<String, Value>) -> Result<Self, ApiError> {
        let wishes = serde_json::from_value(Value::Object(fields));
        wishes.map_err(|error| ApiError::Unusable(error.to_string()))
    }

    /// How photos are captioned then.
    ///
    /// # Errors
    /// [`ApiError::Unusable`] for a value out of range, [`ApiError::NotFound`] for a model or a memory that is not there.
    pub fn plan(self, state: &State) -> Result<CaptionPlan, ApiError> {
        let model = match &self.model {
            Some(name) => state.decoders.named(name)?,
            None => None,
        };
        let defaults = model.as_ref().map_or(&state.defaults, |it| &it.defaults);
        let options = self.options(defaults)?;
        at_most("ban", self.ban.len(), MOST_PHRASES)?;
        at_most("without", self.without.len(), MOST_PHRASES)?;
        at_most("candidates", self.candidates.unwrap_or(0), MOST_BEAMS)?;
        let memory = state
            .memories
            .named(self.memory.as_deref().unwrap_or(OWN))?;
        let mut without = self.without;
        without.sort();
        without.dedup();
        let (number, memory) = memory.map_or((0, None), |(number, it)| (number, Some(it)));
        Ok(CaptionPlan {
            options,
            ban: self.ban,
            memory,
            memory_key: MemoryKey {
                model: model.as_ref().map_or(0, |it| it.number),
                number,
                without,
            },
            model,
        })
    }

    fn options(&self, defaults: &CaptionOptions) -> Result<CaptionOptions, ApiError> {
        let mut options = defaults.clone();
        if let Some(name) = &self.method {
            options.method = one_of("method", name, &Method::ALL, Method::name)?;
        }
        if let Some(tau) = self.tau {
            options.tau = above_zero("tau", tau)?;
        }
        options.evidence = self.evidence.unwrap_or(options.evidence);
        at_most("evidence", options.evidence, MOST_EVIDENCE)?;
        at_least_one("beam", self.beam)?;
        at_least_one("max_length", self.max_length)?;
        let generate = &mut options.generate;
        if self.beam.is_some() || self.length_penalty.is_some() {
            let (beam, penalty) = match generate.method {
                Choice::Beam {
                    width,
                    length_penalty,
                } => (width, length_penalty),
                _ => (1, 1.0),
            };
            let width = self.beam.unwrap_or(beam);
            at_most("beam", width, MOST_BEAMS)?;
            let length_penalty = self.length_penalty.unwrap_or(penalty);
            generate.method = Choice::beam(width, length_penalty);
        }
        let top_p = self.top_p.unwrap_or(Choice::DEFAULT_TOP_P);
        if above_zero("top_p", top_p)? > 1.0 {
            let message = format!("`top_p`: expected a number of at most 1, got {top_p}");
            return Err(ApiError::Unusable(message));
        }
        if let Some(temperature) = self.temperature {
            above_zero("temperature", temperature)?;
            let seed = self.seed.unwrap_or_default();
            generate.method = Choice::Sample {
                temperature,
                top_p,
                seed,
            };
            // One sample would compete with fifty sentences.
            options.rerank = Rerank::None;
        }
        generate.min_tokens = self.min_length.unwrap_or(generate.min_tokens);
        at_most("min_length", generate.min_tokens, MOST_TOKENS)?;
        generate.max_tokens = self.max_length.unwrap_or(generate.max_tokens);
        at_most("max_length", generate.max_tokens, MOST_TOKENS)?;
        generate.repetition_penalty = self
            .repetition_penalty
            .unwrap_or(generate.repetition_penalty);
        generate.no_repeat_ngram = self.no_repeat_ngram.unwrap_or(generate.no_repeat_ngram);
        if let Some(name) = &self.repeated_words {
            let known = &REPEATED_WORDS;
            generate.repeated_words = one_of("repeated_words", name, known, name_of_repeated)?;
        }
        if let Some(sentence_case) = self.sentence_case {
            options.case = match sentence_case {
                true => Case::Sentence,
                false => Case::AsWritten,
            };
        }
        if let Some(name) = &self.rerank {
            options.rerank = one_of("rerank", name, &RERANKS, Rerank::name)?;
        }
        if self.written_only == Some(true) {
            options.consensus.retrieved = 0;
        }
        Ok(options)
    }
}

fn at_most(name: &str, value: usize, most: usize) -> Result<(), ApiError> {
    match value > most {
        true => Err(ApiError::Unusable(format!(
            "`{name}`: expected at most {most}, got {value}"
        ))),
        false => Ok(()),
    }
}

fn at_least_one(name: &str, value: Option<usize>) -> Result<(), ApiError> {
    match value {
        Some(0) => Err(ApiError::Unusable(format!(
            "`{name}`: expected at least 1, got 0"
        ))),
        _ => Ok(()),
    }
}

/// Refuses what a division by it would make infinite.
fn above_zero(name: &str, value: f32) -> Result<f32, ApiError> {
    match value >= LEAST_DIVISOR && value.is_finite() {
        true => Ok(value),
        false => Err(ApiError::Unusable(format!(
            "`{name}`: expected a number of at least 0.000001, got {value}"
        ))),
    }
}

fn one_of<T: Copy>(
    field: &str,
    name: &str,
    known: &[T],
    name_of: impl Fn(T) -> &'static str,
) -> Result<T, ApiError> {
    let found = known.iter().copied().find(|&it| name_of(it) == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|&it| name_of(it)).collect();
        let names = names.join(", ");
        ApiError::Unusable(format!("`{field}`: expected one of {names}, got `{name}`"))
    })
}
