//! The embeddings of a memory in f32, f16 or int8.

use std::str::FromStr;
use std::sync::Arc;

use decap_kernels::{ExactRows, MemoryRows, quantize_rows};
use half::f16;
use rayon::prelude::*;

use decap_encoder::Embeddings;
use decap_encoder::random::RandomStream;
use decap_encoder::weights::Bytes;
use decap_encoder::{Error, Result};

/// How a memory row is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryDtype {
    /// 4 bytes a value: exact.
    F32,
    /// 2 bytes a value.
    #[default]
    F16,
    /// 1 byte a value and one f32 scale a row.
    Int8,
}

/// Memory rows `[rows, width]` in one of the storage types; the bytes may be mapped.
#[derive(Debug, Clone)]
pub struct Rows {
    dtype: MemoryDtype,
    width: usize,
    /// Little-endian elements, row-major, aligned for their type.
    values: Bytes,
    /// One f32 a row, for int8.
    scales: Vec<f32>,
    /// The rows once more as bytes to scan, where they are floats: [`Rows::with_byte_scan`].
    byte_scan: Option<Arc<ByteScan>>,
}

#[derive(Debug)]
struct ByteScan {
    rows: Vec<i8>,
    scales: Vec<f32>,
}

impl FromStr for MemoryDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(Error::Usage(format!(
                "expected f32, f16 or int8, got `{name}`"
            ))),
        }
    }
}

impl MemoryDtype {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes a value.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }
}

impl Rows {
    /// Stores `embeddings` as `dtype`.
    ///
    /// int8 is symmetric: a row's scale is its largest magnitude over 127.
    pub fn quantise(embeddings: &Embeddings, dtype: MemoryDtype) -> Self {
        let mut scales = Vec::new();
        let values: Vec<u8> = match dtype {
            MemoryDtype::F32 => bytemuck::cast_slice(embeddings.as_slice()).to_vec(),
            MemoryDtype::F16 => embeddings
                .as_slice()
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                .collect(),
            MemoryDtype::Int8 => {
                let mut values = Vec::with_capacity(embeddings.as_slice().len());
                for row in embeddings.rows() {
                    let scale = row.iter().fold(0.0f32, |most, v| most.max(v.abs())) / 127.0;
                    scales.push(scale);
                    values.extend(row.iter().map(|v| (v / scale).round() as i8 as u8));
                }
                values
            }
        };
        Self {
            dtype,
            width: embeddings.width(),
            values: aligned(values),
            scales,
            byte_scan: None,
        }
    }

    /// These rows with a copy as bytes, a quarter or half as much to read for each projection; the
    /// rows that matter to one are read in full all the same. Rows of int8 stay as they are.
    #[must_use]
    pub fn with_byte_scan(mut self) -> Self {
        let exact = match self.view() {
            MemoryRows::F32(rows) => ExactRows::F32(rows),
            MemoryRows::F16(rows) => ExactRows::F16(rows),
            _ => return self,
        };
        let (rows, scales) = quantize_rows(exact, self.width);
        self.byte_scan = Some(Arc::new(ByteScan { rows, scales }));
        self
    }

    /// Seeded random unit rows, for benchmarks.
    pub fn random(rows: usize, width: usize, dtype: MemoryDtype, seed: u64) -> Self {
        const ROWS_AT_A_TIME: usize = 8192;
        let mut values = Vec::with_capacity(rows * width * dtype.size());
        let mut scales = Vec::new();
        for first in (0..rows).step_by(ROWS_AT_A_TIME) {
            let count = ROWS_AT_A_TIME.min(rows - first);
            let stream = RandomStream::new(&[seed, first as u64]);
            // The sum of a few uniform values is near enough to normal, and quick.
            let value = |index: usize| {
                let bits = stream.bits(index as u64);
                let parts = (0..4).map(|part| ((bits >> (16 * part)) & 0xffff) as f32);
                parts.sum::<f32>() - 2.0 * f32::from(u16::MAX)
            };
            let chunk: Vec<f32> = (0..count * width).into_par_iter().map(value).collect();
            if let Ok(chunk) = Embeddings::new(chunk, width) {
                let chunk = Self::quantise(&chunk, dtype);
                values.extend_from_slice(&chunk.values);
                scales.extend(chunk.scales);
            }
        }
        Self {
            dtype,
            width,
            values: aligned(values),
            scales,
            byte_scan: None,
        }
    }

    /// Takes stored bytes `[rows, width]` of `dtype` (and `[rows]` scales for int8).
    ///
    /// # Errors
    /// What does not fit, in words, for the caller to put the file's name to.
    pub fn from_bytes(
        dtype: MemoryDtype,
        width: usize,
        values: Bytes,
        scales: Vec<f32>,
    ) -> Result<Self, String> {
        let row_bytes = width.checked_mul(dtype.size()).filter(|bytes| *bytes > 0);
        let row_bytes = row_bytes.ok_or("expected rows of at least one value")?;
        if !values.len().is_multiple_of(row_bytes) {
            return Err(format!(
                "expected rows of {row_bytes} bytes, got {} bytes",
                values.len()
            ));
        }
        let rows = values.len() / row_bytes;
        let expected_scales = if dtype == MemoryDtype::Int8 { rows } else { 0 };
        if scales.len() != expected_scales {
            return Err(format!(
                "expected {expected_scales} scales, got {}",
                scales.len()
            ));
        }
        if !(values.as_ptr() as usize).is_multiple_of(dtype.size()) {
            return Ok(Self {
                dtype,
                width,
                values: aligned(values.to_vec()),
                scales,
                byte_scan: None,
            });
        }
        Ok(Self {
            dtype,
            width,
            values,
            scales,
            byte_scan: None,
        })
    }

