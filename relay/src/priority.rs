//! How soon a thread has the processor when it wakes.

use std::io;
use std::mem::size_of;

/// The shortest turn that Linux gives.
const SLICE_NS: u64 = 100_000;

/// Asks for short turns (`sched_setattr(2)`, Linux 6.12), so that this thread runs at once when it
/// wakes on a core where another is in the middle of a longer one. It gets no more of the
/// processor by that. A system that does not know of it does as before.
///
/// # Errors
///
/// The system's, when it does not allow that.
pub(crate) fn ask_for_short_turns() -> io::Result<()> {
    let mut attributes = read()?;
    if attributes.sched_policy != SCHED_OTHER {
        // Somebody has given it another priority, in which turns mean something else.
        return Ok(());
    }
    attributes.sched_runtime = SLICE_NS;
    write(&attributes)
}

/// `libc::SCHED_OTHER`, as it stands in the unsigned field.
const SCHED_OTHER: u32 = libc::SCHED_OTHER.cast_unsigned();

/// Bytes of what is read and written, the first version of it.
const LEN: u32 = 48;

const _: () = assert!(LEN as usize == size_of::<libc::sched_attr>());

fn read() -> io::Result<libc::sched_attr> {
    let mut attributes = libc::sched_attr {
        size: LEN,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // JUSTIFICATION: neither libc nor rustix wraps sched_getattr(2).
    // SAFETY: sched_getattr(2) wants a thread (0: this one), memory that it may write `LEN` bytes
    // to, which the struct has (asserted above), and no flags. It keeps no address.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, LEN, 0_u32) };
    match result {
        0 => Ok(attributes),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write(attributes: &libc::sched_attr) -> io::Result<()> {
    // JUSTIFICATION: as above.
    // SAFETY: sched_setattr(2) wants a thread (0: this one), attributes that it may read, of the
    // length that they say, and no flags. It keeps no address.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0_u32) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_short_and_all_else_stays() {
        // Of this thread alone.
        let before = read().unwrap();
        ask_for_short_turns().unwrap();
        let after = read().unwrap();
        assert_eq!(after.sched_policy, before.sched_policy);
        assert_eq!(after.sched_nice, before.sched_nice);
        // Before 6.12 the system says 0.
        assert!([0, SLICE_NS].contains(&after.sched_runtime) || before.sched_policy != SCHED_OTHER);
    }
}
