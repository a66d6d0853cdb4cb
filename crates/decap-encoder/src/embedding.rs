//! Unit vectors of the space that photos and sentences share.

use crate::error::{Error, Result};

/// One unit vector `[width]`, f32: what an encoder says of a photo or a sentence.
///
/// It is normalised by construction, so a dot product of two is their cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Normalises `values` `[width]` to length one.
    ///
    /// # Errors
    /// [`Error::Usage`] where a value is not finite, or all are zero: no direction, no embedding.
    ///
    /// ```
    /// let embedding = decap_encoder::Embedding::new(vec![3.0, 4.0])?;
    /// assert_eq!(embedding.as_slice(), [0.6, 0.8]);
    /// # Ok::<(), decap_encoder::Error>(())
    /// ```
    pub fn new(mut values: Vec<f32>) -> Result<Self> {
        normalise(&mut values)?;
        Ok(Self(values))
    }

    /// Takes `values` `[width]` of length one, such as were an embedding before, bit for bit.
    ///
    /// # Errors
    /// [`Error::Usage`] where their length is not one.
    ///
    /// ```
    /// let embedding = decap_encoder::Embedding::from_unit(vec![0.6, 0.8])?;
    /// assert_eq!(embedding.as_slice(), [0.6, 0.8]);
    /// assert!(decap_encoder::Embedding::from_unit(vec![3.0, 4.0]).is_err());
    /// # Ok::<(), decap_encoder::Error>(())
    /// ```
    pub fn from_unit(values: Vec<f32>) -> Result<Self> {
        /// Far above what rounding of thousands of values comes to.
        const LENGTH_TOLERANCE: f32 = 1e-3;
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        match (length - 1.0).abs() <= LENGTH_TOLERANCE {
            true => Ok(Self(values)),
            false => Err(Error::Usage(format!(
                "expected an embedding of length 1, got {length}"
            ))),
        }
    }

    /// The values, `[width]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The number of values.
    pub fn width(&self) -> usize {
        self.0.len()
    }

    /// The cosine to `other`, in -1..=1.
    ///
    /// # Panics
    /// If the widths differ.
    pub fn cosine(&self, other: &Self) -> f32 {
        assert_eq!(self.width(), other.width(), "embeddings of one width");
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }

    /// The mean of several embeddings, normalised: how the frames of a video become one.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are none, or they cancel out.
    pub fn mean(embeddings: &Embeddings) -> Result<Self> {
        let mut sum = vec![0.0; embeddings.width()];
        for row in embeddings.rows() {
            for (total, value) in sum.iter_mut().zip(row) {
                *total += value;
            }
        }
        Self::new(sum)
    }
}

/// Unit vectors `[rows, width]`, f32, one row an input, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    width: usize,
}

impl Embeddings {
    /// Normalises each row of `values` `[rows, width]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where the length is no multiple of `width`, or a row has no direction.
    pub fn new(mut values: Vec<f32>, width: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::Usage(format!(
                "expected rows of width {width}, got {} values",
                values.len()
            )));
        }
        values.chunks_exact_mut(width).try_for_each(normalise)?;
        Ok(Self { values, width })
    }

    /// No rows yet.
    pub fn empty(width: usize) -> Self {
        Self {
            values: Vec::new(),
            width,
        }
    }

    /// The values, `[rows, width]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The width of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows, each `[width]`.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Row `index` as an [`Embedding`], or `None` past the end.
    pub fn get(&self, index: usize) -> Option<Embedding> {
        self.rows().nth(index).map(|row| Embedding(row.to_vec()))
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where its width differs.
    pub fn push(&mut self, embedding: &Embedding) -> Result<()> {
        if self.width != embedding.width() {
            return Err(Error::Mismatch(format!(
                "expected an embedding of width {}, got {}",
                self.width,
                embedding.width()
            )));
        }
        self.values.extend_from_slice(embedding.as_slice());
        Ok(())
    }

    /// Appends the rows of `other`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the widths differ.
    pub fn extend(&mut self, other: &Self) -> Result<()> {
        if self.width != other.width {
            return Err(Error::Mismatch(format!(
                "expected embeddings of width {}, got {}",
                self.width, other.width
            )));
        }
        self.values.extend_from_slice(&other.values);
        Ok(())
    }
}

/// Scales `values` to length one; the length is summed in f64.
fn normalise(values: &mut [f32]) -> Result<()> {
    let norm = values
        .iter()
        .map(|&v| f64::from(v) * f64::from(v))
        .sum::<f64>()
        .sqrt();
    if !norm.is_finite() || norm == 0.0 {
        return Err(Error::Usage(format!(
            "expected a vector with a direction, got one of length {norm}"
        )));
    }
    for value in values {
        *value = (f64::from(*value) / norm) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_unit_vectors() {
        let embeddings = Embeddings::new(vec![3.0, 4.0, 0.0, -2.0], 2).unwrap();
        assert_eq!(embeddings.as_slice(), [0.6, 0.8, 0.0, -1.0]);
        assert_eq!(embeddings.len(), 2);
    }

    #[test]
    fn a_vector_without_direction_is_refused() {
        for values in [
            vec![0.0, 0.0],
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY, 1.0],
            vec![],
        ] {
            assert!(Embedding::new(values).is_err());
        }
    }

    #[test]
    fn the_mean_of_opposites_is_refused() {
        let opposites = Embeddings::new(vec![1.0, 0.0, -1.0, 0.0], 2).unwrap();
        assert!(Embedding::mean(&opposites).is_err());
    }
}
