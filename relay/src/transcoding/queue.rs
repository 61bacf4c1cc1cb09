//! A queue that nobody waits for.
//!
//! Other bounded queues let a thread spin while another is in the middle of putting something in. A
//! codec thread may stop there for milliseconds, since it gives way to all others, and a worker
//! that spins would keep it from going on. Here, what is not wholly in is not there yet.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::atomic::AtomicCell;

/// A queue of so many items that all there are fit.
pub(super) struct Queue<T> {
    slots: Box<[Slot<T>]>,
    /// The number of the next item that is taken.
    head: AtomicUsize,
    /// The number of the next item that is put in.
    tail: AtomicUsize,
}

struct Slot<T> {
    /// One more than the number of the item that was put in last, and wholly.
    stamp: AtomicUsize,
    item: AtomicCell<Option<Box<T>>>,
}

impl<T> Queue<T> {
    /// Room for so many items, which must be all there are: nobody is told that it is full.
    pub(super) fn new(room: usize) -> Self {
        const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free()) };
        let slot = || Slot {
            stamp: AtomicUsize::new(0),
            item: AtomicCell::new(None),
        };
        Self {
            slots: (0..room.max(1).next_power_of_two())
                .map(|_| slot())
                .collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    /// Puts an item in.
    pub(super) fn push(&self, item: Box<T>) {
        let number = self.tail.fetch_add(1, Ordering::Relaxed);
        let slot = self.slot(number);
        let before = slot.item.swap(Some(item));
        debug_assert!(before.is_none(), "there are more items than room");
        slot.stamp.store(number.wrapping_add(1), Ordering::Release);
    }

    /// Takes the oldest item, unless whoever puts it in is not done yet.
    pub(super) fn pop(&self) -> Option<Box<T>> {
        let mut number = self.head.load(Ordering::Acquire);
        loop {
            let next = number.wrapping_add(1);
            let slot = self.slot(number);
            if slot.stamp.load(Ordering::Acquire) != next {
                return None;
            }
            let taken =
                self.head
                    .compare_exchange(number, next, Ordering::AcqRel, Ordering::Acquire);
            match taken {
                // Nobody else has this number, and the slot is used again only when the item is.
                Ok(_) => return slot.item.take(),
                // Another one has taken it, so there is progress.
                Err(head) => number = head,
            }
        }
    }

    /// Whether nothing is in, nor being put in.
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire) == self.tail.load(Ordering::Acquire)
    }

    /// The number of slots is a power of two, so numbers may wrap around.
    fn slot(&self, number: usize) -> &Slot<T> {
        &self.slots[number & (self.slots.len() - 1)]
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Queue");
        debug
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts an item in and stops in the middle, as a thread does that has to give way.
    fn begin_push<T>(queue: &Queue<T>) -> usize {
        queue.tail.fetch_add(1, Ordering::Relaxed)
    }

    fn end_push<T>(queue: &Queue<T>, number: usize, item: T) {
        let slot = queue.slot(number);
        slot.item.store(Some(Box::new(item)));
        slot.stamp.store(number.wrapping_add(1), Ordering::Release);
    }

    #[test]
    fn nobody_waits_for_one_who_stopped_in_the_middle() {
        let queue = Queue::new(4);
        queue.push(Box::new(1));
        let number = begin_push(&queue);
        queue.push(Box::new(3));
        assert_eq!(queue.pop(), Some(Box::new(1)));
        assert_eq!(queue.pop(), None, "it comes back at once");
        assert!(!queue.is_empty());
        end_push(&queue, number, 2);
        assert_eq!(queue.pop(), Some(Box::new(2)));
        assert_eq!(queue.pop(), Some(Box::new(3)));
        assert_eq!(queue.pop(), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn numbers_wrap_around() {
        let queue = Queue::new(3);
        let first = usize::MAX - 5;
        queue.head.store(first, Ordering::Relaxed);
        queue.tail.store(first, Ordering::Relaxed);
        for item in 0..20 {
            assert!(queue.is_empty());
            queue.push(Box::new(item));
            assert_eq!(queue.pop(), Some(Box::new(item)));
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn threads_lose_nothing_and_take_nothing_twice() {
        const EACH: u64 = 2_000;
        let items: Queue<u64> = Queue::new(16);
        let spare: Queue<u64> = Queue::new(16);
        (0..16).for_each(|_| spare.push(Box::new(0)));
        let taken = std::thread::scope(|scope| {
            for sender in 0..2 {
                let (items, spare) = (&items, &spare);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let mut item = loop {
                            match spare.pop() {
                                Some(item) => break item,
                                None => std::thread::yield_now(),
                            }
                        };
                        *item = 2 * number + sender;
                        items.push(item);
                    }
                });
            }
            let mut next = [0, 1];
            let mut taken = 0;
            while taken < 2 * EACH {
                let Some(item) = items.pop() else {
                    std::thread::yield_now();
                    continue;
                };
                let next = &mut next[usize::try_from(*item % 2).unwrap()];
                assert_eq!(*item, *next, "in order, each once");
                *next += 2;
                taken += 1;
                spare.push(item);
            }
            taken
        });
        assert_eq!(taken, 2 * EACH);
        assert!(items.is_empty() && items.pop().is_none());
    }
}
