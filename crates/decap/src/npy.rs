//! Embeddings as NumPy array files
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::io::{self, Write};
use std::path::Path;

use half::f16;

use decap_encoder::weights::Bytes;
use decap_encoder::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Magic, version and length of the header in format 1.0.
const BEFORE_HEADER: usize = 10;

/// An array of numbers, widened to f32.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Vec<f32>,
}

/// Reads a `.npy` file of f64, f32, f16 or int8 in C order.
///
/// # Errors
/// [`Error::Io`], or [`Error::Model`] where it is another kind of file, damaged or cut short.
pub fn read_npy(path: &Path) -> Result<NpyArray> {
    let bytes = Bytes::map(path)?;
    let broken = |message: &str| Error::model(path, format!("not a NumPy array: {message}"));
    if bytes.len() < BEFORE_HEADER || !bytes.starts_with(MAGIC) {
        return Err(broken("the magic number is missing"));
    }
    let (start, length) = match bytes[6] {
        1 => (
            BEFORE_HEADER,
            usize::from(u16::from_le_bytes([bytes[8], bytes[9]])),
        ),
        2 | 3 if bytes.len() >= 12 => (
            12,
            u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize,
        ),
        _ => return Err(broken("unknown version")),
    };
    let end = start.checked_add(length).filter(|&end| end <= bytes.len());
    let end = end.ok_or_else(|| broken("the header is cut short"))?;
    let header = String::from_utf8_lossy(&bytes[start..end]);
    let (dtype, shape) = parse_header(&header).ok_or_else(|| broken("unreadable header"))?;
    let size = match dtype {
        "<f8" => 8,
        "<f4" => 4,
        "<f2" => 2,
        "|i1" => 1,
        _ => return Err(broken(&format!("expected f8, f4, f2 or i1, got `{dtype}`"))),
    };
    let count = shape
        .iter()
        .try_fold(1usize, |count, &extent| count.checked_mul(extent));
    let expected = count.and_then(|count| count.checked_mul(size));
    let data = &bytes[end..];
    if expected != Some(data.len()) {
        return Err(broken(&format!(
            "{} bytes of data do not fill {shape:?}",
            data.len()
        )));
    }
    let values = data.chunks_exact(size).map(|element| match *element {
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b] => f16::from_le_bytes([a, b]).to_f32(),
        _ => f32::from(element[0] as i8),
    });
    Ok(NpyArray {
        values: values.collect(),
        shape,
    })
}

/// The element type and the shape in a header such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (541, 512), }`.
fn parse_header(header: &str) -> Option<(&str, Vec<usize>)> {
    let after = |key: &str| Some(header.split_once(key)?.1.trim_start_matches([':', ' ']));
    let dtype = after("'descr'")?.strip_prefix('\'')?.split_once('\'')?.0;
    if !after("'fortran_order'")?.starts_with("False") {
        return None;
    }
    let shape = after("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
    let extents = shape
        .split(',')
        .map(str::trim)
        .filter(|extent| !extent.is_empty());
    Some((
        dtype,
        extents.map(str::parse).collect::<Result<_, _>>().ok()?,
    ))
}

/// Writes f32 `values` `[rows, width]` as a `.npy` file of version 1.0.
///
/// # Errors
/// What writing says.
pub fn write_npy(output: &mut dyn Write, values: &[f32], width: usize) -> io::Result<()> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    // Magic, version, length and header together fill a multiple of 64 bytes.
    while !(BEFORE_HEADER + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(io::Error::other)?;
    output.write_all(MAGIC)?;
    output.write_all(&[1, 0])?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(header.as_bytes())?;
    values
        .iter()
        .try_for_each(|value| output.write_all(&value.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let mut file = Vec::new();
        write_npy(&mut file, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3).unwrap();
        assert_eq!(file.len(), 128 + 24);
        assert!(file.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4'"));
        assert!(file[..128].ends_with(b" \n"));
        assert_eq!(file[128..132], 1.0f32.to_le_bytes());
    }

    #[test]
    fn what_was_written_is_read_and_what_was_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut file = Vec::new();
        write_npy(&mut file, &[1.0, -2.5], 1).unwrap();
        std::fs::write(&path, &file).unwrap();
        let array = read_npy(&path).unwrap();
        assert_eq!(
            array,
            NpyArray {
                shape: vec![2, 1],
                values: vec![1.0, -2.5]
            }
        );
        for length in [0, 5, 9, 60, file.len() - 1] {
            std::fs::write(&path, &file[..length]).unwrap();
            assert!(read_npy(&path).is_err(), "{length} bytes");
        }
    }
}
