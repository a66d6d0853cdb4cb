//! Lower case as the reference's Java does it.

/// Appends the token in lower case.
///
/// Java and Rust agree on all but the final sigma: Java asks whether the sigma ends a run of
/// word characters, where Unicode (and Rust) asks whether a cased letter follows.
pub(crate) fn push_lower_case(out: &mut String, token: &str) {
    if token.is_ascii() {
        out.extend(token.chars().map(|c| c.to_ascii_lowercase()));
    } else if !token.contains('Σ') {
        out.push_str(&token.to_lowercase());
    } else {
        let characters: Vec<char> = token.chars().collect();
        for (index, &character) in characters.iter().enumerate() {
            if character != 'Σ' {
                out.extend(character.to_lowercase());
                continue;
            }
            let is_final = run_has_cased(characters[..index].iter().rev().copied())
                && !run_has_cased(characters[index + 1..].iter().copied());
            out.push(if is_final { 'ς' } else { 'σ' });
        }
    }
}

/// Whether a cased letter occurs before the end of the run that Java's word `BreakIterator` keeps
/// together, seen from a letter within it; the rule reads the same in both directions.
///
/// A run is words and numbers in turn. A word's letters may have one punctuation mark between two
/// of them, a number's digits too; accents belong to what they stand on, format characters are
/// passed over
/// (<https://github.com/openjdk/jdk/blob/jdk-17+35/src/java.base/share/classes/sun/text/resources/BreakIteratorRules.java>).
fn run_has_cased(characters: impl Iterator<Item = char>) -> bool {
    let mut rest = characters
        .filter(|&character| !is_transparent(character))
        .peekable();
    let mut previous = Kind::Letter;
    while let Some(character) = rest.next() {
        if is_cased(character) {
            return true;
        }
        previous = match kind(character) {
            kind @ (Kind::Letter | Kind::Digit) => kind,
            Kind::Other => {
                let links = match previous {
                    Kind::Letter => links_letters(character),
                    Kind::Digit => links_digits(character),
                    Kind::Other => false,
                };
                if !links || rest.peek().is_none_or(|&next| kind(next) != previous) {
                    return false;
                }
                previous
            }
        };
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Other,
}

fn kind(character: char) -> Kind {
    // Runs of their own: Chinese characters, Katakana, Hiragana and their marks.
    let is_ideograph = matches!(character,
        '\u{3005}' | '\u{3041}'..='\u{3094}' | '\u{3099}'..='\u{309e}' | '\u{30a1}'..='\u{30fe}'
        | '\u{4e00}'..='\u{9fa5}' | '\u{f900}'..='\u{fa2d}');
    // Circled letters and the like are symbols, though Unicode counts them as alphabetic.
    let is_symbol = matches!(character, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}');
    if character.is_numeric() && !is_ideograph {
        Kind::Digit
    } else if character.is_alphabetic() && !is_ideograph && !is_symbol {
        Kind::Letter
    } else {
        Kind::Other
    }
}

/// Java's notion (`ConditionalSpecialCasing.isCased`): upper, lower and title case letters, and
/// some modifiers.
fn is_cased(character: char) -> bool {
    let is_ordinal = matches!(character, 'ª' | 'º');
    let is_title_case = matches!(character,
        'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | 'ᾼ' | 'ῌ' | 'ῼ');
    !is_ordinal && (is_title_case || character.is_uppercase() || character.is_lowercase())
}

/// Accents and format characters.
fn is_transparent(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{344}' | '\u{346}'..='\u{36f}' | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{600}'..='\u{605}' | '\u{610}'..='\u{61a}' | '\u{61c}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dd}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{70f}' | '\u{711}' | '\u{730}'..='\u{74a}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn links_letters(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | '-' | '.' | '_' | '\u{ad}' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}'
            | '\u{2010}'..='\u{2015}' | '\u{2027}' | '\u{203f}' | '\u{2040}' | '\u{2054}' | '\u{2e17}'
            | '\u{2e1a}' | '\u{301c}' | '\u{3030}' | '\u{30a0}' | '\u{fe33}' | '\u{fe34}'
            | '\u{fe4d}'..='\u{fe4f}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{ff3f}'
    )
}

fn links_digits(character: char) -> bool {
    matches!(character, '"' | '\'' | ',' | '.' | '\u{66b}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigma_is_final_where_java_says_so() {
        let cases = [
            ("ΣΟΦΟΣ", "σοφος"),
            ("ΑΣ1Α", "ασ1α"),
            ("ΑΣ-Α", "ασ-α"),
            ("ΑΣ3-D", "ας3-d"),
            ("ΑΣ--Α", "ας--α"),
            ("ΑΣ%Α", "ας%α"),
            ("Α-Σ", "α-ς"),
            ("5Σ", "5σ"),
            ("ΑΣ中Α", "ας中α"),
            ("ΑΣ_1Α", "ας_1α"),
            ("ΑΣ\u{748}Α", "ασ\u{748}α"),
            ("ΑΣǅ", "ασǆ"),
            ("ΑΣ1.5Α", "ασ1.5α"),
            ("ΑΣ1-5Α", "ας1-5α"),
            ("İI", "i\u{307}i"),
        ];
        for (token, expected) in cases {
            let mut out = String::new();
            push_lower_case(&mut out, token);
            assert_eq!(out, expected);
        }
    }
}
