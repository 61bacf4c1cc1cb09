//! What parties are played, as far as control has to do with it.

use control_ng::{Clip, Command, Flag, Listener, Negotiation, Party, Play, Stop};
use relay_wire::{Codec, IlbcMode, SampleRate, SoundKey};

use crate::sound::{SoundError, Told};
use crate::tests::{Sim, SimRelay, port, sdp};
use crate::{Loaded, Source};

const ALICE: Listener<'_> = Listener::Party(Party::Tag(b"alice"));
const BOB: Listener<'_> = Listener::Party(Party::Tag(b"bob"));

fn play(to: Listener<'static>) -> Play<'static> {
    Play {
        call_id: b"c1",
        to,
        medium: Some(Clip::Blob(b"RIFF")),
        times: None,
        duration_ms: None,
        start: 0,
        is_alone: false,
    }
}

fn stop(to: Listener<'static>) -> Command<'static> {
    let call_id = b"c1";
    Command::Stop(Stop { call_id, to })
}

/// A call, and the ports that face caller and callee.
fn call(sim: &mut Sim, [caller, callee]: [&str; 2]) -> [u16; 2] {
    let to_callee = sim.offer("c1", "alice", caller);
    let to_caller = sim.answer("c1", "alice", "bob", callee);
    [port(&to_caller, 0), port(&to_callee, 0)]
}

fn usual(sim: &mut Sim) -> [u16; 2] {
    let [caller, callee] = [sdp("192.0.2.10", 4_000), sdp("198.51.100.20", 5_000)];
    call(sim, [&caller, &callee])
}

/// What was asked for is read, as 100 ms of 16 kHz.
fn load(sim: &mut Sim) -> Vec<SampleRate> {
    let load = sim.loads.pop_front().expect("something is to be read");
    let names = (load.id * 10..).map(SoundKey);
    let loaded = Loaded {
        told: Told {
            hz: 16_000,
            duration_ms: 100,
        },
        sounds: load.rates.iter().copied().zip(names).collect(),
    };
    sim.control.handle_loaded(sim.now(), load.id, Ok(loaded));
    sim.pump();
    load.rates
}

fn duration(sim: &mut Sim) -> Option<i64> {
    sim.reply(|reply| {
        assert!(reply.is_ok(), "{:?}", reply.error_reason());
        reply.dictionary().get("duration")?.as_integer()
    })
}

fn refusal(sim: &mut Sim) -> String {
    sim.reply(|reply| reply.error_reason().unwrap().into_owned())
}

/// Plays it, and says what the relay was told at the ports.
fn playing(sim: &mut Sim, play: Play<'static>, ports: [u16; 2]) -> [Option<relay_wire::Play>; 2] {
    sim.request(&Command::Play(play));
    load(sim);
    assert_eq!(duration(sim), Some(100));
    ports.map(|port| sim.relay.at(port).playing)
}

#[test]
fn who_is_named_hears_it_by_what_both_can() {
    let mut sim = Sim::new();
    let answer = sdp("198.51.100.20", 5_000).replace("AVP 0 8", "AVP 8");
    let offer = sdp("192.0.2.10", 4_000);
    let ports = call(&mut sim, [&offer, &answer]);
    let [alice, bob] = playing(&mut sim, play(ALICE), ports);
    let alice = alice.unwrap();
    assert_eq!((alice.to.codec, alice.to.payload_type), (Codec::Pcma, 8));
    assert_eq!((alice.times, alice.start, alice.unit_hz), (1, 0, 16_000));
    let reports = alice.rtcp.map(|it| it.number);
    assert_eq!(reports, Some(ports[0] + 1), "beside it");
    assert_eq!(bob, None);
    let [_, bob] = playing(&mut sim, play(BOB), ports);
    assert_eq!(bob.unwrap().to.codec, Codec::Pcma);
}

#[test]
fn before_the_answer_it_is_what_comes_first() {
    let mut sim = Sim::new();
    let offer = sdp("192.0.2.10", 4_000);
    sim.offer("c1", "alice", &offer);
    sim.request(&Command::Play(play(ALICE)));
    assert_eq!(load(&mut sim), [SampleRate::Narrow]);
    assert_eq!(duration(&mut sim), Some(100));
    let mut calls = sim
        .relay
        .calls
        .values()
        .flat_map(|it| it.endpoints.values());
    let played = calls.find_map(|it| it.playing).unwrap();
    assert_eq!(played.to.codec, Codec::Pcmu);
}

#[test]
fn who_is_translated_for_hears_what_he_is_translated_to() {
    let mut sim = Sim::with_relay(
        crate::Config {
            transcode: crate::Transcode::WhenNeeded,
            ..crate::tests::CONFIG
        },
        SimRelay::new(1),
    );
    let offer = sdp("192.0.2.10", 4_000)
        .replace("AVP 0 8", "AVP 97")
        .replace("a=rtpmap:101", "a=rtpmap:97 iLBC/8000\r\na=rtpmap:101");
    let answer = sdp("198.51.100.20", 5_000);
    let ports = call(&mut sim, [&offer, &answer]);
    let [alice, _] = playing(&mut sim, play(ALICE), ports);
    let alice = alice.unwrap().to;
    assert_eq!(alice.codec, Codec::Ilbc(IlbcMode::Ms30));
    assert_eq!((alice.payload_type, alice.events), (97, None));
}

#[test]
fn all_hear_it_each_by_its_rate() {
    let mut sim = Sim::new();
    let offer = sdp("192.0.2.10", 4_000);
    let answer = sdp("198.51.100.20", 5_000).replace("AVP 0 8", "AVP 9");
    let ports = call(&mut sim, [&offer, &answer]);
    sim.request(&Command::Play(play(Listener::Everybody)));
    assert_eq!(load(&mut sim), [SampleRate::Narrow, SampleRate::Wide]);
    assert_eq!(duration(&mut sim), Some(100));
    let sounds = ports.map(|port| sim.relay.at(port).playing.unwrap().sound);
    assert_ne!(sounds[0], sounds[1]);
}

#[test]
fn how_often_and_from_where_is_as_was_asked() {
    let mut sim = Sim::new();
    let ports = usual(&mut sim);
    let cases = [
        ((None, None), (1, 0)),
        ((Some(3), None), (3, 0)),
        ((Some(0), None), (1, 0)),
        ((None, Some(500)), (u32::MAX, 500)),
        ((Some(3), Some(500)), (3, 500)),
    ];
    for ((times, duration_ms), expected) in cases {
        let play = Play {
            times,
            duration_ms,
            start: 1_000,
            is_alone: true,
            ..play(ALICE)
        };
        let [alice, _] = playing(&mut sim, play, ports);
        let alice = alice.unwrap();
        assert_eq!((alice.times, alice.duration_ms), expected);
        assert_eq!(alice.start, 500, "8,000 a second, not 16,000");
        assert!(alice.is_alone);
    }
}

#[test]
fn it_ends_when_that_is_asked_and_something_was_played() {
    let mut sim = Sim::new();
    let ports = usual(&mut sim);
    let nothing = "Not currently playing media";
    assert_eq!(sim.refusal(&stop(ALICE)), nothing);
    playing(&mut sim, play(ALICE), ports);
    let position = sim.ask(&stop(Listener::Everybody), |reply| {
        reply
            .dictionary()
            .get("last-frame-pos")
            .and_then(|it| it.as_integer())
    });
    assert_eq!(position, Some(16_000), "in the file's own samples");
    assert_eq!(sim.relay.at(ports[0]).playing, None);
    assert_eq!(sim.refusal(&stop(ALICE)), nothing);
}

#[test]
fn what_cannot_be_is_said_in_the_peers_words() {
    let mut sim = Sim::new();
    let refused = |sim: &mut Sim, play| sim.refusal(&Command::Play(play));
    assert_eq!(refused(&mut sim, play(ALICE)), "Unknown call-ID");
    assert_eq!(sim.refusal(&stop(ALICE)), "Unknown call-ID");
    usual(&mut sim);
    let nobody = Listener::Party(Party::Tag(b"nobody"));
    let cases = [
        (play(Listener::Unnamed), "No participant party specified"),
        (play(nobody), "From-tag given, but no such tag exists"),
        (
            Play {
                medium: None,
                ..play(ALICE)
            },
            "No media file specified",
        ),
        (
            Play {
                medium: Some(Clip::Database(1)),
                ..play(ALICE)
            },
            "Failed to start media playback from database",
        ),
        (
            Play {
                medium: Some(Clip::Blob64(b"!")),
                ..play(ALICE)
            },
            "Failed to start media playback from blob",
        ),
    ];
    for (play, reason) in cases {
        assert_eq!(refused(&mut sim, play), reason);
        assert!(sim.loads.is_empty());
    }
    let file = Play {
        medium: Some(Clip::File(b"a.wav")),
        ..play(ALICE)
    };
    sim.request(&Command::Play(file));
    let load = sim.loads.pop_front().unwrap();
    assert_eq!(load.source, Source::File(b"a.wav".to_vec()));
    let wrong = Err(SoundError::Malformed);
    sim.control.handle_loaded(sim.now(), load.id, wrong.clone());
    sim.pump();
    assert_eq!(
        refusal(&mut sim),
        "Failed to start media playback from file"
    );
    sim.control.handle_loaded(sim.now(), load.id, wrong);
    sim.pump();
    assert!(sim.sent.is_empty(), "it is answered once");
}

#[test]
fn a_relay_that_has_too_much_to_do_plays_nothing() {
    let mut sim = Sim::new();
    usual(&mut sim);
    sim.relay.is_overloaded = true;
    sim.request(&Command::Play(play(ALICE)));
    load(&mut sim);
    assert_eq!(
        refusal(&mut sim),
        "Failed to start media playback from blob"
    );
    sim.relay.is_overloaded = false;
    sim.request(&Command::Play(play(ALICE)));
    load(&mut sim);
    assert_eq!(duration(&mut sim), Some(100));
}

#[test]
fn too_many_at_once_are_refused() {
    let mut sim = Sim::new();
    usual(&mut sim);
    for _ in 0..64 {
        sim.request(&Command::Play(play(ALICE)));
    }
    assert_eq!(sim.loads.len(), 64);
    let refused = sim.refusal(&Command::Play(play(ALICE)));
    assert_eq!(refused, "Failed to start media playback from blob");
    assert_eq!(sim.loads.len(), 64);
}

#[test]
fn a_call_that_ends_meanwhile_is_no_harm() {
    let mut sim = Sim::new();
    usual(&mut sim);
    sim.request(&Command::Play(play(ALICE)));
    let delete = control_ng::Delete {
        call_id: b"c1",
        ..control_ng::Delete::default()
    };
    sim.ask(&Command::Delete(delete), |reply| assert!(reply.is_ok()));
    load(&mut sim);
    assert_eq!(refusal(&mut sim), "Unknown call-ID");
}

#[test]
fn a_call_that_is_to_end_later_is_played_nothing_any_more() {
    for restarts in [false, true] {
        let mut sim = Sim::new();
        let ports = usual(&mut sim);
        playing(&mut sim, play(ALICE), ports);
        if restarts {
            sim.restart_control();
        }
        let delete = control_ng::Delete {
            call_id: b"c1",
            delay_s: Some(30),
            ..control_ng::Delete::default()
        };
        sim.ask(&Command::Delete(delete), |reply| {
            assert!(reply.totals().is_some());
        });
        assert_eq!(sim.relay.calls.len(), 1);
        assert!(sim.relay.at(ports[0]).playing.is_none());
    }
}

#[test]
fn what_is_encrypted_or_on_hold_hears_nothing() {
    for (from, to) in [("RTP/AVP", "RTP/SAVP"), ("t=0 0", "t=0 0\r\na=sendonly")] {
        let mut sim = Sim::new();
        let offer = sdp("192.0.2.10", 4_000).replace(from, to);
        sim.offer("c1", "alice", &offer);
        let refused = sim.refusal(&Command::Play(play(ALICE)));
        assert_eq!(refused, "Failed to start media playback from blob", "{to}");
    }
}

#[test]
fn another_offer_ends_it_if_something_else_is_to_be_heard() {
    let mut sim = Sim::new();
    let offer = sdp("192.0.2.10", 4_000);
    let ports = usual(&mut sim);
    playing(&mut sim, play(ALICE), ports);
    let is_played = |sim: &mut Sim| sim.relay.at(ports[0]).playing.is_some();
    sim.reoffer("c1", "alice", "bob", &offer);
    assert!(is_played(&mut sim), "nothing has changed");
    let held = offer.replace("t=0 0", "t=0 0\r\na=sendonly");
    sim.reoffer("c1", "alice", "bob", &held);
    assert!(!is_played(&mut sim));
}

#[test]
fn another_control_can_end_it() {
    let mut sim = Sim::new();
    let ports = usual(&mut sim);
    playing(&mut sim, play(ALICE), ports);
    sim.restart_control();
    assert!(sim.relay.at(ports[0]).playing.is_some(), "it goes on");
    sim.ask(&stop(ALICE), |reply| assert!(reply.is_ok()));
    assert!(sim.relay.at(ports[0]).playing.is_none());
}

#[test]
fn flags_of_an_offer_that_are_about_playing_are_nothing_to_it() {
    let mut sim = Sim::new();
    let offer = sdp("192.0.2.10", 4_000);
    let offer = Negotiation::new(b"c1", b"alice", offer.as_bytes()).flag(Flag::BlockEgress);
    sim.negotiate(&Command::Offer(offer));
}
