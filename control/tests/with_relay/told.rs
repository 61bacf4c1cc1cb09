//! What others are told of calls: Homer of requests and reports, the log of calls that are over.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use control_ng::{Command, Negotiation};

use super::daemons::{Daemons, sdp};
use super::{Call, Phone, delete};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A datagram of HEPv3, by the numbers of its chunks.
struct Capture {
    datagram: Vec<u8>,
}

impl Capture {
    fn chunk(&self, wanted: u16) -> &[u8] {
        assert_eq!(&self.datagram[..4], b"HEP3");
        let word = |at: usize| u16::from_be_bytes([self.datagram[at], self.datagram[at + 1]]);
        assert_eq!(usize::from(word(4)), self.datagram.len());
        let mut at = 6;
        while at < self.datagram.len() {
            let len = usize::from(word(at + 4));
            if word(at + 2) == wanted {
                return &self.datagram[at + 6..at + len];
            }
            at += len;
        }
        &[]
    }

    fn has(&self, part: &[u8]) -> bool {
        self.chunk(15).windows(part.len()).any(|it| it == part)
    }
}

/// The first capture that it is, of those that come; `provoke` is done while there is none.
fn await_capture(
    homer: &UdpSocket,
    provoke: impl Fn(),
    is_it: impl Fn(&Capture) -> bool,
) -> Capture {
    let patience = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 65_536];
    while Instant::now() < patience {
        provoke();
        if let Ok(len) = homer.recv(&mut buffer) {
            let datagram = buffer[..len].to_vec();
            let capture = Capture { datagram };
            if is_it(&capture) {
                return capture;
            }
        }
    }
    panic!("Homer is not told");
}

/// A sender report that says how somebody is heard (RFC 3550 §6.4.1).
fn report() -> Vec<u8> {
    let mut packet = vec![0x81, 200, 0, 12];
    packet.extend(7_u32.to_be_bytes());
    packet.extend([0; 12]);
    packet.extend(50_u32.to_be_bytes());
    packet.extend(8_000_u32.to_be_bytes());
    packet.extend(9_u32.to_be_bytes());
    packet.extend([64, 0, 0, 3]);
    packet.extend([0; 16]);
    packet
}

#[test]
fn homer_is_told_of_requests_replies_and_what_the_parties_report() {
    let homer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Duration::from_millis(100);
    homer.set_read_timeout(Some(patience)).unwrap();
    let address = homer.local_addr().unwrap();
    let settings = format!("hep = \"{address}\"\nhep_agent_id = 4711\n");
    let Some(mut daemons) = Daemons::start_with(&settings) else {
        return;
    };
    let (caller, callee) = (Phone::new(), Phone::new());
    let reporter = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtcp = reporter.local_addr().unwrap().port();
    let text = sdp(caller.port()) + &format!("a=rtcp:{rtcp} IN IP4 127.0.0.1\r\n");
    let offer = Negotiation::new(b"told", b"alice", text.as_bytes());
    daemons.negotiate(&Command::Offer(offer));
    for part in [&b"7:command5:offer"[..], b"6:result2:ok"] {
        let is_it = |it: &Capture| it.has(part) && it.chunk(11) == [0x3d];
        let capture = await_capture(&homer, || {}, is_it);
        assert_eq!(capture.chunk(17), b"told");
        assert_eq!(capture.chunk(12), 4_711_u32.to_be_bytes());
    }
    let text = sdp(callee.port());
    let answer = Negotiation::new(b"told", b"alice", text.as_bytes());
    let caller_port = daemons.negotiate(&Command::Answer(answer.to_tag(b"bob")));
    let to = ("127.0.0.1", caller_port + 1);
    let provoke = || {
        reporter.send_to(&report(), to).unwrap();
    };
    let capture = await_capture(&homer, provoke, |it| it.chunk(11) == [5]);
    assert_eq!(capture.chunk(17), b"told");
    let document = String::from_utf8(capture.chunk(15).to_vec()).unwrap();
    assert!(document.contains("\"ssrc\":7"), "{document}");
    assert!(document.contains("\"packets_lost\":3"), "{document}");
    assert!(delete(&mut daemons, "told").is_some());
    daemons.stop();
}

#[test]
fn a_call_that_is_over_is_one_record_in_the_log() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut call = Call::begin(&mut daemons, "recorded");
    call.talk(7);
    assert!(delete(&mut daemons, "recorded").is_some());
    assert!(delete(&mut daemons, "recorded").is_none());
    let records = |daemons: &Daemons| {
        let log = daemons.log();
        let lines = log.lines().filter(|line| line.contains("call record"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let patience = Instant::now() + PATIENCE;
    while records(&daemons).is_empty() {
        assert!(Instant::now() < patience, "{}", daemons.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let found = records(&daemons);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in ["recorded", "packets=14", "answered=true", "alice,", "bob,"] {
        assert!(found[0].contains(part), "{part}: {}", found[0]);
    }
    daemons.stop();
}
