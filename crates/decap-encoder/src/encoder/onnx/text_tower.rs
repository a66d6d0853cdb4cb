//! A text tower exported to ONNX, with its Hugging Face tokenizer.

use rten::{NodeId, Value, ValueOrView};
use serde::{Deserialize, Serialize};
use tokenizers::{Tokenizer, TruncationParams};

use super::Pooling;
use super::image_tower::pool_tokens;
use super::session::{Output, Session};
use crate::encoder::TextTower;
use crate::error::{Error, Result};
use crate::tokenizer::{TooLong, hugging_face};
use crate::weights::Folder;

/// How a text tower is used. The defaults are those of sentence-transformers for
/// all-MiniLM-L6-v2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnnxTextOptions {
    /// The output that is the features. Default: `text_embeds` or `sentence_embedding` where
    /// there is one, else the first output.
    pub output: Option<String>,
    /// What becomes of an output `[texts, tokens, width]`.
    pub pooling: Pooling,
    /// The most tokens a text may have, those that the tokenizer adds included.
    pub max_tokens: usize,
    /// What happens to a longer text.
    pub too_long: TooLong,
    /// How texts of different lengths share a batch.
    pub padding: Padding,
    /// The token that fills up. Default: what `tokenizer.json` says, else 0.
    pub pad_id: Option<u32>,
    /// Whether texts are written in lower case first, beside what `tokenizer.json` does.
    #[serde(skip_serializing_if = "LetterCase::is_default")]
    pub letter_case: LetterCase,
}

/// In which case a tower's tokenizer sees a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterCase {
    /// As it is written.
    #[default]
    AsWritten,
    /// In lower case: SigLIP2 was trained so, and its `tokenizer.json` does not say it.
    Lower,
}

impl LetterCase {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How texts of different lengths share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Up to the longest of the batch; the attention mask leaves the filling out.
    #[default]
    Longest,
    /// Always up to `max_tokens`: for towers that saw the filling in training (SigLIP).
    MaxTokens,
}

impl Default for OnnxTextOptions {
    fn default() -> Self {
        Self {
            output: None,
            pooling: Pooling::Mean,
            max_tokens: 256,
            too_long: TooLong::Truncate,
            padding: Padding::Longest,
            pad_id: None,
            letter_case: LetterCase::AsWritten,
        }
    }
}

/// A text tower exported to ONNX: sentences to features.
#[derive(Debug)]
pub struct OnnxTextTower {
    session: Session,
    tokenizer: Tokenizer,
    inputs: Vec<(NodeId, Input)>,
    output: NodeId,
    /// Texts a run, where the file fixes them.
    fixed_batch: Option<usize>,
    /// Tokens a text, where the file fixes them or the options do.
    fixed_length: Option<usize>,
    width: usize,
    pad_id: u32,
    options: OnnxTextOptions,
}

/// The inputs that text towers are known to have.
#[derive(Debug, Clone, Copy)]
enum Input {
    TokenIds,
    AttentionMask,
    TokenTypes,
    Positions,
}

impl OnnxTextTower {
    /// Texts a run.
    const BATCH: usize = 64;

