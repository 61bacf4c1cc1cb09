//! Receive buffers: the pool that the kernel takes from, and the leases on what it handed out.
//!
//! ```text
//!  published ──kernel──► Lease ──┬──────────────── release ──► returned ── publish ──► published
//!      ▲                         └─ send, submitted ──┘            │
//!      └──────────── publish, the window is wider ── spare ◄───────┘ the window is full
//! ```
//!
//! The kernel takes buffers in the order in which they were published, so it goes round all that it
//! has. Few enough of them stay in the cache; so it has a *window* of them only, as long as those
//! do. Each time that it has taken half of them at once it has twice as many, and half as many again
//! after a while in which it took few.
//!
//! A buffer is the kernel's or ours, never both: ours for as long as there is a [`Lease`], which
//! is released at once, or when what it holds was sent.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::token::BufferId;

/// Bytes of one receive buffer: `io_uring_recvmsg_out`, an address, one datagram of a jumbo frame
/// (an MTU of 9,000), and room behind it for what a rewrite may add. Whole cache lines, but no
/// power of two, so that the beginnings of buffers do not all fall on the same sets of a cache.
pub(super) const BUFFER_SIZE: usize = 9_280;

/// Buffers at most: what the kernel allows in one ring.
const BUFFER_COUNT_MAX: u16 = 32_768;

/// The buffers of one worker.
#[derive(Debug)]
pub(super) struct BufferPool {
    /// `count` buffers, side by side.
    memory: Mapping,
    /// The ring that offers them to the kernel: `count` entries of `BufRingEntry`.
    ring: Mapping,
    count: u16,
    /// Where the next returned buffer is written: all up to here are ours to publish.
    tail: u16,
    /// Buffers that the kernel has, or has after `publish`.
    offered: u16,
    /// Buffers that it is to have at most.
    window: u16,
    /// Buffers that are free and not in the window.
    spare: Vec<BufferId>,
    /// Leases since the window was last looked at, or too small.
    leases_in_window: u32,
    /// The most that the kernel has taken at once in that time.
    taken_most: u16,
    /// The window was too small since `publish`: for many sockets at a time, as a rule.
    is_widened: bool,
}

/// A hundred kilobytes of usual packets: they stay in a second-level cache.
const WINDOW_MIN: u16 = 512;

/// After so many leases, seconds of a busy worker, a window that was always wide enough may be
/// smaller.
const LEASES_OF_WINDOW: u32 = 1 << 20;

/// A buffer that the kernel has handed out. It must be released or sent.
#[derive(Debug)]
#[must_use = "a lease that is not given back is a buffer lost"]
pub(super) struct Lease(BufferId);

