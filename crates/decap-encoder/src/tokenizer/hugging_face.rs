//! The tokenizers of Hugging Face, called so that no file of theirs can make them panic.

use parser_guard::guarded;
use tokenizers::Tokenizer;

/// What panics are reported as.
const PARSER: &str = "tokenizer.json";

/// Reads a `tokenizer.json`.
///
/// # Errors
/// Why it is none, in words.
pub(crate) fn parse(json: &[u8]) -> Result<Tokenizer, String> {
    let parse = || Tokenizer::from_bytes(json).map_err(|error| error.to_string());
    guarded(PARSER, parse, |message| message)
}

/// The ids of `text`, with the tokens that the tokenizer adds where `with_added` says so.
///
/// # Errors
/// Why there are none, in words.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    with_added: bool,
) -> Result<Vec<u32>, String> {
    let encode = || {
        let encoding = tokenizer.encode_fast(text, with_added);
        let encoding = encoding.map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    };
    guarded(PARSER, encode, |message| message)
}

/// The text of `ids`, without special tokens.
///
/// # Errors
/// Why there is none, in words.
pub(crate) fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> Result<String, String> {
    let decode = || {
        let text = tokenizer.decode(ids, true);
        text.map_err(|error| error.to_string())
    };
    guarded(PARSER, decode, |message| message)
}
