//! Bodies of the fuzz targets: whatever comes in whatever order, nothing may panic, every call
//! gives one record, and when time has passed nothing is left.

mod actor;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::interface::{
    Account, ConnectionId, Destination, Listener, ListenerId, MediaError, MediaReply, Now, Output,
    Source, Token, Transport,
};
use crate::{Proxy, ProxyConfig};
use actor::{Actor, Challenge};

/// Any sequence of datagrams, framed by a length byte each.
pub fn datagrams(data: &[u8]) {
    let mut stage = Stage::new(start());
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(*len) * 4));
        rest = tail;
        stage.receive(0, datagram);
    }
    stage.finish();
}

/// A sequence of things that phones, strangers, the relay and the network do.
pub fn events(data: &[u8]) {
    let mut stage = Stage::new(start());
    let mut choices = data.iter().copied();
    for _ in 0..EVENTS_MAX {
        if stage.step(&mut choices).is_none() {
            break;
        }
    }
    stage.finish();
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made up; a target only adds to it"
)]
fn start() -> Instant {
    Instant::now()
}

/// Events of one run.
const EVENTS_MAX: usize = 400;

/// Messages of the proxy that may be answered.
const KEPT_MAX: usize = 16;

/// Longer than anything lasts: a registration, a call, a transaction.
const FOREVER_S: u64 = 10_000;

/// A proxy and what it wants.
#[derive(Debug)]
struct Stage {
    proxy: Proxy,
    start: Instant,
    ms: u64,
    sent: Vec<(Destination, Vec<u8>)>,
    questions: Vec<Token>,
    names: Vec<Token>,
    challenge: Option<Challenge>,
    records: u64,
    number: u32,
}

impl Stage {
    fn new(start: Instant) -> Self {
        let listener = |transport| Listener {
            transport,
            address: SocketAddr::from(([192, 0, 2, 1], 5060)),
            prefix_len: 24,
            advertised: None,
        };
        let mut proxy = Proxy::new(ProxyConfig {
            listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
            domains: vec![actor::REALM.to_owned()],
            secret: [5; 32],
            relays_media: true,
            expires_min_s: 60,
            expires_max_s: 3_600,
            contacts_max: 2,
            ring_timeout_s: 60,
            call_duration_max_s: 600,
            requests_per_second_max: 0,
            calls_max: 3,
        });
        let accounts = ["alice", "bob"].map(|user| Account {
            user: user.to_owned(),
            ha1_md5: actor::ha1(user),
            ha1_sha256: String::new(),
        });
        proxy.handle_accounts(accounts.to_vec());
        Self {
            proxy,
            start,
            ms: 0,
            sent: Vec::new(),
            questions: Vec::new(),
            names: Vec::new(),
            challenge: None,
            records: 0,
            number: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.start + Duration::from_millis(self.ms),
            unix_ms: 1_700_000_000_000 + self.ms,
        }
    }

    /// One event; `None` when the choices are used up.
    fn step(&mut self, choices: &mut impl Iterator<Item = u8>) -> Option<()> {
        let kind = choices.next()?;
        let choice = choices.next()?;
        match kind % 12 {
            0..=3 => {
                self.number += 1;
                let actor = Actor::new(choice, self.number, self.challenge.as_ref());
                let mut bytes = actor.request(choices.next()?);
                mutate(&mut bytes, choices);
                self.receive(choice, &bytes);
            }
            4..=6 => {
                let (_, request) = self.pick(choice)?;
                let mut bytes = actor::response(&request, choices.next()?).unwrap_or_default();
                mutate(&mut bytes, choices);
                self.receive(choice, &bytes);
            }
            7 => {
                let (_, message) = self.pick(choice)?;
                self.number += 1;
                let bytes = actor::follow(&message, choices.next()?, self.number);
                self.receive(choice, &bytes.unwrap_or_default());
            }
            8 => {
                self.ms += u64::from(choice) * 100;
                self.proxy.handle_timeout(self.now());
            }
            9 => self.answer_question(choice),
            10 => self.resolve(choice),
            _ => self.disturb(choice),
        }
        self.collect();
        Some(())
    }

    fn pick(&self, choice: u8) -> Option<(Destination, Vec<u8>)> {
        let nothing = || {
            let destination = destination(0);
            Some((destination, Vec::new()))
        };
        match self.sent.len() {
            0 => nothing(),
            len => self.sent.get(usize::from(choice) % len).cloned(),
        }
    }

    fn receive(&mut self, choice: u8, bytes: &[u8]) {
        let destination = destination(choice);
        let source = Source {
            listener: destination.listener,
            address: destination.address,
            connection: destination.connection,
        };
        self.proxy.handle_message(self.now(), source, bytes);
        self.collect();
    }

    fn answer_question(&mut self, choice: u8) {
        if self.questions.is_empty() {
            return;
        }
        let token = self
            .questions
            .remove(usize::from(choice) % self.questions.len());
        let reply = match choice % 8 {
            0 => Err(MediaError::Unreachable),
            1 => Err(MediaError::Overloaded("load limit".to_owned())),
            2 => Err(MediaError::Refused("no".to_owned())),
            3 => Ok(MediaReply::Deleted(None)),
            _ => Ok(MediaReply::Sdp(b"v=0 relayed\r\n".to_vec())),
        };
        self.proxy.handle_media_reply(self.now(), token, reply);
    }

