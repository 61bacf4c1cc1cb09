//! The calls that are attacked: phones of three kinds, all played by one thread.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use tandem_tests::{Anchored, Namespace, Party, Stage, public_ip, until};

/// Host of the phones that SDP says the truth of.
pub(crate) const OPEN: u8 = 2;

/// Host of the others.
const HIDDEN: u8 = 3;

/// Time between two packets of a phone.
const PTIME: Duration = Duration::from_millis(40);

/// Packets between two reports.
const REPORT_EVERY: u16 = 10;

/// Packets that may go astray until a phone is found that is not where SDP says.
const ASTRAY_MAX: u16 = 15;

/// Time that the last packets have.
const LIMIT: Duration = Duration::from_secs(10);

/// What SDP says of the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Where it is.
    Open,
    /// Another port, since a NAT has moved it.
    OtherPort,
    /// A private address.
    OtherAddress,
}

const KINDS: [Kind; 3] = [Kind::Open, Kind::OtherPort, Kind::OtherAddress];

/// Calls and their phones.
pub(crate) struct Crowd<'a> {
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    kind: Kind,
    phones: [Phone; 2],
    _anchored: Anchored<'a>,
}

struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    relay: SocketAddr,
    ssrc: u32,
    sent: u16,
    /// Numbers of the other's packets.
    heard: Vec<u16>,
    reports_sent: usize,
    reports_heard: usize,
    /// Whatever else came.
    foreign: Vec<Vec<u8>>,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(stage: &Stage<'a>, count: usize) -> Self {
        let hosts = [OPEN, HIDDEN].map(|number| stage.internet.host(number));
        let kinds = KINDS.into_iter().cycle().take(count).enumerate();
        let calls = kinds.map(|(number, kind)| Call::new(stage, &hosts, number, kind));
        Self {
            calls: calls.collect(),
        }
    }

    /// The phones of the first `calls` send so many packets each.
    pub(crate) fn talk(&mut self, calls: usize, packets: u16) {
        for _ in 0..packets {
            let due = Instant::now() + PTIME;
            for call in &mut self.calls[..calls] {
                call.phones.iter_mut().for_each(Phone::say);
            }
            while Instant::now() < due {
                self.hear();
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Waits for what is under way.
    #[track_caller]
    pub(crate) fn listen(&mut self) {
        until("the last packets arrive", LIMIT, || {
            self.hear();
            self.calls.iter().all(Call::has_heard_the_last)
        });
        // And for what must not be.
        thread::sleep(PTIME * 5);
        self.hear();
    }

    /// Checks that each heard all of the other, once both were found, and nothing else.
    #[track_caller]
    pub(crate) fn assert_unharmed(&self) {
        for (number, call) in self.calls.iter().enumerate() {
            for (phone, other) in [[0, 1], [1, 0]]
                .map(|side| side.map(|it| &call.phones[it]))
                .map(|[a, b]| (a, b))
            {
                let what = format!("call {number}, {:?}", call.kind);
                assert!(phone.foreign.is_empty(), "{what}: {:x?}", phone.foreign);
                let first = *phone.heard.first().expect("it has heard the last");
                let expected: Vec<u16> = (first..other.sent).collect();
                assert_eq!(phone.heard, expected, "{what}");
                assert!(first <= call.astray_max(), "{what}: {first}");
                let reports = other.reports_sent - phone.reports_heard;
                assert!(
                    reports <= call.astray_max().div_ceil(REPORT_EVERY).into(),
                    "{what}: {reports}"
                );
            }
        }
    }

    fn hear(&mut self) {
        for call in &mut self.calls {
            let [one, other] = &mut call.phones;
            one.hear(other.ssrc);
            other.hear(one.ssrc);
        }
    }
}

impl<'a> Call<'a> {
    #[track_caller]
    fn new(stage: &Stage<'a>, hosts: &[Namespace; 2], number: usize, kind: Kind) -> Self {
        let port = 10_000 + u16::try_from(number).expect("calls are few") * 4;
        let [open, hidden] = hosts;
        let (host, ip) = match kind {
            Kind::OtherAddress => (hidden, public_ip(HIDDEN)),
            _ => (open, public_ip(OPEN)),
        };
        let mut phones = [
            Phone::new(host, ip, port),
            Phone::new(open, public_ip(OPEN), port + 2),
        ];
        let caller = match kind {
            Kind::Open => SocketAddr::new(ip, port),
            Kind::OtherPort => SocketAddr::new(ip, port + 20_000),
            Kind::OtherAddress => SocketAddr::from(([10, 9, 8, 7], port)),
        };
        let parties = [Party::at(caller), Party::at(phones[1].address())];
        let id = format!("call {number}");
        let anchored = Anchored::new(stage.client, &id, parties.each_ref());
        for (phone, relay) in phones.iter_mut().zip(anchored.relay) {
            phone.relay = relay;
        }
        Self {
            kind,
            phones,
            _anchored: anchored,
        }
    }

    fn has_heard_the_last(&self) -> bool {
        let [one, other] = &self.phones;
        [(one, other), (other, one)]
            .iter()
            .all(|(phone, other)| phone.heard.last().map(|it| it + 1) == Some(other.sent))
    }

    /// Packets that need not arrive, at the beginning.
    fn astray_max(&self) -> u16 {
        match self.kind {
            Kind::Open => 0,
            Kind::OtherPort | Kind::OtherAddress => ASTRAY_MAX,
        }
    }
}

impl Phone {
    fn new(host: &Namespace, ip: IpAddr, port: u16) -> Self {
        let bind = |port| {
            let socket = UdpSocket::bind((ip, port)).expect("the port is free");
            socket
                .set_nonblocking(true)
                .expect("a socket need not block");
            socket
        };
        let (rtp, rtcp) = host.within(|| (bind(port), bind(port + 1)));
        Self {
            relay: SocketAddr::new(ip, 0),
            ssrc: 0x7a4d_0000 | u32::from(port),
            rtp,
            rtcp,
            sent: 0,
            heard: Vec::new(),
            reports_sent: 0,
            reports_heard: 0,
            foreign: Vec::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.rtp.local_addr().expect("the socket is bound")
    }

    fn say(&mut self) {
        let sent = self.rtp.send_to(&packet(self.ssrc, self.sent), self.relay);
        sent.expect("the Internet takes packets");
        if self.sent.is_multiple_of(REPORT_EVERY) {
            let relay = SocketAddr::new(self.relay.ip(), self.relay.port() + 1);
            let sent = self.rtcp.send_to(&report(self.ssrc), relay);
            sent.expect("the Internet takes packets");
            self.reports_sent += 1;
        }
        self.sent += 1;
    }

    fn hear(&mut self, other: u32) {
        let mut buffer = [0; 2_048];
        while let Ok(len) = self.rtp.recv(&mut buffer) {
            let number = u16::from_be_bytes([buffer[2], buffer[3]]);
            if buffer[..len] == packet(other, number) {
                self.heard.push(number);
            } else {
                self.foreign.push(buffer[..len].to_vec());
            }
        }
        while let Ok(len) = self.rtcp.recv(&mut buffer) {
            if buffer[..len] == report(other) {
                self.reports_heard += 1;
            } else {
                self.foreign.push(buffer[..len].to_vec());
            }
        }
    }
}

/// Of PCMU, and different from all others.
fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low];
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([low ^ 0xff; 160]);
    packet
}

/// A receiver report about nobody.
fn report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 201, 0, 1];
    report.extend(ssrc.to_be_bytes());
    report
}
