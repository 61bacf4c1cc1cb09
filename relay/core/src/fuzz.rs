//! Bodies of the fuzz targets: any order of commands, packets and time. Nothing may panic, and
//! the books must balance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use relay_ice::{Class, TransactionId, Writer};
use relay_rtp::Kind;
use relay_srtp::{GROWTH_MAX, Sender};
use relay_wire::{
    Answer, CallKey, Command, Crypto, CryptoSuite, EndpointCrypto, Events, Filter, Handover, Ice,
    IceBase, IceCandidate, IceCredentials, InterfaceId, Learning, OnEvents, OnMedia, OnRtcp, Port,
    PortPartition, Refusal, SINKS_MAX, Secret, Silence, Sink, SourceRules, Transcoding, WorkerId,
    WorkerStats,
};

use crate::{Ingress, Limits, Outcome, Relay, Sealing, SocketId, Treatment, Verdict};

/// Few enough of each that they meet.
const CALLS_MAX: usize = 4;
const ENDPOINTS_MAX: u32 = 6;
const IDLE_MAX: u32 = 3;

/// A worker under fire: each step takes a few bytes of `data`.
pub fn relay(data: &[u8]) {
    let mut driver = Driver::new();
    let mut bytes = data.iter().copied();
    while let Some(step) = bytes.next() {
        driver.step(step, &mut bytes);
        driver.check();
    }
}

/// A driver whose sockets are numbers.
struct Driver {
    relay: Relay,
    now: Instant,
    /// Sockets that are not closed, those that are idle included.
    open: BTreeMap<SocketId, Port>,
    closing: BTreeSet<SocketId>,
    /// Those that nothing leaves from as it is.
    sealed: BTreeSet<SocketId>,
    packets: u64,
    taken: u64,
    made: u64,
    copies: u64,
}

impl Driver {
    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    fn new() -> Self {
        let limits = Limits {
            worker: WorkerId(0),
            partition: PortPartition::new(30_000, 30_007, 1).expect("they are even and enough"),
            interfaces: vec![Ipv4Addr::LOCALHOST.into()],
            calls_max: CALLS_MAX,
            endpoints_max: ENDPOINTS_MAX,
            idle_max: IDLE_MAX,
        };
        Self {
            relay: Relay::new(limits),
            now: Instant::now(),
            open: BTreeMap::new(),
            closing: BTreeSet::new(),
            sealed: BTreeSet::new(),
            packets: 0,
            taken: 0,
            made: 0,
            copies: 0,
        }
    }

    fn step(&mut self, step: u8, bytes: &mut impl Iterator<Item = u8>) {
        match step % 4 {
            0 => self.packet(bytes),
            1 => self.pass(bytes.next().unwrap_or(0)),
            _ => {
                if let Some(command) = command(bytes) {
                    self.apply(command, bytes);
                }
            }
        }
    }

    fn packet(&mut self, bytes: &mut impl Iterator<Item = u8>) {
        let socket = SocketId::new(u32::from(bytes.next().unwrap_or(0) % 8));
        let source = address(bytes.next().unwrap_or(0));
        let len = usize::from(12 + bytes.next().unwrap_or(0) % 6);
        let mut packet: Vec<u8> = bytes.take(len).collect();
        if packet.first() == Some(&1) {
            packet = check(packet.last().copied().unwrap_or_default());
        }
        if let [2 | 3, _, ..] = packet[..] {
            packet = sealed(&packet);
        }
        let ingress = Ingress { socket, source };
        self.packets += 1;
        let mut verdict = self.relay.handle_packet(self.now, ingress, &mut packet);
        self.copy(&packet);
        if let Verdict::Take(taken) = verdict {
            self.taken += 1;
            assert!(self.open.contains_key(&taken.flow), "of a flow that is");
            packet.truncate(taken.len.into());
            let kind = Kind::of(&packet);
            self.made += 1;
            verdict = self.relay.handle_made(taken.flow, kind, &packet);
            self.copy(&packet);
        }
        if self.leave(verdict, &packet) {
            assert!(
                self.open.contains_key(&socket),
                "from a socket that is open"
            );
        }
    }

