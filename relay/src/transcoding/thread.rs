//! One codec thread: its queue, and its loop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use tracing::warn;

use super::courier::Courier;
use super::engine::{Engine, Order};
use super::load::{Level, Load};
use super::shared::Outlet;
use crate::wake::Wake;

/// Orders that open or change flows and wait, at most, unless they open flows that were there
/// before a restart. Those always fit beside them, as do those that close flows.
const ORDERS_MAX: usize = 512;

/// Orders more than that may be under way: one of each worker that has just seen room.
const WORKERS_MAX: usize = 256;

/// While packets come, the thread looks at its queue so often.
const TICK: Duration = Duration::from_millis(1);

/// For so long after the last packet.
const LINGER: Duration = Duration::from_millis(100);

/// A thread that has too much to do looks at itself so often, even if nothing comes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How much less important a codec thread is to the system than a worker (nice(2)).
const NICENESS: i32 = 10;

/// What kind of call is to be taken on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taking {
    /// A new one, which another relay may take.
    New,
    /// One that this relay had before it was restarted: nobody else will take it, and it was not
    /// too much then.
    Restored,
}

/// What workers know of a codec thread.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) courier: Courier,
    orders: ArrayQueue<Order>,
    level: AtomicU8,
    /// Flows that were opened and have not ended yet.
    flows: AtomicUsize,
    flows_max: usize,
    is_asleep: AtomicBool,
    is_stopping: AtomicBool,
    wake: Wake,
}

impl Inlet {
    pub(super) fn new(flows_max: usize, wake: Wake) -> Self {
        Self {
            courier: Courier::new(),
            orders: ArrayQueue::new(2 * flows_max + ORDERS_MAX + WORKERS_MAX),
            level: AtomicU8::new(0),
            flows: AtomicUsize::new(0),
            flows_max,
            is_asleep: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            wake,
        }
    }

    /// Flows there are. `None` if there can be no more of this kind.
    pub(super) fn takes_more(&self, kind: Taking) -> Option<usize> {
        let flows = self.flows();
        let is_easy = self.level() < Level::Full && self.has_room();
        let takes = flows < self.flows_max && (is_easy || kind == Taking::Restored);
        takes.then_some(flows)
    }

    pub(super) fn flows(&self) -> usize {
        self.flows.load(Ordering::Acquire)
    }

    pub(super) fn has_room(&self) -> bool {
        self.orders.len() < ORDERS_MAX
    }

    /// Takes a place for a flow that is to be opened. Says whether there was one.
    pub(super) fn reserve(&self) -> bool {
        let one_more = |flows| (flows < self.flows_max).then_some(flows + 1);
        self.flows
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// A place that was taken is not needed.
    pub(super) fn give_back(&self) {
        self.flows.fetch_sub(1, Ordering::AcqRel);
    }

    /// Asks something of the thread.
    pub(super) fn order(&self, order: Order) {
        let ordered = self.orders.push(order);
        debug_assert!(ordered.is_ok(), "there is room for each flow to close");
        self.kick();
    }

    /// Wakes the thread if it sleeps for longer than a tick.
    pub(super) fn kick(&self) {
        // What was queued is to be seen by a thread that this does not see asleep.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) {
            self.wake.wake();
        }
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.wake();
    }

    pub(super) fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Easy,
            1 => Level::Pressed,
            _ => Level::Full,
        }
    }

    pub(super) fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        self.courier.is_empty() && self.orders.is_empty()
    }
}

/// A codec thread that is yet to run.
#[derive(Debug)]
pub(crate) struct CodecThread {
    pub(super) inlet: Arc<Inlet>,
    pub(super) outlets: Vec<Arc<Outlet>>,
    pub(super) refuses_when_busy: bool,
}

impl CodecThread {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    ///
    /// Never.
    pub(crate) fn run(self) -> io::Result<()> {
        if let Err(error) = rustix::process::nice(NICENESS) {
            warn!(%error, "a codec thread is as important as the workers");
        }
        let Self {
            inlet,
            outlets,
            refuses_when_busy,
        } = self;
        let mut engine = Engine::new(outlets);
        let mut now = Instant::now();
        let mut load = Load::new(now);
        let mut linger_until = now;
        while !inlet.is_stopping.load(Ordering::Acquire) {
            now = Instant::now();
            let oldest = round(&inlet, &mut engine, now);
            if oldest.is_some() {
                linger_until = now + LINGER;
            }
            let end = Instant::now();
            load.handle_round(end, end - now, oldest.unwrap_or_default());
            if refuses_when_busy {
                inlet.set_level(load.level());
            }
            engine.press(load.level() > Level::Easy);
            sleep(&inlet, &engine, end, linger_until);
        }
        Ok(())
    }
}

/// Does all that there is to do. Says for how long the oldest packet has waited, if there was one.
pub(super) fn round(inlet: &Inlet, engine: &mut Engine, now: Instant) -> Option<Duration> {
    while let Some(order) = inlet.orders.pop() {
        let ended = engine.handle_order(now, order);
        inlet.flows.fetch_sub(ended, Ordering::AcqRel);
    }
    let mut oldest = None;
    // What comes meanwhile has its turn after what is due.
    for _ in 0..inlet.courier.room() {
        let Some(parcel) = inlet.courier.take() else {
            break;
        };
        let age = now.saturating_duration_since(parcel.label.at);
        oldest = oldest.max(Some(age));
        engine.handle_parcel(now, &parcel);
        inlet.courier.give_back(parcel);
    }
    engine.handle_timeout(now);
    engine.wake_workers();
    oldest
}

fn sleep(inlet: &Inlet, engine: &Engine, now: Instant, linger_until: Instant) {
    let due = engine.poll_timeout();
    let due = due.map(|it| it.saturating_duration_since(now));
    if now < linger_until {
        let until_next = due.map_or(TICK, |it| it.min(TICK));
        inlet.wake.wait(Some(until_next));
        return;
    }
    inlet.is_asleep.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if inlet.is_idle() {
        let is_easy = inlet.level() == Level::Easy;
        let most = (!is_easy).then_some(LOOK_AGAIN);
        inlet.wake.wait(due.into_iter().chain(most).min());
    }
    inlet.is_asleep.store(false, Ordering::Relaxed);
}
