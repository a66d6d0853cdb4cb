//! One call for other people's parsers of outside bytes: a panic inside becomes an error, silently.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::thread;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, a call of another crate's parser on bytes from outside. If it panics, nothing is
/// printed; the error is what `into_error` makes of a message that names `what`, such as "PNG".
///
/// The first call installs a panic hook for the whole process. The hook is silent on threads inside
/// `guarded`; everywhere else it calls the hook that it replaced, so other panics are reported as
/// before. Two cases escape it: a parser that panics on a thread of its own prints its message, and
/// a program that replaces the hook later prints all messages again. Aborts, stack overflows and
/// endless loops are not caught: bound nesting and sizes before the call.
///
/// `work` should leave nothing half changed that is used after a panic; parsers that return what
/// they read do not. Keep rayon out of it: a thread that waits there may run another task, whose
/// panic would be silent too.
///
/// # Errors
/// Those of `work`, and `into_error`'s where it panicked.
pub fn guarded<T, E>(
    what: &str,
    work: impl FnOnce() -> Result<T, E>,
    into_error: impl FnOnce(String) -> E,
) -> Result<T, E> {
    install_hook();
    let was_guarded = IS_GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(was_guarded);
    outcome.unwrap_or_else(|_panic| {
        Err(into_error(format!(
            "the {what} decoder failed on it: it is damaged or of a rare kind"
        )))
    })
}

fn install_hook() {
    static INSTALLED: Once = Once::new();
    // The standard library lets no panicking thread change the hook.
    if thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // A thread that ends has no such value any more.
            let is_guarded = IS_GUARDED.try_with(Cell::get).unwrap_or(false);
            if !is_guarded {
                previous(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_names_the_decoder() {
        let result: Result<u8, String> = guarded("TIFF", || panic!("index out of bounds"), |it| it);
        assert_eq!(
            result.unwrap_err(),
            "the TIFF decoder failed on it: it is damaged or of a rare kind"
        );
        let result: Result<u8, String> = guarded("TIFF", || Ok(7), |it| it);
        assert_eq!(result, Ok(7));
        let result: Result<u8, String> = guarded("TIFF", || Err("cut short".into()), |it| it);
        assert_eq!(result.unwrap_err(), "cut short");
    }

    /// Run in a process of its own: other tests would count too.
    #[test]
    fn only_panics_inside_are_silent() {
        const CHILD: &str = "DECAP_TEST_GUARD_CHILD";
        if std::env::var_os(CHILD).is_some() {
            count_messages();
            return;
        }
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program)
            .args(["--exact", "guard::tests::only_panics_inside_are_silent"])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    }

    fn count_messages() {
        static MESSAGES: AtomicUsize = AtomicUsize::new(0);
        let seen = |expected: usize, when: &str| {
            assert_eq!(MESSAGES.load(Ordering::SeqCst), expected, "{when}");
        };
        panic::set_hook(Box::new(|_| {
            MESSAGES.fetch_add(1, Ordering::SeqCst);
        }));
        let fails = || guarded::<(), String>("PNG", || panic!("inside"), |it| it).is_err();
        assert!(fails());
        seen(0, "inside");
        let nested = guarded::<_, String>("ZIP", || Ok(fails()), |it| it);
        assert_eq!(nested, Ok(true));
        let after_nested: Result<(), String> = guarded(
            "ZIP",
            || {
                fails();
                panic!("still inside");
            },
            |it| it,
        );
        assert!(after_nested.is_err());
        seen(0, "nested");
        assert!(catch_unwind(|| panic!("outside")).is_err());
        seen(1, "outside");
        let lock = Mutex::new(());
        let other = thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _held = lock.lock();
                    panic!("another thread");
                })
                .join()
        });
        assert!(other.is_err());
        seen(2, "another thread");
    }
}
