//! The boxes of MP4's container, which AVIF and CR3 use: ISO/IEC 14496-12, section 4.2.

/// No photo has more boxes in a row; what comes after is left out.
const MOST_BOXES: usize = 4096;

/// A box: its kind and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mp4Box<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) content: &'a [u8],
}

/// The boxes in `bytes`, one behind the other. The first that reaches beyond the end is given as far as it
/// goes, and is the last.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let kind = *rest.get(4..)?.first_chunk::<4>()?;
        let short = u64::from(u32::from_be_bytes(*rest.first_chunk::<4>()?));
        let (header, length) = match short {
            0 => (8, rest.len() as u64),
            1 => (16, u64::from_be_bytes(*rest.get(8..)?.first_chunk::<8>()?)),
            _ => (8, short),
        };
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        // One that is shorter than its own header ends the row.
        let content = rest.get(header..length)?;
        rest = &rest[length..];
        Some(Mp4Box { kind, content })
    })
    .take(MOST_BOXES)
}

/// The content of the first box of a kind in `bytes`.
pub(crate) fn first<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes)
        .find(|it| it.kind == *kind)
        .map(|it| it.content)
}

/// The content of the box at the end of `path`, each within the one before.
pub(crate) fn within<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(bytes, |bytes, kind| first(bytes, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_end_where_they_say_or_where_the_bytes_do() {
        let row = b"\0\0\0\x09abcdX\0\0\0\x01wide\0\0\0\0\0\0\0\x12YZ\0\0\0\0restabc";
        let found: Vec<_> = boxes(row).map(|it| (it.kind, it.content)).collect();
        let expected: [([u8; 4], &[u8]); 3] =
            [(*b"abcd", b"X"), (*b"wide", b"YZ"), (*b"rest", b"abc")];
        assert_eq!(found, expected);
        assert_eq!(first(row, b"wide"), Some(&b"YZ"[..]));
        assert_eq!(
            within(b"\0\0\0\x11abcd\0\0\0\x09efghX", &[b"abcd", b"efgh"]),
            Some(&b"X"[..])
        );
        for broken in [
            &b""[..],
            b"\0\0\0\x08abc",
            b"\0\0\0\x07abcd",
            b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x0F",
            b"\0\0\0\x01abcd\0\0",
        ] {
            assert_eq!(boxes(broken).count(), 0, "{broken:?}");
        }
        let cut: Vec<_> = boxes(b"\0\0\0\x20abcdX").collect();
        assert_eq!(
            cut,
            [Mp4Box {
                kind: *b"abcd",
                content: b"X"
            }]
        );
        assert_eq!(boxes(&b"\0\0\0\x08abcd".repeat(5000)).count(), MOST_BOXES);
    }
}
