//! The stored members of a ZIP archive, as PyTorch writes them; compressed ones are left out.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, sections 4.3.7, 4.3.12, 4.3.14-16.

use std::collections::HashMap;
use std::ops::Range;

/// Most members; a checkpoint has one for each tensor.
const MAX_MEMBERS: u64 = 1 << 20;

/// The bytes that a ZIP archive begins with.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The name of each stored member and where its bytes lie.
pub(super) fn members(archive: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let directory = find_directory(archive)?;
    let mut members = HashMap::new();
    let mut at = directory.offset;
    for _ in 0..directory.count {
        let entry = Fields::at(archive, at, b"PK\x01\x02", 46, "a directory entry")?;
        let method = entry.u16(10);
        let (mut packed, mut size) = (u64::from(entry.u32(20)), u64::from(entry.u32(24)));
        let mut offset = u64::from(entry.u32(42));
        let name_length = usize::from(entry.u16(28));
        let extra_length = usize::from(entry.u16(30));
        let comment_length = usize::from(entry.u16(32));
        let name_start = at + 46;
        let name = slice(archive, name_start, name_length)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let extra = slice(archive, name_start + name_length, extra_length)?;
        read_zip64_sizes(extra, &mut size, &mut packed, &mut offset);
        at = name_start + name_length + extra_length + comment_length;
        // TorchScript archives carry their code compressed; tensors and pickles are stored.
        if name.ends_with('/') || method != 0 {
            continue;
        }
        if packed != size {
            return Err(format!(
                "member `{name}`: expected {size} stored bytes, got {packed}"
            ));
        }
        let range = member_range(archive, offset, size)
            .map_err(|message| format!("member `{name}`: {message}"))?;
        members.insert(name, range);
    }
    Ok(members)
}

struct Directory {
    offset: usize,
    count: u64,
}

fn find_directory(archive: &[u8]) -> Result<Directory, String> {
    // The end record is 22 bytes and a comment of at most 65,535.
    let first = archive.len().saturating_sub(22 + 65_535);
    let last = archive.len().saturating_sub(22);
    let end = (first..=last)
        .rev()
        .find(|&at| archive[at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| "expected a whole ZIP archive, got one that is cut short".to_owned())?;
    let record = Fields::at(archive, end, b"PK\x05\x06", 22, "the end record")?;
    let (mut count, mut offset) = (u64::from(record.u16(10)), u64::from(record.u32(16)));
    let locator = end
        .checked_sub(20)
        .filter(|&at| archive[at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let locator = Fields::at(archive, locator, b"PK\x06\x07", 20, "the ZIP64 locator")?;
        let at = to_usize(locator.u64(8))?;
        let record = Fields::at(archive, at, b"PK\x06\x06", 56, "the ZIP64 end record")?;
        (count, offset) = (record.u64(32), record.u64(48));
    }
    if count > MAX_MEMBERS {
        return Err(format!(
            "expected at most {MAX_MEMBERS} members, got {count}"
        ));
    }
    Ok(Directory {
        offset: to_usize(offset)?,
        count,
    })
}

/// Sizes of 2^32 - 1 stand in the ZIP64 extra field, in this order, where they are that large.
fn read_zip64_sizes(mut extra: &[u8], size: &mut u64, packed: &mut u64, offset: &mut u64) {
    while let [id_0, id_1, length_0, length_1, rest @ ..] = extra {
        let length = usize::from(u16::from_le_bytes([*length_0, *length_1]));
        let Some((body, after)) = rest.split_at_checked(length) else {
            return;
        };
        if u16::from_le_bytes([*id_0, *id_1]) == 1 {
            let mut values = body.chunks_exact(8);
            for field in [size, packed, offset] {
                if *field == u64::from(u32::MAX)
                    && let Some(value) = values.next()
                {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(value);
                    *field = u64::from_le_bytes(bytes);
                }
            }
            return;
        }
        extra = after;
    }
}

fn member_range(archive: &[u8], offset: u64, size: u64) -> Result<Range<usize>, String> {
    let at = to_usize(offset)?;
    let header = Fields::at(archive, at, MAGIC, 30, "a local header")?;
    let skipped = 30 + usize::from(header.u16(26)) + usize::from(header.u16(28));
    let start = at
        .checked_add(skipped)
        .ok_or_else(|| "offset overflows".to_owned())?;
    let end = start
        .checked_add(to_usize(size)?)
        .filter(|&end| end <= archive.len())
        .ok_or_else(|| format!("expected {size} bytes, got an archive that ends before"))?;
    Ok(start..end)
}

/// A record of fixed fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn at(
        archive: &'a [u8],
        at: usize,
        signature: &[u8],
        length: usize,
        what: &str,
    ) -> Result<Self, String> {
        let fields = slice(archive, at, length)?;
        if !fields.starts_with(signature) {
            return Err(format!("expected {what} at byte {at}, got something else"));
        }
        Ok(Self(fields))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        if let Some(bytes) = self.0.get(at..at + N) {
            array.copy_from_slice(bytes);
        }
        array
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    at.checked_add(length)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(|| "expected a whole ZIP archive, got one that is cut short".to_owned())
}

fn to_usize(value: u64) -> Result<usize, String> {
    usize::try_from(value).map_err(|error| error.to_string())
}
