//! The side that answers: rings, picks up, and lets the caller hang up. Performs no I/O and reads
//! no clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_proxy_message::{HeaderId, Message, Method, Response, StartLine};

use super::media_port;
use super::options::CALLS_AT_A_TIME_MAX;
use super::tally::Tally;
use super::timers::Timers;
use super::transaction::{Due, Repetition};
use crate::{describe, media_address};

/// The side that answers.
#[derive(Debug)]
pub(super) struct Answerer {
    local: SocketAddr,
    run: u32,
    ring: Duration,
    next: u64,
    by_call_id: HashMap<Vec<u8>, u64>,
    calls: HashMap<u64, Call>,
    timers: Timers,
    /// Datagrams, and for whom.
    pub(super) out: Vec<(SocketAddr, Vec<u8>)>,
}

#[derive(Debug)]
struct Call {
    call_id: Vec<u8>,
    source: SocketAddr,
    ringing: Vec<u8>,
    picked_up: Vec<u8>,
    step: Step,
    wakes_at: Instant,
}

#[derive(Debug)]
enum Step {
    Ringing,
    /// The 200 is repeated until the ACK comes (RFC 3261 §13.3.1.4).
    Unacknowledged(Repetition),
    Up,
}

impl Answerer {
    pub(super) fn new(run: u32, local: SocketAddr, ring: Duration) -> Self {
        Self {
            local,
            run,
            ring,
            next: 0,
            by_call_id: HashMap::new(),
            calls: HashMap::new(),
            timers: Timers::default(),
            out: Vec::new(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, tally: &mut Tally) {
        while let Some(key) = self.timers.poll_due(now) {
            self.wake(now, key, tally);
        }
    }

    fn wake(&mut self, now: Instant, key: u64, tally: &mut Tally) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        match &mut call.step {
            Step::Ringing if now >= call.wakes_at => self.pick_up(now, key),
            Step::Unacknowledged(repetition) => match repetition.poll_due(now) {
                Some(Due::Repeat) => {
                    self.out.push((call.source, call.picked_up.clone()));
                    tally.retransmissions_sent += 1;
                    self.timers.set(repetition.poll_timeout(), key);
                }
                Some(Due::GiveUp) => self.forget(key),
                None => self.timers.set(repetition.poll_timeout(), key),
            },
            Step::Ringing | Step::Up => {}
        }
    }

    /// Hears one datagram.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        bytes: &[u8],
        tally: &mut Tally,
    ) {
        let Ok(message) = Message::parse(bytes) else {
            tally.malformed += 1;
            return;
        };
        let (StartLine::Request { method, .. }, Ok(call_id)) =
            (message.start_line(), message.call_id())
        else {
            return;
        };
        let key = self.by_call_id.get(call_id).copied();
        match (method, key) {
            (Method::Invite, None) => self.ring(now, source, &message, tally),
            (Method::Invite, Some(key)) => {
                tally.retransmissions_received += 1;
                self.repeat(key);
            }
            (Method::Ack, Some(key)) => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.step = Step::Up;
                }
            }
            (Method::Ack, None) => {}
            (Method::Bye, key) => {
                self.reply(source, &message);
                key.into_iter().for_each(|key| self.forget(key));
            }
            _ => self.reply(source, &message),
        }
    }

    fn ring(&mut self, now: Instant, source: SocketAddr, invite: &Message<'_>, tally: &mut Tally) {
        let Ok(call_id) = invite.call_id() else {
            return;
        };
        if self.calls.len() >= CALLS_AT_A_TIME_MAX {
            return;
        }
        if self.is_anchored(call_id, invite) {
            tally.calls_anchored += 1;
        }
        let key = self.next;
        self.next += 1;
        let call = Call {
            call_id: call_id.to_vec(),
            source,
            ringing: self.response(key, invite, 180),
            picked_up: self.response(key, invite, 200),
            step: Step::Ringing,
            wakes_at: now + self.ring,
        };
        self.out.push((source, call.ringing.clone()));
        self.by_call_id.insert(call.call_id.clone(), key);
        self.timers.set(call.wakes_at, key);
        self.calls.insert(key, call);
        if self.ring.is_zero() {
            self.pick_up(now, key);
        }
    }

    /// Whether somebody put itself in the way of the media.
    fn is_anchored(&self, call_id: &[u8], invite: &Message<'_>) -> bool {
        let Some(media) = media_address(invite.body()) else {
            return false;
        };
        let port = super::key_of(call_id, self.run).map(media_port);
        media.ip() != self.local.ip() || port.is_some_and(|port| port != media.port())
    }

    fn pick_up(&mut self, now: Instant, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            self.out.push((call.source, call.picked_up.clone()));
            let repetition = Repetition::other(now, Vec::new());
            self.timers.set(repetition.poll_timeout(), key);
            call.step = Step::Unacknowledged(repetition);
        }
    }

    /// The last response again, for an INVITE that came again.
    fn repeat(&mut self, key: u64) {
        if let Some(call) = self.calls.get(&key) {
            let bytes = match call.step {
                Step::Ringing => &call.ringing,
                Step::Unacknowledged(_) => &call.picked_up,
                Step::Up => return,
            };
            self.out.push((call.source, bytes.clone()));
        }
    }

    fn response(&self, key: u64, invite: &Message<'_>, status: u16) -> Vec<u8> {
        let mut response = Response::new(invite, status);
        let contact = format!("<sip:answerer@{}>", self.local);
        response
            .to_tag(format!("t{key}").as_bytes())
            .copy_record_route()
            .header(HeaderId::Contact, contact.as_bytes());
        if status == 200 {
            let media = SocketAddr::new(self.local.ip(), media_port(key));
            let sdp = describe(media, 0, "PCMU/8000", 20);
            response.body(b"application/sdp", sdp.as_bytes());
        }
        response.to_vec()
    }

    fn reply(&mut self, source: SocketAddr, request: &Message<'_>) {
        let response = Response::new(request, 200).to_vec();
        self.out.push((source, response));
    }

    fn forget(&mut self, key: u64) {
        if let Some(call) = self.calls.remove(&key) {
            self.by_call_id.remove(&call.call_id);
        }
    }
}
