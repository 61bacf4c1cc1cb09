//! The flows of one codec thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use relay_core::SocketId;
use relay_transcode::{Batch, Plan, Stream};

use super::courier::{Label, Parcel};
use super::direction::{Direction, Opening};
use super::players::{Begin, Players};
use super::shared::{FlowKey, Outlet};

/// What a worker asks of a codec thread.
#[derive(Debug)]
pub(super) enum Order {
    Open(Box<Opening>),
    Change {
        key: FlowKey,
        plans: Box<[Plan]>,
        has_rtcp: bool,
    },
    Play(Box<Begin>),
    Close(FlowKey),
}

/// A flow that was looked at is not looked at again within this time: time never stands still.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// Packets after which a worker is woken in the middle of a round: many of them at once would have
/// others wait.
const MADE_MAX: u32 = 32;

/// The flows of one codec thread, and when each is to be looked at.
#[derive(Debug)]
pub(super) struct Engine {
    /// By worker.
    outlets: Vec<Arc<Outlet>>,
    flows: HashMap<FlowKey, Direction>,
    players: Players,
    /// Whose packets leave from a socket: reports to the peer there tell of them.
    feeds: HashMap<(u8, SocketId), FlowKey>,
    /// When flows are looked at. An entry counts if its flow is scheduled for that time.
    deadlines: BinaryHeap<Reverse<(Instant, FlowKey)>>,
    /// Flows that something was done with in this round, each once.
    touched: Vec<FlowKey>,
    batch: Batch,
    is_pressed: bool,
    /// Workers for which there is something.
    to_wake: Vec<bool>,
    /// Packets since they were woken.
    made: u32,
}

impl Engine {
    pub(super) fn new(outlets: Vec<Arc<Outlet>>) -> Self {
        Self {
            to_wake: vec![false; outlets.len()],
            outlets,
            flows: HashMap::new(),
            players: Players::default(),
            feeds: HashMap::new(),
            deadlines: BinaryHeap::new(),
            touched: Vec::new(),
            batch: Batch::new(),
            is_pressed: false,
            made: 0,
        }
    }

    /// Does what a worker asks. Says how many flows have ended by it.
    pub(super) fn handle_order(&mut self, now: Instant, order: Order) -> usize {
        match order {
            Order::Open(opening) => {
                self.open(now, *opening);
                0
            }
            Order::Change {
                key,
                plans,
                has_rtcp,
            } => {
                self.change(now, key, plans, has_rtcp);
                0
            }
            Order::Play(begin) => {
                self.begin_playing(now, *begin);
                0
            }
            Order::Close(key) => {
                self.close(key);
                1
            }
        }
    }

    fn open(&mut self, now: Instant, opening: Opening) {
        let key = opening.key;
        match Direction::new(now, opening) {
            Ok(mut direction) => {
                direction.press(self.is_pressed);
                self.flows.insert(key, direction);
                self.settle(now, key);
            }
            // Its packets are dropped.
            Err(_) => self.count_failed(key),
        }
    }

    fn begin_playing(&mut self, now: Instant, begin: Begin) {
        let key = begin.key;
        if self.players.begin(now, begin) {
            self.players.press(self.is_pressed);
            self.play(now, key);
        } else {
            self.count_failed(key);
        }
    }

    /// Sends what a player has to send, and sees to it that it is looked at in time.
    fn play(&mut self, now: Instant, key: FlowKey) {
        let Some(outlet) = self.outlets.get(usize::from(key.worker)) else {
            return;
        };
        let (sent, again) = self.players.send(now, key, outlet);
        self.note_made(key, sent);
        if let Some(again) = again {
            self.deadlines.push(Reverse((again, key)));
        }
    }

    fn change(&mut self, now: Instant, key: FlowKey, plans: Box<[Plan]>, has_rtcp: bool) {
        let Some(direction) = self.flows.get_mut(&key) else {
            return;
        };
        let is_done = direction.change(now, plans, has_rtcp).is_ok();
        direction.press(self.is_pressed);
        if !is_done {
            self.count_failed(key);
        }
        self.settle(now, key);
    }

    fn close(&mut self, key: FlowKey) {
        self.players.end(key);
        let leaves = self.flows.remove(&key).and_then(|it| it.leaves);
        if let Some(leaves) = leaves {
            self.forget_feed(leaves, key);
        }
        if self.flows.is_empty() && self.players.is_empty() {
            self.deadlines = BinaryHeap::new();
        }
    }

    /// Takes in a packet. What comes of it leaves with [`Self::handle_timeout`], or when another
    /// packet of its flow comes.
    pub(super) fn handle_parcel(&mut self, now: Instant, parcel: &Parcel) {
        let Label {
            key,
            kind,
            leaves,
            at,
        } = parcel.label;
        let is_second = self.flows.get(&key).is_some_and(|it| it.is_touched);
        if is_second {
            self.finish(now);
        }
        let Some(direction) = self.flows.get_mut(&key) else {
            return;
        };
        direction.begin_packet(at.min(now), kind, parcel.bytes());
        if leaves.is_some() && leaves != direction.leaves {
            let before = std::mem::replace(&mut direction.leaves, leaves);
            if let Some(before) = before {
                self.forget_feed(before, key);
            }
            if let Some(leaves) = leaves {
                self.feeds.insert((key.worker, leaves), key);
            }
        }
        self.touch(key);
    }

