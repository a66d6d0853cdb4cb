//! Paths as they are printed: readable, on one line, and never two for one.

#[cfg(unix)]
use std::ffi::OsStr;
#[cfg(not(unix))]
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `path` as text, of which there is one for each path.
///
/// An ordinary name is printed as it is. One that is not UTF-8, or holds a control character, which
/// would break a line or reach the terminal, is printed as a shell quotes it: `$'a\tb\xff.jpg'`.
pub fn of(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    let bytes = path.as_os_str().as_encoded_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("$'") && !text.chars().any(char::is_control) => {
            text.to_owned()
        }
        _ => quoted(bytes),
    }
}

/// The bytes as a shell's `$'...'`.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' | '\'' => text.extend(['\\', letter]),
                letter if letter.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in letter.encode_utf8(&mut buffer).bytes() {
                        text += &format!("\\x{byte:02x}");
                    }
                }
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text.push('\'');
    text
}

/// `text` without what a terminal would obey: control characters become spaces.
pub fn tame(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The path that these bytes of a list name; nothing where the system takes no such bytes.
pub fn from_bytes(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Some(OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        let text: &str = std::str::from_utf8(bytes).ok()?;
        Some(OsString::from(text).into())
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_are_readable_and_distinct() {
        let cases: [(&[u8], &str); 9] = [
            (b"a.jpg", "a.jpg"),
            (b"./a.jpg", "a.jpg"),
            ("été/雪 1.jpg".as_bytes(), "été/雪 1.jpg"),
            (b"it's.jpg", "it's.jpg"),
            (b"a\tb.jpg", r"$'a\x09b.jpg'"),
            (b"caf\xe9.jpg", r"$'caf\xe9.jpg'"),
            (b"caf\xe8.jpg", r"$'caf\xe8.jpg'"),
            (b"\x1b[31m'\\.jpg", r"$'\x1b[31m\'\\.jpg'"),
            (b"$'a'", r"$'$\'a\''"),
        ];
        for (bytes, printed) in cases {
            assert_eq!(of(Path::new(OsStr::from_bytes(bytes))), printed);
        }
    }

    #[test]
    fn a_terminal_obeys_no_caption() {
        assert_eq!(tame("a \u{1b}[2Jdog\n"), "a  [2Jdog ");
    }
}
