//! Ends of media streams that count: what was sent, what came, from where, in which order.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes of an RTP header without extensions (RFC 3550 §5.1).
const HEADER_LEN: usize = 12;

/// Bytes of one packet of G.711 of 20 ms.
const PAYLOAD_LEN: usize = 160;

/// Time between two packets.
const INTERVAL: Duration = Duration::from_millis(20);

/// Time that the last packets have to arrive after the sender stopped.
const DRAIN: Duration = Duration::from_millis(200);

/// Packets between two RTCP reports; real phones send one each five seconds, which is too few for
/// a short test.
const RTCP_EVERY: u16 = 25;

/// Time that two have to hear one another.
const MEET_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of the largest datagram that is received whole.
const DATAGRAM_LEN_MAX: usize = 9_216;

/// A packet that arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// Its payload type, if it is RTP.
    pub payload_type: u8,
    /// Its sequence number, if it is RTP.
    pub sequence: u16,
    /// Its timestamp, in ticks of the RTP clock of its codec.
    pub timestamp: u32,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Who sent it.
    pub from: SocketAddr,
}

/// A pair of ports, RTP on the even one.
#[derive(Debug)]
pub struct RtpEndpoint {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ssrc: u32,
}

impl RtpEndpoint {
    /// Binds a pair of ports on an address.
    ///
    /// # Panics
    ///
    /// When the address has no free pair.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let pair = (10_000..30_000).step_by(2).find_map(|port: u16| {
            let rtp = UdpSocket::bind((address, port)).ok()?;
            let rtcp = UdpSocket::bind((address, port + 1)).ok()?;
            Some((rtp, rtcp, port))
        });
        let (rtp, rtcp, port) = pair.expect("a site's network has free ports");
        Self {
            rtp,
            rtcp,
            ssrc: 0x7a4d_0000 | u32::from(port),
        }
    }

    /// Gives it another synchronisation source: that of a phone which goes on elsewhere, say.
    #[must_use]
    pub fn with_ssrc(mut self, ssrc: u32) -> Self {
        self.ssrc = ssrc;
        self
    }

    /// Where RTP is expected.
    ///
    /// # Panics
    ///
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.rtp.local_addr().expect("the socket is bound")
    }

    /// Its synchronisation source.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Sends one packet of RTP.
    ///
    /// # Panics
    ///
    /// When the system refuses it.
    #[track_caller]
    pub fn send(&self, to: SocketAddr, sequence: u16) {
        self.send_raw(to, &packet(self.ssrc, sequence));
    }

    /// Sends a datagram as it is.
    ///
    /// # Panics
    ///
    /// When the system refuses it.
    #[track_caller]
    pub fn send_raw(&self, to: SocketAddr, datagram: &[u8]) {
        send(&self.rtp, to, datagram);
    }

    /// Sends an RTCP datagram as it is, from the odd port.
    ///
    /// # Panics
    ///
    /// When the system refuses it.
    #[track_caller]
    pub fn send_rtcp_raw(&self, to: SocketAddr, datagram: &[u8]) {
        send(&self.rtcp, to, datagram);
    }

    /// Sends a report, from the odd port.
    ///
    /// # Panics
    ///
    /// When the system refuses it.
    #[track_caller]
    pub fn report(&self, to: SocketAddr) {
        self.send_rtcp_raw(to, &sender_report(self.ssrc, 0));
    }

    /// Takes the next packet of RTP that arrives within `limit`.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Received> {
        let (datagram, from) = receive(&self.rtp, limit)?;
        Some(parse(&datagram, from))
    }

    /// Takes the next datagram that arrives at the even port within `limit`, and its sender.
    #[must_use]
    pub fn receive_raw(&self, limit: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        receive(&self.rtp, limit)
    }

    /// Takes the next datagram that arrives at the odd port within `limit`, and its sender.
    #[must_use]
    pub fn receive_rtcp(&self, limit: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        receive(&self.rtcp, limit)
    }

    /// Whether this is a packet of its own stream, untouched.
    #[must_use]
    pub fn has_sent(&self, packet: &Received) -> bool {
        packet.ssrc == self.ssrc && packet.payload == payload(packet.sequence)
    }

    /// Takes what has arrived and is still under way.
    pub fn clear(&self) {
        while self.receive_raw(DRAIN).is_some() {}
        while self.receive_rtcp(Duration::ZERO).is_some() {}
    }

    /// Talks to `remote` and listens, until [`Media::finish`].
    #[must_use]
    pub fn talk(self, remote: SocketAddr) -> Media {
        self.begin(Some(remote))
    }

    /// Only listens, until [`Media::finish`].
    #[must_use]
    pub fn listen(self) -> Media {
        self.begin(None)
    }

    fn begin(self, remote: Option<SocketAddr>) -> Media {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || self.run(remote, &stopped))
            .expect("the system has a thread left");
        Media { stop, thread }
    }

    fn run(self, remote: Option<SocketAddr>, stop: &AtomicBool) -> (Self, MediaReport) {
        let mut report = MediaReport::default();
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if let Some(remote) = remote {
                self.say(remote, &mut report);
            }
            due += INTERVAL;
            self.collect(&mut report, due);
        }
        self.collect(&mut report, Instant::now() + DRAIN);
        (self, report)
    }

    fn say(&self, remote: SocketAddr, report: &mut MediaReport) {
        let sequence = report.sent;
        self.send(remote, sequence);
        report.sent += 1;
        if sequence.is_multiple_of(RTCP_EVERY) {
            let rtcp_remote = SocketAddr::new(remote.ip(), remote.port() + 1);
            self.send_rtcp_raw(rtcp_remote, &sender_report(self.ssrc, sequence));
            report.rtcp_sent += 1;
        }
    }

    fn collect(&self, report: &mut MediaReport, until: Instant) {
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            report.received.extend(self.receive(left));
        }
        let mut buffer = [0; 2_048];
        let _ = self.rtcp.set_nonblocking(true);
        while self.rtcp.recv_from(&mut buffer).is_ok() {
            report.rtcp_received += 1;
        }
    }
}

