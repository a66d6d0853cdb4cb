//! Apostrophes and single quotes: `it's`, `the girls' bikes`, `rock 'n' roll`, `'quoted words'`.

use super::{Lean, Pieces};

/// What follows an apostrophe within a word: `it's`, `don't`, `we're`.
const CONTRACTED: [&str; 7] = ["s", "t", "re", "ve", "ll", "d", "m"];
/// What stands before an apostrophe within a word: `o'clock`, `y'all`, `ma'am`, `l'homme`.
const ELIDED: [&str; 8] = ["c", "d", "j", "l", "ma", "o", "qu", "y"];
/// Words that begin with an apostrophe: `'em`.
const CLIPPED: [&str; 7] = ["bout", "cause", "em", "n", "til", "tis", "twas"];
/// Words in s that a quotation follows rather than what somebody owns: `a sign that reads 'stop'`.
const BEFORE_QUOTATION: [&str; 14] = [
    "as", "displays", "has", "is", "letters", "reads", "says", "shows", "signs", "spells",
    "states", "this", "was", "words",
];

impl Pieces {
    /// Sets the lean of each apostrophe.
    pub(super) fn lean_apostrophes(&self, leans: &mut [Lean]) {
        let mut is_open = false;
        for index in (0..self.0.len()).filter(|&index| self.is_apostrophe(index)) {
            leans[index] = if self.opens_before_ending(index) && !is_open {
                // CLIP's tokenizer reads `'stop'` as `'s top '`.
                is_open = true;
                leans[index + 1] = Lean::Right;
                Lean::Right
            } else if let Some(lean) = self.lean_within_words(index) {
                lean
            } else if is_open {
                is_open = false;
                Lean::Left
            } else if self.opens(index) {
                is_open = true;
                Lean::Right
            } else if self.before(index).is_some() {
                Lean::Left
            } else {
                Lean::Right
            };
        }
    }

    fn is_apostrophe(&self, index: usize) -> bool {
        matches!(self.mark(index), Some('\'' | '’'))
    }

    /// The lean of an apostrophe that its neighbours prove to be no quote.
    fn lean_within_words(&self, index: usize) -> Option<Lean> {
        let (before, after) = (self.before(index), self.after(index));
        let (word, next) = (self.text(before), self.text(after));
        // `don't`, and not the end of `the 'big' t-shirt`.
        let ending = CONTRACTED.contains(&next) && (next != "t" || word.ends_with('n'));
        let contraction =
            self.is_word(before) && ending || self.is_abbreviation(before) && next == "s";
        let elision = ELIDED.contains(&word) && self.is_word(after);
        // `5'10"`
        let feet = self.is_between_numbers(index);
        let decade = next.len() <= 3
            && next.starts_with(|first: char| first.is_ascii_digit())
            && (next.ends_with('s') || self.text(after.and_then(|i| self.after(i))) == "s");
        if contraction || elision || feet {
            Some(Lean::Both)
        } else if CLIPPED.contains(&next) || decade {
            Some(Lean::Right)
        } else if word == "n" {
            Some(Lean::Left)
        } else {
            None
        }
    }

    /// Whether the full stop at `index` ends initials: `the u.s.'s flag`.
    fn is_abbreviation(&self, index: Option<usize>) -> bool {
        let letter = index.and_then(|index| self.before(index));
        self.text(index) == "." && self.is(letter, |piece| piece.text.chars().count() == 1)
    }

    /// Whether a quotation begins here: another quote closes it, and nobody owns what follows.
    fn opens(&self, index: usize) -> bool {
        let before = self.text(self.before(index));
        let owner = before.ends_with('s') && !BEFORE_QUOTATION.contains(&before);
        !owner && self.closers(index).count() > 0
    }

    /// Whether the apostrophe of what looks like `'s` opens a quotation whose first letter the
    /// tokenizer took for a contraction.
    fn opens_before_ending(&self, index: usize) -> bool {
        let Some(ending) = self.after(index) else {
            return false;
        };
        let cut = self.0[ending].glued
            && CONTRACTED.contains(&self.text(Some(ending)))
            && self.is_word(self.after(ending));
        let before = self.text(self.before(index));
        let mut closers = self.closers(ending);
        let unpaired = || {
            let in_s = |closer: &usize| self.text(self.before(*closer)).ends_with('s');
            self.closers(ending).filter(|closer| !in_s(closer)).count() % 2 == 1
        };
        cut && (BEFORE_QUOTATION.contains(&before) && closers.next().is_some() || unpaired())
    }

    /// The apostrophes behind `index` that may close a quotation.
    fn closers(&self, index: usize) -> impl Iterator<Item = usize> {
        (index + 1..self.0.len()).filter(move |&later| {
            self.is_apostrophe(later) && self.lean_within_words(later).is_none()
        })
    }
}