impl BufferPool {
    /// All buffers, none of them published yet. `count` is a power of two.
    pub(super) fn new(count: u16) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= BUFFER_COUNT_MAX);
        let mut pool = Self {
            memory: Mapping::new(usize::from(count) * BUFFER_SIZE)?,
            ring: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            count,
            tail: 0,
            offered: 0,
            window: count.min(WINDOW_MIN),
            spare: Vec::with_capacity(count.into()),
            leases_in_window: 0,
            taken_most: 0,
            is_widened: false,
        };
        // The first ones first, so that pages of the others are not touched before they must be.
        pool.spare.extend((0..count).rev().map(BufferId));
        pool.fill_window();
        Ok(pool)
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Buffers that are neither leased nor in a send.
    pub(super) fn free(&self) -> u16 {
        self.offered + self.spare_len()
    }

    fn spare_len(&self) -> u16 {
        u16::try_from(self.spare.len()).unwrap_or(u16::MAX)
    }

    /// What `io_uring_register_buf_ring` is told.
    pub(super) fn ring_address(&self) -> u64 {
        self.ring.start.addr().get() as u64
    }

    /// The kernel says that it has filled this buffer. `None`: there is no such buffer.
    pub(super) fn lease(&mut self, id: BufferId) -> Option<Lease> {
        if id.0 >= self.count {
            return None;
        }
        self.offered -= 1;
        self.leases_in_window += 1;
        if self.leases_in_window >= LEASES_OF_WINDOW {
            self.leases_in_window = 0;
            // One that is too small costs a receive of each socket, so there is room to spare.
            if std::mem::take(&mut self.taken_most) <= self.window / 8 {
                self.window = (self.window / 2).max(self.count.min(WINDOW_MIN));
            }
        }
        Some(Lease(id))
    }

    /// The kernel has completed so many requests at once, of which most took a buffer.
    pub(super) fn note_taken(&mut self, taken: usize) {
        let taken = u16::try_from(taken).unwrap_or(u16::MAX);
        self.taken_most = self.taken_most.max(taken);
        if taken > self.window / 2 {
            self.widen();
        }
    }

    /// The kernel had too few buffers for what came: it gets more, if there are more.
    pub(super) fn widen(&mut self) {
        if !self.is_widened {
            self.window = self.window.saturating_mul(2).min(self.count);
            self.is_widened = true;
        }
        self.leases_in_window = 0;
    }

    /// What the kernel has written, or is to send.
    pub(super) fn bytes(&mut self, lease: &Lease) -> &mut [u8; BUFFER_SIZE] {
        let offset = usize::from(lease.0.0) * BUFFER_SIZE;
        // JUSTIFICATION: the kernel writes to other parts of this mapping at the same time, so it
        // can be no slice as a whole.
        // SAFETY: the mapping has `count` buffers and `lease` lets no other number in,
        // so the bytes lie within it; they are initialised (mmap(2): "its contents are
        // initialized to zero"). The kernel leaves a buffer alone that it has handed out, a
        // buffer has one lease, and the borrow of `self` keeps others from calling this.
        unsafe {
            self.memory
                .start
                .add(offset)
                .cast::<[u8; BUFFER_SIZE]>()
                .as_mut()
        }
    }

    /// Gives a buffer back. The kernel sees it after [`Self::publish`].
    pub(super) fn release(&mut self, lease: Lease) {
        let Lease(id) = lease;
        if self.offered < self.window {
            self.offer(id);
        } else {
            self.spare.push(id);
        }
    }

    fn fill_window(&mut self) {
        while self.offered < self.window
            && let Some(id) = self.spare.pop()
        {
            self.offer(id);
        }
    }

    /// Writes a buffer that is free into the ring.
    fn offer(&mut self, id: BufferId) {
        let address = self.memory.start.addr().get() + usize::from(id.0) * BUFFER_SIZE;
        let index = usize::from(self.tail & (self.count - 1));
        // JUSTIFICATION: the kernel reads the entries that it has not consumed at the same time,
        // so the ring can be no slice.
        // SAFETY: `index` is below `count`, so the entry lies within the mapping, which is
        // aligned to a page. At most `count` buffers are in the ring, since each has one lease,
        // so the kernel has consumed the entry at `tail` and does not read it before `publish`.
        // The setters leave the field alone that doubles as the ring's tail.
        let entry = unsafe { self.ring.start.cast::<BufRingEntry>().add(index).as_mut() };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER_SIZE_U32);
        entry.set_bid(id.0);
        self.tail = self.tail.wrapping_add(1);
        self.offered += 1;
    }

    /// Shows the kernel what was released: once a batch, since it is a store that it reads.
    pub(super) fn publish(&mut self) {
        self.fill_window();
        self.is_widened = false;
        // JUSTIFICATION: the tail is shared with the kernel.
        // SAFETY: `tail` wants the first entry of the ring, which this is; its result lies within
        // the mapping and is aligned, as a field of the entry. We are the only ones to write it,
        // and the kernel reads it with acquire semantics, so all access is atomic.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.start.cast().as_ptr());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    /// Keeps the memory for ever, since the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.memory.is_leaked = true;
        self.ring.is_leaked = true;
    }
}

/// [`BUFFER_SIZE`] as the kernel wants it.
const BUFFER_SIZE_U32: u32 = 9_280;

const _: () = assert!(BUFFER_SIZE_U32 as usize == BUFFER_SIZE && BUFFER_SIZE.is_multiple_of(64));

