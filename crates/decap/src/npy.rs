//! Embeddings as a NumPy array file.

use std::io::{self, Write};

/// Writes f32 `values` `[rows, width]` in NumPy's `.npy` format, version 1.0
/// (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
///
/// # Errors
/// What writing says.
pub fn write_npy(output: &mut dyn Write, values: &[f32], width: usize) -> io::Result<()> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    // Magic, version, length and header together fill a multiple of 64 bytes.
    const BEFORE_HEADER: usize = 10;
    while !(BEFORE_HEADER + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(io::Error::other)?;
    output.write_all(b"\x93NUMPY\x01\x00")?;
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
}
