//! Packed operands: 32-bit words, each one f32, two bf16 or four bytes, aligned to cache lines.

use crate::huge_pages::{Pooled, prefer_huge_pages};
use std::cell::RefCell;

const LINE_WORDS: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; LINE_WORDS]);

/// A buffer of words that starts on a cache line: one that grows, or part of a shared one.
#[derive(Clone)]
pub(crate) enum Words {
    Lines(Vec<Line>),
    Pooled(Pooled),
}

impl Default for Words {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

impl Words {
    /// `len` zero words, rounded up to whole lines.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut words = Self::default();
        words.grow(len);
        words
    }

    /// [`Words::zeroed`] for weights, which are written once and read many times. Small ones, such as the
    /// queries of a projection, which live for one call, are not worth a huge page.
    pub(crate) fn pooled(len: usize) -> Self {
        const LEAST: usize = 1 << 16;
        if len < LEAST {
            return Self::zeroed(len);
        }
        match Pooled::zeroed(len) {
            Some(pooled) => Self::Pooled(pooled),
            None => Self::zeroed(len),
        }
    }

    /// Makes room for at least `len` words, all zero if there was less. A pooled buffer cannot grow.
    pub(crate) fn grow(&mut self, len: usize) {
        let lines = len.div_ceil(LINE_WORDS);
        match self {
            Self::Lines(all) if all.len() < lines => {
                *all = vec![Line([0; LINE_WORDS]); lines];
                prefer_huge_pages(all);
            }
            Self::Lines(_) => {}
            Self::Pooled(pooled) => assert!(len <= pooled.as_slice().len(), "growth of weights"),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            // SAFETY: a `Line` is exactly sixteen u32 without padding, so the lines are one run of u32.
            Self::Lines(lines) => unsafe {
                std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE_WORDS)
            },
            Self::Pooled(pooled) => pooled.as_slice(),
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        match self {
            // SAFETY: as in `as_slice`; the mutable borrow of `self` covers the whole run.
            Self::Lines(lines) => unsafe {
                std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE_WORDS)
            },
            Self::Pooled(pooled) => pooled.as_mut_slice(),
        }
    }
}

/// The words seen as f32.
#[inline(always)]
pub(crate) fn as_f32(words: &[u32]) -> &[f32] {
    // SAFETY: u32 and f32 have the same size and alignment, and any bits are a valid f32.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// The bits of f32.
#[inline(always)]
pub(crate) fn as_words(values: &[f32]) -> &[u32] {
    // SAFETY: as in `as_f32`, the other way round.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
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