/// Anonymous memory, aligned to a page as the kernel wants it for a ring. Pages are taken when
/// they are first used, so an idle relay stays small.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    is_leaked: bool,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        // JUSTIFICATION: no safe interface gives memory that is aligned to a page and untouched.
        // SAFETY: mmap(2): without MAP_FIXED and with a null address, "the kernel chooses the
        // (page-aligned) address", so no mapping that is in use is affected.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping is never at address 0");
        Ok(Self {
            start,
            len,
            is_leaked: false,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.is_leaked {
            return;
        }
        // JUSTIFICATION: the counterpart of `mmap`.
        // SAFETY: munmap(2) wants a range that was mapped: it is the one of `new`, unmapped once.
        // Nobody holds a reference into it, since those borrow the pool, and the ring, dropped
        // before the pool, has seen to it that the kernel is done.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart_and_counted() {
        let mut pool = BufferPool::new(4).unwrap();
        assert_eq!(pool.free(), 4);
        let first = pool.lease(BufferId(0)).unwrap();
        let second = pool.lease(BufferId(1)).unwrap();
        pool.bytes(&first).fill(1);
        pool.bytes(&second).fill(2);
        assert!(pool.bytes(&first).iter().all(|it| *it == 1));
        assert_eq!(pool.free(), 2);
        pool.release(first);
        pool.release(second);
        pool.publish();
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn the_kernel_has_few_buffers_unless_it_wants_more() {
        let count = 4 * WINDOW_MIN;
        let mut pool = BufferPool::new(count).unwrap();
        assert_eq!((pool.offered, pool.free()), (WINDOW_MIN, count));

        // What comes back goes to where it came from, and the others are left alone.
        let lease = pool.lease(BufferId(0)).unwrap();
        pool.release(lease);
        pool.publish();
        assert_eq!(pool.spare_len(), 3 * WINDOW_MIN);

        // All that it has, at once.
        let leases: Vec<_> = (0..WINDOW_MIN)
            .map(|id| pool.lease(BufferId(id)).unwrap())
            .collect();
        assert_eq!((pool.offered, pool.free()), (0, 3 * WINDOW_MIN));
        pool.widen();
        pool.publish();
        assert_eq!(pool.offered, 2 * WINDOW_MIN);
        leases.into_iter().for_each(|lease| pool.release(lease));
        assert_eq!((pool.offered, pool.free()), (2 * WINDOW_MIN, count));
        pool.widen();
        pool.widen();
        pool.publish();
        assert_eq!(pool.offered, count, "twice in a batch is once");
        pool.widen();
        pool.publish();
        assert_eq!(pool.offered, count);
    }

    #[test]
    fn a_window_that_was_wide_enough_becomes_smaller() {
        let mut pool = BufferPool::new(2 * WINDOW_MIN).unwrap();
        pool.widen();
        pool.publish();
        for _ in 0..LEASES_OF_WINDOW {
            let lease = pool.lease(BufferId(0)).unwrap();
            pool.release(lease);
        }
        assert_eq!(pool.window, WINDOW_MIN);
        // Those it has, it keeps until they come back.
        for id in 0..WINDOW_MIN {
            let lease = pool.lease(BufferId(id)).unwrap();
            pool.release(lease);
        }
        pool.publish();
        assert!(pool.offered <= 2 * WINDOW_MIN);
        assert_eq!(pool.free(), 2 * WINDOW_MIN);
    }

    #[test]
    fn a_window_of_which_half_is_taken_grows_before_it_is_too_small_and_stays() {
        let mut pool = BufferPool::new(4 * WINDOW_MIN).unwrap();
        pool.note_taken(usize::from(WINDOW_MIN / 2));
        assert_eq!(pool.window, WINDOW_MIN);
        pool.note_taken(usize::from(WINDOW_MIN / 2 + 1));
        assert_eq!(pool.window, 2 * WINDOW_MIN);
        pool.publish();
        for _ in 0..LEASES_OF_WINDOW {
            let lease = pool.lease(BufferId(0)).unwrap();
            pool.release(lease);
        }
        assert_eq!(pool.window, 2 * WINDOW_MIN);
    }

    #[test]
    fn there_is_no_buffer_beyond_the_last() {
        let mut pool = BufferPool::new(4).unwrap();
        assert!(pool.lease(BufferId(4)).is_none());
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn the_tail_wraps() {
        let mut pool = BufferPool::new(2).unwrap();
        for _ in 0..70_000 {
            let lease = pool.lease(BufferId(1)).unwrap();
            pool.release(lease);
        }
        pool.publish();
        assert_eq!(pool.free(), 2);
    }
}
