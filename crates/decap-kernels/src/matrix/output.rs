//! The output of a product, cut into blocks or tiles that threads fill independently.

use super::view::MatrixViewMut;
use std::marker::PhantomData;

/// Whether a product replaces the output or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// `out = a b`
    Overwrite,
    /// `out += a b`
    Add,
}

/// An output that may be cut into disjoint blocks.
pub(crate) struct Output<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through blocks, which `Output::block`'s caller keeps disjoint.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub(crate) fn new(view: MatrixViewMut<'a>) -> Self {
        Self {
            data: view.data.as_mut_ptr(),
            rows: view.rows,
            columns: view.columns,
            row_stride: view.row_stride,
            lifetime: PhantomData,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The block of `rows` by `columns` at (`row`, `column`).
    ///
    /// # Safety
    /// No two blocks that are alive at the same time may overlap.
    pub(crate) unsafe fn block(
        &self,
        row: usize,
        rows: usize,
        column: usize,
        columns: usize,
    ) -> OutputBlock<'_> {
        assert!(row <= self.rows && rows <= self.rows - row);
        assert!(column <= self.columns && columns <= self.columns - column);
        // SAFETY: the assertions keep the block's origin inside the view, or one past its end.
        let data = unsafe { self.data.add(row * self.row_stride + column) };
        OutputBlock {
            data,
            rows,
            columns,
            row_stride: self.row_stride,
            lifetime: PhantomData,
        }
    }
}

/// A block of an output; its rows are ordinary slices.
pub(crate) struct OutputBlock<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl OutputBlock<'_> {
    /// The whole block as an output of its own.
    pub(crate) fn as_output(&mut self) -> Output<'_> {
        Output {
            data: self.data,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            lifetime: PhantomData,
        }
    }

    /// One row of the block, `[columns]`.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: `Output::block` checked that the block lies inside the view, and its caller that
        // nothing else refers to it; the borrow of `self` keeps rows from being held twice.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.columns)
        }
    }

    /// A part of the block.
    #[inline(always)]
    pub(crate) fn part(
        &mut self,
        row: usize,
        rows: usize,
        column: usize,
        columns: usize,
    ) -> OutputBlock<'_> {
        assert!(row + rows <= self.rows && column + columns <= self.columns);
        OutputBlock {
            // SAFETY: the assertion keeps the part inside the block.
            data: unsafe { self.data.add(row * self.row_stride + column) },
            rows,
            columns,
            row_stride: self.row_stride,
            lifetime: PhantomData,
        }
    }
}

/// Words that are cut into disjoint pieces, in whose order [`super::panels::Order::Tiles`] has them.
pub(crate) struct Pieces<'a> {
    data: *mut u32,
    len: usize,
    lifetime: PhantomData<&'a mut [u32]>,
}

// SAFETY: the pointer is only used through pieces, which `Pieces::piece`'s caller keeps disjoint.
unsafe impl Sync for Pieces<'_> {}

impl<'a> Pieces<'a> {
    pub(crate) fn new(words: &'a mut [u32]) -> Self {
        Self {
            data: words.as_mut_ptr(),
            len: words.len(),
            lifetime: PhantomData,
        }
    }

    /// The `len` words from `start`.
    ///
    /// # Safety
    /// No two pieces that are alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn piece(&self, start: usize, len: usize) -> &mut [u32] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: the assertion keeps the piece inside the words, and the caller keeps it alone.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}