/// Both send until each has heard the other, RTP and RTCP, by way of where `relay` says; numbers
/// begin at `first`. Gives the next number. What is still under way afterwards is taken away.
///
/// # Panics
///
/// When they do not hear one another for [`MEET_LIMIT`].
#[track_caller]
pub fn meet(ends: [&RtpEndpoint; 2], relay: [SocketAddr; 2], first: u16) -> u16 {
    let mut heard = [[false; 2]; 2];
    let mut sequence = first;
    let deadline = Instant::now() + MEET_LIMIT;
    while heard != [[true; 2]; 2] {
        assert!(Instant::now() < deadline, "RTP, RTCP heard: {heard:?}");
        for (end, relay) in ends.iter().zip(relay) {
            end.send(relay, sequence);
            end.report(SocketAddr::new(relay.ip(), relay.port() + 1));
        }
        sequence = sequence.wrapping_add(1);
        thread::sleep(INTERVAL);
        for (index, end) in ends.iter().enumerate() {
            let other = ends[1 - index];
            while let Some(packet) = end.receive(Duration::ZERO) {
                heard[index][0] |= other.has_sent(&packet);
            }
            heard[index][1] |= end.receive_rtcp(Duration::ZERO).is_some();
        }
    }
    ends.iter().for_each(|end| end.clear());
    sequence
}

/// Both talk to one another for as long as `during` runs.
#[must_use]
pub fn converse(
    [caller, callee]: [RtpEndpoint; 2],
    relay: [SocketAddr; 2],
    during: impl FnOnce(),
) -> ([RtpEndpoint; 2], [MediaReport; 2]) {
    let media = [caller.talk(relay[0]), callee.talk(relay[1])];
    during();
    let [caller, callee] = media;
    let [(caller, heard_by_caller), (callee, heard_by_callee)] = caller.finish_both(callee);
    ([caller, callee], [heard_by_caller, heard_by_callee])
}

/// A conversation that goes on.
#[derive(Debug)]
pub struct Media {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(RtpEndpoint, MediaReport)>,
}

impl Media {
    /// Ends a conversation: both stop talking before either stops listening.
    ///
    /// # Panics
    ///
    /// When the system refused a packet.
    #[must_use]
    pub fn finish_both(self, other: Self) -> [(RtpEndpoint, MediaReport); 2] {
        other.stop.store(true, Ordering::Relaxed);
        [self.finish(), other.finish()]
    }

    /// Stops talking, waits for what is still under way, and gives the endpoint back.
    ///
    /// # Panics
    ///
    /// When the system refused a packet.
    #[must_use]
    pub fn finish(self) -> (RtpEndpoint, MediaReport) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("media could be sent")
    }
}

/// What one end of a conversation saw.
#[derive(Clone, Debug, Default)]
pub struct MediaReport {
    /// Packets of RTP that it sent, numbered from 0.
    pub sent: u16,
    /// Packets of RTCP that it sent.
    pub rtcp_sent: u16,
    /// What came, in the order it came.
    pub received: Vec<Received>,
    /// Packets of RTCP that came.
    pub rtcp_received: u16,
}

