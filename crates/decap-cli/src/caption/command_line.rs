//! The command that was typed, to be typed again.

use std::ffi::OsString;

/// What goes on with a run that was stopped: the same command with `--resume`.
pub fn to_resume() -> String {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".into());
    }
    let words: Vec<String> = words
        .iter()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_word_as_it_was_typed() {
        for (word, typed) in [
            ("a/b-1.jpg", "a/b-1.jpg"),
            ("a b", "'a b'"),
            ("*.jpg", "'*.jpg'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }
}
