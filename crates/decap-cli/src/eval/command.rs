//! The command line, for the report's reader.

use std::borrow::Cow;
use std::path::Path;

/// What was typed, quoted where a shell wants it, and with no absolute path: those would tell the
/// report's readers about this machine.
pub fn shown() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(&without_absolute_paths(&word.to_string_lossy(), &here)));
    let words: Vec<String> = words.collect();
    format!("decap {}", words.join(" "))
}

/// `word` with each absolute path in it made relative to the folder `here` where it lies there,
/// and cut to `.../NAME` where not. A word such as `model=A,B` has several paths.
fn without_absolute_paths(word: &str, here: &Path) -> String {
    let parts = word.split_inclusive(['=', ',']);
    let parts = parts.map(|part| {
        let path = part.trim_end_matches(['=', ',']);
        let (path, divider) = (Path::new(path), &part[path.len()..]);
        format!("{}{divider}", relative(path, here))
    });
    parts.collect()
}

fn relative<'a>(path: &'a Path, here: &Path) -> Cow<'a, str> {
    if !path.is_absolute() {
        return path.to_string_lossy();
    }
    match (path.strip_prefix(here), path.file_name()) {
        (Ok(inside), _) if inside.as_os_str().is_empty() => Cow::Borrowed("."),
        // Everything lies in the root.
        (Ok(inside), _) if here.parent().is_some() => inside.to_string_lossy(),
        (_, Some(name)) => Cow::Owned(format!(".../{}", name.to_string_lossy())),
        (_, None) => Cow::Borrowed("..."),
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn absolute_paths_are_made_relative_or_cut() {
        let cases = [
            ("/home/ann/work/coco/test.json", "coco/test.json"),
            ("/home/ann/work", "."),
            ("/data/coco", ".../coco"),
            ("--report=/tmp/r1", "--report=.../r1"),
            ("model=/m/a,b/c,/home/ann/work/d", "model=.../a,b/c,d"),
            ("tau=0.01,0.02", "tau=0.01,0.02"),
            ("../photos", "../photos"),
            ("/", "..."),
            ("a,=,b=", "a,=,b="),
            ("", ""),
        ];
        for (word, shown) in cases {
            assert_eq!(
                without_absolute_paths(word, Path::new("/home/ann/work")),
                shown
            );
        }
        assert_eq!(without_absolute_paths("/etc/x", Path::new("/")), ".../x");
    }

    #[test]
    fn words_are_quoted_where_a_shell_wants_it() {
        let cases = [
            ("--limit", "--limit"),
            ("a b", "'a b'"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
        ];
        for (word, shown) in cases {
            assert_eq!(quoted(word), shown);
        }
    }
}
