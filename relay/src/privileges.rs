//! What the process may do: nothing that an ordinary user may not, once it runs.
//!
//! Privileges are a thread's own, and its children's. They are needed to load programs into the
//! kernel, for rings beyond the limit of locked memory, and to raise the limit of open files: all of
//! that is done before packets come. So each thread gives up what it has when it begins to work.

use std::thread;

use rustix::io;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

/// What this process executes, if it ever does, gets no more than it has itself.
///
/// # Errors
///
/// The system's.
pub fn gain_none() -> io::Result<()> {
    set_no_new_privs(true)
}

/// Gives up all capabilities of this thread, and of those that it starts from now on.
///
/// # Errors
///
/// The system's: a sandbox may forbid even that (`capset(2)`).
pub fn give_up() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    if capabilities(None)? == nothing {
        return Ok(());
    }
    // The ambient ones go with the permitted (capabilities(7)).
    set_capabilities(None, nothing)
}

/// Does something on a thread that has none, so that threads which stay behind have none either.
///
/// # Panics
///
/// When that does.
pub fn without<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // That it is not possible is said when the whole process tries.
            let _ = give_up();
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Of this thread, by name.
    fn sets() -> Vec<String> {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"];
        let set = |name: &&str| status.lines().find_map(|it| it.strip_prefix(name));
        sets.iter()
            .map(|it| set(it).unwrap().trim().to_owned())
            .collect()
    }

    #[test]
    fn nothing_is_left_and_it_can_be_done_twice() {
        // Of this thread alone.
        thread::spawn(|| {
            for _ in 0..2 {
                give_up().unwrap();
                assert_eq!(sets(), ["0000000000000000"; 4]);
            }
            let child = thread::spawn(sets).join().unwrap();
            assert_eq!(child, ["0000000000000000"; 4]);
        })
        .join()
        .unwrap();
        let child = without(|| thread::spawn(sets).join().unwrap());
        assert_eq!(child, ["0000000000000000"; 4]);
    }
}
