//! Matrices of f32 in the memory of somebody else.

/// A read-only matrix `[rows, columns]` of f32 whose rows, or whose columns, are dense.
#[derive(Clone, Copy, Debug)]
pub struct MatrixView<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// A dense row-major matrix.
    ///
    /// # Panics
    /// When `data` does not hold `rows * columns` values.
    pub fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "matrix length");
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// A matrix whose rows start `row_stride` values apart, as a column range of a wider one.
    ///
    /// # Panics
    /// When the last element lies outside `data`.
    pub fn with_row_stride(
        data: &'a [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        assert_strided(data.len(), rows, columns, row_stride);
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The columns `start..start + len`.
    ///
    /// # Panics
    /// When they are not all there.
    pub fn columns_range(self, start: usize, len: usize) -> Self {
        assert!(
            start <= self.columns && len <= self.columns - start,
            "column range"
        );
        let offset = (start * self.column_stride).min(self.data.len());
        Self {
            data: &self.data[offset..],
            columns: len,
            ..self
        }
    }

    /// Whether the values of a row are contiguous; otherwise those of a column are.
    #[inline(always)]
    pub(crate) fn has_dense_rows(&self) -> bool {
        self.column_stride == 1
    }

    /// `len` values of `row` from column `start`, of a matrix with dense rows.
    #[inline(always)]
    pub(crate) fn row_slice(&self, row: usize, start: usize, len: usize) -> &'a [f32] {
        debug_assert!(self.has_dense_rows());
        let at = row * self.row_stride + start;
        &self.data[at..at + len]
    }

    /// `len` values from column `start` of each of `rows` rows, of a matrix with dense rows, and how far apart
    /// they begin.
    #[inline(always)]
    pub(crate) fn rows_from(
        &self,
        row: usize,
        start: usize,
        rows: usize,
        len: usize,
    ) -> (&'a [f32], usize) {
        debug_assert!(self.has_dense_rows());
        let at = row * self.row_stride + start;
        let values = (rows - 1) * self.row_stride + len;
        (&self.data[at..at + values], self.row_stride)
    }
}

/// A writable matrix `[rows, columns]` of f32 whose rows are dense.
#[derive(Debug)]
pub struct MatrixViewMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
}

impl<'a> MatrixViewMut<'a> {
    /// A dense row-major matrix.
    ///
    /// # Panics
    /// When `data` does not hold `rows * columns` values.
    pub fn row_major(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "matrix length");
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
        }
    }

    /// A matrix whose rows start `row_stride` values apart.
    ///
    /// # Panics
    /// When `row_stride` is less than `columns`, or the last element lies outside `data`.
    pub fn with_row_stride(
        data: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        assert!(row_stride >= columns, "rows must not overlap");
        assert_strided(data.len(), rows, columns, row_stride);
        Self {
            data,
            rows,
            columns,
            row_stride,
        }
    }
}

fn assert_strided(len: usize, rows: usize, columns: usize, row_stride: usize) {
    let needed = match (rows, columns) {
        (0, _) | (_, 0) => Some(0),
        _ => (rows - 1)
            .checked_mul(row_stride)
            .and_then(|start| start.checked_add(columns)),
    };
    let fits = needed.is_some_and(|needed| needed <= len);
    assert!(
        fits,
        "matrix [{rows}, {columns}] with row stride {row_stride} in {len} values"
    );
}
