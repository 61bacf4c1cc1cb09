//! Control comes, misbehaves, goes and comes back.

use relay_wire::{
    Command, FromRelay, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Request, ToRelay, WorkerId, append,
};

use crate::control::{Control, create, port};
use crate::harness::{Options, on_each_driver};
use crate::phone::{Phone, rtp};

#[test]
fn media_goes_on_without_control() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let instance = control.hello.as_ref().unwrap().instance;
        let first = control.first_port();
        let (alice, bob) = (Phone::new(), Phone::new());
        control.set_up(
            1,
            [port(first), port(first + 2)],
            [Some(alice.address()), Some(bob.address())],
        );
        for round in 0..3 {
            drop(control);
            for sequence in 0..50 {
                alice.send(&rtp(round, sequence), first);
                bob.expect(&rtp(round, sequence), first + 2);
            }
            control = relay.connect();
            assert_eq!(control.hello.as_ref().unwrap().instance, instance);
            let stats = control.call(1);
            assert_eq!(stats.endpoints[0].rtp_packets_in, 50 * u64::from(round + 1));
        }
    });
}

#[test]
fn a_new_control_takes_the_old_ones_place() {
    on_each_driver(Options::default(), |relay| {
        let mut old = relay.connect();
        old.apply(0, vec![create(1)]);
        let mut new = relay.connect();
        assert!(old.is_closed());
        assert_eq!(new.worker(0).calls, 1);
    });
}

#[test]
fn a_visitor_without_a_greeting_does_not_disturb() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let silent = Control::connect_silently(&relay.config.socket_path);
        let rude = Control::connect_silently(&relay.config.socket_path);
        rude.send_bytes(&[0xff; 100]);
        let version = PROTOCOL_VERSION;
        assert_eq!(rude.receive(), Some(FromRelay::VersionMismatch { version }));
        assert!(rude.is_closed());
        control.apply(0, vec![create(1)]);
        drop(silent);
        control.apply(0, vec![create(2)]);
    });
}

#[test]
fn another_version_is_refused_by_name() {
    on_each_driver(Options::default(), |relay| {
        let control = Control::connect_silently(&relay.config.socket_path);
        let version = PROTOCOL_VERSION;
        control.send(&ToRelay::Hello {
            version: version + 1,
        });
        assert_eq!(
            control.receive(),
            Some(FromRelay::VersionMismatch { version })
        );
        assert!(control.is_closed());
    });
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    on_each_driver(Options::default(), |relay| {
        let too_long = vec![0; MESSAGE_BYTES_MAX + 1];
        for nonsense in [&[0xff, 1, 2][..], &[1, 1], &too_long] {
            let mut control = relay.connect();
            control.send_bytes(nonsense);
            assert!(control.is_closed());
            control = relay.connect();
            control.apply(0, vec![Command::QueryWorker]);
        }
    });
}

/// More requests than any queue holds, none of whose answers are read before the last is sent.
#[test]
fn answers_come_in_order_however_many_wait() {
    let options = Options {
        workers: 2,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        control.apply(0, (0..200).map(create).collect());
        let mut asker = std::mem::replace(&mut control, relay.connect());
        assert!(asker.is_closed(), "it was replaced");
        asker = control;
        let mut expected = [Vec::new(), Vec::new()];
        for round in 0..150_u8 {
            let worker = round % 2;
            // Long answers, so that the socket is full soon.
            let commands = vec![Command::ListCalls { after: None }; 20];
            let id = asker.ask(worker, commands);
            expected[usize::from(worker)].push(id);
        }
        let mut received = [Vec::new(), Vec::new()];
        for _ in 0..150 {
            let reply = asker.reply();
            assert_eq!(reply.failure, None);
            let worker = expected.iter().position(|it| it.contains(&reply.id));
            received[worker.unwrap()].push(reply.id);
        }
        assert_eq!(received, expected);
    });
}

#[test]
fn requests_of_one_packet_are_answered_each() {
    let options = Options {
        workers: 2,
        ..Options::default()
    };
    on_each_driver(options, |relay| {
        let mut control = relay.connect();
        control.apply(0, (0..200).map(create).collect());
        let mut packet = Vec::new();
        // More than a mailbox holds, to both workers, and to one that is not there.
        for id in 0..300 {
            let request = Request {
                id,
                worker: WorkerId(u8::try_from(id % 3).unwrap()),
                commands: vec![Command::QueryWorker],
            };
            append(&ToRelay::Request(request), &mut packet);
        }
        control.send_bytes(&packet);
        let mut ids = Vec::new();
        for _ in 0..300 {
            let reply = control.reply();
            assert_eq!(reply.failure.is_some(), reply.id % 3 == 2);
            ids.push(reply.id);
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..300));
    });
}
