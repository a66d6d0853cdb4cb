//! Packed operands: 32-bit words, each one f32, two bf16 or four bytes, aligned to cache lines.

use std::cell::RefCell;

const LINE_WORDS: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; LINE_WORDS]);

/// A growable buffer of words that starts on a cache line.
#[derive(Clone, Default)]
pub(crate) struct Words {
    lines: Vec<Line>,
}

impl Words {
    /// `len` zero words, rounded up to whole lines.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut words = Self::default();
        words.grow(len);
        words
    }

    /// Makes room for at least `len` words.
    pub(crate) fn grow(&mut self, len: usize) {
        let lines = len.div_ceil(LINE_WORDS);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; LINE_WORDS]));
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        // SAFETY: a `Line` is exactly sixteen u32 without padding, so the lines are one run of u32.
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE_WORDS)
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: as in `as_slice`; the mutable borrow of `self` covers the whole run.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.lines.as_mut_ptr().cast(),
                self.lines.len() * LINE_WORDS,
            )
        }
    }
}

/// The words seen as f32.
#[inline(always)]
pub(crate) fn as_f32(words: &[u32]) -> &[f32] {
    // SAFETY: u32 and f32 have the same size and alignment, and any bits are a valid f32.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// The words seen as f32, writable.
pub(crate) fn as_f32_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: as in `as_f32`; and any f32 written is a valid u32.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// [`with_scratch`] for f32.
pub(crate) fn with_f32_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    with_scratch(len, |words| work(as_f32_mut(words)))
}

thread_local! {
    static SCRATCH: RefCell<Vec<Words>> = const { RefCell::new(Vec::new()) };
}

/// Lends a buffer of at least `len` words to `work`; its content is unspecified.
///
/// The buffer is kept for the next call, so that the memory is mapped once.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut words = SCRATCH.with(|scratch| scratch.borrow_mut().pop().unwrap_or_default());
    words.grow(len);
    let result = work(&mut words.as_mut_slice()[..len]);
    SCRATCH.with(|scratch| scratch.borrow_mut().push(words));
    result
}
