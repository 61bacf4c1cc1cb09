//! Who sends to every port.

use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tandem_tests::{Namespace, Stage, public_ip, until};

use super::crowd::OPEN;

/// Its host.
const HOST: u8 = 66;

/// Time that a round takes at least.
const ROUND: Duration = Duration::from_millis(30);

/// Packets in a row at one port, in a burst.
const BURST: u16 = 5;

/// Rounds that are more than a stranger needs to be believed.
const ROUNDS: u64 = 10;

/// Time for these.
const LIMIT: Duration = Duration::from_secs(60);

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spray {
    /// Packets that have nothing to do with one another.
    Random,
    /// One stream, which goes on from round to round as a phone's would: at each port by itself it
    /// passes for media.
    Stream,
    /// Several packets of a stream at once.
    Burst,
    /// A stream at each port, from another socket each.
    ManySockets,
    /// Reports, as to a port of RTCP.
    Reports,
    /// A stream from the address of phones, but another port.
    Forged,
}

/// A host that sends to all ports of the relay, and counts what it gets.
pub(crate) struct Attacker {
    host: Namespace,
    ports: [u16; 2],
    sprayers: Vec<Sprayer>,
    rounds: Rounds,
    stop: AtomicBool,
}

struct Sprayer {
    kind: Spray,
    sockets: Vec<UdpSocket>,
}

/// How often it has been round.
pub(crate) struct Rounds(AtomicU64);

impl Rounds {
    /// Waits for more rounds than a stranger needs to be believed.
    #[track_caller]
    pub(crate) fn await_more(&self) {
        let count = || self.0.load(Ordering::Relaxed);
        let begin = count();
        until("the attacker goes round", LIMIT, || {
            count() >= begin + ROUNDS
        });
    }
}

impl Attacker {
    pub(crate) fn new(stage: &Stage<'_>, ports: [u16; 2], sprays: &[Spray]) -> Self {
        let host = stage.internet.host(HOST);
        host.nft(
            "table inet arrivals {
                chain input {
                    type filter hook input priority filter;
                    iifname net meta l4proto udp counter
                }
            }",
        );
        // It has the phones' address without telling the neighbours.
        host.set("net/ipv4/conf/net/arp_ignore", "1");
        host.set("net/ipv4/conf/net/arp_announce", "2");
        host.ip(&format!("addr add {}/32 dev lo", public_ip(OPEN)));
        // Away from the ports of the phones whose address it forges.
        let firsts = (40_000..).step_by(1_000);
        let sprayers = firsts.zip(sprays).map(|(first, kind)| {
            let count = match kind {
                Spray::ManySockets => ports[1] - ports[0] + 1,
                _ => 1,
            };
            Sprayer::new(&host, *kind, first..first + count)
        });
        Self {
            sprayers: sprayers.collect(),
            host,
            ports,
            rounds: Rounds(AtomicU64::new(0)),
            stop: AtomicBool::new(false),
        }
    }

    /// Attacks for as long as `play` runs. Gives how many packets it has sent.
    pub(crate) fn attack_while(&self, play: impl FnOnce(&Rounds)) -> i64 {
        thread::scope(|scope| {
            let attack = scope.spawn(|| self.spray());
            let _stop = StopAtEnd(&self.stop);
            play(&self.rounds);
            drop(_stop);
            attack.join().expect("the attacker only sends")
        })
    }

    /// Datagrams that came to it, at whatever port.
    #[track_caller]
    pub(crate) fn arrivals(&self) -> u64 {
        let rules = self.host.ask_nft("list table inet arrivals");
        let count = rules.split("counter packets ").nth(1);
        let count = count.and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.unwrap_or_else(|| panic!("no counter: {rules}"))
    }

    /// The kinds take turns, a round each.
    fn spray(&self) -> i64 {
        let (mut sent, mut number) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            for sprayer in &self.sprayers {
                let end = Instant::now() + ROUND;
                for (index, port) in (self.ports[0]..=self.ports[1]).enumerate() {
                    sent += sprayer.send(index, SocketAddr::new(Stage::relay_ip(), port), number);
                    // Leaves the others the processor.
                    if index % 50 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                thread::sleep(end.saturating_duration_since(Instant::now()));
            }
            number += 1;
            self.rounds.0.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
}

/// The attack ends even if what it is to disturb does.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sprayer {
    fn new(host: &Namespace, kind: Spray, ports: Range<u16>) -> Self {
        let ip = match kind {
            Spray::Forged => public_ip(OPEN),
            _ => public_ip(HOST),
        };
        let bind = |port| UdpSocket::bind((ip, port));
        let sockets = host.within(|| ports.map(bind).collect::<Result<_, _>>());
        Self {
            kind,
            sockets: sockets.expect("its ports are free"),
        }
    }

    /// Sends to the port of an index; says how many packets.
    fn send(&self, index: usize, to: SocketAddr, number: u16) -> i64 {
        let socket = &self.sockets[index % self.sockets.len()];
        let numbers = match self.kind {
            Spray::Random => {
                let random = number.wrapping_mul(40_503);
                random..random.saturating_add(1)
            }
            Spray::Burst => number * BURST..(number + 1) * BURST,
            _ => number..number + 1,
        };
        let mut sent = 0;
        for number in numbers {
            let packet = self.packet(number);
            // A full queue is the attacker's own loss.
            sent += i64::from(socket.send_to(&packet, to).is_ok());
        }
        sent
    }

    fn packet(&self, number: u16) -> Vec<u8> {
        let ssrc = match self.kind {
            Spray::Random => u32::from(number).wrapping_mul(2_654_435_761),
            _ => 0x0bad_cafe,
        };
        if self.kind == Spray::Reports {
            let mut report = vec![0x80, 201, 0, 1];
            report.extend(ssrc.to_be_bytes());
            return report;
        }
        // PCMU, as the calls have it.
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0x55; 160]);
        packet
    }
}