    /// Makes the copies that are to be made.
    fn copy(&mut self, packet: &[u8]) {
        let mut copies = 0;
        while let Some(copy) = self.relay.poll_copy() {
            copies += 1;
            assert_eq!(copy.worker, WorkerId(0), "there is no other");
            let packet = &packet[..copy.len.into()];
            let verdict = self.relay.handle_copy(&copy, packet);
            let is_clear = matches!(verdict, Verdict::Forward(_));
            assert!(!copy.is_sealed || !is_clear, "it is not for others' ears");
            self.leave(verdict, packet);
        }
        assert!(copies <= SINKS_MAX as u64);
        self.copies += copies;
    }

    /// Says whether a packet leaves. It is sealed where there are keys, and only there.
    fn leave(&mut self, verdict: Verdict, packet: &[u8]) -> bool {
        let (verdict, is_sealed) = match verdict {
            Verdict::Seal(sealing) => (self.seal(sealing, packet), true),
            other => (other, false),
        };
        let (Verdict::Forward(egress) | Verdict::ForwardPart { egress, .. }) = verdict else {
            return false;
        };
        assert_eq!(self.sealed.contains(&egress.socket), is_sealed);
        assert!(self.open.contains_key(&egress.socket), "to one that is");
        assert_ne!(egress.destination.port(), 0);
        true
    }

    fn seal(&mut self, sealing: Sealing, packet: &[u8]) -> Verdict {
        let len = sealing.len();
        let mut buffer = packet[..len].to_vec();
        buffer.resize(len + GROWTH_MAX, 0);
        let verdict = self.relay.seal(sealing, &mut buffer);
        if let Verdict::ForwardPart { len: grown, .. } = verdict {
            assert!((len + 1..=buffer.len()).contains(&grown.into()));
        }
        verdict
    }

    fn pass(&mut self, ms: u8) {
        self.now += Duration::from_millis(ms.into());
        self.relay.handle_timeout(self.now);
        while let Some(report) = self.relay.poll_report() {
            assert!(
                self.open.contains_key(&report.egress().socket),
                "from a socket that is open"
            );
            assert_ne!(report.egress().destination.port(), 0);
            let compound = relay_rtp::rtcp::Compound::parse(report.bytes());
            let is_clear = compound.is_ok_and(|it| it.begins_with_report());
            assert!(is_clear || self.sealed.contains(&report.egress().socket));
        }
        let deadline = self.relay.poll_timeout();
        assert!(deadline.is_none_or(|it| it > self.now), "time stands still");
        while self.relay.poll_event().is_some() {}
        while let Some(transmit) = self.relay.poll_transmit() {
            let egress = transmit.egress();
            assert!(
                self.open.contains_key(&egress.socket),
                "from a socket that is open"
            );
            assert_ne!(egress.destination.port(), 0);
        }
        for socket in std::mem::take(&mut self.closing) {
            self.relay.handle_closed(socket);
        }
    }