    fn resolve(&mut self, choice: u8) {
        if let Some(token) = self.names.pop() {
            let address = destination(choice).address;
            let addresses: &[SocketAddr] = if choice.is_multiple_of(3) {
                &[]
            } else {
                &[address]
            };
            self.proxy.handle_resolved(self.now(), token, addresses);
        }
    }

    fn disturb(&mut self, choice: u8) {
        let now = self.now();
        match choice % 3 {
            0 => self.proxy.handle_transport_error(now, destination(choice)),
            1 => self
                .proxy
                .handle_connection_closed(now, ConnectionId(u64::from(choice % 4))),
            _ => {
                let calls = self.proxy.calls(1);
                let call_id = calls.first().map(|call| call.call_id.clone());
                self.proxy
                    .handle_media_timeout(now, &call_id.unwrap_or_default());
            }
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Cdr(_) => self.records += 1,
                Output::Media { token, .. } => self.questions.push(token),
                Output::Resolve { token, .. } => self.names.push(token),
                Output::Send { destination, bytes } => {
                    if let Some(challenge) = Challenge::read(&bytes) {
                        self.challenge = Some(challenge);
                    }
                    if self.sent.len() == KEPT_MAX {
                        self.sent.remove(0);
                    }
                    self.sent.push((destination, bytes));
                }
                Output::StoreBindings { bindings, .. } => assert!(bindings.len() <= 2),
            }
        }
        assert!(self.proxy.calls.len() <= 3, "calls are bounded");
        let counters = self.proxy.counters();
        assert_eq!(
            counters.calls,
            counters.calls_now + self.records,
            "one record a call"
        );
    }

    /// Answers what was asked and lets time pass: nothing may be left.
    fn finish(mut self) {
        let until = self.ms + FOREVER_S * 1_000;
        loop {
            while let Some(token) = self.questions.pop() {
                let reply = Err(MediaError::Unreachable);
                self.proxy.handle_media_reply(self.now(), token, reply);
                self.collect();
            }
            while let Some(token) = self.names.pop() {
                self.proxy.handle_resolved(self.now(), token, &[]);
                self.collect();
            }
            let Some(at) = self.proxy.poll_timeout() else {
                break;
            };
            let after = at.saturating_duration_since(self.start).as_micros();
            let due = u64::try_from(after.div_ceil(1_000)).unwrap_or(u64::MAX);
            self.ms = self.ms.max(due);
            assert!(self.ms <= until, "timers come to an end");
            self.proxy.handle_timeout(self.now());
            self.collect();
        }
        assert_eq!(self.proxy.transactions.len(), 0, "transactions are left");
        assert_eq!(self.proxy.forks.len(), 0, "requests are left");
        assert_eq!(self.proxy.calls.len(), 0, "calls are left");
        assert_eq!(self.proxy.waiters.len(), 0, "questions are left");
        assert_eq!(self.proxy.resolving.len(), 0, "names are left");
        assert_eq!(self.proxy.location.binding_count(), 0, "contacts are left");
    }
}

/// Four ends: two phones over UDP, one over TCP, one stranger.
const fn destination(choice: u8) -> Destination {
    let number = choice % 4;
    let is_tcp = number == 2;
    Destination {
        listener: ListenerId(if is_tcp { 1 } else { 0 }),
        address: SocketAddr::new(
            std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, number)),
            5060,
        ),
        connection: if is_tcp { Some(ConnectionId(2)) } else { None },
    }
}

/// Changes few bytes, seldom.
fn mutate(bytes: &mut [u8], choices: &mut impl Iterator<Item = u8>) {
    let Some(count) = choices.next() else {
        return;
    };
    if count < 200 || bytes.is_empty() {
        return;
    }
    for _ in 200..count.min(204) {
        let (Some(high), Some(low), Some(value)) = (choices.next(), choices.next(), choices.next())
        else {
            return;
        };
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        bytes[at] = value;
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn any_events_in_any_order_leave_nothing() {
        for seed in 0..100 {
            let result = std::panic::catch_unwind(|| events(&random(seed, 1_200)));
            assert!(result.is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        for seed in 0..100 {
            datagrams(&random(seed, 4_000));
        }
    }

    /// Guards the target itself: it must get far enough to be worth running.
    #[test]
    fn the_events_reach_calls() {
        let mut reached = crate::Counters::default();
        for seed in 0..30 {
            let data = random(seed, 1_200);
            let mut stage = Stage::new(start());
            let mut choices = data.iter().copied();
            while stage.step(&mut choices).is_some() {}
            let counters = stage.proxy.counters();
            reached.registered += counters.registered;
            reached.calls += counters.calls;
            reached.calls_answered += counters.calls_answered;
        }
        assert!(reached.registered > 15, "{reached:?}");
        assert!(reached.calls > 15, "{reached:?}");
        assert!(reached.calls_answered > 3, "{reached:?}");
    }
}
