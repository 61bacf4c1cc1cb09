//! Packets that are taken out to be changed.

use relay_rtp::Kind;
use relay_wire::Transcoding;

use super::*;
use crate::Taken;

fn set(rtcp: Option<u16>) -> Command {
    Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: Some(Transcoding {
            routes: vec![],
            rtcp: rtcp.map(port),
        }),
    }
}

fn end() -> Command {
    Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: None,
    }
}

fn take(leaves: Option<u32>) -> Verdict {
    Verdict::Take(Taken {
        flow: SocketId::new(0),
        kind: match leaves {
            Some(_) => Kind::Rtp,
            None => Kind::Rtcp,
        },
        leaves: leaves.map(SocketId::new),
        len: match leaves {
            Some(_) => RTP.len().try_into().unwrap(),
            None => RTCP.len().try_into().unwrap(),
        },
    })
}

#[test]
fn only_what_the_peer_sends_is_taken_and_leaves_when_it_is_made() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(set(Some(30_000)));
    assert_eq!(bench.packet(0, ALICE, RTP), take(Some(1)));
    assert_eq!(bench.packet(0, ALICE, RTCP), take(None));
    assert_eq!(
        bench.packet(0, STRANGER, RTP),
        Verdict::Drop(DropReason::SourceMismatch)
    );
    // What is neither passes.
    assert_eq!(bench.packet(0, ALICE, T38), forward(1, BOB));
    assert_eq!(
        bench.packet(1, BOB, RTP),
        forward(0, ALICE),
        "the other way"
    );

    let flow = SocketId::new(0);
    let made = |bench: &mut Bench, kind| bench.relay.handle_made(flow, kind, RTP);
    assert_eq!(made(&mut bench, Kind::Rtp), forward(1, BOB));
    assert_eq!(made(&mut bench, Kind::Rtcp), forward(0, ALICE));
    assert_eq!(bench.counter("packets_taken"), 2);
    assert_eq!(bench.counter("packets_made"), 2);
}

#[test]
fn what_is_no_longer_changed_leaves_as_it_comes() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(set(Some(30_000)));
    bench.done(end());
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(bench.packet(0, ALICE, RTCP), forward(1, BOB));
    let late = bench.relay.handle_made(SocketId::new(0), Kind::Rtp, RTP);
    assert_eq!(late, Verdict::Drop(DropReason::UnknownFlow));
}

#[test]
fn a_refusal_leaves_all_as_it_was() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    let outcome = bench.relay.handle_command(bench.now, set(None), ROOM);
    let Ok(Outcome::Treat { target, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let refused = bench.relay.handle_treated(target, Err(Refusal::Overload));
    assert_eq!(refused, Err(CommandError::Refused(Refusal::Overload)));
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    bench.refused(set(Some(30_008)), Refusal::UnknownPort);
}

#[test]
fn a_port_that_is_opened_again_is_not_changed() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(set(Some(30_000)));
    assert!(
        bench
            .apply(Command::RemoveCall { call: CallKey(1) })
            .is_ok()
    );
    bench.call_between_alice_and_bob(Learning::Off);
    for socket in 0..4 {
        let verdict = bench.packet(socket, ALICE, RTP);
        assert!(!matches!(verdict, Verdict::Take(_)), "{verdict:?}");
    }
}