    /// Those rows whose numbers are in `chosen`, in that order, as they are stored.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn select(&self, chosen: &[usize]) -> Self {
        let row_bytes = self.width * self.dtype.size();
        let rows = chosen
            .iter()
            .flat_map(|&row| &self.values[row * row_bytes..(row + 1) * row_bytes]);
        let scales = match self.dtype {
            MemoryDtype::Int8 => chosen.iter().map(|&row| self.scales[row]).collect(),
            _ => Vec::new(),
        };
        Self {
            dtype: self.dtype,
            width: self.width,
            values: aligned(rows.copied().collect()),
            scales,
            byte_scan: None,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / (self.width * self.dtype.size()).max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The width of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How they are stored.
    pub fn dtype(&self) -> MemoryDtype {
        self.dtype
    }

    /// The stored elements, little-endian, row-major.
    pub fn as_bytes(&self) -> &[u8] {
        &self.values
    }

    /// One scale a row for int8, else none.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Row `index` `[width]`, widened to f32.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> Vec<f32> {
        let range = index * self.width..(index + 1) * self.width;
        match self.dtype {
            MemoryDtype::F32 => bytemuck::cast_slice::<u8, f32>(&self.values)[range].to_vec(),
            MemoryDtype::F16 => bytemuck::cast_slice::<u8, u16>(&self.values)[range]
                .iter()
                .map(|&bits| f16::from_bits(bits).to_f32())
                .collect(),
            MemoryDtype::Int8 => bytemuck::cast_slice::<u8, i8>(&self.values)[range]
                .iter()
                .map(|&value| f32::from(value) * self.scales[index])
                .collect(),
        }
    }

    /// The rows as the projection kernel takes them.
    pub fn view(&self) -> MemoryRows<'_> {
        // The constructors made sure of length and alignment, so the casts cannot fail.
        match self.dtype {
            MemoryDtype::F32 => MemoryRows::F32(bytemuck::cast_slice(&self.values)),
            MemoryDtype::F16 => MemoryRows::F16(bytemuck::cast_slice(&self.values)),
            MemoryDtype::Int8 => MemoryRows::Int8 {
                rows: bytemuck::cast_slice(&self.values),
                scales: &self.scales,
            },
        }
    }
}

impl Rows {
    /// The rows as they are scanned: the bytes where there are such, the rows themselves behind them.
    pub(super) fn scan(&self) -> MemoryRows<'_> {
        let Some(bytes) = &self.byte_scan else {
            return self.view();
        };
        let exact = match self.view() {
            MemoryRows::F32(rows) => ExactRows::F32(rows),
            MemoryRows::F16(rows) => ExactRows::F16(rows),
            other => return other,
        };
        MemoryRows::Int8Exact {
            rows: &bytes.rows,
            scales: &bytes.scales,
            exact,
        }
    }
}

/// Owned bytes whose start is aligned for f32: the data of an `Arc<[u8]>` follows its two
/// counters, so it starts at a multiple of 8.
fn aligned(values: Vec<u8>) -> Bytes {
    Bytes::from(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_storage() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
        let embeddings = Embeddings::new(values, 16).unwrap();
        // (type, largest error of a value): half a step of the type at magnitude 1.
        for (dtype, tolerance) in [
            (MemoryDtype::F32, 0.0),
            (MemoryDtype::F16, 5e-4),
            (MemoryDtype::Int8, 4e-3),
        ] {
            let rows = Rows::quantise(&embeddings, dtype);
            let bytes = Bytes::from(rows.as_bytes().to_vec());
            let rows = Rows::from_bytes(dtype, 16, bytes, rows.scales().to_vec()).unwrap();
            assert_eq!(rows.len(), 4);
            for (index, expected) in embeddings.rows().enumerate() {
                for (got, expected) in rows.row(index).iter().zip(expected) {
                    assert!(
                        (got - expected).abs() <= tolerance,
                        "{dtype:?}: {got} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused() {
        let bytes = || Bytes::from(vec![0; 10]);
        assert!(Rows::from_bytes(MemoryDtype::F32, 2, bytes(), vec![]).is_err());
        assert!(Rows::from_bytes(MemoryDtype::Int8, 5, bytes(), vec![]).is_err());
        assert!(Rows::from_bytes(MemoryDtype::Int8, 0, bytes(), vec![]).is_err());
        assert!(Rows::from_bytes(MemoryDtype::F16, usize::MAX, bytes(), vec![]).is_err());
    }
}
