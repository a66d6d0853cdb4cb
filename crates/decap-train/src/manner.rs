//! How the sentences of a text begin and end.

/// How the sentences of a text begin and end, so that others can be written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    letters: Letters,
    ends: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    /// Hardly a capital anywhere.
    Small,
    /// A capital at the beginning.
    Sentence,
    /// Both, or no letters that have capitals.
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    FullStop,
    Nothing,
    Mixed,
}

impl Manner {
    /// That of most of `texts`.
    pub fn of(texts: &[&str]) -> Self {
        /// What is rarer is a slip.
        const SLIPS: f64 = 0.1;
        const MOST: f64 = 0.8;
        let count = texts.len().max(1) as f64;
        let share =
            |is: &dyn Fn(&str) -> bool| texts.iter().filter(|text| is(text)).count() as f64 / count;
        let with_capitals = share(&|text| text.chars().any(char::is_uppercase));
        let begun = share(&|text| text.chars().next().is_some_and(char::is_uppercase));
        let ended = share(&|text| text.ends_with(['.', '!', '?']));
        Self {
            letters: match (with_capitals, begun) {
                (any, _) if any < SLIPS => Letters::Small,
                (_, begun) if begun > MOST => Letters::Sentence,
                _ => Letters::Mixed,
            },
            ends: match ended {
                ended if ended > MOST => End::FullStop,
                ended if ended < SLIPS => End::Nothing,
                _ => End::Mixed,
            },
        }
    }

    /// `sentence` in this manner.
    pub fn applied_to(self, sentence: &str) -> String {
        let sentence = sentence.trim();
        let mut text = match self.letters {
            Letters::Small => sentence.to_lowercase(),
            Letters::Mixed => sentence.to_owned(),
            Letters::Sentence => {
                let mut letters = sentence.chars();
                let first = letters.next().into_iter().flat_map(char::to_uppercase);
                first.chain(letters).collect()
            }
        };
        if self.ends != End::Mixed {
            text.truncate(text.trim_end_matches(['.', ' ']).len());
        }
        if self.ends == End::FullStop && !text.ends_with(['!', '?']) {
            text.push('.');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_written_as_the_text_is() {
        let cases: [(&[&str], &str); 4] = [
            (&["a cat", "two dogs run"], "a man in paris"),
            (&["A cat.", "Two dogs run!"], "A man in Paris."),
            (&["A cat", "Two dogs run"], "A man in Paris"),
            (&["A cat.", "two dogs run"], "a man in Paris ."),
        ];
        for (texts, expected) in cases {
            let written = Manner::of(texts).applied_to("a man in Paris .");
            assert_eq!(written, expected);
        }
        assert_eq!(Manner::of(&["一只狗"]).applied_to("A dog."), "a dog");
        assert_eq!(Manner::of(&[]).applied_to(""), "");
    }
}
