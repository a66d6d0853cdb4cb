//! The caption among IPTC's datasets (IIM 4.2).

use super::blocks::Change;

/// Record and number of a dataset.
type Number = (u8, u8);

const CHARACTER_SET: Number = (1, 90);
const RECORD_VERSION: Number = (2, 0);
const CAPTION: Number = (2, 120);

/// ISO 2022's call of UTF-8.
const UTF_8: &[u8] = b"\x1b%G";

/// What the standard grants a caption, in bytes.
pub(super) const LONGEST_CAPTION: usize = 2000;

struct Dataset<'a> {
    number: Number,
    whole: &'a [u8],
    data: &'a [u8],
}

/// The datasets, and what stands behind them; nothing where they are broken.
fn datasets(bytes: &[u8]) -> Option<(Vec<Dataset<'_>>, &[u8])> {
    let mut datasets = Vec::new();
    let mut rest = bytes;
    while let Some(&[0x1C, record, number, high, low]) = rest.first_chunk() {
        let length = u16::from_be_bytes([high, low]);
        // Above, the length of the length: for pictures within the datasets.
        let (length, data_at) = match length {
            0..0x8000 => (usize::from(length), 5),
            _ => {
                let bytes = rest.get(5..9).filter(|_| length == 0x8004)?;
                let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                (length as usize, 9)
            }
        };
        let end = length.checked_add(data_at)?;
        let (whole, after) = rest.split_at_checked(end)?;
        datasets.push(Dataset {
            number: (record, number),
            whole,
            data: &whole[data_at..],
        });
        rest = after;
    }
    rest.iter()
        .all(|&byte| byte == 0)
        .then_some((datasets, rest))
}

/// The caption; nothing where there is none, or the datasets are broken.
pub(super) fn caption(bytes: &[u8]) -> Option<&[u8]> {
    let (datasets, _) = datasets(bytes)?;
    let caption = datasets.into_iter().find(|it| it.number == CAPTION)?;
    Some(caption.data)
}

/// Whether `text` can stand among these datasets: those that are in another character set take ASCII alone.
pub(super) fn takes(bytes: Option<&[u8]>, text: &[u8]) -> bool {
    let Some(bytes) = bytes else { return true };
    let Some((datasets, _)) = datasets(bytes) else {
        return false;
    };
    let set = datasets.iter().find(|it| it.number == CHARACTER_SET);
    match set {
        Some(set) => set.data == UTF_8 || text.is_ascii(),
        None => text.is_ascii() || others_are_ascii(&datasets),
    }
}

/// Whether every dataset but the caption reads the same in any character set.
fn others_are_ascii(datasets: &[Dataset<'_>]) -> bool {
    datasets
        .iter()
        .all(|it| it.number.0 != 2 || it.number == CAPTION || it.data.is_ascii())
}

/// Whether a caption's character set is decap's to take away with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CharacterSet {
    /// It stays.
    Stays,
    /// decap added it.
    Ours,
}

/// The datasets with this caption, which [`takes`] has allowed, and whether the character set was added.
/// Datasets of their own where there are none.
pub(super) fn with_caption(bytes: Option<&[u8]>, text: &[u8]) -> (Vec<u8>, CharacterSet) {
    let (datasets, rest) = bytes.and_then(datasets).unwrap_or_default();
    let has = |number| datasets.iter().any(|it| it.number == number);
    let mut out = Vec::new();
    let mut set = CharacterSet::Stays;
    if !has(CHARACTER_SET) && (bytes.is_none() || !text.is_ascii()) {
        put(&mut out, CHARACTER_SET, UTF_8);
        set = CharacterSet::Ours;
    }
    if bytes.is_none() {
        put(&mut out, RECORD_VERSION, &[0, 4]);
    }
    let mut is_put = false;
    for dataset in &datasets {
        let is_place = dataset.number == CAPTION || dataset.number > CAPTION && !has(CAPTION);
        if is_place && !is_put {
            put(&mut out, CAPTION, text);
            is_put = true;
            if dataset.number == CAPTION {
                continue;
            }
        }
        out.extend_from_slice(dataset.whole);
    }
    if !is_put {
        put(&mut out, CAPTION, text);
    }
    out.extend_from_slice(rest);
    (out, set)
}