    fn apply(&mut self, command: Command, bytes: &mut impl Iterator<Item = u8>) {
        let room = usize::from(bytes.next().unwrap_or(0)) * 64;
        let keys = match &command {
            Command::SetCrypto { endpoints, .. } => {
                let keys = endpoints.iter().map(|it| (it.port, it.send.is_some()));
                keys.collect()
            }
            _ => Vec::new(),
        };
        match self.relay.handle_command(self.now, command, room) {
            Ok(Outcome::Done(answer)) => {
                for (port, is_sealed) in keys {
                    self.note_keys(port, is_sealed);
                }
                assert!(answer == Answer::Done || answer.encoded_len_max() <= room);
            }
            Ok(Outcome::Bind {
                socket,
                port,
                is_bound,
                ..
            }) => {
                assert!(!self.closing.contains(&socket));
                let before = self.open.get(&socket).copied();
                assert_eq!(before, is_bound.then_some(port), "for its own port only");
                let is_done = bytes.next().unwrap_or(0) >= 64;
                let result = if is_done { Ok(()) } else { Err(98) };
                assert_eq!(self.relay.handle_bound(socket, result).is_ok(), is_done);
                if is_done {
                    self.open.insert(socket, port);
                    self.sealed.remove(&socket);
                }
            }
            Ok(Outcome::Treat {
                target,
                transcoding,
            }) => {
                assert!(self.open.contains_key(&target.flow));
                let treatment = match (transcoding, bytes.next().unwrap_or(0) % 4) {
                    (None, _) => Ok(Treatment::None),
                    (_, 0) => Err(Refusal::Overload),
                    (_, 1) => Ok(Treatment::Each),
                    _ => Ok(Treatment::Remade),
                };
                let is_done = treatment.is_ok();
                assert_eq!(
                    self.relay.handle_treated(target, treatment).is_ok(),
                    is_done
                );
            }
            Ok(Outcome::Play { socket, .. }) => {
                assert!(self.open.contains_key(&socket));
                self.made += 1;
                let verdict = self.relay.handle_played(self.now, socket, &[0x80; 12]);
                self.leave(verdict, &[0x80; 12]);
            }
            Ok(Outcome::Later(_)) => assert!(!self.closing.is_empty(), "later never comes"),
            Err(_) => {}
        }
        while let Some(socket) = self.relay.poll_close() {
            let port = self.open.remove(&socket);
            assert!(port.is_some(), "it was open, and closes once");
            self.closing.insert(socket);
        }
    }

    fn note_keys(&mut self, port: Port, is_sealed: bool) {
        let found = self.open.iter().find(|(_, it)| **it == port);
        let socket = found.map(|(socket, _)| *socket);
        let socket = socket.expect("keys of a port that is open");
        match is_sealed {
            true => self.sealed.insert(socket),
            false => self.sealed.remove(&socket),
        };
    }

    /// What the core counts is what happened.
    fn check(&mut self) {
        let stats = self.stats();
        let mut counters = stats.counters.iter();
        let idle = counters.find(|(name, _)| name == "ports_idle");
        let idle = idle.map_or(0, |(_, count)| *count);
        assert!(idle <= u64::from(IDLE_MAX));
        assert_eq!(stats.endpoints + idle, self.open.len() as u64);
        assert!(stats.calls <= CALLS_MAX as u64);
        assert!(self.open.len() + self.closing.len() <= ENDPOINTS_MAX as usize);
        let dropped = stats.counters.iter();
        let dropped = dropped.filter(|(name, _)| name.starts_with("dropped_"));
        let dropped: u64 = dropped.map(|(_, count)| count).sum();
        assert_eq!(stats.packets_in, self.packets);
        let handled = self.packets - self.taken + self.made;
        let counter = |name| {
            let counter = stats.counters.iter().find(|it| it.0 == name);
            counter.map_or(0, |it| it.1)
        };
        let only = counter("packets_copied_only");
        assert_eq!(stats.packets_out + dropped + only, handled);
        let copies = counter("copies_sent") + counter("copies_lost");
        assert_eq!(copies, self.copies);
    }

    fn stats(&mut self) -> WorkerStats {
        let command = Command::QueryWorker;
        match self.relay.handle_command(self.now, command, 1 << 16) {
            Ok(Outcome::Done(Answer::Worker(stats))) => stats,
            other => unreachable!("{other:?}"),
        }
    }
}

fn address(byte: u8) -> SocketAddr {
    let [low, high] = [byte % 4, byte / 64];
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, low), u16::from(high)))
}

fn port(byte: u8) -> Port {
    Port {
        interface: InterfaceId(byte / 128),
        number: 30_000 + u16::from(byte % 10),
    }
}

