//! Calls as control sees them: time-outs, records.

use relay_wire::{Answer, CallKey, Command, Event, RECORD_BYTES_MAX, WorkerId};

use crate::control::{Control, create, remove};
use crate::harness::{Options, on_each_driver};

fn list(after: Option<u64>) -> Command {
    Command::ListCalls {
        after: after.map(CallKey),
    }
}

/// All pages of the first worker: keys and records.
fn all_calls(control: &mut Control) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| *key);
        match control.apply(0, vec![list(after)]).remove(0) {
            Answer::Calls { calls, more } => {
                assert!(!calls.is_empty() || !more, "every page makes progress");
                all.extend(calls.into_iter().map(|it| (it.call.0, it.record)));
                if !more {
                    return all;
                }
            }
            other => panic!("{other:?} for calls"),
        }
    }
}

#[test]
fn a_silent_call_is_reported_once_and_again_to_who_asks() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let create = Command::CreateCall {
            call: CallKey(7),
            media_timeout_ms: 50,
            record: vec![7],
        };
        control.apply(0, vec![create]);
        let silence = (WorkerId(0), Event::MediaTimeout { call: CallKey(7) });
        assert_eq!(control.event(), silence);
        // A control that was not there to hear it.
        let mut control = relay.connect();
        assert_eq!(all_calls(&mut control), [(7, vec![7])]);
        assert_eq!(control.event(), silence);
    });
}

#[test]
fn a_call_that_is_never_heard_is_reported_as_that() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let call = CallKey(7);
        let wait = Command::SetFirstPacketTimeout {
            call,
            first_packet_timeout_ms: 50,
        };
        control.apply(0, vec![create(7), wait]);
        let unheard = Event::FirstPacketTimeout { call };
        assert_eq!(control.event(), (WorkerId(0), unheard));
    });
}

#[test]
fn records_come_back_whole_and_in_order() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        let record = |call: u64| vec![u8::try_from(call).unwrap(); RECORD_BYTES_MAX];
        for call in (1..=9).rev() {
            let set = Command::SetRecord {
                call: CallKey(call),
                record: record(call),
            };
            control.apply(0, vec![create(call), set]);
        }
        control.apply(
            0,
            (100..400).map(create).collect::<Vec<_>>()[..200].to_vec(),
        );
        let calls = all_calls(&mut control);
        let keys: Vec<_> = calls.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, (1..=9).chain(100..300).collect::<Vec<_>>());
        for (key, bytes) in &calls[..9] {
            assert_eq!(*bytes, record(*key));
        }
    });
}

#[test]
fn an_answer_that_does_not_fit_fails_alone() {
    on_each_driver(Options::default(), |relay| {
        let mut control = relay.connect();
        for call in 1..=4 {
            let set = Command::SetRecord {
                call: CallKey(call),
                record: vec![1; RECORD_BYTES_MAX],
            };
            control.apply(0, vec![create(call), set]);
        }
        // The first page fills the reply, so that there is no room for a second.
        let reply = control.request(0, vec![list(None), list(None), remove(1)]);
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(reply.failure.unwrap().index, 1);
        assert_eq!(control.worker(0).calls, 4);
    });
}
