//! Memory in huge pages: pieces from which the matrices of weights are cut, and advice for the rest.
//!
//! A network of a hundred matrices is read from end to end for every photo or token, and a training
//! step passes over all parameters four times. With pages of 2 MiB instead of 4 KiB that is 1.5 times as
//! fast.

use memmap2::MmapMut;
use std::sync::{Arc, Mutex, PoisonError};

/// Asks the system to hold `values` in huge pages, if it has them. Best called before they are first
/// written; changes nothing but speed.
pub fn prefer_huge_pages<T>(values: &[T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let start = values.as_ptr().addr().next_multiple_of(HUGE_PAGE_BYTES);
        let end = values.as_ptr_range().end.addr() / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        if start < end {
            let start = values.as_ptr().with_addr(start).cast_mut().cast();
            // SAFETY: the pages lie within `values`, and the advice changes neither their bytes nor who
            // may look at them. If the system ignores the advice, nothing is harmed.
            unsafe { libc::madvise(start, end - start.addr(), libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = values;
}

/// Bytes of a piece; a larger matrix has a piece of its own.
const PIECE_BYTES: usize = 32 << 20;
const HUGE_PAGE_BYTES: usize = 2 << 20;
const LINE_BYTES: usize = 64;

/// Words that are part of a piece; the piece is freed with the last of its parts.
pub(crate) struct Pooled {
    words: *mut u32,
    len: usize,
    /// Keeps the words alive.
    _piece: Arc<MmapMut>,
}

// SAFETY: `zeroed` gives each part words of its own, which live as long as the piece that it holds; the
// map itself is never looked at.
unsafe impl Send for Pooled {}
// SAFETY: as above; shared parts are only read.
unsafe impl Sync for Pooled {}

/// The piece that parts are cut from, and its first free byte.
struct Open {
    words: usize,
    free: usize,
    end: usize,
    piece: Arc<MmapMut>,
}

impl Pooled {
    /// `len` zero words, rounded up to whole cache lines; None if the system gives no memory.
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        static OPEN: Mutex<Option<Open>> = Mutex::new(None);
        let bytes = len
            .checked_mul(size_of::<u32>())?
            .checked_next_multiple_of(LINE_BYTES)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |open: &Open| bytes <= open.end - open.free;
        if !open.as_ref().is_some_and(fits) {
            *open = Some(Open::new(bytes.max(PIECE_BYTES))?);
        }
        let piece = open.as_mut()?;
        let at = piece.words + piece.free;
        piece.free += bytes;
        Some(Self {
            words: std::ptr::with_exposed_provenance_mut(at),
            len: bytes / size_of::<u32>(),
            _piece: Arc::clone(&piece.piece),
        })
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        // SAFETY: the words lie in the piece, which lives as long as `self`; they are zero or written.
        unsafe { std::slice::from_raw_parts(self.words, self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: as in `as_slice`; no other part has these words.
        unsafe { std::slice::from_raw_parts_mut(self.words, self.len) }
    }
}

impl Clone for Pooled {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len).unwrap_or_else(|| {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u32; LINE_BYTES]>())
        });
        copy.as_mut_slice().copy_from_slice(self.as_slice());
        copy
    }
}

impl Open {
    fn new(bytes: usize) -> Option<Self> {
        let mut map = MmapMut::map_anon(bytes.checked_add(HUGE_PAGE_BYTES)?).ok()?;
        // A system without huge pages keeps small ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let words = map.as_mut_ptr().expose_provenance();
        let free = words.next_multiple_of(HUGE_PAGE_BYTES) - words;
        Some(Self {
            words,
            free,
            end: free + bytes,
            piece: Arc::new(map),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_changes_no_value() {
        let mut values = vec![0.0_f32; 3 << 20];
        prefer_huge_pages(&values);
        assert!(values.iter().all(|value| *value == 0.0));
        values.fill(1.5);
        prefer_huge_pages(&values[5..]);
        assert!(values.iter().all(|value| *value == 1.5));
        prefer_huge_pages::<u8>(&[]);
    }

    #[test]
    fn parts_do_not_overlap_and_outlive_each_other() {
        let mut parts: Vec<_> = (1..200)
            .map(|len| Pooled::zeroed(1000 * len).unwrap())
            .collect();
        for (index, part) in parts.iter_mut().enumerate() {
            assert!(part.as_slice().iter().all(|word| *word == 0));
            assert_eq!(part.as_slice().as_ptr() as usize % LINE_BYTES, 0);
            part.as_mut_slice().fill(index as u32 + 1);
        }
        let copy = parts[7].clone();
        let kept = parts.split_off(100);
        drop(parts);
        for (index, part) in kept.iter().enumerate() {
            assert!(
                part.as_slice()
                    .iter()
                    .all(|word| *word == index as u32 + 101)
            );
        }
        assert!(copy.as_slice().iter().all(|word| *word == 8));
    }
}