fn source_rules(bits: u8) -> SourceRules {
    SourceRules {
        is_asymmetric: bits & 1 != 0,
        waits_for_peer: bits & 2 != 0,
        pierces_nat: bits & 4 != 0,
        handover: match bits >> 3 & 3 {
            0 => Handover::Never,
            1 => Handover::AnyStream,
            _ => Handover::SameStream,
        },
        forwards_others: bits & 32 != 0,
        checks_loops: bits & 64 != 0,
    }
}

fn filter([numbers, bits]: [u8; 2]) -> Filter {
    let events = (0..numbers % 6).map(|number| Events {
        payload_type: number,
        clock_hz: u32::from(bits) * 1_000,
    });
    Filter {
        events: events.collect(),
        redundant: (8..8 + bits % 6).collect(),
        on_events: match bits & 3 {
            0 => OnEvents::Drop,
            1 => OnEvents::Replace(bits),
            2 => OnEvents::Scramble { seed: bits.into() },
            _ => OnEvents::Pass,
        },
        on_media: match bits >> 2 & 3 {
            0 => OnMedia::Drop,
            1 => OnMedia::Silence(vec![Silence {
                payload_type: numbers % 8,
                octet: bits,
            }]),
            _ => OnMedia::Pass,
        },
        tells_keys: bits & 16 != 0,
    }
}

fn sink([call, rtp, bits]: [u8; 3]) -> Sink {
    Sink {
        call: CallKey(u64::from(call % 6)),
        rtp: (bits & 1 == 0).then(|| port(rtp)),
        rtcp: (bits & 2 == 0).then(|| port(bits)),
        is_remade: bits & 4 != 0,
        is_sealed: bits & 8 != 0,
    }
}

fn command(bytes: &mut impl Iterator<Item = u8>) -> Option<Command> {
    let kind = bytes.next()?;
    let call = CallKey(u64::from(bytes.next()? % 6));
    let mut next = || bytes.next();
    Some(match kind % 22 {
        0 | 1 => Command::CreateCall {
            call,
            media_timeout_ms: u32::from(next()?),
            record: vec![0; usize::from(next()?) * 100],
        },
        2 => Command::RemoveCall { call },
        3 => Command::SetRecord {
            call,
            record: vec![0; usize::from(next()?) * 200],
        },
        4 => Command::SetMediaTimeout {
            call,
            media_timeout_ms: u32::from(next()?),
        },
        5 | 6 => Command::OpenEndpoint {
            call,
            port: port(next()?),
            tos: None,
        },
        7 => Command::CloseEndpoint {
            call,
            port: port(next()?),
        },
        8 => Command::SetRemote {
            call,
            port: port(next()?),
            remote: Some(address(next()?)).filter(|it| it.port() != 3),
            learning: match next()? % 4 {
                0 => Learning::Heuristic,
                1 => Learning::Immediate,
                2 => Learning::Delayed,
                _ => Learning::Off,
            },
        },
        9 => Command::Connect {
            call,
            ingress: port(next()?),
            rtp: Some(port(next()?)).filter(|it| it.number % 5 != 4),
            rtcp: Some(port(next()?)).filter(|it| it.number % 5 != 4),
        },
        10 => Command::QueryCall { call },
        11 => Command::SetSourceRules {
            call,
            port: port(next()?),
            rules: source_rules(next()?),
        },
        12 => Command::SetFirstPacketTimeout {
            call,
            first_packet_timeout_ms: u32::from(next()?),
        },
        13 => Command::SetTranscoding {
            call,
            ingress: port(next()?),
            transcoding: Some(Transcoding {
                routes: vec![],
                rtcp: Some(port(next()?)).filter(|it| it.number % 5 != 4),
            })
            .filter(|it| it.rtcp.is_some_and(|it| it.number % 3 != 2)),
        },
        14 => Command::SetFilter {
            call,
            ingress: port(next()?),
            filter: Some(filter([next()?, next()?])).filter(|it| !it.events.is_empty()),
        },
        16 => Command::SetRtcp {
            call,
            port: port(next()?),
            rtcp: match next()? % 4 {
                0 => OnRtcp::Pass,
                1 => OnRtcp::PassReports,
                2 => OnRtcp::End,
                _ => OnRtcp::Answer {
                    received: port(next()?),
                    sent: Some(port(next()?)).filter(|it| it.number % 5 != 4),
                },
            },
        },
        15 => Command::TellReports {
            enabled: next()? % 4 != 0,
        },
        17 => Command::SetSinks {
            call,
            ingress: port(next()?),
            sinks: (0..next()? % 20)
                .map(|_| Some(sink([next()?, next()?, next()?])))
                .collect::<Option<_>>()?,
        },
        20 => Command::SetIce {
            call,
            port: port(next()?),
            ice: Some(ice([next()?, next()?, next()?])).filter(|it| it.component != 3),
        },
        21 => Command::SetCrypto {
            call,
            endpoints: (0..=next()? % 3)
                .map(|_| Some(endpoint_crypto([next()?, next()?, next()?])))
                .collect::<Option<_>>()?,
        },
        18 => Command::StopPlaying {
            call,
            port: port(next()?),
        },
        _ => Command::ListCalls {
            after: Some(call).filter(|it| it.0 > 0),
        },
    })
}