impl MediaReport {
    /// Checks that all that the other end sent came, once, in order, untouched and from `relay`.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    pub fn assert_heard_all_of(&self, other: &Self, relay: SocketAddr) {
        let sequences: Vec<u16> = self.received.iter().map(|packet| packet.sequence).collect();
        let sent: Vec<u16> = (0..other.sent).collect();
        assert_eq!(sequences, sent, "sequence numbers that arrived");
        for packet in &self.received {
            assert_eq!(packet.from, relay, "who sent packet {}", packet.sequence);
            let payload = payload(packet.sequence);
            assert_eq!(packet.payload, payload, "packet {}", packet.sequence);
        }
        assert_eq!(self.rtcp_received, other.rtcp_sent, "RTCP that arrived");
    }
}

/// Many ports that only listen: stands where a tool sends from but does not count.
#[derive(Debug)]
pub struct Sink {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Vec<Received>>>,
}

impl Sink {
    /// Listens on ports of an address.
    ///
    /// # Panics
    ///
    /// When one of the ports is taken.
    #[must_use]
    pub fn new(address: IpAddr, ports: impl Iterator<Item = u16>) -> Self {
        let sockets: Vec<UdpSocket> = ports
            .map(|port| listener(SocketAddr::new(address, port)))
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let count = Arc::default();
        let counted = Arc::clone(&count);
        let thread = thread::spawn(move || collect(&sockets, &stopped, &counted));
        Self {
            stop,
            count,
            thread,
        }
    }

    /// Packets that have come so far, to all ports together.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What came to each port.
    ///
    /// # Panics
    ///
    /// When the listener failed.
    #[must_use]
    pub fn finish(self) -> Vec<Vec<Received>> {
        thread::sleep(DRAIN);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the listener only reads")
    }
}

fn listener(address: SocketAddr) -> UdpSocket {
    let socket =
        UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address} is taken: {error}"));
    socket
        .set_nonblocking(true)
        .expect("a socket need not block");
    socket
}

fn collect(sockets: &[UdpSocket], stop: &AtomicBool, count: &AtomicUsize) -> Vec<Vec<Received>> {
    let mut received = vec![Vec::new(); sockets.len()];
    let mut buffer = [0; 2_048];
    // Stopping is looked at before the last round of reading, so nothing stays behind.
    let mut is_last = false;
    while !is_last {
        is_last = stop.load(Ordering::Relaxed);
        for (socket, packets) in sockets.iter().zip(&mut received) {
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                packets.push(parse(&buffer[..len], from));
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        // A socket buffers far more than these few milliseconds bring.
        thread::sleep(Duration::from_millis(5));
    }
    received
}

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER_LEN + PAYLOAD_LEN);
    packet.extend_from_slice(&[0x80, 0]);
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend(payload(sequence));
    packet
}

/// Bytes that are different in each packet, so that a mixed-up buffer shows.
fn payload(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let bytes = (0..PAYLOAD_LEN).zip((0..=u8::MAX).cycle());
    bytes
        .map(|(_, index)| index.wrapping_mul(7) ^ low ^ high.rotate_left(3))
        .collect()
}

/// A sender report without report blocks (RFC 3550 §6.4.1), and the CNAME that must follow it.
fn sender_report(ssrc: u32, packets: u16) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&ssrc.to_be_bytes());
    report.extend_from_slice(&[0; 12]);
    report.extend_from_slice(&u32::from(packets).to_be_bytes());
    report.extend_from_slice(&(u32::from(packets) * 160).to_be_bytes());
    report.extend_from_slice(&[0x81, 202, 0, 3]);
    report.extend_from_slice(&ssrc.to_be_bytes());
    report.extend_from_slice(b"\x01\x04test\0\0");
    report
}

fn receive(socket: &UdpSocket, limit: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).ok()?;
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            return Some((buffer[..len].to_vec(), from));
        }
        if Instant::now() >= deadline {
            return None;
        }
    }
}

/// Whatever is too short for RTP shows as a packet that no test sends.
fn parse(datagram: &[u8], from: SocketAddr) -> Received {
    let field = |at: usize| datagram.get(at).copied().unwrap_or(0xff);
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| field(at + byte)));
    Received {
        payload_type: field(1) & 0x7f,
        sequence: u16::from_be_bytes([field(2), field(3)]),
        timestamp: word(4),
        ssrc: word(8),
        payload: datagram.get(HEADER_LEN..).unwrap_or_default().to_vec(),
        from,
    }
}

/// A refusal of an earlier packet (ICMP) is reported on the next send; that send is repeated.
#[track_caller]
fn send(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) {
    let sent = match socket.send_to(datagram, to) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            socket.send_to(datagram, to)
        }
        sent => sent,
    };
    assert_eq!(
        sent.expect("loopback takes packets"),
        datagram.len(),
        "to {to}"
    );
}
