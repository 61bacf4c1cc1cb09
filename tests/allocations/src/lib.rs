//! An allocator that counts, for tests of what must not allocate.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: tandem_allocations::Counting = tandem_allocations::Counting;
//!
//! let before = tandem_allocations::of_thread();
//! drop(std::hint::black_box(Box::new(1)));
//! assert_eq!(tandem_allocations::of_thread() - before, 1);
//!
//! let before = tandem_allocations::bytes_of_thread();
//! let kept = std::hint::black_box(vec![0_u8; 1_000]);
//! assert_eq!(tandem_allocations::bytes_of_thread() - before, 1_008);
//! drop(kept);
//! assert_eq!(tandem_allocations::bytes_of_thread() - before, 0);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, which counts what passes through.
#[derive(Debug)]
pub struct Counting;

static OF_PROCESS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OF_THREAD: Cell<u64> = const { Cell::new(0) };
    static BYTES_OF_THREAD: Cell<i64> = const { Cell::new(0) };
}

/// Allocations of this thread so far: those of the test harness, which allocates when it likes, are
/// not among them.
#[must_use]
pub fn of_thread() -> u64 {
    OF_THREAD.get()
}

/// Allocations of all threads so far.
#[must_use]
pub fn of_process() -> u64 {
    OF_PROCESS.load(Ordering::Relaxed)
}

/// Bytes that this thread has taken and not given back: of the heap, so with what the allocator
/// itself needs for each piece.
#[must_use]
pub fn bytes_of_thread() -> i64 {
    BYTES_OF_THREAD.get()
}

fn count() {
    OF_PROCESS.fetch_add(1, Ordering::Relaxed);
    OF_THREAD.set(OF_THREAD.get() + 1);
}

/// Counts the bytes of a piece that is taken, or with -1 given back.
fn count_bytes(size: usize, times: i64) {
    // As glibc does: a head of 8 bytes, a multiple of 16, and 32 at least.
    let taken = (size + 8).next_multiple_of(16).max(32);
    let taken = i64::try_from(taken).unwrap_or(i64::MAX);
    BYTES_OF_THREAD.set(BYTES_OF_THREAD.get() + times * taken);
}

// JUSTIFICATION: an allocator can be made in no other way.
// SAFETY: GlobalAlloc wants what System promises, and all calls go there unchanged. Counting
// allocates nothing: the thread's counter is made by a constant and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        count_bytes(layout.size(), 1);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(layout.size(), -1);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        count_bytes(layout.size(), -1);
        count_bytes(size, 1);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
