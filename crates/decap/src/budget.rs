//! A share of memory that work on several threads takes in turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may be taken together; who wants more than is left waits.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            taken: Mutex::new(0),
            given_back: Condvar::new(),
        }
    }

    /// Waits until `bytes` more fit. What exceeds the budget by itself waits until it is alone: limits
    /// on a single input are not this one's business.
    ///
    /// Who holds a share must not wait for another of the same budget.
    pub(crate) fn take(&self, bytes: u64) -> Share<'_> {
        let is_full = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > self.total;
        let waited = self.given_back.wait_while(self.lock(), is_full);
        let mut taken = waited.unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(bytes);
        Share {
            budget: self,
            bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut taken = self.budget.lock();
        *taken = taken.saturating_sub(self.bytes);
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn threads_never_take_more_together_and_the_oversized_runs_alone() {
        let budget = Budget::new(100);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8u64 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for turn in 0..200 {
                        // 30 to 99, and now and then more than all.
                        let bytes = match (thread + turn) % 20 {
                            0 => 500,
                            other => 30 + (other * 7) % 70,
                        };
                        let share = budget.take(bytes);
                        let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(now <= 100 || now == bytes, "{now} with {bytes}");
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!((*budget.lock(), most.into_inner()), (0, 500));
    }

    #[test]
    fn a_panic_gives_the_share_back() {
        let budget = Budget::new(10);
        let panicked = thread::scope(|scope| {
            let work = || {
                let _share = budget.take(10);
                panic!("the decoder failed");
            };
            scope.spawn(work).join().is_err()
        });
        assert!(panicked);
        drop(budget.take(10));
    }
}
