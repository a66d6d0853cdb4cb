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

/// Whether a cased letter occurs before the end of the word run.
fn run_has_cased(characters: impl Iterator<Item = char> + Clone) -> bool {
    let mut rest = characters;
    let mut follows_digit = false;
    while let Some(character) = rest.next() {
        let is_ordinal = matches!(character, 'ª' | 'º');
        if !is_ordinal && (character.is_uppercase() || character.is_lowercase()) {
            return true;
        }
        let continues = continues_word(character)
            || (links_words(character)
                && !follows_digit
                && rest.clone().next().is_some_and(continues_word));
        if !continues {
            return false;
        }
        follows_digit = character.is_numeric();
    }
    false
}

fn continues_word(character: char) -> bool {
    let is_ideograph = matches!(character,
        '\u{3005}' | '\u{3041}'..='\u{3094}' | '\u{309d}'..='\u{309e}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30fe}' | '\u{4e00}'..='\u{9fa5}' | '\u{f900}'..='\u{fa2d}');
    let is_mark = matches!(character, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}');
    (character.is_alphanumeric() && !is_ideograph) || is_mark
}

fn links_words(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | '-' | '.' | '_' | '\u{ad}' | '\u{58a}' | '\u{2010}'..='\u{2015}' | '\u{2027}'
    )
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
            ("İI", "i\u{307}i"),
        ];
        for (token, expected) in cases {
            let mut out = String::new();
            push_lower_case(&mut out, token);
            assert_eq!(out, expected);
        }
    }
}
