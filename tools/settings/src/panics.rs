//! A program that panics ends.
//!
//! What a thread has left half done is not to be gone on with, and a process that lacks a thread is
//! worse than none: whoever supervises it starts another. Where a part can be given up by itself, as
//! handshakes can, its panics are caught, and then the program goes on.

use std::panic;
use std::process::abort;
use std::sync::atomic::{AtomicU32, Ordering};

/// Panics that are caught and said; others could write logs full with them.
const SAID_MAX: u32 = 16;

/// Has the program end at any panic, of any thread, once it is said.
pub fn end_on_panic() {
    end_on_panic_unless(|| false);
}

/// The same, but for panics of a thread that `is_caught` says are caught.
pub fn end_on_panic_unless(is_caught: fn() -> bool) {
    let said = AtomicU32::new(0);
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        if !is_caught() {
            say(what);
            abort();
        }
        if said.fetch_add(1, Ordering::Relaxed) < SAID_MAX {
            say(what);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    use super::*;

    const CHILD: &str = "TANDEM_TEST_PANICS";

    /// Runs a test of this program in a process of its own, which lives until its end or does not.
    fn run(test: &str) -> ExitStatus {
        let name = format!("panics::tests::{test}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.args(["--exact", &name]).env(CHILD, "1");
        command.output().unwrap().status
    }

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    #[test]
    fn a_panic_of_any_thread_ends_the_program() {
        if !is_child() {
            const SIGABRT: i32 = 6;
            let ended = run("a_panic_of_any_thread_ends_the_program");
            assert_eq!(ended.signal(), Some(SIGABRT));
            return;
        }
        end_on_panic();
        let _ = std::thread::spawn(|| panic!("as a test wants it")).join();
    }

    #[test]
    fn a_panic_that_is_caught_does_not() {
        if !is_child() {
            assert!(run("a_panic_that_is_caught_does_not").success());
            return;
        }
        end_on_panic_unless(|| true);
        assert!(panic::catch_unwind(|| panic!("as a test wants it")).is_err());
    }
}