    /// Loads the ONNX file `name` and the `tokenizer` (a `tokenizer.json`) of `folder`; the
    /// tower is run once where it does not tell its width.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be read, [`Error::Model`] where it is not what it should
    /// be, [`Error::Usage`] for options that make no sense.
    pub fn open(
        folder: &Folder,
        name: &str,
        tokenizer: &str,
        options: OnnxTextOptions,
    ) -> Result<Self> {
        let session = Session::open(folder, name)?;
        let inputs = known_inputs(&session)?;
        let usual = ["text_embeds", "sentence_embedding"];
        let output = session.output(options.output.as_deref(), &usual)?;
        let (fixed_batch, mut fixed_length) = match inputs.first().map(|(id, _)| session.shape(*id))
        {
            Some(Some(shape)) if shape.len() == 2 => (shape[0], shape[1]),
            _ => (None, None),
        };
        if fixed_length.is_some_and(|length| length < options.max_tokens) {
            let length = fixed_length.unwrap_or_default();
            return Err(session.error(format!(
                "expected room for {} tokens, got a tower for {length}",
                options.max_tokens
            )));
        }
        if options.padding == Padding::MaxTokens && fixed_length.is_none() {
            fixed_length = Some(options.max_tokens);
        }
        let (tokenizer, pad_id) = open_tokenizer(folder, tokenizer, &options)?;
        session.check_input_size(
            fixed_batch.unwrap_or(Self::BATCH),
            fixed_length.unwrap_or(options.max_tokens),
        )?;
        let mut tower = Self {
            session,
            tokenizer,
            inputs,
            output,
            fixed_batch: fixed_batch.filter(|&batch| batch > 0),
            fixed_length,
            width: 0,
            pad_id,
            options,
        };
        tower.width = match tower.session.shape(output).as_deref() {
            Some(&[_, Some(width)] | &[_, _, Some(width)]) => width,
            _ => tower.features(&["a"])?.len(),
        };
        Ok(tower)
    }

    /// The token ids of `text`, as the tower gets them.
    ///
    /// # Errors
    /// [`Error::Usage`] for a text that is too long where that is refused, [`Error::Model`] where
    /// the tokenizer fails.
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>> {
        let lower = match self.options.letter_case {
            LetterCase::AsWritten => None,
            LetterCase::Lower => Some(text.to_lowercase()),
        };
        let text = lower.as_deref().unwrap_or(text);
        let ids = hugging_face::encode(&self.tokenizer, text, true)
            .map_err(|error| self.session.error(format!("the tokenizer failed: {error}")))?;
        if ids.len() > self.options.max_tokens {
            return Err(Error::Usage(format!(
                "expected a text of at most {} tokens, got {}: `{}`",
                self.options.max_tokens,
                ids.len(),
                text.chars().take(80).collect::<String>()
            )));
        }
        if ids.is_empty() {
            // A tokenizer that adds nothing makes nothing of an empty text.
            return Ok(vec![self.pad_id]);
        }
        Ok(ids)
    }

    /// The features `[texts, width]` of tokenized texts, padded to `length`.
    fn run(&self, texts: &[&[u32]], length: usize) -> Result<Vec<f32>> {
        let padded = |fill: i32, value: fn(usize, u32) -> i32| -> Vec<i32> {
            let mut padded = Vec::with_capacity(texts.len() * length);
            for ids in texts {
                padded.extend(
                    ids.iter()
                        .enumerate()
                        .map(|(position, &id)| value(position, id)),
                );
                padded.resize(padded.len() + length - ids.len(), fill);
            }
            padded
        };
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (node, input) in &self.inputs {
            let values = match input {
                Input::TokenIds => padded(self.pad_id as i32, |_, id| id as i32),
                Input::AttentionMask => padded(0, |_, _| 1),
                Input::TokenTypes => padded(0, |_, _| 0),
                Input::Positions => padded(0, |position, _| position as i32),
            };
            let value = Value::from_shape([texts.len(), length], values)
                .map_err(|error| self.session.error(error.to_string()))?;
            inputs.push((*node, ValueOrView::from(value)));
        }
        let mut outputs = self.session.run(inputs, &[self.output])?;
        let Some(Output { shape, values }) = outputs.pop() else {
            return Err(self.session.error("expected an output, got none"));
        };
        match shape[..] {
            [rows, _] if rows == texts.len() => Ok(values),
            [rows, tokens, width] if rows == texts.len() && tokens == length => Ok(values
                .chunks_exact(tokens * width)
                .zip(texts)
                .flat_map(|(row, ids)| pool_tokens(row, width, ids.len(), self.options.pooling))
                .collect()),
            _ => Err(self.session.error(format!(
                "expected an output [{0}, width] or [{0}, {length}, width], got {shape:?}",
                texts.len()
            ))),
        }
    }
}

