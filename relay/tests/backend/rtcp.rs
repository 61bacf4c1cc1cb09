//! RTCP that passes in part, and reports of the relay's own, over real sockets.

use relay_rtp::rtcp::{Body, Compound};
use relay_wire::{CallKey, Command, OnRtcp};

use crate::control::port;
use crate::harness::{Options, on_each_driver};
use crate::phone::{Phone, rtcp, rtp};

#[test]
fn feedback_stays_behind_and_the_rest_of_the_datagram_leaves() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let [alice, bob] = [Phone::new(), Phone::new()];
        let remotes = [&alice, &bob].map(|phone| Some(phone.address()));
        control.set_up(1, [port(first), port(first + 2)], remotes);
        let set = Command::SetRtcp {
            call: CallKey(1),
            port: port(first),
            rtcp: OnRtcp::PassReports,
        };
        control.apply(0, vec![set]);
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 0];
        for number in 0..40 {
            let mixed = [&rtcp(number)[..], &nack].concat();
            alice.send(&mixed, first);
            bob.expect(&rtcp(number), first + 2);
            // Whole ones of the same run are not cut.
            alice.send(&rtp(1, 7), first);
            bob.expect(&rtp(1, 7), first + 2);
        }
        bob.send(&nack, first + 2);
        alice.expect(&nack, first);
    });
}

#[test]
fn both_phones_get_reports_of_what_the_relay_measured() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let [alice, bob] = [Phone::new(), Phone::new()];
        let ports = [port(first), port(first + 2)];
        let remotes = [&alice, &bob].map(|phone| Some(phone.address()));
        control.set_up(1, ports, remotes);
        let answer = |at: usize| Command::SetRtcp {
            call: CallKey(1),
            port: ports[at],
            rtcp: OnRtcp::Answer {
                received: ports[at],
                sent: Some(ports[1 - at]),
            },
        };
        control.apply(0, vec![answer(0), answer(1)]);
        for sequence in (1..=5).filter(|it| *it != 3) {
            alice.send(&rtp(7, sequence), first);
            bob.expect(&rtp(7, sequence), first + 2);
        }
        bob.send(&rtp(9, 1), first + 2);
        alice.expect(&rtp(9, 1), first);
        // Hers ends at the relay: the next thing that Bob hears is the relay's.
        alice.send(&rtcp(7), first);
        for (phone, from, heard, lost) in [(&alice, first, 7, 1), (&bob, first + 2, 9, 0)] {
            let (report, came_from) = phone.receive();
            assert_eq!(came_from, from);
            let compound = Compound::parse(&report).unwrap();
            let Body::SenderReport(report) = compound.packets().next().unwrap().body() else {
                panic!("something was sent lately");
            };
            let block = report.blocks().next().unwrap();
            assert_eq!((block.ssrc.value(), block.lost), (heard, lost));
        }
        assert!(control.counter("reports_made") >= 2);
        assert_eq!(control.counter("dropped_answered"), 1);
    });
}
