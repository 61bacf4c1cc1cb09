//! An allocator that counts, for tests of what must not allocate, or hold much.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: tandem_allocations::Counting = tandem_allocations::Counting;
//!
//! let before = tandem_allocations::of_thread();
//! drop(std::hint::black_box(Box::new(1)));
//! assert_eq!(tandem_allocations::of_thread() - before, 1);
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
    static HELD_BY_THREAD: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that glibc keeps with each piece of memory, and the number that the sum is a multiple of.
const OVERHEAD_BYTES: usize = 8;
const PIECE_BYTES: usize = 16;

/// The smallest piece.
const PIECE_BYTES_MIN: usize = 32;

/// Allocations of this thread so far: those of the test harness, which allocates when it likes, are
/// not among them.
#[must_use]
pub fn of_thread() -> u64 {
    OF_THREAD.get()
}

/// Bytes that this thread has allocated and not freed, as glibc's malloc rounds them up. Less than
/// none if it frees what others allocated.
#[must_use]
pub fn held_by_thread() -> i64 {
    HELD_BY_THREAD.get()
}

/// Allocations of all threads so far.
#[must_use]
pub fn of_process() -> u64 {
    OF_PROCESS.load(Ordering::Relaxed)
}

fn count() {
    OF_PROCESS.fetch_add(1, Ordering::Relaxed);
    OF_THREAD.set(OF_THREAD.get() + 1);
}

fn hold(size: usize) {
    HELD_BY_THREAD.set(HELD_BY_THREAD.get() + piece(size));
}

fn let_go(size: usize) {
    HELD_BY_THREAD.set(HELD_BY_THREAD.get() - piece(size));
}

/// The bytes that glibc takes for so many.
fn piece(size: usize) -> i64 {
    let bytes = (size + OVERHEAD_BYTES).next_multiple_of(PIECE_BYTES);
    i64::try_from(bytes.max(PIECE_BYTES_MIN)).unwrap_or(i64::MAX)
}

// JUSTIFICATION: an allocator can be made in no other way.
// SAFETY: GlobalAlloc wants what System promises, and all calls go there unchanged. Counting
// allocates nothing: the thread's counter is made by a constant and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(layout.size());
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let_go(layout.size());
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        let_go(layout.size());
        hold(size);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
