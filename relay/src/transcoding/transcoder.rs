//! Transcoding as one worker sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use relay_core::{Relay, SocketId, Taken, Target, Treatment, Verdict};
use relay_rtp::Kind;
use relay_transcode::{Plan, Translation};
use relay_wire::{CallKey, CallStats, Command, Port, Refusal, Transcoding};

use super::courier::{Label, Parcel};
use super::direction::Opening;
use super::engine::Order;
use super::plans::plans;
use super::playing::Heard;
use super::pool::Pool;
use super::shared::{FlowKey, FlowState, Outlet};
use super::thread::Taking;

/// The flows of one worker that are changed.
#[derive(Debug)]
pub(crate) struct Transcoder {
    worker: u8,
    pub(super) pool: Arc<Pool>,
    outlet: Arc<Outlet>,
    /// By the socket that they arrive at.
    flows: Vec<Option<Box<Flow>>>,
    calls: HashMap<CallKey, CallFlows>,
    pub(super) heard: Heard,
    /// Of the newest flow.
    generation: u32,
    /// Codec threads that were sent something in this turn.
    to_kick: Vec<bool>,
    counters: Counters,
}

/// A flow that is changed.
#[derive(Debug)]
struct Flow {
    call: CallKey,
    ingress: Port,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Where packets lie.
    Here(Translation),
    /// By a codec thread.
    There {
        thread: usize,
        key: FlowKey,
        state: Arc<FlowState>,
    },
}

/// The flows of one call that are changed.
#[derive(Debug, Default)]
struct CallFlows {
    /// The codec thread of those that need one.
    thread: Option<usize>,
    flows: Vec<SocketId>,
    /// Sockets that sounds have left from.
    played: Vec<SocketId>,
}

/// A command by which flows end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    call: CallKey,
    /// `None`: the whole call.
    port: Option<Port>,
}

impl CallFlows {
    fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.played.is_empty()
    }
}

impl Ending {
    /// `None` if no flow ends by the command.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        match *command {
            Command::RemoveCall { call } => Some(Self { call, port: None }),
            Command::CloseEndpoint { call, port } => Some(Self {
                call,
                port: Some(port),
            }),
            _ => None,
        }
    }
}

/// The same for a packet of `len` bytes: what was opened is shorter than its buffer.
fn only(len: u16, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Forward(egress) => Verdict::ForwardPart { egress, len },
        other => other,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    refused: u64,
    /// Packets changed where they lie.
    here: u64,
    /// Of a payload type that was not agreed, or no RTP.
    unknown: u64,
    /// Packets that the codec thread had no room for.
    unsent: u64,
    /// Packets made for flows that are over.
    late: u64,
}

impl Transcoder {
    /// # Panics
    ///
    /// If the pool does not know the worker.
    pub(crate) fn new(worker: u8, pool: Arc<Pool>) -> Self {
        let outlet = Arc::clone(&pool.outlets[usize::from(worker)]);
        Self {
            worker,
            outlet,
            to_kick: vec![false; pool.inlets.len()],
            pool,
            flows: Vec::new(),
            calls: HashMap::new(),
            heard: Heard::default(),
            generation: 0,
            counters: Counters::default(),
        }
    }

