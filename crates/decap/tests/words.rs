//! Captions through the tokenizers and back into text as it is written.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use decap::decoder::{Case, detokenise};
use decap::decoder::{GenerateOptions, Method};
use decap::media::Limits;
use decap::media::image::open;
use decap::tokenizer::Tokenizer;
use decap::tokenizer::clip::ClipTokenizer;
use decap::{Captioner, Embeddings, Rerank};
use rayon::prelude::*;

/// What both tokenizers give back as it was.
const PHRASES: &[&str] = &[
    "a cat, a dog; and a bird!",
    "it's a man's dog, isn't it?",
    "they're here, we've won and i'd go",
    "the dog's ball and the girls' bikes",
    "the boys' and girls' team",
    "the clock reads 10:30 p.m. in the u.s. at mile 3.5",
    "at 5 a.m. the man left washington, d.c.",
    "u.s.a. and the u.s.'s flag",
    "no. 5 in st. louis with mr. smith",
    "5 ft. 10 in. or 5'10\" tall",
    "$5.00, £3.50 and €2",
    "$5 - $10",
    "1,000 or 1,000,000 in 2008, 100 of them",
    "50% of #1 @home",
    "a t-shirt in a black-and-white photo",
    "two dogs - a brown and a white one",
    "one-on-one on a rent-a-car lot",
    "a dog -- a cat",
    "9/11, 24/7 and/or 1/2 cup",
    "2 1/2 cups",
    "1st, 2nd, 3rd and 10th in the 1990s and the '90s",
    "rock 'n' roll at five o'clock",
    "a sign that reads 'stop' here",
    "'quoted words' and \"more of them\".",
    "a sign saying 'no dogs'",
    "a yellow 'rainforest cafe' t-shirt",
    "he said: \"stop.\"",
    "(left) [right]",
    "b&w, at&t, m&ms & more",
    "w/ a dog, w/o a cat",
    "www.a.com, http://www.a.com/b or a@b.com",
    "an mp3 player, 18+",
    "wait... what?",
    "y'all and ma'am",
    "ph.d. student",
];

/// Captions of people, written without a tokenizer's spaces.
const WRITTEN: &[&str] = &[
    "activitynet_val.txt",
    "coco_by_id_train.txt",
    "coco_extra.txt",
    "coco_karpathy_test_refs.txt",
    "coco_train_mix.txt",
    "flickr30k_train.txt",
    "flickr30k_val_test.txt",
    "msvd_train.txt",
    "multi30k_task1.txt",
];
/// Every third of their lines is more than 100,000.
const STRIDE: usize = 3;
/// The share of these captions that come back as they were. The rest are mostly slips of their
/// writers (`cap,sitting`, `grass .`).
const FLOOR: f64 = 0.994;

fn tokenizers() -> [(&'static str, Tokenizer); 2] {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny/encoder/tokenizer.json");
    let bundled = Tokenizer::read(&path, &std::fs::read(&path).unwrap()).unwrap();
    let clip = Tokenizer::from(ClipTokenizer::bundled().unwrap());
    [("bundled", bundled), ("CLIP", clip)]
}

fn round_trip(tokenizer: &Tokenizer, text: &str) -> String {
    let decoded = tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap();
    detokenise(&decoded, Case::AsWritten)
}

#[test]
fn phrases_come_back_as_they_were() {
    for (name, tokenizer) in tokenizers() {
        for phrase in PHRASES {
            assert_eq!(round_trip(&tokenizer, phrase), *phrase, "{name}");
        }
    }
}

#[test]
fn captions_of_people_come_back_as_they_were() {
    let Some(folder) = skipped::shared("text") else {
        return;
    };
    let files: Vec<String> = WRITTEN
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
        .collect();
    let lines: Vec<&str> = files
        .iter()
        .flat_map(|file| file.lines())
        .step_by(STRIDE)
        .collect();
    assert!(lines.len() > 100_000, "{} captions", lines.len());
    for (name, tokenizer) in tokenizers() {
        let differences: Vec<String> = lines
            .par_iter()
            .filter_map(|line| {
                let written = line
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .to_lowercase();
                let text = round_trip(&tokenizer, line);
                (text != written).then(|| first_difference(&written, &text))
            })
            .collect();
        let share = 1.0 - differences.len() as f64 / lines.len() as f64;
        println!("{name}: {share:.5} of {} captions are equal", lines.len());
        let mut counts: HashMap<String, usize> = HashMap::new();
        for difference in differences {
            *counts.entry(difference).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (difference, count) in counts.iter().take(12) {
            println!("  {count:5} x {difference}");
        }
        assert!(share >= FLOOR, "{name}: {share}");
    }
}

/// All of them, those of the web too, with capitals, accents and emoji.
#[test]
fn a_learned_vocabulary_gives_every_caption_back() {
    let Some(folder) = skipped::shared("text") else {
        return;
    };
    let web = ["cc3m_val.txt", "cc12m_like_direct_cms.txt"];
    let files: Vec<String> = WRITTEN
        .iter()
        .chain(&web)
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
        .collect();
    let captions: Vec<&str> = files
        .iter()
        .flat_map(|file| file.lines())
        .map(str::trim)
        .step_by(STRIDE)
        .collect();
    assert!(captions.len() > 100_000, "{} captions", captions.len());
    let some: Vec<&str> = captions.iter().copied().step_by(10).collect();
    let tokenizer = Tokenizer::learn(&some, 8000).unwrap();
    let differing = captions
        .par_iter()
        .filter(|caption| {
            let ids = tokenizer.encode(caption).unwrap();
            tokenizer.decode(&ids).unwrap() != **caption
        })
        .count();
    assert_eq!(differing, 0, "of {} captions", captions.len());
}

/// The first place where two texts differ, with `a` for a letter and `1` for a digit.
fn first_difference(written: &str, text: &str) -> String {
    let kind = |letter: Option<char>| match letter {
        Some(letter) if letter.is_alphabetic() => 'a',
        Some(letter) if letter.is_numeric() => '1',
        Some(letter) => letter,
        None => '|',
    };
    let (written, text): (Vec<char>, Vec<char>) =
        (written.chars().collect(), text.chars().collect());
    let equal = written
        .iter()
        .zip(&text)
        .take_while(|(a, b)| a == b)
        .count();
    let around = |letters: &[char]| -> String {
        (equal.saturating_sub(1)..equal + 2)
            .map(|index| kind(letters.get(index).copied()))
            .collect()
    };
    format!("`{}` became `{}`", around(&written), around(&text))
}

const BEAM: Method = Method::Beam {
    width: 5,
    length_penalty: 1.0,
};

/// The bundled model and the example photos.
struct Examples {
    captioner: Captioner,
    embeddings: Embeddings,
}

impl Examples {
    fn open() -> Self {
        let captioner = Captioner::open("../../models/tiny").unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos");
        let mut photos: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "webp"))
            .collect();
        photos.sort();
        let photos: Vec<_> = photos
            .iter()
            .map(|photo| open(photo, &Limits::default()).unwrap())
            .collect();
        let embeddings = captioner.encoder().encode_images(&photos).unwrap();
        Self {
            captioner,
            embeddings,
        }
    }

    fn captions(&self, generate: GenerateOptions) -> Vec<String> {
        let mut options = self.captioner.options();
        options.generate = generate;
        options.rerank = Rerank::None;
        let (captions, _) = self
            .captioner
            .caption_embeddings(&self.embeddings, &options)
            .unwrap();
        captions.into_iter().map(|caption| caption.text).collect()
    }
}

