//! The library's panics end the association that they are of, and nothing else.
//!
//! What it is given comes from anybody. It has `unreachable!` and `expect` in places that no datagram
//! should lead to; should one lead there after all, the relay goes on, with all other calls.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, were there one now, would be caught. A program that ends at each
/// panic asks this first.
#[must_use]
pub fn catches_panics() -> bool {
    CATCHES.get()
}

/// `None` if it panicked. What it has changed until then is not to be used any more.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CATCHES.replace(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        trap::step();
        work()
    }));
    CATCHES.set(before);
    result.ok()
}

/// Has the library break where a test wants it to.
#[cfg(test)]
pub(crate) mod trap {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The library is entered so many times, and breaks the next time.
    pub(crate) fn set(steps: u32) {
        STEPS.set(Some(steps));
    }

    /// Whether it has not broken yet.
    pub(crate) fn is_set() -> bool {
        STEPS.take().is_some()
    }

    pub(super) fn step() {
        match STEPS.get() {
            None => {}
            Some(0) => {
                STEPS.set(None);
                panic!("as a test wants it");
            }
            Some(steps) => STEPS.set(Some(steps - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_known_to_be_before_it_comes() {
        assert!(!catches_panics());
        assert_eq!(caught(catches_panics), Some(true));
        let broken: Option<u32> = caught(|| panic!("as a test wants it"));
        assert_eq!(broken, None);
        assert!(!catches_panics());
    }
}
