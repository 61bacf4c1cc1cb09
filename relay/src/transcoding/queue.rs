//! A queue that nobody waits for.
//!
//! Other bounded queues let a thread spin while another is in the middle of putting something in. A
//! codec thread may stop there for milliseconds, since it gives way to all others, and a worker
//! that spins would keep it from going on. Here, what is not wholly in is not there yet.
//!
//! Nor does anybody wait for who stops in the middle of taking something. An item is taken out of
//! its slot first, and counted as taken then, by whoever comes next if the taker has stopped. So the
//! slot of a number that is counted as taken is empty, whenever it is used again. One who stops
//! before he takes, for so long that the slot was used again meanwhile, takes the item that is in it
//! now: it is out of its turn, and its number leads nowhere when it comes, but no item is lost or
//! taken twice. Where one thread alone takes, that cannot be, and all come in order.

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
    /// Room for so many items, which must be all there are: nobody is told that it is full. There are
    /// as many slots again, for numbers that lead nowhere: two or three for each thread at most.
    pub(super) fn new(room: usize) -> Self {
        const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free()) };
        let slot = || Slot {
            stamp: AtomicUsize::new(0),
            item: AtomicCell::new(None),
        };
        Self {
            slots: (0..(2 * room.max(1)).next_power_of_two())
                .map(|_| slot())
                .collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    /// Puts an item in.
    pub(super) fn push(&self, item: Box<T>) {
        // Who has a later number comes after whoever emptied the slot of an earlier one.
        let number = self.tail.fetch_add(1, Ordering::AcqRel);
        let slot = self.slot(number);
        let before = slot.item.swap(Some(item));
        debug_assert!(before.is_none(), "there are more items than room");
        slot.stamp.store(number.wrapping_add(1), Ordering::Release);
    }

    /// Takes the oldest item, unless whoever puts it in is not done yet.
    pub(super) fn pop(&self) -> Option<Box<T>> {
        loop {
            let number = self.head.load(Ordering::Acquire);
            if self.slot(number).stamp.load(Ordering::Acquire) == number.wrapping_add(1) {
                let item = self.take(number);
                if item.is_some() {
                    return item;
                }
                // Another one has taken it, so there is progress.
            } else if self.head.load(Ordering::Acquire) == number {
                return None;
            }
        }
    }

    /// Takes what is in the slot of a number, and counts it as taken.
    fn take(&self, number: usize) -> Option<Box<T>> {
        let item = self.slot(number).item.take();
        // It may have been counted by another.
        let _ = self.head.compare_exchange(
            number,
            number.wrapping_add(1),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        item
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
        queue.tail.fetch_add(1, Ordering::AcqRel)
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
    fn nobody_waits_for_one_who_stopped_while_he_took() {
        let queue = Queue::new(4);
        (0..4).for_each(|item| queue.push(Box::new(item)));
        // He has the item, and has not counted it.
        let stopped = queue.slot(0).item.take();
        for turn in 0..100 {
            let item = queue.pop();
            assert_eq!(item.as_deref(), Some(&(turn % 3 + 1)));
            queue.push(item.unwrap());
        }
        queue.push(stopped.unwrap());
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 4);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_who_stopped_before_he_took_is_too_late_and_nothing_is_lost() {
        for turns in 0..40 {
            let queue = Queue::new(4);
            (0..4).for_each(|item| queue.push(Box::new(item)));
            // Ever so much may pass before he goes on with the number that he has seen.
            for _ in 0..turns {
                queue.push(queue.pop().unwrap());
            }
            let late = queue.take(0);
            let mut left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            assert!(queue.is_empty(), "{turns}");
            left.extend(late);
            left.sort_unstable();
            assert_eq!(left, [0, 1, 2, 3].map(Box::new), "{turns}");
        }
    }

    #[test]
    fn numbers_wrap_around() {
        let queue = Queue::new(3);
        // Each slot is used before that, as it would have been.
        let first = usize::MAX - 20;
        queue.head.store(first, Ordering::Relaxed);
        queue.tail.store(first, Ordering::Relaxed);
        for item in 0..40 {
            assert!(queue.is_empty());
            queue.push(Box::new(item));
            assert_eq!(queue.pop(), Some(Box::new(item)));
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn what_several_take_and_put_back_is_all_there_in_the_end() {
        const ITEMS: usize = 16;
        let queue = Queue::new(ITEMS);
        (0..ITEMS).for_each(|item| queue.push(Box::new(item)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        match queue.pop() {
                            Some(item) => queue.push(item),
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
        });
        let mut left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|it| *it).collect();
        left.sort_unstable();
        assert_eq!(left, (0..ITEMS).collect::<Vec<_>>());
        assert!(queue.is_empty());
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
