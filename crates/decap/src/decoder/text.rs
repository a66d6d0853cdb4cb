//! From a tokenizer's words to text as English is written.
//!
//! CLIP's and BERT's tokenizers set punctuation apart and forget where the spaces were: `it's
//! 10:30` comes back as `it ' s 10 : 30`. Here each piece gets a [`Lean`] by the rule for its mark, which
//! looks at its neighbours. A space separates two pieces unless one leans on the other.

mod apostrophes;
mod pieces;

use pieces::{Piece, Pieces, is_ideograph, is_mark, is_wide_mark};

/// Which letters a caption's text gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// As the decoder wrote it.
    #[default]
    AsWritten,
    /// The first letter is a capital, and a full stop ends what no other mark ends.
    Sentence,
}

/// Writes decoded text as English is written: `it's`, `10:30 p.m.`, `$5.00`, `black-and-white`,
/// `"quoted words"`, with single spaces.
///
/// Text in which a mark already follows its word directly (`dog,`) comes from a tokenizer that
/// keeps spaces; only its white space is cleaned.
///
/// ```
/// use decap::decoder::{Case, detokenise};
/// let text = detokenise("a man ' s  dog , at 10 : 30 p . m .", Case::Sentence);
/// assert_eq!(text, "A man's dog, at 10:30 p.m.");
/// ```
pub fn detokenise(decoded: &str, case: Case) -> String {
    let text = if keeps_spaces(decoded) {
        decoded.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        Pieces::split(decoded).join()
    };
    case.of(&text)
}

impl Case {
    /// `text`, whose spaces are as they should be, in this case.
    pub(crate) fn of(self, text: &str) -> String {
        match self {
            Self::AsWritten => text.to_owned(),
            Self::Sentence => with_full_stop(with_capital(text)),
        }
    }
}

/// Whether a mark directly follows a letter or digit, which tokenizers that set marks apart never
/// leave. The exception is `n't`, which the Penn Treebank sets apart as one word.
fn keeps_spaces(decoded: &str) -> bool {
    decoded
        .split_whitespace()
        .filter(|word| *word != "n't")
        .any(|word| {
            let next = word.chars().skip(1);
            word.chars()
                .zip(next)
                .any(|(letter, next)| letter.is_alphanumeric() && is_mark(next))
        })
}

/// Endings of numbers, which CLIP's tokenizer cuts off: `2nd`, `1990s`, `3d`.
const NUMBER_ENDINGS: [&str; 7] = ["st", "nd", "rd", "th", "s", "d", "ers"];
/// Words whose number is cut off by CLIP's tokenizer: `mp3`.
const NUMBERED_WORDS: [&str; 1] = ["mp"];
/// Abbreviations that also occur without their last full stop; initials with it need no table.
const ABBREVIATIONS: [(&str, &str); 7] = [
    ("a", "m"),
    ("d", "c"),
    ("p", "m"),
    ("ph", "d"),
    ("t", "v"),
    ("u", "k"),
    ("u", "s"),
];
/// What follows the last full stop of a host or file name.
const NAME_ENDINGS: [&str; 7] = ["com", "edu", "gov", "jpg", "net", "org", "png"];
/// Words before which a hyphen between words is a dash: `two dogs - a brown and a white one`. Not
/// in a chain (`rent-a-car`, `one-on-one`) or behind a ten (`twenty-one`).
const AFTER_DASH: [&str; 9] = ["a", "an", "he", "one", "she", "the", "there", "they", "two"];

/// Which neighbour a piece stands close to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lean {
    Left,
    Right,
    Both,
    Neither,
}

impl Pieces {
    fn join(&self) -> String {
        let leans = self.leans();
        let mut text = String::new();
        for (index, piece) in self.0.iter().enumerate() {
            let joined = index == 0
                || piece.glued
                || matches!(leans[index], Lean::Left | Lean::Both)
                || matches!(leans[index - 1], Lean::Right | Lean::Both);
            if !joined {
                text.push(' ');
            }
            text.push_str(&piece.text);
        }
        text
    }

    fn leans(&self) -> Vec<Lean> {
        let mut leans: Vec<Lean> = (0..self.0.len()).map(|index| self.lean(index)).collect();
        self.lean_double_quotes(&mut leans);
        self.lean_apostrophes(&mut leans);
        leans
    }

