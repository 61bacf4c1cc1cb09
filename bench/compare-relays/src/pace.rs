//! How fast the machine itself is at the moment.
//!
//! A guest shares caches, memory and cores with strangers, and nothing in it says so. What the kernel does for a
//! packet waits for memory more than it computes, so an hour in which memory is far away makes all relays dearer, and
//! the share of a packet that no relay can do without greater: ratios of two such hours do not compare.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use serde::Serialize;

/// More than a second-level cache has, and a small part of a third-level one.
const FAR: usize = 4 << 20;
const LINE: usize = 64;
const LOADS: u32 = 1_000_000;
const CALLS: u32 = 200_000;

/// What little things take on one core.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Pace {
    /// A load that waits for the one before, in random order over 4 MiB, in ns.
    pub(crate) load_ns: f64,
    /// A system call that does nothing, in ns.
    pub(crate) system_call_ns: f64,
}

impl Pace {
    /// Of this core, in about a third of a second; `None` where it is not to be had.
    pub(crate) fn of(core: usize) -> Option<Self> {
        // A thread of its own, since a core once chosen stays chosen.
        let run = move || {
            let mut set = rustix::thread::CpuSet::new();
            set.set(core);
            rustix::thread::sched_setaffinity(None, &set).ok()?;
            Some(Self {
                load_ns: load_ns(&ring(FAR / LINE)),
                system_call_ns: system_call_ns(),
            })
        };
        thread::spawn(run).join().ok().flatten()
    }
}

/// One cache line, of which the first word says which is next.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    next: u32,
}

/// Lines that lead through all of them in an order that no processor foresees, and back.
fn ring(lines: usize) -> Vec<Line> {
    let count = u32::try_from(lines).unwrap_or(u32::MAX);
    let mut order: Vec<u32> = (0..count).collect();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for at in (1..order.len()).rev() {
        // xorshift64: any order will do, but the same each time.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let other = usize::try_from(random >> 33).unwrap_or(0) % (at + 1);
        order.swap(at, other);
    }
    let mut ring = vec![Line { next: 0 }; order.len()];
    for (at, line) in order.iter().enumerate() {
        let next = order[(at + 1) % order.len()];
        ring[usize::try_from(*line).unwrap_or(0)].next = next;
    }
    ring
}

fn load_ns(ring: &[Line]) -> f64 {
    let walk =
        |steps: u32| (0..steps).fold(0_u32, |at, _| ring[usize::try_from(at).unwrap_or(0)].next);
    // Once round, so that the pages are there and what may be cached is.
    black_box(walk(u32::try_from(ring.len()).unwrap_or(0)));
    each_ns(LOADS, || black_box(walk(LOADS)))
}

fn system_call_ns() -> f64 {
    let call = || {
        for _ in 0..CALLS {
            black_box(rustix::process::getppid());
        }
        0
    };
    each_ns(CALLS, call)
}

fn each_ns(times: u32, work: impl FnOnce() -> u32) -> f64 {
    let began = Instant::now();
    black_box(work());
    began.elapsed().as_secs_f64() * 1e9 / f64::from(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_comes_by_every_line_once() {
        let ring = ring(1_000);
        let mut seen = vec![false; ring.len()];
        let mut at = 0;
        for _ in 0..ring.len() {
            assert!(!std::mem::replace(&mut seen[at], true), "{at} comes twice");
            at = usize::try_from(ring[at].next).unwrap();
        }
        assert_eq!(at, 0, "it does not come back");
    }
}
