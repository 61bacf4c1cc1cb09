//! Where something runs out.

use std::net::UdpSocket;

use relay_wire::{CommandError, Refusal};
use tandem_settings::Driver;

use crate::control::{Control, create, open, port, remove};
use crate::harness::{Options, TestRelay, on_each_driver, on_uring};
use crate::phone::{Phone, rtp};

/// A call between two new phones on the first ports.
fn call(control: &mut Control) -> (Phone, Phone, u16) {
    let first = control.first_port();
    let (alice, bob) = (Phone::new(), Phone::new());
    let remotes = [Some(alice.address()), Some(bob.address())];
    control.set_up(1, [port(first), port(first + 2)], remotes);
    (alice, bob, first)
}

/// No buffer is out when nothing is under way.
fn expect_all_buffers_back(control: &mut Control) {
    assert_eq!(control.counter("buffers_leased"), 0);
}

#[test]
fn buffers_circulate() {
    let options = Options {
        buffers: 4,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let (alice, bob, first) = call(&mut control);
        for sequence in 0..200 {
            alice.send(&rtp(1, sequence), first);
            bob.expect(&rtp(1, sequence), first + 2);
        }
        expect_all_buffers_back(&mut control);
    });
}

#[test]
fn dropped_packets_give_their_buffers_back() {
    let options = Options {
        buffers: 4,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let (alice, bob, first) = call(&mut control);
        let stranger = Phone::new();
        alice.send(&rtp(1, 0), first);
        bob.expect(&rtp(1, 0), first + 2);
        for sequence in 1..100 {
            stranger.send(&rtp(666, sequence), first);
            // Too long for a buffer.
            alice.send(&[0x80; 10_000], first);
            alice.send(&rtp(1, sequence), first);
            bob.expect(&rtp(1, sequence), first + 2);
        }
        expect_all_buffers_back(&mut control);
        assert_eq!(control.counter("receives_truncated"), 99);
        assert_eq!(control.counter("dropped_source_mismatch"), 99);
    });
}

#[test]
fn forwards_after_the_buffers_ran_out() {
    let options = Options {
        buffers: 2,
        ..Options::default()
    };
    on_uring(options, |relay| {
        let mut control = relay.connect();
        let (alice, bob, first) = call(&mut control);
        for round in 0..20 {
            // A burst of many times the pool. It waits in the socket and is not lost.
            for sequence in 0..50 {
                alice.send(&rtp(round, sequence), first);
            }
            for sequence in 0..50 {
                bob.expect(&rtp(round, sequence), first + 2);
            }
        }
        assert!(control.counter("receives_starved") > 0, "it was a test");
        expect_all_buffers_back(&mut control);
    });
}

#[test]
fn a_noisy_socket_does_not_deafen_others() {
    let options = Options {
        buffers: 4,
        ..Options::default()
    };
    on_uring(options, |relay| {
        let mut control = relay.connect();
        let (alice, bob, first) = call(&mut control);
        let (carol, dave) = (Phone::new(), Phone::new());
        control.set_up(
            2,
            [port(first + 4), port(first + 6)],
            [Some(carol.address()), Some(dave.address())],
        );
        for sequence in 0..100 {
            for _ in 0..20 {
                alice.send(&rtp(1, sequence), first);
            }
            carol.send(&rtp(3, sequence), first + 4);
            dave.expect(&rtp(3, sequence), first + 6);
            for _ in 0..20 {
                bob.expect(&rtp(1, sequence), first + 2);
            }
        }
        expect_all_buffers_back(&mut control);
    });
}

#[test]
fn a_taken_port_is_an_error_that_changes_nothing() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        let stranger = UdpSocket::bind(("127.0.0.1", first)).unwrap();
        let reply = control.request(0, vec![create(1), open(1, port(first)), remove(1)]);
        let failure = reply.failure.unwrap();
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(failure.index, 1);
        assert_eq!(failure.error, CommandError::System(libc::EADDRINUSE));
        assert_eq!(control.worker(0).endpoints, 0);
        drop(stranger);
        control.apply(0, vec![open(1, port(first))]);
    });
}

#[test]
fn the_ports_of_others_are_refused() {
    let options = Options {
        workers: 2,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        control.apply(1, vec![create(1)]);
        for number in [first, first - 2] {
            let reply = control.request(1, vec![open(1, port(number))]);
            let error = CommandError::Refused(Refusal::WrongWorker);
            assert_eq!(reply.failure.unwrap().error, error);
        }
        let reply = control.request(7, vec![create(1)]);
        assert_eq!(
            reply.failure.unwrap().error,
            CommandError::Refused(Refusal::WrongWorker)
        );
    });
}

#[test]
fn calls_beyond_the_limit_are_refused() {
    let options = Options {
        calls_max: 10,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        control.apply(0, (0..10).map(create).collect());
        let reply = control.request(0, vec![create(10)]);
        assert_eq!(
            reply.failure.unwrap().error,
            CommandError::Refused(Refusal::TableFull)
        );
        control.apply(0, vec![remove(3), create(10)]);
    });
}

#[test]
fn all_ports_are_given_back() {
    let options = Options {
        idle_max: 0,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        let first = control.first_port();
        for round in 0..3 {
            let mut commands = vec![create(round)];
            commands.extend((0..120).map(|it| open(round, port(first + it))));
            control.apply(0, commands);
            control.apply(0, vec![remove(round)]);
        }
        while control.counter("endpoints_closing") > 0 {}
        for number in first..first + 120 {
            UdpSocket::bind(("127.0.0.1", number)).unwrap();
        }
    });
}

#[test]
fn a_stopped_relay_has_let_go_of_everything() {
    for driver in [Driver::Poll, Driver::Uring] {
        let Some(mut relay) = TestRelay::start(driver, Options::default()) else {
            continue;
        };
        let mut control = relay.connect();
        let first = control.first_port();
        let mut commands = vec![create(1)];
        commands.extend((0..50).map(|it| open(1, port(first + it))));
        control.apply(0, commands);
        // The ports of a call that is over, too.
        let mut commands = vec![create(2)];
        commands.extend((50..100).map(|it| open(2, port(first + it))));
        commands.push(remove(2));
        control.apply(0, commands);
        assert_eq!(control.counter("ports_idle"), 50);
        relay.stop();
        assert!(control.is_closed());
        assert!(!relay.config.socket_path.exists());
        for number in first..first + 100 {
            UdpSocket::bind(("127.0.0.1", number)).unwrap();
        }
    }
}

#[test]
fn stops_in_the_middle_of_it_all() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let (alice, bob, first) = call(&mut control);
        for sequence in 0..1_000 {
            alice.send(&rtp(1, sequence), first);
            bob.send(&rtp(2, sequence), first + 2);
        }
        // The relay is dropped with packets in all its queues.
    });
}
