//! A vocabulary learned from a text: it writes the text as the text is written.

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HuggingFaceTokenizer};

use super::Tokenizer;
use crate::error::{Error, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// A pair of pieces that occurs once teaches nothing.
const LEAST_COUNT: u64 = 2;
/// Bytes of a token: scripts without spaces would have whole sentences as words.
const MOST_TOKEN_BYTES: usize = 32;

impl Tokenizer {
    /// Learns byte pairs from `texts` (Sennrich et al., *Neural Machine Translation of Rare Words with
    /// Subword Units*, over bytes as in GPT-2): at most `tokens` tokens, though never fewer than the 256
    /// bytes and the two marks.
    ///
    /// Case, accents, marks and spaces stay as they are: every text, in any script, comes back from its ids
    /// as it was, but for white space around it. The same texts give the same tokenizer.
    ///
    /// ```
    /// use decap_encoder::tokenizer::Tokenizer;
    /// let tokenizer = Tokenizer::learn(&["A man's dog.", "A man and a dog."], 300)?;
    /// let ids = tokenizer.encode("An S-Bahn at 10:30 \u{1F68B}")?;
    /// assert_eq!(tokenizer.decode(&ids)?, "An S-Bahn at 10:30 \u{1F68B}");
    /// # Ok::<(), decap_encoder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] where the texts cannot be learned from.
    pub fn learn(texts: &[&str], tokens: usize) -> Result<Self> {
        let failed = |error: tokenizers::Error| {
            Error::Usage(format!(
                "cannot learn a vocabulary of the captions: {error}"
            ))
        };
        let marks = [START, END].map(|mark| AddedToken::from(mark, true));
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(tokens)
            .min_frequency(LEAST_COUNT)
            .max_token_length(Some(MOST_TOKEN_BYTES))
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(marks.to_vec())
            .build();
        let mut model = tokenizers::TokenizerImpl::<
            BPE,
            tokenizers::NormalizerWrapper,
            ByteLevel,
            tokenizers::PostProcessorWrapper,
            ByteLevelDecoder,
        >::new(BPE::default());
        // With a space before the first word, which is then no other token than within a sentence.
        let split = ByteLevel::new(true, false, true);
        model.with_pre_tokenizer(Some(split));
        model.with_decoder(Some(split));
        model.train(&mut trainer, texts.iter()).map_err(failed)?;
        let json = model.to_string(false).map_err(failed)?;
        let learned = HuggingFaceTokenizer::from_bytes(json.as_bytes()).map_err(failed)?;
        Self::of_hugging_face("the learned vocabulary".as_ref(), learned)
    }

    /// Whether [`Tokenizer::decode`] gives back the spaces of a text, and with them all of it. Others set
    /// marks apart.
    pub fn keeps_spaces(&self) -> bool {
        use tokenizers::decoders::DecoderWrapper::{ByteLevel, Metaspace};
        match &self.inner {
            super::Inner::Clip(_) => false,
            super::Inner::HuggingFace { tokenizer, .. } => {
                matches!(tokenizer.get_decoder(), Some(ByteLevel(_) | Metaspace(_)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 6] = [
        "A man's dog, asleep at 10:30 p.m.",
        "a man and a dog -- \"asleep\"",
        "Ein Hund schläft auf dem Gehweg.",
        "Un chien dort sur la chaussée\u{a0}!",
        "一只狗在人行道上睡觉。",
        "\u{1F415}\u{200d}\u{1F9BA} WOW",
    ];

    #[test]
    fn every_text_comes_back_as_it_was() {
        let tokenizer = Tokenizer::learn(&TEXTS, 400).unwrap();
        let strangers = [
            "e\u{301}",
            "¿Qué?",
            "two  spaces",
            "don't",
            "naïve 3½ €5",
            "犬",
        ];
        for text in TEXTS.iter().chain(&strangers) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), *text);
        }
        let lost = tokenizer.unwritable(&TEXTS).unwrap();
        assert_eq!((lost.affected, lost.loses_case), (0, false));
        assert!(tokenizer.keeps_spaces());
        assert_eq!(
            tokenizer
                .decode(&[tokenizer.start(), tokenizer.end()])
                .unwrap(),
            ""
        );
    }

    #[test]
    fn frequent_words_are_one_token_and_the_file_reads_back() {
        let texts = ["a Dachshund asleep", "the Dachshund runs", "one Dachshund"];
        let tokenizer = Tokenizer::learn(&texts, 1000).unwrap();
        assert_eq!(tokenizer.encode("Dachshund").unwrap().len(), 1);
        assert!(tokenizer.encode("dachshund").unwrap().len() > 1);
        let again = Tokenizer::learn(&texts, 1000).unwrap();
        let json = tokenizer.to_json().unwrap();
        assert_eq!(json, again.to_json().unwrap());
        let read = Tokenizer::read("tokenizer.json".as_ref(), json.as_bytes()).unwrap();
        assert_eq!(
            read.encode(texts[0]).unwrap(),
            tokenizer.encode(texts[0]).unwrap()
        );
        let smallest = Tokenizer::learn(&texts, 0).unwrap();
        assert_eq!(smallest.vocabulary_size(), 258);
    }
}
