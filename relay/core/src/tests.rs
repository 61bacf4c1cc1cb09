//! The core as its driver sees it: commands, packets and time in, decisions out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_wire::{
    Answer, CallKey, CallStats, Command, CommandError, ENDPOINTS_PER_CALL_MAX, Event, InterfaceId,
    Learning, Port, PortPartition, RECORD_BYTES_MAX, Refusal, SourceRules, WorkerId,
};

use crate::{DropReason, Egress, Ingress, Limits, Outcome, Relay, SocketId, Treatment, Verdict};

mod calls;
mod crypto;
mod dtls;
mod filter;
mod ice;
mod idle;
mod kernel;
mod packets;
mod playing;
mod reports;
mod rtcp;
mod sinks;
mod sources;
mod transcoding;

/// Room for any answer.
const ROOM: usize = 1 << 20;

const ALICE: &str = "192.0.2.1:4000";
const BOB: &str = "192.0.2.2:5000";
const STRANGER: &str = "198.51.100.1:6000";

/// Some instant to begin with.
#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn port(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

/// A core with a driver that binds and closes at once, and a clock.
struct Bench {
    relay: Relay,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with_limits(|_| {})
    }

    fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            worker: WorkerId(0),
            partition: PortPartition::new(30_000, 30_999, 2).unwrap(),
            interfaces: vec![
                "203.0.113.1".parse().unwrap(),
                "2001:db8::1".parse().unwrap(),
            ],
            calls_max: 10,
            endpoints_max: 400,
            idle_max: 0,
        };
        change(&mut limits);
        Self {
            relay: Relay::new(limits),
            now: start(),
        }
    }

    /// Applies a command as a driver does.
    fn apply(&mut self, command: Command) -> Result<Answer, CommandError> {
        match self.relay.handle_command(self.now, command, ROOM)? {
            Outcome::Done(answer) => Ok(answer),
            Outcome::Bind { socket, .. } => self.relay.handle_bound(socket, Ok(())),
            Outcome::Treat {
                target,
                transcoding,
            } => {
                let treatment = transcoding.map_or(Treatment::None, |_| Treatment::Remade);
                self.relay.handle_treated(target, Ok(treatment))
            }
            Outcome::Play { .. } => Ok(Answer::Done),
            Outcome::Later(command) => {
                let mut closed = 0;
                while let Some(socket) = self.relay.poll_close() {
                    self.relay.handle_closed(socket);
                    closed += 1;
                }
                assert!(closed > 0, "later never comes");
                self.apply(command)
            }
        }
    }

    #[track_caller]
    fn done(&mut self, command: Command) {
        assert_eq!(self.apply(command), Ok(Answer::Done));
    }

    #[track_caller]
    fn refused(&mut self, command: Command, refusal: Refusal) {
        let refused = Err(CommandError::Refused(refusal));
        assert_eq!(self.apply(command), refused);
    }

    fn create(&mut self, call: u64, media_timeout_ms: u32) {
        self.done(Command::CreateCall {
            call: CallKey(call),
            media_timeout_ms,
            record: vec![],
        });
    }

    /// A call between Alice, at port 30,000, and Bob, at port 30,002: sockets 0 and 1.
    fn call_between_alice_and_bob(&mut self, learning: Learning) {
        self.create(1, 0);
        for (number, remote) in [(30_000, ALICE), (30_002, BOB)] {
            let (call, port) = (CallKey(1), port(number));
            self.done(Command::OpenEndpoint {
                call,
                port,
                tos: None,
            });
            self.done(Command::SetRemote {
                call,
                port,
                remote: Some(address(remote)),
                learning,
            });
        }
        self.done(connect(30_000, Some(30_002)));
        self.done(connect(30_002, Some(30_000)));
    }

    /// Calls like the first, between two others: sockets go on from its two.
    fn more_calls(&mut self, calls: std::ops::RangeInclusive<u16>) {
        for number in calls {
            let call = CallKey(number.into());
            self.create(call.0, 0);
            let ports = [0, 2].map(|side| port(30_000 + (number - 1) * 4 + side));
            for port in ports {
                self.done(Command::OpenEndpoint {
                    call,
                    port,
                    tos: None,
                });
                let remote = Some(SocketAddr::from(([192, 0, 2, 200], port.number)));
                self.done(Command::SetRemote {
                    call,
                    port,
                    remote,
                    learning: Learning::Heuristic,
                });
            }
            for [ingress, egress] in [ports, [ports[1], ports[0]]] {
                self.done(Command::Connect {
                    call,
                    ingress,
                    rtp: Some(egress),
                    rtcp: Some(egress),
                });
            }
        }
    }

    fn packet(&mut self, socket: u32, source: &str, packet: &[u8]) -> Verdict {
        let ingress = Ingress {
            socket: SocketId::new(socket),
            source: address(source),
        };
        self.relay
            .handle_packet(self.now, ingress, &mut packet.to_vec())
    }

    /// A packet arrives, whatever becomes of it.
    fn arrive(&mut self, socket: u32, source: &str) {
        let _ = self.packet(socket, source, RTP);
    }

    fn stats(&mut self) -> CallStats {
        match self.apply(Command::QueryCall { call: CallKey(1) }) {
            Ok(Answer::Call(stats)) => stats,
            other => panic!("{other:?}"),
        }
    }

    fn counter(&mut self, name: &str) -> u64 {
        match self.apply(Command::QueryWorker) {
            Ok(Answer::Worker(stats)) => {
                stats
                    .counters
                    .into_iter()
                    .find(|it| it.0 == name)
                    .unwrap()
                    .1
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, and hears what it brings, with when it came.
    fn pass(&mut self, ms: u64) -> Vec<(u64, Event)> {
        let (begin, end) = (self.now, self.now + Duration::from_millis(ms));
        let mut events = Vec::new();
        loop {
            while let Some(event) = self.relay.poll_event() {
                let at = self.now.duration_since(begin).as_millis();
                events.push((u64::try_from(at).unwrap(), event));
            }
            match self.relay.poll_timeout().filter(|it| *it <= end) {
                Some(deadline) => self.now = self.now.max(deadline),
                None => break,
            }
            self.relay.handle_timeout(self.now);
            assert!(
                self.relay.poll_timeout().is_none_or(|it| it > self.now),
                "a deadline that does not move is a loop"
            );
        }
        self.now = end;
        events
    }
}

/// Both kinds the same way.
fn connect(ingress: u16, egress: Option<u16>) -> Command {
    Command::Connect {
        call: CallKey(1),
        ingress: port(ingress),
        rtp: egress.map(port),
        rtcp: egress.map(port),
    }
}

/// Signals where the peer of a port of the first call is.
fn signal(number: u16, remote: &str, learning: Learning) -> Command {
    Command::SetRemote {
        call: CallKey(1),
        port: port(number),
        remote: Some(address(remote)),
        learning,
    }
}

fn forward(socket: u32, destination: &str) -> Verdict {
    Verdict::Forward(Egress {
        socket: SocketId::new(socket),
        destination: address(destination),
    })
}

const RTP: &[u8] = &[0x80, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 0xd5, 0xd5];
const RTCP: &[u8] = &[0x80, 201, 0, 1, 0, 0, 0, 7];
const T38: &[u8] = &[0, 1, 6, 0, 0];