    /// Changes a packet, or sends it to who does.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        relay: &mut Relay,
        taken: Taken,
        packet: &mut [u8],
    ) -> Verdict {
        let len = packet.len().min(taken.len.into());
        let packet = &mut packet[..len];
        let flow = self.flows.get_mut(taken.flow.index());
        match flow.and_then(Option::as_mut).map(|it| &mut it.way) {
            None => {}
            Some(Way::Here(translation)) => {
                if translation.apply(packet).is_ok() {
                    self.counters.here += 1;
                    let verdict = relay.handle_made(taken.flow, Kind::Rtp, packet);
                    return only(taken.len, verdict);
                }
                self.counters.unknown += 1;
            }
            Some(Way::There { thread, key, state }) => {
                let label = Label {
                    key: *key,
                    kind: taken.kind,
                    leaves: taken.leaves,
                    at: now,
                };
                if !send(&self.pool, *thread, state, label, packet) {
                    state.count_unsent();
                    self.counters.unsent += 1;
                }
                self.to_kick[*thread] = true;
            }
        }
        Verdict::Take(taken)
    }

    /// Wakes codec threads that sleep and were sent something. Once a turn, since it is a system
    /// call.
    pub(crate) fn kick(&mut self) {
        for (inlet, to_kick) in self.pool.inlets.iter().zip(&mut self.to_kick) {
            if std::mem::take(to_kick) {
                inlet.kick();
            }
        }
    }

    /// Takes a packet that was made; it is to be given back. `None`: there is none.
    pub(crate) fn poll_made(&mut self) -> Option<Box<Parcel>> {
        loop {
            let parcel = self.outlet.courier.take()?;
            if parcel.is_played() && self.heard.is_of(&parcel) {
                return Some(parcel);
            }
            let flow = self.flows.get(parcel.flow().index());
            let way = flow.and_then(Option::as_ref).map(|it| &it.way);
            if let Some(Way::There { key, .. }) = way
                && *key == parcel.label.key
            {
                return Some(parcel);
            }
            self.counters.late += 1;
            self.outlet.courier.give_back(parcel);
        }
    }

    /// The packet was sent.
    pub(crate) fn give_back(&self, parcel: Box<Parcel>) {
        self.outlet.courier.give_back(parcel);
    }

    /// Sees to it that a flow is changed from now on, or no more. A call that is restored is not
    /// refused for want of time.
    ///
    /// # Errors
    ///
    /// When that cannot be, or there is too much to do. All is as it was then.
    pub(crate) fn treat(
        &mut self,
        target: Target,
        transcoding: Option<&Transcoding>,
        kind: Taking,
    ) -> Result<Treatment, Refusal> {
        let Some(transcoding) = transcoding else {
            self.forget(target.flow);
            return Ok(Treatment::None);
        };
        let plans = plans(transcoding)?;
        let result = match Translation::of(&plans) {
            Some(mut translation) => {
                if let Some(before) = self.translation(target.flow) {
                    translation.follow(before);
                }
                self.forget(target.flow);
                self.remember(target, Way::Here(translation));
                Ok(Treatment::Each)
            }
            None => self
                .treat_there(target, plans, kind)
                .map(|()| Treatment::Remade),
        };
        self.counters.refused += u64::from(result.is_err());
        result
    }

    /// A call is over, or one of its endpoints is closed.
    pub(crate) fn end(&mut self, ending: Ending) {
        let Ending { call, port } = ending;
        let flows = match port {
            Some(port) => self.flow_at(call, port).into_iter().collect(),
            None => self
                .calls
                .get(&call)
                .map_or_else(Vec::new, |it| it.flows.clone()),
        };
        for flow in flows {
            self.forget(flow);
        }
        self.end_playing(call, port);
    }

    /// What was played from a port, or in a whole call, is over.
    fn end_playing(&mut self, call: CallKey, port: Option<Port>) {
        let Some(flows) = self.calls.get_mut(&call) else {
            return;
        };
        let is_over = |socket: &SocketId| port.is_none() || self.heard.port(*socket) == port;
        let (over, rest) = std::mem::take(&mut flows.played)
            .into_iter()
            .partition::<Vec<_>, _>(is_over);
        flows.played = rest;
        if flows.is_empty() {
            self.calls.remove(&call);
        }
        for socket in over {
            self.forget_played(socket);
        }
    }

    /// Sounds leave from a socket of this call.
    pub(super) fn note_played(&mut self, call: CallKey, socket: SocketId) {
        self.calls.entry(call).or_default().played.push(socket);
    }

    /// A name for what a codec thread is to do.
    pub(super) fn next_key(&mut self, flow: SocketId) -> FlowKey {
        self.generation = self.generation.wrapping_add(1);
        FlowKey {
            worker: self.worker,
            flow,
            generation: self.generation,
        }
    }

    /// Adds to the counts of a call what the core does not know.
    pub(crate) fn complete(&self, stats: &mut CallStats) {
        if !self.calls.contains_key(&stats.call) {
            return;
        }
        for endpoint in &mut stats.endpoints {
            let flow = self.flow_at(stats.call, endpoint.port);
            let flow = flow.and_then(|it| self.flows.get(it.index())?.as_ref());
            if let Some(Way::There { state, .. }) = flow.map(|it| &it.way) {
                endpoint.transcoding = Some(state.stats());
                // The reports that it answers are ours.
                endpoint.round_trip_us = state.round_trip_us();
            }
        }
    }

    /// Counters and gauges, with their labels.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Counters {
            refused,
            here,
            unknown,
            unsent,
            late,
        } = self.counters;
        let flows: usize = self.calls.values().map(|it| it.flows.len()).sum();
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let ours = [
            ("transcode_flows", flows as u64),
            ("transcode_in_place", here),
            ("transcode_refused", refused),
            ("transcode_unagreed", unknown),
            ("transcode_unsent", unsent + read(&self.outlet.unsent)),
            ("transcode_late", late),
            ("transcode_failed", read(&self.outlet.failed)),
        ];
        // One worker speaks for all.
        let gauges = (self.worker == 0).then(|| {
            let [flows, pressed, full] = self.pool.gauges();
            [
                ("codec_threads", self.pool.inlets.len() as u64),
                ("codec_threads_pressed", pressed),
                ("codec_threads_full", full),
                ("codec_flows", flows),
            ]
        });
        let sounds = (self.worker == 0).then(|| self.pool.sounds.counters());
        let gauges = gauges.into_iter().flatten();
        ours.into_iter()
            .chain(gauges)
            .chain(self.heard.counters())
            .chain(sounds.into_iter().flatten())
            .chain(self.outlet.totals.all())
    }

    fn treat_there(
        &mut self,
        target: Target,
        plans: Box<[Plan]>,
        kind: Taking,
    ) -> Result<(), Refusal> {
        let has_rtcp = target.rtcp.is_some();
        let flow = self.flows.get(target.flow.index());
        if let Some(Way::There { thread, key, .. }) =
            flow.and_then(Option::as_ref).map(|it| &it.way)
        {
            let inlet = &self.pool.inlets[*thread];
            if !inlet.has_room() {
                return Err(Refusal::Overload);
            }
            inlet.order(Order::Change {
                key: *key,
                plans,
                has_rtcp,
            });
            return Ok(());
        }
        let thread = self.reserve(target.call, kind)?;
        self.forget(target.flow);
        let key = self.next_key(target.flow);
        let state = Arc::new(FlowState::default());
        let opening = Opening {
            key,
            plans,
            has_rtcp,
            state: Arc::clone(&state),
        };
        self.pool.inlets[thread].order(Order::Open(Box::new(opening)));
        self.remember(target, Way::There { thread, key, state });
        let call = self.calls.entry(target.call).or_default();
        call.thread = Some(thread);
        Ok(())
    }

    /// Takes a place on the thread of the call, or on any for a call that has none: a call that is
    /// taken on is served in both directions.
    pub(super) fn reserve(&self, call: CallKey, kind: Taking) -> Result<usize, Refusal> {
        let thread = self.calls.get(&call).and_then(|it| it.thread);
        let thread = thread.or_else(|| self.pool.choose(kind));
        let thread = thread.filter(|it| {
            let inlet = &self.pool.inlets[*it];
            (inlet.has_room() || kind == Taking::Restored) && inlet.reserve()
        });
        thread.ok_or(Refusal::Overload)
    }

    fn remember(&mut self, target: Target, way: Way) {
        let Target {
            call,
            ingress,
            flow,
            ..
        } = target;
        if self.flows.len() <= flow.index() {
            self.flows.resize_with(flow.index() + 1, || None);
        }
        self.flows[flow.index()] = Some(Box::new(Flow { call, ingress, way }));
        self.calls.entry(call).or_default().flows.push(flow);
    }

    fn forget(&mut self, flow: SocketId) {
        let place = self.flows.get_mut(flow.index());
        let Some(forgotten) = place.and_then(Option::take) else {
            return;
        };
        if let Way::There { thread, key, .. } = forgotten.way {
            self.pool.inlets[thread].order(Order::Close(key));
        }
        if let Some(call) = self.calls.get_mut(&forgotten.call) {
            call.flows.retain(|it| *it != flow);
            if call.is_empty() {
                self.calls.remove(&forgotten.call);
            }
        }
    }

    fn translation(&self, flow: SocketId) -> Option<&Translation> {
        match &self.flows.get(flow.index())?.as_ref()?.way {
            Way::Here(translation) => Some(translation),
            Way::There { .. } => None,
        }
    }

    fn flow_at(&self, call: CallKey, port: Port) -> Option<SocketId> {
        let is_there = |flow: &Flow| flow.call == call && flow.ingress == port;
        let mut flows = self.calls.get(&call)?.flows.iter().copied();
        flows.find(|it| {
            let flow = self.flows.get(it.index());
            flow.and_then(Option::as_deref).is_some_and(is_there)
        })
    }
}

/// Sends a packet to its codec thread. Says whether there was room for it.
fn send(pool: &Pool, thread: usize, state: &FlowState, label: Label, packet: &[u8]) -> bool {
    if !state.begin_waiting() {
        return false;
    }
    let is_sent = pool.inlets[thread].courier.send(label, packet);
    if !is_sent {
        state.end_waiting();
    }
    is_sent
}
