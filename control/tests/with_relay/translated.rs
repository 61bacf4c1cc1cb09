//! Phones that share no codec, and hear each other.

use std::net::UdpSocket;
use std::time::Duration;

use control_ng::{Command, Negotiation, Query};

use crate::daemons::Daemons;

/// Octets before the payload.
const HEADER_LEN: usize = 12;

/// Packets sent until one must have come out at the other end: codecs start late, and sockets that
/// are opened again learn first.
const PACKETS_MAX: u16 = 1_000;

/// A phone with one codec.
struct Phone {
    socket: UdpSocket,
    payload_type: u8,
    /// 20 ms of it.
    payload: Vec<u8>,
    sequence: u16,
}

impl Phone {
    fn new(payload_type: u8, payload: Vec<u8>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let pause = Duration::from_millis(20);
        socket.set_read_timeout(Some(pause)).unwrap();
        Self {
            socket,
            payload_type,
            payload,
            sequence: 0,
        }
    }

    fn sdp(&self) -> String {
        let port = self.socket.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {}\r\n",
            self.payload_type
        )
    }

    fn send(&mut self, port: u16) {
        let mut packet = vec![0x80, self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend(u32::from(self.payload_type).to_be_bytes());
        packet.extend(&self.payload);
        self.sequence += 1;
        self.socket.send_to(&packet, ("127.0.0.1", port)).unwrap();
    }

    /// Whether a packet that it understands has come. One that it does not must never come.
    fn has_heard(&self) -> bool {
        let mut packet = [0; 2_048];
        let Ok((len, _)) = self.socket.recv_from(&mut packet) else {
            return false;
        };
        assert_eq!(packet[1] & 0x7f, self.payload_type, "another payload type");
        assert_eq!(len, HEADER_LEN + self.payload.len(), "another codec");
        true
    }
}

fn assert_heard(from: &mut Phone, port: u16, to: &Phone) {
    let heard = (0..PACKETS_MAX).any(|_| {
        from.send(port);
        to.has_heard()
    });
    let (from, to) = (from.payload_type, to.payload_type);
    assert!(heard, "nothing came of payload type {from} as {to}");
}

fn talk(caller: &mut Phone, callee: &mut Phone, (callee_port, caller_port): (u16, u16)) {
    assert_heard(caller, caller_port, callee);
    assert_heard(callee, callee_port, caller);
}

fn begin(daemons: &mut Daemons, caller: &Phone, callee: &Phone) -> (u16, u16) {
    let (offer, answer) = (caller.sdp(), callee.sdp());
    let offer = Negotiation::new(b"c1", b"alice", offer.as_bytes());
    let callee_port = daemons.negotiate(&Command::Offer(offer));
    let answer = Negotiation::new(b"c1", b"alice", answer.as_bytes()).to_tag(b"bob");
    (callee_port, daemons.negotiate(&Command::Answer(answer)))
}

fn pcmu() -> Phone {
    Phone::new(0, vec![0xff; 160])
}

#[test]
fn the_laws_of_g711_are_translated() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let (mut caller, mut callee) = (pcmu(), Phone::new(8, vec![0xd5; 160]));
    let ports = begin(&mut daemons, &caller, &callee);
    talk(&mut caller, &mut callee, ports);
    daemons.stop();
}

#[test]
fn gsm_and_g711_hear_each_other_whoever_dies() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut gsm = vec![0; 33];
    gsm[0] = 0xd0;
    let (mut caller, mut callee) = (pcmu(), Phone::new(3, gsm));
    let ports = begin(&mut daemons, &caller, &callee);
    talk(&mut caller, &mut callee, ports);
    daemons.kill_control();
    talk(&mut caller, &mut callee, ports);
    daemons.start_control();
    // It answers when it has heard of the call from the relay, which may then die, too.
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    daemons.ask(&Command::Query(query), |reply| assert!(reply.is_ok()));
    talk(&mut caller, &mut callee, ports);
    // A new relay is told by the control that is there.
    daemons.kill_relay();
    daemons.start_relay();
    talk(&mut caller, &mut callee, ports);
    daemons.stop();
}