    fn lean(&self, index: usize) -> Lean {
        match self.mark(index) {
            Some(mark) => self.lean_of_mark(index, mark),
            None => self.lean_of_word(index),
        }
    }

    fn lean_of_mark(&self, index: usize, mark: char) -> Lean {
        match mark {
            ')' | ']' | '}' | '!' | '?' | ';' | '%' | '…' | '”' => Lean::Left,
            '(' | '[' | '{' | '“' | '‘' => Lean::Right,
            '_' | '\\' => Lean::Both,
            '.' => self.lean_of_full_stop(index),
            ',' => self.lean_of_comma(index),
            ':' => self.lean_of_colon(index),
            '-' | '–' => self.lean_of_hyphen(index, mark),
            '/' => self.lean_of_slash(index),
            '$' | '£' | '€' => self.lean_of_currency(index),
            '#' => self.lean_of_number_sign(index),
            '@' => self.lean_of_at_sign(index),
            '&' => self.lean_of_ampersand(index),
            '+' => self.lean_of_plus(index),
            '°' => self.lean_of_degree(index),
            mark if is_wide_mark(mark) => Lean::Both,
            _ => Lean::Neither,
        }
    }

    /// `2 nd`, `mp 3`, and ideographs next to each other.
    fn lean_of_word(&self, index: usize) -> Lean {
        let (before, word) = (self.before(index), &self.0[index]);
        let ending = self.is_number(before) && NUMBER_ENDINGS.contains(&&*word.text);
        let number = word.is_number() && NUMBERED_WORDS.contains(&self.text(before));
        let ideographs =
            word.is_single(is_ideograph) && self.is(before, |piece| piece.is_single(is_ideograph));
        match ending || number || ideographs {
            true => Lean::Left,
            false => Lean::Neither,
        }
    }

    /// `3.5`, `u.s.`, `a.com`, and else the end of a sentence or abbreviation.
    fn lean_of_full_stop(&self, index: usize) -> Lean {
        let (before, after) = (self.before(index), self.after(index));
        let names = (self.text(before), self.text(after));
        let initials = self.is(before, Piece::is_letter)
            && self.is(after, Piece::is_letter)
            && self.text(after.and_then(|after| self.after(after))) == ".";
        let host = self.is_word(before) && (names.0 == "www" || NAME_ENDINGS.contains(&names.1));
        if self.is_between_numbers(index) || initials || host || ABBREVIATIONS.contains(&names) {
            Lean::Both
        } else if before.is_none() && self.is_number(after) {
            Lean::Right
        } else {
            Lean::Left
        }
    }

    /// `1,000`, and else a pause.
    fn lean_of_comma(&self, index: usize) -> Lean {
        let (before, after) = (self.before(index), self.after(index));
        let thousands = self.text(before).len() <= 3 && self.text(after).len() == 3;
        match self.is_between_numbers(index) && thousands {
            true => Lean::Both,
            false => Lean::Left,
        }
    }

    /// `10:30`, `http://`, `:)`, and else a pause.
    fn lean_of_colon(&self, index: usize) -> Lean {
        let after = self.after(index);
        let url = self.text(after) == "/" && self.text(after.and_then(|i| self.after(i))) == "/";
        if self.is_between_numbers(index) || url {
            Lean::Both
        } else if self.text(after) == ")" {
            Lean::Right
        } else {
            Lean::Left
        }
    }

    /// `t-shirt`, `9–5`, and else a dash. A double hyphen is one dash.
    fn lean_of_hyphen(&self, index: usize, mark: char) -> Lean {
        let (before, after) = (self.before(index), self.after(index));
        let beyond = |place: Option<usize>, step: fn(&Self, usize) -> Option<usize>| {
            self.text(place.and_then(|place| step(self, place))) == "-"
        };
        let chain = beyond(before, Self::before) || beyond(after, Self::after);
        let compound = chain || self.text(before).ends_with("ty");
        let dash = AFTER_DASH.contains(&self.text(after)) && !compound;
        if self.text(after) == "-" {
            Lean::Right
        } else if mark == '–' && !self.is_between_numbers(index) || dash {
            Lean::Neither
        } else if self.is_word(before) && self.is_word(after) {
            Lean::Both
        } else {
            Lean::Neither
        }
    }