impl TextTower for OnnxTextTower {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let features = self.features(texts)?;
        if features.len() != texts.len() * self.width {
            let width = features.len() / texts.len().max(1);
            let message = format!("expected features of width {}, got {width}", self.width);
            return Err(self.session.error(message));
        }
        Ok(features)
    }
}

impl OnnxTextTower {
    /// Texts of like length are run together, so that little is computed on filling.
    fn features(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let ids = texts
            .iter()
            .map(|text| self.token_ids(text))
            .collect::<Result<Vec<_>>>()?;
        let mut by_length: Vec<usize> = (0..texts.len()).collect();
        by_length.sort_by_key(|&index| ids[index].len());

        let mut features = Vec::new();
        for indices in by_length.chunks(self.fixed_batch.unwrap_or(Self::BATCH)) {
            let mut batch: Vec<&[u32]> = indices.iter().map(|&index| &ids[index][..]).collect();
            if let (Some(rows), Some(&last)) = (self.fixed_batch, batch.last()) {
                batch.resize(rows, last);
            }
            let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(1);
            let length = self.fixed_length.unwrap_or(longest);
            let rows = self.run(&batch, length)?;
            let width = rows.len() / batch.len();
            features.resize(texts.len() * width, 0.0);
            for (&index, row) in indices.iter().zip(rows.chunks_exact(width)) {
                features[index * width..][..width].copy_from_slice(row);
            }
        }
        Ok(features)
    }
}

/// The declared inputs, each recognised by its usual name.
fn known_inputs(session: &Session) -> Result<Vec<(NodeId, Input)>> {
    let inputs = session.inputs();
    let known = inputs.iter().map(|(node, name)| match name.as_str() {
        "input_ids" => Ok((*node, Input::TokenIds)),
        "attention_mask" => Ok((*node, Input::AttentionMask)),
        "token_type_ids" => Ok((*node, Input::TokenTypes)),
        "position_ids" => Ok((*node, Input::Positions)),
        // A lone input of any name can only be the tokens.
        _ if inputs.len() == 1 => Ok((*node, Input::TokenIds)),
        other => Err(session.error(format!(
            "expected the inputs input_ids, attention_mask, token_type_ids or position_ids, \
             got `{other}`"
        ))),
    });
    let known = known.collect::<Result<Vec<_>>>()?;
    if !known
        .iter()
        .any(|(_, input)| matches!(input, Input::TokenIds))
    {
        return Err(session.error("expected an input `input_ids`, got none"));
    }
    Ok(known)
}

/// The tokenizer, set to truncate where asked and never to pad, and the padding token.
fn open_tokenizer(
    folder: &Folder,
    name: &str,
    options: &OnnxTextOptions,
) -> Result<(Tokenizer, u32)> {
    /// More than any tokenizer adds around a text.
    const MIN_TOKENS: usize = 8;
    const MAX_TOKENS: usize = 8192;

    if !(MIN_TOKENS..=MAX_TOKENS).contains(&options.max_tokens) {
        return Err(Error::Usage(format!(
            "expected at most {MIN_TOKENS} to {MAX_TOKENS} tokens, got {}",
            options.max_tokens
        )));
    }
    let bytes = folder.bytes(name)?;
    let broken = |error: String| {
        Error::model(
            folder.path(name),
            format!("not a usable tokenizer: {error}"),
        )
    };
    let mut tokenizer = hugging_face::parse(&bytes).map_err(broken)?;
    let padding = tokenizer.get_padding().map(|padding| padding.pad_id);
    let truncation = match options.too_long {
        TooLong::Truncate => Some(TruncationParams {
            max_length: options.max_tokens,
            ..Default::default()
        }),
        TooLong::Refuse => None,
    };
    tokenizer
        .with_padding(None)
        .with_truncation(truncation)
        .map_err(|error| broken(error.to_string()))?;
    Ok((tokenizer, options.pad_id.or(padding).unwrap_or(0)))
}
