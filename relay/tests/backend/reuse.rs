//! Ports whose call is over, and the next call at them.

use std::net::UdpSocket;

use relay_wire::Learning;

use crate::control::{connect_to, create, open, port, remove, set_remote};
use crate::harness::{Options, on_each_driver};
use crate::phone::{Phone, rtp};

/// Ports of so many from `first` that somebody has.
fn taken(first: u16, count: u16) -> Vec<u16> {
    let is_taken = |number: &u16| UdpSocket::bind(("127.0.0.1", *number)).is_err();
    (first..first + count).filter(is_taken).collect()
}

#[test]
fn calls_that_share_a_port_one_after_another_share_nothing_else() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let ports = [port(first), port(first + 2)];
        let mut strays = 0;
        let mut before: Option<Phone> = None;
        for call in 1..=50 {
            let phones = [Phone::new(), Phone::new()];
            let mut commands = vec![create(call)];
            commands.extend(ports.map(|it| open(call, it)));
            for port in ports {
                commands.push(set_remote(call, port, None, Learning::Immediate));
            }
            commands.push(connect_to(call, ports[0], ports[1]));
            commands.push(connect_to(call, ports[1], ports[0]));
            // The phone of the call before does not know yet that it is over.
            if let Some(phone) = &before {
                for sequence in 0..5 {
                    phone.send(&rtp(1, sequence), first);
                    strays += 1;
                }
            }
            control.apply(0, commands);
            for endpoint in control.call(call).endpoints {
                assert_eq!((endpoint.rtp_packets_in, endpoint.learnt), (0, false));
            }
            // The first whoever speaks is believed.
            phones[1].send(&rtp(2, 0), first + 2);
            while !control.call(call).endpoints[1].learnt {}
            phones[0].send(&rtp(1, 1), first);
            phones[1].expect(&rtp(1, 1), first + 2);
            phones[1].send(&rtp(2, 1), first + 2);
            phones[0].expect(&rtp(2, 1), first);
            control.apply(0, vec![remove(call)]);
            let [caller, _] = phones;
            before = Some(caller);
        }
        assert_eq!(control.counter("ports_reused"), 2 * 49);
        assert_eq!(control.counter("ports_idle"), 2);
        assert_eq!(control.counter("dropped_idle_port"), strays);
    });
}

#[test]
fn no_more_ports_stay_open_than_may_and_the_oldest_go_first() {
    let options = Options {
        idle_max: 4,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        for call in 0..10 {
            let number = first + 2 * call;
            let call = u64::from(call);
            let ports = [number, number + 1].map(|it| open(call, port(it)));
            let [rtp, rtcp] = ports;
            control.apply(0, vec![create(call), rtp, rtcp, remove(call)]);
        }
        while control.counter("endpoints_closing") > 0 {}
        assert_eq!(control.counter("ports_idle"), 4);
        let kept: Vec<_> = (first + 16..first + 20).collect();
        assert_eq!(taken(first, 20), kept);
        control.apply(0, vec![create(100), open(100, port(first + 18))]);
        assert_eq!(control.counter("ports_idle"), 3);
        assert_eq!(control.counter("ports_reused"), 1);
        assert_eq!(taken(first, 20), kept, "one of them is in use again");
    });
}

#[test]
fn idle_ports_are_there_for_whichever_call_wants_them() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        // Each of the ports has been used, and its socket kept.
        for round in 0..4 {
            let mut commands = vec![create(round)];
            let ports = (first + 64 * u16::try_from(round).unwrap()..).take(64);
            commands.extend(ports.map(|it| open(round, port(it))));
            commands.push(remove(round));
            control.apply(0, commands);
        }
        assert_eq!(control.counter("ports_idle"), 256);
        let mut commands = vec![create(9)];
        commands.extend((first..first + 100).map(|it| open(9, port(it))));
        control.apply(0, commands);
        assert_eq!(control.counter("ports_reused"), 100);
        assert_eq!(control.worker(0).endpoints, 100);
    });
}