    /// `and/or`, `9/11`, `w/`, `http://`.
    fn lean_of_slash(&self, index: usize) -> Lean {
        let (before, after) = (self.before(index), self.after(index));
        let without = matches!(self.text(after), "o" | "out" | "in");
        if self.text(before) == "w" && !without {
            return Lean::Left;
        }
        let url = matches!(self.text(before), "/" | ":");
        match url || self.is_word(before) && self.is_word(after) {
            true => Lean::Both,
            false if self.text(after) == "/" => Lean::Right,
            false => Lean::Neither,
        }
    }

    /// `$5`, `5€`.
    fn lean_of_currency(&self, index: usize) -> Lean {
        if self.is_number(self.after(index)) {
            Lean::Right
        } else if self.is_number(self.before(index)) {
            Lean::Left
        } else {
            Lean::Neither
        }
    }

    /// `#1`.
    fn lean_of_number_sign(&self, index: usize) -> Lean {
        match self.is_word(self.after(index)) {
            true => Lean::Right,
            false => Lean::Neither,
        }
    }

    /// `@home`, `a@b.com`.
    fn lean_of_at_sign(&self, index: usize) -> Lean {
        let rest = || self.0[index..].windows(2).skip(1).take(3);
        let host = rest().any(|pair| pair[0].text == "." && NAME_ENDINGS.contains(&&*pair[1].text));
        match host && self.is_word(self.before(index)) {
            true => Lean::Both,
            false => self.lean_of_number_sign(index),
        }
    }

    /// `b&w`, `m&ms`, `at&t`; words keep their spaces.
    fn lean_of_ampersand(&self, index: usize) -> Lean {
        let names = (self.text(self.before(index)), self.text(self.after(index)));
        let short = self.is(self.before(index), Piece::is_letter)
            && self.is_word(self.after(index))
            && names.1.len() <= 2;
        match short || names == ("at", "t") {
            true => Lean::Both,
            false => Lean::Neither,
        }
    }

    /// `18+`, `c++`; a sum keeps its spaces.
    fn lean_of_plus(&self, index: usize) -> Lean {
        let (before, after) = (self.before(index), self.after(index));
        let double = self.text(before) == "+" || self.text(after) == "+";
        match (self.is_number(before) || double) && !self.is_number(after) {
            true => Lean::Left,
            false => Lean::Neither,
        }
    }

    /// `30°`, `30°c`.
    fn lean_of_degree(&self, index: usize) -> Lean {
        match self.text(self.after(index)) {
            "c" | "f" | "C" | "F" => Lean::Both,
            _ => Lean::Left,
        }
    }

    /// Double quotes open and close in turns; behind a number one may stand for inches.
    fn lean_double_quotes(&self, leans: &mut [Lean]) {
        let quotes: Vec<usize> = (0..self.0.len())
            .filter(|&index| self.mark(index) == Some('"'))
            .collect();
        let mut is_open = false;
        for (place, &index) in quotes.iter().enumerate() {
            let before = self.before(index);
            let feet = self.mark_at(before.and_then(|i| self.before(i))) == Some('\'');
            let unpaired = (quotes.len() - place) % 2 == 1;
            let inches = self.is_number(before) && !is_open && (feet || unpaired);
            leans[index] = match is_open || inches {
                true => Lean::Left,
                false => Lean::Right,
            };
            is_open ^= !inches;
        }
    }
}

