//! Control and a real relay: media that flows, and goes on when either of them dies.
//!
//! The relay's binary is looked for beside control's, or where `TANDEM_RELAY` says; without it
//! these tests say so and pass, since a crate cannot build another's binary.

#[path = "with_relay/daemons.rs"]
mod daemons;
#[path = "with_relay/quality.rs"]
mod quality;
#[path = "with_relay/told.rs"]
mod told;
#[path = "with_relay/translated.rs"]
mod translated;

use std::net::UdpSocket;
use std::time::Duration;

use control_ng::{Command, Delete, Negotiation, Query, Totals};

use daemons::{Daemons, sdp};

/// A phone that sends and receives RTP, but not where the SDP says, as behind NAT.
struct Phone {
    socket: UdpSocket,
    sequence: u16,
}

impl Phone {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Duration::from_secs(2);
        socket.set_read_timeout(Some(patience)).unwrap();
        Self {
            socket,
            sequence: 0,
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Sends one packet of G.711 to the relay.
    fn send(&mut self, port: u16) {
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend(u32::from(self.port()).to_be_bytes());
        packet.resize(172, 0xd5);
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send_to(&packet, ("127.0.0.1", port)).unwrap();
    }

    /// The sequence number of the packet that arrives next.
    fn receive(&self) -> Option<u16> {
        let mut packet = [0; 2_048];
        let (len, _) = self.socket.recv_from(&mut packet).ok()?;
        assert_eq!(len, 172);
        Some(u16::from_be_bytes([packet[2], packet[3]]))
    }
}

/// Two phones that talk, and the ports of the relay that each sends to.
struct Call {
    caller: Phone,
    callee: Phone,
    caller_port: u16,
    callee_port: u16,
}

impl Call {
    fn begin(daemons: &mut Daemons, call_id: &str) -> Self {
        let (caller, callee) = (Phone::new(), Phone::new());
        let callee_port = offer(daemons, call_id, &caller);
        let sdp = sdp(callee.port());
        let answer = Negotiation::new(call_id.as_bytes(), b"alice", sdp.as_bytes());
        let caller_port = daemons.negotiate(&Command::Answer(answer.to_tag(b"bob")));
        Self {
            caller,
            callee,
            caller_port,
            callee_port,
        }
    }

    /// Sends packets both ways and checks that each arrives.
    fn talk(&mut self, packets: usize) {
        for _ in 0..packets {
            let sequence = self.caller.sequence;
            self.caller.send(self.caller_port);
            assert_eq!(self.callee.receive(), Some(sequence), "to the callee");
            let sequence = self.callee.sequence;
            self.callee.send(self.callee_port);
            assert_eq!(self.caller.receive(), Some(sequence), "to the caller");
        }
    }
}

fn offer(daemons: &mut Daemons, call_id: &str, caller: &Phone) -> u16 {
    let sdp = sdp(caller.port());
    let offer = Negotiation::new(call_id.as_bytes(), b"alice", sdp.as_bytes());
    daemons.negotiate(&Command::Offer(offer))
}

fn delete(daemons: &mut Daemons, call_id: &str) -> Option<Totals> {
    let delete = Delete {
        call_id: call_id.as_bytes(),
        from_tag: Some(b"alice"),
        ..Delete::default()
    };
    daemons.ask(&Command::Delete(delete), |reply| {
        assert!(reply.is_ok());
        reply.totals()
    })
}

#[test]
fn media_flows_both_ways_and_is_counted() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut call = Call::begin(&mut daemons, "c1");
    call.talk(20);
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    daemons.ask(&Command::Query(query), |reply| {
        for tag in [b"alice".as_slice(), b"bob"] {
            let received = reply.received_from(tag).unwrap();
            assert_eq!(received.rtp.packets, 20);
            assert_eq!(received.rtp.bytes, 20 * 172);
        }
    });
    let totals = delete(&mut daemons, "c1").unwrap();
    assert_eq!((totals.rtp.packets, totals.rtp.errors), (40, 0));
    assert_eq!(delete(&mut daemons, "c1"), None, "it is gone");
    daemons.stop();
}

#[test]
fn media_goes_on_while_control_is_dead_and_the_next_one_knows_the_call() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut call = Call::begin(&mut daemons, "c1");
    call.talk(5);
    daemons.kill_control();
    call.talk(5);
    daemons.start_control();
    call.talk(5);
    let again = offer(&mut daemons, "c1", &call.caller);
    assert_eq!(again, call.callee_port, "the ports are the same");
    call.talk(5);
    let totals = delete(&mut daemons, "c1").unwrap();
    assert_eq!(totals.rtp.packets, 40, "all are counted");
    daemons.stop();
}

#[test]
fn two_names_of_one_address_are_two_interfaces_with_the_same_ports() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut ports = std::collections::BTreeSet::new();
    for n in 0..20 {
        let (caller, callee) = (Phone::new(), Phone::new());
        let (offered, answered) = (sdp(caller.port()), sdp(callee.port()));
        let name = format!("call{n}");
        let mut offer = Negotiation::new(name.as_bytes(), b"alice", offered.as_bytes());
        offer.direction = Some([b"default", b"other"]);
        let callee_port = daemons.negotiate(&Command::Offer(offer));
        let answer = Negotiation::new(name.as_bytes(), b"alice", answered.as_bytes());
        let caller_port = daemons.negotiate(&Command::Answer(answer.to_tag(b"bob")));
        assert!(ports.insert(caller_port) && ports.insert(callee_port));
        Call {
            caller,
            callee,
            caller_port,
            callee_port,
        }
        .talk(1);
    }
    daemons.stop();
}

#[test]
fn limits_that_were_set_hold_for_the_next_control() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let line = |daemons: &mut Daemons, line: &str| {
        daemons.ask(&Command::Cli(line.as_bytes()), |reply| {
            let response = reply.dictionary().get("response").unwrap();
            String::from_utf8(response.as_bytes().unwrap().to_vec()).unwrap()
        })
    };
    let before = line(&mut daemons, "list maxsessions");
    line(&mut daemons, "set maxsessions 7");
    daemons.wait_for_limits();
    daemons.kill_control();
    daemons.start_control();
    let after = line(&mut daemons, "list maxsessions");
    assert_eq!(after, "Maximum sessions configured on rtpengine: 7\n");
    assert_ne!(before, after);
    daemons.stop();
}

#[test]
fn a_relay_that_died_gets_its_calls_again() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    let mut call = Call::begin(&mut daemons, "c1");
    call.talk(5);
    daemons.kill_relay();
    daemons.start_relay();
    // A request waits until control and relay have agreed.
    daemons.ask(
        &Command::Query(Query {
            call_id: b"c1",
            ..Query::default()
        }),
        |reply| {
            assert!(reply.is_ok(), "{:?}", reply.error_reason());
        },
    );
    call.talk(5);
    assert!(delete(&mut daemons, "c1").is_some());
    daemons.stop();
}

#[test]
fn a_port_that_another_program_uses_is_passed_over() {
    let Some(mut daemons) = Daemons::start() else {
        return;
    };
    // One of each four pairs, by its odd port: most calls meet one.
    let taken: Vec<_> = daemons
        .media_ports()
        .filter(|port| port % 8 == 7)
        .map_while(|port| UdpSocket::bind(("127.0.0.1", port)).ok())
        .collect();
    assert!(taken.len() > 20);
    for n in 0..10 {
        let name = format!("call{n}");
        let mut call = Call::begin(&mut daemons, &name);
        call.talk(1);
        assert!(delete(&mut daemons, &name).is_some());
    }
    daemons.stop();
}