fn endpoint_crypto([number, receive, send]: [u8; 3]) -> EndpointCrypto {
    let key = |byte| Some(crypto(byte)).filter(|it| !it.suite.name().contains("192"));
    EndpointCrypto {
        port: port(number),
        receive: key(receive),
        send: key(send),
    }
}

fn crypto(bits: u8) -> Crypto {
    let all = CryptoSuite::ALL;
    let suite = all[usize::from(bits) % all.len()];
    Crypto::new(suite, Secret::new(vec![7; suite.key_and_salt_len()]))
}

/// A packet of who knows the keys.
fn sealed(packet: &[u8]) -> Vec<u8> {
    let Ok(mut sender) = Sender::new(&crypto(packet[1])) else {
        return Vec::new();
    };
    let mut sealed = packet.to_vec();
    let is_rtcp = packet[0] == 3;
    sealed[0] = 0x80;
    sealed[1] = if is_rtcp { 200 } else { 8 };
    sealed.resize(packet.len() + GROWTH_MAX, 0);
    let grown = match is_rtcp {
        true => sender.protect_rtcp(&mut sealed, packet.len()),
        false => sender.protect_rtp(&mut sealed, packet.len()),
    };
    sealed.truncate(grown.unwrap_or(packet.len()));
    sealed
}

/// A check by who knows the password.
fn check(bits: u8) -> Vec<u8> {
    let check = Writer::new(Class::Request, TransactionId([bits; 12]));
    let check = check.user("us:them").priority(bits.into());
    let check = match bits & 1 {
        0 => check,
        _ => check.nomination(),
    };
    check.sign("a password of 22 bytes")
}

fn ice([bases, flags, address]: [u8; 3]) -> Ice {
    let credentials = |user: &str| IceCredentials {
        user: user.to_owned(),
        password: "a password of 22 bytes".to_owned(),
    };
    let base = |n| IceBase {
        port: port(bases.wrapping_add(n)),
        priority: n.into(),
    };
    Ice {
        local: credentials(if flags & 1 == 0 { "us" } else { "we" }),
        remote: Some(credentials("them")).filter(|_| flags & 2 == 0),
        bases: (0..1 + flags / 64).map(base).collect(),
        component: flags % 4,
        tie_breaker: flags.into(),
        is_controlling: flags & 4 == 0,
        is_lite: flags & 24 == 24,
        remote_is_lite: flags & 32 == 32,
        candidates: vec![IceCandidate {
            address: self::address(address),
            priority: 1,
        }],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_books_balance_whatever_comes(data in prop::collection::vec(any::<u8>(), 0..600)) {
            super::relay(&data);
        }
    }
}
