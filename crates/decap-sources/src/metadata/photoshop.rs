//! Photoshop's image resources in a JPEG: where IPTC's datasets lie.

use decap::InputFault;
use md5::{Digest, Md5};

use super::blocks::{Change, damaged};

const IPTC: u16 = 0x0404;
/// MD5 of the datasets, by which readers tell whether they changed after XMP.
const IPTC_DIGEST: u16 = 0x0425;

/// A resource: its number, all of its bytes, and its data among them.
pub(super) struct Resource<'a> {
    number: u16,
    whole: &'a [u8],
    data: &'a [u8],
}

/// The resources in `bytes`; nothing where they are broken.
pub(super) fn resources(bytes: &[u8]) -> Option<Vec<Resource<'_>>> {
    let mut resources = Vec::new();
    let mut rest = bytes;
    // Zeros at the end fill up.
    while rest.iter().any(|&byte| byte != 0) {
        let header = rest.first_chunk::<7>()?;
        if !header[..4].iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let number = u16::from_be_bytes([header[4], header[5]]);
        let name_bytes = (1 + usize::from(header[6])).next_multiple_of(2);
        let size_at = 6 + name_bytes;
        let size = u32::from_be_bytes(*rest.get(size_at..)?.first_chunk()?) as usize;
        let data_at = size_at + 4;
        let data = rest.get(data_at..data_at.checked_add(size)?)?;
        // The last one may lack its filling.
        let end = (data_at + size).next_multiple_of(2).min(rest.len());
        let (whole, after) = rest.split_at(end);
        resources.push(Resource {
            number,
            whole,
            data,
        });
        rest = after;
    }
    Some(resources)
}

/// IPTC's datasets among the resources.
pub(super) fn iptc(bytes: &[u8]) -> Option<&[u8]> {
    let resources = resources(bytes)?;
    let iptc = resources.into_iter().find(|it| it.number == IPTC)?;
    Some(iptc.data)
}

/// The resources with other datasets; empty where none is left.
pub(super) fn with_iptc(bytes: Option<&[u8]>, change: &Change) -> Result<Vec<u8>, InputFault> {
    let bytes = bytes.unwrap_or_default();
    let resources = resources(bytes).ok_or_else(|| {
        damaged("expected Photoshop's resources in this JPEG, got something else")
    })?;
    let before = resources
        .iter()
        .find(|it| it.number == IPTC)
        .map(|it| it.data);
    let after = change.apply(before);
    let mut out = Vec::new();
    for resource in &resources {
        match (resource.number, before, after) {
            (IPTC, _, None) => {}
            (IPTC, _, Some(after)) => out.extend(made(IPTC, after)?),
            // One that was true stays true; one that was not is no business of ours.
            (IPTC_DIGEST, Some(before), Some(after)) if resource.data == digest(before) => {
                out.extend(made(IPTC_DIGEST, &digest(after))?);
            }
            _ => out.extend_from_slice(resource.whole),
        }
    }
    if let (None, Some(after)) = (before, after) {
        if out.len() % 2 == 1 {
            out.push(0);
        }
        out.extend(made(IPTC, after)?);
    }
    Ok(out)
}

fn digest(datasets: &[u8]) -> [u8; 16] {
    Md5::digest(datasets).into()
}

fn made(number: u16, data: &[u8]) -> Result<Vec<u8>, InputFault> {
    let size = u32::try_from(data.len()).map_err(|_| damaged("expected less than 4 GiB"))?;
    let mut out = b"8BIM".to_vec();
    out.extend(number.to_be_bytes());
    out.extend([0, 0]);
    out.extend(size.to_be_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(0);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_true_digest_stays_true_and_the_rest_as_it_was() {
        let other = made(0x03ED, b"resolution").unwrap();
        let iptc_before = made(IPTC, b"before").unwrap();
        let true_digest = made(IPTC_DIGEST, &digest(b"before")).unwrap();
        let stale = made(IPTC_DIGEST, &[7; 16]).unwrap();
        for (kept, expected) in [(&true_digest, digest(b"after")), (&stale, [7; 16])] {
            let bytes = [&other[..], &iptc_before, kept].concat();
            let change = Change::Set(b"after".to_vec());
            let changed = with_iptc(Some(&bytes), &change).unwrap();
            assert_eq!(iptc(&changed).unwrap(), b"after");
            assert!(changed.starts_with(&other));
            let resources = resources(&changed).unwrap();
            assert_eq!(resources[2].data, expected);
            let change = Change::Set(b"before".to_vec());
            assert_eq!(with_iptc(Some(&changed), &change).unwrap(), bytes);
        }
        let added = with_iptc(Some(&other), &Change::Set(b"odd".to_vec())).unwrap();
        assert_eq!(with_iptc(Some(&added), &Change::Remove).unwrap(), other);
        assert!(with_iptc(Some(b"8BIM\x04"), &Change::Remove).is_err());
    }
}
