//! Where a tensor lies within a file, and its elements as f32.

use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

/// Most axes of a tensor.
const MAX_AXES: usize = 8;

/// Where a tensor's elements lie within a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// The storage's bytes within the file, little-endian.
    pub bytes: Range<usize>,
    /// The type of an element.
    pub dtype: Dtype,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// Elements of the storage before the tensor's first.
    pub offset: usize,
    /// Elements of the storage from one index of an axis to the next.
    pub strides: Vec<usize>,
}

impl StoredTensor {
    /// A dense row-major tensor over all of `bytes`.
    pub fn dense(bytes: Range<usize>, dtype: Dtype, shape: Vec<usize>) -> Self {
        let strides = dense_strides(&shape);
        Self {
            bytes,
            dtype,
            shape,
            offset: 0,
            strides,
        }
    }

    /// Checks that every element lies within the storage, and that there are not more of them.
    ///
    /// # Errors
    /// What was expected and what was found, in words.
    pub fn check(&self) -> Result<(), String> {
        let size = element_size(self.dtype)
            .ok_or_else(|| format!("expected a number type, got {:?}", self.dtype))?;
        let available = self.bytes.len() / size;
        if self.shape.len() > MAX_AXES || self.shape.len() != self.strides.len() {
            return Err(format!(
                "expected at most {MAX_AXES} axes, got shape {:?}",
                self.shape
            ));
        }
        let elements = self
            .shape
            .iter()
            .try_fold(1usize, |product, &extent| product.checked_mul(extent));
        let elements = elements.ok_or_else(|| format!("shape {:?} overflows", self.shape))?;
        let last = self.shape.iter().zip(&self.strides).try_fold(
            self.offset,
            |last, (&extent, &stride)| {
                last.checked_add(extent.saturating_sub(1).checked_mul(stride)?)
            },
        );
        let fits = elements <= available && last.is_some_and(|last| last < available);
        if elements > 0 && !fits {
            return Err(format!(
                "expected {elements} elements within a storage of {available}, got an end at {last:?}"
            ));
        }
        Ok(())
    }

    /// Whether elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        // The stride of an axis of one element says nothing.
        let dense = dense_strides(&self.shape);
        let axes = self.shape.iter().zip(self.strides.iter().zip(dense));
        axes.into_iter()
            .all(|(&extent, (&stride, dense))| extent <= 1 || stride == dense)
    }

    /// The place in the storage of row-major element `index`.
    pub fn element(&self, mut index: usize) -> usize {
        let mut at = self.offset;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            let extent = extent.max(1);
            at += (index % extent) * stride;
            index /= extent;
        }
        at
    }
}

impl StoredTensor {
    /// The elements in row-major order, widened to f32 from f64, f32, f16 or bf16; `None` for another
    /// type, or where the storage does not lie within `file`.
    pub fn to_f32(&self, file: &[u8]) -> Option<Vec<f32>> {
        let all = widen(self.dtype, file.get(self.bytes.clone())?)?;
        let total: usize = self.shape.iter().product();
        let values = (0..total).map(|index| all.get(self.element(index)).copied());
        values.collect()
    }
}

fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// Bytes of an element; `None` for types that fill no whole bytes.
pub fn element_size(dtype: Dtype) -> Option<usize> {
    let bits = dtype.bitsize();
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// Little-endian elements as f32, or `None` for a type that is not a float.
pub fn widen(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (elements, _) = bytes.as_chunks::<N>();
        elements.iter().map(|&element| read(element)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |element| f64::from_le_bytes(element) as f32),
        Dtype::F16 => each(bytes, |element| f16::from_le_bytes(element).to_f32()),
        Dtype::BF16 => each(bytes, |element| bf16::from_le_bytes(element).to_f32()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_widened_exactly() {
        assert_eq!(
            widen(Dtype::F16, &[0x00, 0x3c, 0x00, 0xc0]).unwrap(),
            [1.0, -2.0]
        );
        assert_eq!(
            widen(Dtype::BF16, &[0x80, 0x3f, 0x40, 0x40]).unwrap(),
            [1.0, 3.0]
        );
        assert_eq!(widen(Dtype::F64, &2.5f64.to_le_bytes()).unwrap(), [2.5]);
        assert!(widen(Dtype::I64, &[0; 8]).is_none());
    }
}
