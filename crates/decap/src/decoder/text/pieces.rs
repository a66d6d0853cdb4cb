//! The words, numbers and marks that decoded text is made of.

/// Whether a character is a piece of its own, placed by the rules of [`Pieces::lean_of_mark`].
pub(super) fn is_mark(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || is_wide_mark(letter)
        || matches!(
            letter,
            '‘' | '’' | '“' | '”' | '…' | '–' | '—' | '°' | '£' | '€'
        )
}

/// Chinese and Japanese punctuation, which carries its own space.
pub(super) fn is_wide_mark(letter: char) -> bool {
    matches!(
        letter,
        '、' | '。'
            | '「'
            | '」'
            | '『'
            | '』'
            | '【'
            | '】'
            | '！'
            | '（'
            | '）'
            | '，'
            | '：'
            | '；'
            | '？'
    )
}

/// Chinese characters, which BERT's tokenizers set apart one by one.
pub(super) fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

fn is_digit(word: &str) -> bool {
    word.len() == 1 && word.as_bytes()[0].is_ascii_digit()
}

/// Whether words are the second half of `7 1 / 2`.
fn begins_fraction(words: &[&str]) -> bool {
    match words {
        [_, "/", "2" | "4" | "8", rest @ ..] => !rest.first().is_some_and(|word| is_digit(word)),
        _ => false,
    }
}

/// A word, a number or one mark.
#[derive(Debug)]
pub(super) struct Piece {
    pub text: String,
    /// Nothing stood between this piece and the one before.
    pub glued: bool,
}

impl Piece {
    pub fn is_word(&self) -> bool {
        !self.text.chars().next().is_some_and(is_mark)
    }

    pub fn is_number(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    pub fn is_single(&self, kind: fn(char) -> bool) -> bool {
        let mut letters = self.text.chars();
        letters.next().is_some_and(kind) && letters.next().is_none()
    }

    pub fn is_letter(&self) -> bool {
        self.is_single(char::is_alphabetic)
    }
}

/// A text's pieces in order.
pub(super) struct Pieces(pub(super) Vec<Piece>);

impl Pieces {
    /// Cuts marks off words and off each other, and joins the digits of CLIP's numbers.
    pub fn split(decoded: &str) -> Self {
        let words: Vec<&str> = decoded.split_whitespace().collect();
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let before = index.checked_sub(1).map_or("", |before| words[before]);
            if is_digit(before)
                && is_digit(word)
                && !begins_fraction(&words[index..])
                && let Some(number) = pieces.last_mut()
            {
                number.text.push_str(word);
                continue;
            }
            let mut rest = *word;
            let mut glued = rest == "n't";
            while let Some(first) = rest.chars().next() {
                let length = match is_mark(first) {
                    true => first.len_utf8(),
                    false => rest.find(is_mark).unwrap_or(rest.len()),
                };
                let (text, after) = rest.split_at(length);
                let text = text.to_owned();
                pieces.push(Piece { text, glued });
                (rest, glued) = (after, true);
            }
        }
        Self(pieces)
    }

    pub fn before(&self, index: usize) -> Option<usize> {
        index.checked_sub(1)
    }

    pub fn after(&self, index: usize) -> Option<usize> {
        Some(index + 1).filter(|&after| after < self.0.len())
    }

    pub fn is(&self, index: Option<usize>, test: impl Fn(&Piece) -> bool) -> bool {
        index.and_then(|index| self.0.get(index)).is_some_and(test)
    }

    pub fn is_word(&self, index: Option<usize>) -> bool {
        self.is(index, Piece::is_word)
    }

    pub fn is_number(&self, index: Option<usize>) -> bool {
        self.is(index, Piece::is_number)
    }

    pub fn is_between_numbers(&self, index: usize) -> bool {
        self.is_number(self.before(index)) && self.is_number(self.after(index))
    }

    /// A piece's text; empty where there is none.
    pub fn text(&self, index: Option<usize>) -> &str {
        index
            .and_then(|index| self.0.get(index))
            .map_or("", |piece| &piece.text)
    }

    pub fn mark_at(&self, index: Option<usize>) -> Option<char> {
        self.text(index)
            .chars()
            .next()
            .filter(|&mark| is_mark(mark))
    }

    pub fn mark(&self, index: usize) -> Option<char> {
        self.mark_at(Some(index))
    }
}