/// The datasets with the caption that they had before, and without the character set where that is decap's.
pub(super) fn with_former(bytes: &[u8], former: Option<&[u8]>, set: CharacterSet) -> Change {
    let Some((datasets, rest)) = datasets(bytes) else {
        return Change::Keep;
    };
    let is_kept = |number: Number| match number {
        CAPTION => former.is_some(),
        CHARACTER_SET => set == CharacterSet::Stays,
        _ => true,
    };
    let kept: Vec<_> = datasets.iter().filter(|it| is_kept(it.number)).collect();
    // The version alone says nothing.
    if kept.iter().all(|it| it.number == RECORD_VERSION) && set == CharacterSet::Ours {
        return Change::Remove;
    }
    let mut out = Vec::new();
    let mut former = former;
    for dataset in kept {
        match (
            dataset.number,
            former.take_if(|_| dataset.number == CAPTION),
        ) {
            (CAPTION, Some(former)) => put(&mut out, CAPTION, former),
            _ => out.extend_from_slice(dataset.whole),
        }
    }
    out.extend_from_slice(rest);
    Change::Set(out)
}

fn put(out: &mut Vec<u8>, number: Number, data: &[u8]) {
    out.extend([0x1C, number.0, number.1]);
    match u16::try_from(data.len()) {
        Ok(length @ 0..0x8000) => out.extend(length.to_be_bytes()),
        _ => {
            out.extend([0x80, 4]);
            out.extend((data.len() as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(parts: &[(Number, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, data) in parts {
            put(&mut out, *number, data);
        }
        out
    }

    #[test]
    fn a_caption_goes_to_its_place_and_away_again() {
        let before = made(&[((2, 0), &[0, 4]), ((2, 80), b"Jo"), ((2, 122), b"Al")]);
        let padded = [&before[..], &[0, 0]].concat();
        let (after, set) = with_caption(Some(&padded), b"a dog");
        let expected = made(&[
            ((2, 0), &[0, 4]),
            ((2, 80), b"Jo"),
            ((2, 120), b"a dog"),
            ((2, 122), b"Al"),
        ]);
        assert_eq!(after, [&expected[..], &[0, 0]].concat());
        assert_eq!(set, CharacterSet::Stays);
        assert_eq!(with_former(&after, None, set), Change::Set(padded));
        let (after, set) = with_caption(Some(&before), "ein Fuß".as_bytes());
        assert_eq!(caption(&after), Some("ein Fuß".as_bytes()));
        assert_eq!(set, CharacterSet::Ours);
        assert_eq!(with_former(&after, None, set), Change::Set(before));
        let described = made(&[((2, 120), b"mine")]);
        let (after, set) = with_caption(Some(&described), "ein Fuß".as_bytes());
        let former = with_former(&after, Some(b"mine"), set);
        assert_eq!(former, Change::Set(described));
        let (new, set) = with_caption(None, b"a dog");
        assert!(new.starts_with(b"\x1c\x01\x5a\0\x03\x1b%G"));
        assert_eq!(with_former(&new, None, set), Change::Remove);
    }

    #[test]
    fn texts_of_another_character_set_stay_readable() {
        let latin = made(&[((2, 80), b"J\xf6"), ((2, 120), b"old")]);
        assert!(takes(Some(&latin), b"a dog"));
        assert!(!takes(Some(&latin), "ein Fuß".as_bytes()));
        let other = made(&[((1, 90), b"\x1b.A")]);
        assert!(!takes(Some(&other), "ein Fuß".as_bytes()));
        assert!(!takes(Some(b"\x1c\x02\x78\0\x09short"), b"a dog"));
        let (after, _) = with_caption(Some(&latin), b"a dog");
        assert_eq!(caption(&after), Some(&b"a dog"[..]));
    }
}