fn words_of(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn a_banned_phrase_is_never_written_and_its_first_word_still_is() {
    let examples = Examples::open();
    let captioner = &examples.captioner;
    let has = |text: &str, phrase: &[&str]| {
        words_of(text)
            .windows(phrase.len())
            .any(|words| words == phrase)
    };
    let mut kept = 0;
    let free = examples.captions(captioner.options().generate);
    for (index, caption) in free.iter().enumerate() {
        let words = words_of(caption);
        let phrase = &words[words.len() - 2..];
        let banned_words = captioner
            .decoder()
            .writings(captioner.tokenizer(), &phrase.join(" "))
            .unwrap();
        assert!(!banned_words.is_empty(), "{phrase:?}");
        let banned = examples.captions({
            let mut options = captioner.options().generate;
            options.banned_words = banned_words;
            options
        });
        println!("{caption} | {phrase:?} | {}", banned[index]);
        assert!(
            !banned.iter().any(|text| has(text, phrase)),
            "{phrase:?}: {banned:?}"
        );
        kept += usize::from(banned.iter().any(|text| has(text, &phrase[..1])));
    }
    assert!(kept > free.len() / 2, "{kept}");
}

/// `--ban 'traffic light'` did nothing.
#[test]
fn a_banned_traffic_light_is_not_written() {
    let mut examples = Examples::open();
    // No example photo is sure to show one; a sentence is.
    let sentence = ["a traffic light hanging over a city street"];
    examples.embeddings = examples
        .captioner
        .encoder()
        .encode_texts(&sentence)
        .unwrap();
    let captioner = &examples.captioner;
    let mut options = {
        let mut options = GenerateOptions::default();
        options.method = BEAM;
        options.min_tokens = 25;
        options
    };
    let has_light =
        |captions: &[String]| captions.iter().any(|text| text.contains("traffic light"));
    assert!(has_light(&examples.captions(options.clone())));
    options.banned_words = captioner
        .decoder()
        .writings(captioner.tokenizer(), "traffic light")
        .unwrap();
    let banned = examples.captions(options);
    assert!(!has_light(&banned), "{banned:?}");
}

#[test]
fn what_the_vocabulary_cannot_write_has_no_writings() {
    let captioner = Captioner::open("../../models/tiny").unwrap();
    let writings = |phrase: &str| captioner.decoder().writings(captioner.tokenizer(), phrase);
    assert!(writings("\u{2603}").unwrap().is_empty());
    assert!(writings("xylophonist quartets").unwrap().is_empty());
    assert_eq!(writings("Man").unwrap(), writings("man").unwrap());
    assert_eq!(
        writings("traffic light").unwrap().len(),
        2,
        "and its plural"
    );
    assert!(writings("  ").unwrap_err().to_string().contains("got none"));
}

/// `--min-length 25` wrote pieces of words behind the end of the sentence.
#[test]
fn a_long_caption_is_one_sentence_of_known_words() {
    let examples = Examples::open();
    let memory = examples.captioner.memory().captions();
    let known: HashSet<String> = memory
        .iter()
        .map(str::to_lowercase)
        .flat_map(|caption| {
            words_of(&caption)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    for method in [Method::Greedy, BEAM] {
        let captions = examples.captions({
            let mut options = GenerateOptions::default();
            options.method = method;
            options.min_tokens = 25;
            options
        });
        for text in captions {
            let unknown: Vec<&str> = words_of(&text)
                .into_iter()
                .filter(|word| !known.contains(*word))
                .collect();
            assert!(unknown.is_empty(), "{unknown:?}: {text}");
            assert!(words_of(&text).len() >= 20, "{text}");
            let inside = text.trim_end_matches('.');
            assert!(!inside.contains(['.', '!', '?']), "{text}");
        }
    }
}