fn with_capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn with_full_stop(mut text: String) -> String {
    let unended = |letter: char| {
        letter.is_alphanumeric() || matches!(letter, ')' | '"' | '\'' | '’' | '”' | '%')
    };
    if text.ends_with(unended) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_people_write_it() {
        let cases = [
            ("a cat .", "a cat."),
            ("  two   spaces ", "two spaces"),
            ("a cat , a dog , and a bird !", "a cat, a dog, and a bird!"),
            ("it is n't the man 's", "it isn't the man's"),
            (
                "a stop sign that says \" stop \" here",
                "a stop sign that says \"stop\" here",
            ),
            ("a black - and - white photo", "a black-and-white photo"),
            ("a black-and-white photo", "a black-and-white photo"),
            ("( left ) and [ right ]", "(left) and [right]"),
            ("- a list", "- a list"),
            ("no . . .", "no..."),
            ("$ 5 and 10 %", "$5 and 10%"),
            ("", ""),
            ("été , 雪 !", "été, 雪!"),
        ];
        for (decoded, expected) in cases {
            assert_eq!(
                detokenise(decoded, Case::AsWritten),
                expected,
                "{decoded:?}"
            );
        }
    }

    #[test]
    fn marks_that_word_pieces_and_clip_set_apart_come_together() {
        let cases = [
            // WordPiece: each mark by itself, numbers whole.
            (
                "the clock reads 10 : 30 p . m . in the u . s . at mile 3 . 5",
                "the clock reads 10:30 p.m. in the u.s. at mile 3.5",
            ),
            ("it ' s the dog ' s ball", "it's the dog's ball"),
            ("the girls ' bikes", "the girls' bikes"),
            (
                "rock ' n ' roll at five o ' clock",
                "rock 'n' roll at five o'clock",
            ),
            (
                "a sign that reads ' no parking '",
                "a sign that reads 'no parking'",
            ),
            ("$ 5 . 00 - $ 1 , 000", "$5.00 - $1,000"),
            ("5 ' 10 \" tall", "5'10\" tall"),
            ("c + + and 18 +", "c++ and 18+"),
            ("the ' 90s", "the '90s"),
            ("wait . . . what ?", "wait... what?"),
            ("雪 山 ， 大 。", "雪山，大。"),
            ("it ’ s “ big ” – really", "it’s “big” – really"),
            ("a dog - - a cat", "a dog -- a cat"),
            (
                "two dogs - a brown and a white one",
                "two dogs - a brown and a white one",
            ),
            // CLIP: runs of marks whole, contractions and digits cut off.
            ("1 0 : 3 0 p . m . , it 's", "10:30 p.m., it's"),
            ("says 's top ' here", "says 'stop' here"),
            ("the 1 9 9 0 s , 2 nd , 7 1 / 2", "the 1990s, 2nd, 7 1/2"),
            ("1 / 2 5 th", "1/25th"),
            ("he said \" no .\"", "he said \"no.\""),
        ];
        for (decoded, expected) in cases {
            assert_eq!(
                detokenise(decoded, Case::AsWritten),
                expected,
                "{decoded:?}"
            );
        }
    }

    #[test]
    fn clean_text_stays_as_it_is() {
        for text in [
            "a cat sits on a mat.",
            "a man's \"big\" dog, (brown)!",
            "5% of $3",
            "a dog - the big one - isn't here",
            "one , two, three",
        ] {
            assert_eq!(detokenise(text, Case::AsWritten), text);
        }
    }

    #[test]
    fn sentence_case_changes_the_first_letter_and_the_end_alone() {
        for (decoded, expected) in [
            ("ein hund in Rom", "Ein hund in Rom."),
            ("éclair", "Éclair."),
            ("a dog .", "A dog."),
            ("a dog !", "A dog!"),
            ("what is it ?", "What is it?"),
            ("a dog ( brown )", "A dog (brown)."),
            ("at 5 p . m .", "At 5 p.m."),
            ("it says ' stop '", "It says 'stop'."),
            ("", ""),
        ] {
            assert_eq!(detokenise(decoded, Case::Sentence), expected);
        }
    }

    #[test]
    fn any_run_of_marks_is_written() {
        const MARKS: &[&str] = &[
            "'", "\"", ".", ",", ":", "-", "/", "$", "#", "@", "&", "+", "°", "1", "s", "n't", "«",
            "，",
        ];
        for a in MARKS {
            for b in MARKS {
                for c in MARKS {
                    let decoded = format!("{a} {b} {c}");
                    let text = detokenise(&decoded, Case::AsWritten);
                    let letters = |text: &str| text.split_whitespace().collect::<String>();
                    assert_eq!(letters(&text), letters(&decoded), "{decoded:?}");
                }
            }
        }
    }
}
