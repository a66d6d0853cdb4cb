//! Where the merges come from: the compiled-in table, `tokenizer.json`, `vocab.json` + `merges.txt`.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::json;

use super::bpe::{BytePairs, END_OF_WORD, byte_symbols};
use super::{END_TOKEN, START_TOKEN};

/// The lines that CLIP uses of OpenAI's table (MIT licence, from the CLIP repository): of the file with
/// the SHA-256 `924691ac...`, `zcat bpe_simple_vocab_16e6.txt.gz | head -n 48895 | gzip -9n`.
const BUNDLED: &[u8] = include_bytes!("bpe_simple_vocab_16e6.txt.gz");

/// The merges that CLIP takes of the original's 262,144: its vocabulary is 49,152 and two specials.
const BUNDLED_MERGES: usize = 49152 - 256 - 2;

/// Largest id and most merges that a vocabulary may have; CLIP's largest (XLM-R) has 250,000.
const MAX_VOCABULARY: usize = 1 << 20;

/// The compiled-in table.
pub(super) fn bundled() -> Result<BytePairs, String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(BUNDLED)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    let merges = parse_merges(text.lines())?;
    debug_assert_eq!(merges.len(), BUNDLED_MERGES);
    // The order of the reference: printable bytes first, then the others, then the merges.
    let symbols = byte_symbols();
    let (printable, others): (Vec<char>, Vec<char>) = symbols
        .into_iter()
        .partition(|&symbol| (symbol as u32) < 256);
    let bytes = || printable.iter().chain(&others);
    let tokens = bytes()
        .map(char::to_string)
        .chain(bytes().map(|symbol| format!("{symbol}{END_OF_WORD}")))
        .chain(merges.iter().map(|(left, right)| format!("{left}{right}")))
        .chain([START_TOKEN.to_owned(), END_TOKEN.to_owned()]);
    let ids: HashMap<String, u32> = tokens.zip(0..).collect();
    from_ids_and_merges(&ids, &merges)
}

/// `vocab.json`, a map from token to id, and `merges.txt`, a pair a line.
pub(super) fn from_vocab_and_merges(vocab: &[u8], merges: &[u8]) -> Result<BytePairs, String> {
    let ids: HashMap<String, u32> = serde_json::from_slice(vocab)
        .map_err(|error| format!("expected a map from token to id: {error}"))?;
    let merges = str::from_utf8(merges).map_err(|_| "expected UTF-8 in the merges".to_owned())?;
    from_ids_and_merges(&ids, &parse_merges(merges.lines())?)
}

/// Whether a `tokenizer.json` has CLIP's end-of-word mark.
pub(super) fn is_clip(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        end_of_word_suffix: Option<String>,
    }
    let file = serde_json::from_slice::<File>(json);
    file.is_ok_and(|file| file.model.end_of_word_suffix.as_deref() == Some(END_OF_WORD))
}

/// A Hugging Face `tokenizer.json`.
pub(super) fn from_json(json: &[u8]) -> Result<BytePairs, String> {
    let file: TokenizerFile = serde_json::from_slice(json)
        .map_err(|error| format!("expected a tokenizer of type BPE: {error}"))?;
    let model = file.model;
    if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
        return Err(format!(
            "expected a tokenizer of type BPE, got {:?}",
            model.kind
        ));
    }
    if model.end_of_word_suffix.as_deref() != Some(END_OF_WORD) {
        return Err(format!(
            "expected CLIP's end-of-word mark {END_OF_WORD:?}, got {:?}",
            model.end_of_word_suffix
        ));
    }
    let merges: Vec<(String, String)> = match model.merges {
        Merges::Pairs(pairs) => pairs,
        Merges::Lines(lines) => parse_merges(lines.iter().map(String::as_str))?,
    };
    let mut ids = model.vocab;
    ids.extend(
        file.added_tokens
            .into_iter()
            .map(|token| (token.content, token.id)),
    );
    from_ids_and_merges(&ids, &merges)
}

/// A `tokenizer.json` of the same tables.
pub(super) fn to_json(byte_pairs: &BytePairs) -> String {
    let names = byte_pairs.names();
    let vocab: serde_json::Map<String, serde_json::Value> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
        .map(|(id, name)| (name.to_string(), id.into()))
        .collect();
    let merges: Vec<String> = byte_pairs
        .merges_in_order()
        .into_iter()
        .map(|(left, right)| format!("{} {}", names[left as usize], names[right as usize]))
        .collect();
    let added = |id: u32, token: &str| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": true, "special": true})
    };
    // Field by field as the `tokenizer.json` of openai/clip-vit-base-patch32.
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [added(byte_pairs.start, START_TOKEN), added(byte_pairs.end, END_TOKEN)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split",
             "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
             "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END_TOKEN, byte_pairs.end],
            "cls": [START_TOKEN, byte_pairs.start], "trim_offsets": false,
            "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": END_TOKEN,
            "continuing_subword_prefix": "", "end_of_word_suffix": END_OF_WORD,
            "fuse_unk": false, "vocab": vocab, "merges": merges},
    })
    .to_string()
}

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    end_of_word_suffix: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Merges,
}

/// Written as `"a b"` or, since tokenizers 0.20, as `["a", "b"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merges {
    Lines(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// One merge a line; the first line may be a `#version` header or the table's title.
fn parse_merges<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, String> {
    let mut merges = Vec::new();
    for (index, line) in lines.enumerate() {
        let is_header = index == 0 && line.contains("#version");
        if is_header || line.trim().is_empty() {
            continue;
        }
        let mut parts = line.split_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(left), Some(right), None) => merges.push((left.to_owned(), right.to_owned())),
            _ => return Err(format!("merge {index}: expected two symbols, got {line:?}")),
        }
    }
    Ok(merges)
}

fn from_ids_and_merges(
    ids: &HashMap<String, u32>,
    merges: &[(String, String)],
) -> Result<BytePairs, String> {
    let largest = ids.values().copied().max().unwrap_or(0) as usize;
    if largest >= MAX_VOCABULARY || merges.len() > MAX_VOCABULARY {
        return Err(format!(
            "expected ids below {MAX_VOCABULARY} and as many merges, got {largest} and {}",
            merges.len()
        ));
    }
    let special = |token: &str| {
        ids.get(token)
            .copied()
            .ok_or_else(|| format!("expected token {token:?}, got none"))
    };
    BytePairs::new(ids, merges, special(START_TOKEN)?, special(END_TOKEN)?)
}