    /// Does what is due, at the end of each round.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.finish(now);
        while let Some(Reverse((at, key))) = self.deadlines.peek().copied()
            && at <= now
        {
            self.deadlines.pop();
            let Some(direction) = self.flows.get_mut(&key) else {
                self.play(now, key);
                continue;
            };
            if direction.scheduled != Some(at) {
                continue;
            }
            direction.scheduled = None;
            direction.handle_timeout(now);
            if direction.is_report_due(now) {
                self.report(now, key);
            }
            self.touch(key);
        }
        self.finish(now);
    }

    /// Codes what the flows have left with which something was done, all at once, and sends what
    /// they have to send.
    fn finish(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.touched);
        self.batch
            .decode(&mut self.flows, touched.iter().copied(), stream_of);
        self.batch
            .encode(&mut self.flows, touched.iter().copied(), stream_of);
        for key in touched.drain(..) {
            if let Some(direction) = self.flows.get_mut(&key) {
                direction.is_touched = false;
            }
            self.settle(now, key);
        }
        self.touched = touched;
    }

    fn touch(&mut self, key: FlowKey) {
        if let Some(direction) = self.flows.get_mut(&key)
            && !std::mem::replace(&mut direction.is_touched, true)
        {
            self.touched.push(key);
        }
    }

    /// When there is something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.peek().map(|it| it.0.0)
    }

    /// Makes less work of Opus, or as much as was asked for.
    pub(super) fn press(&mut self, is_pressed: bool) {
        if self.is_pressed != is_pressed {
            self.is_pressed = is_pressed;
            for direction in self.flows.values_mut() {
                direction.press(is_pressed);
            }
            self.players.press(is_pressed);
        }
    }

    /// Wakes workers for which there is something.
    pub(super) fn wake_workers(&mut self) {
        self.made = 0;
        for (outlet, to_wake) in self.outlets.iter().zip(&mut self.to_wake) {
            if std::mem::take(to_wake) {
                outlet.wake.wake();
            }
        }
    }

    /// Flows there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert!(self.feeds.len() <= self.flows.len());
        self.flows.len()
    }

    /// Reports to the peer that sends a flow.
    fn report(&mut self, now: Instant, key: FlowKey) {
        let feed = self.feeds.get(&(key.worker, key.flow));
        let sent = feed.and_then(|it| self.flows.get(it)?.sent(now));
        let outlet = self.outlets.get(usize::from(key.worker));
        if let (Some(direction), Some(outlet)) = (self.flows.get_mut(&key), outlet) {
            let is_sent = direction.report(now, sent, outlet);
            self.to_wake[usize::from(key.worker)] |= is_sent;
        }
    }

    /// Sends what a flow has to send, and sees to it that it is looked at in time.
    fn settle(&mut self, now: Instant, key: FlowKey) {
        let outlet = self.outlets.get(usize::from(key.worker));
        let (Some(direction), Some(outlet)) = (self.flows.get_mut(&key), outlet) else {
            return;
        };
        let made = direction.send(now, outlet);
        direction.publish(outlet);
        self.note_made(key, made);
        self.schedule(now, key);
    }

    /// So many packets are there for a worker.
    fn note_made(&mut self, key: FlowKey, made: u32) {
        self.to_wake[usize::from(key.worker)] |= made > 0;
        self.made += made;
        if self.made >= MADE_MAX {
            self.wake_workers();
        }
    }

    /// Sees to it that a flow is looked at in time.
    fn schedule(&mut self, now: Instant, key: FlowKey) {
        let Some(direction) = self.flows.get_mut(&key) else {
            return;
        };
        let Some(deadline) = direction.poll_timeout() else {
            return;
        };
        let deadline = deadline.max(now + LOOK_AGAIN);
        if direction.scheduled.is_none_or(|it| deadline < it) {
            direction.scheduled = Some(deadline);
            self.deadlines.push(Reverse((deadline, key)));
        }
    }

    fn forget_feed(&mut self, leaves: SocketId, key: FlowKey) {
        let place = (key.worker, leaves);
        if self.feeds.get(&place) == Some(&key) {
            self.feeds.remove(&place);
        }
    }

    fn count_failed(&self, key: FlowKey) {
        if let Some(outlet) = self.outlets.get(usize::from(key.worker)) {
            outlet.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn stream_of(flows: &mut HashMap<FlowKey, Direction>, key: FlowKey) -> Option<&mut Stream> {
    flows.get_mut(&key).map(Direction::stream_mut)
}
