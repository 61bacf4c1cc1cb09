//! Media of which one party is not told.

use control_ng::{Command, MediaKind, Negotiation, Words};

use crate::tests::{Sim, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

/// Audio between two of video.
fn three() -> String {
    let video = |port: u16| format!("m=video {port} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n");
    let audio = sdp(CALLER, 4_000);
    let (session, audio) = audio.split_once("m=").unwrap();
    format!("{session}{}m={audio}{}", video(4_010), video(4_020))
}

fn without_video(sdp: &str) -> Negotiation<'_> {
    Negotiation {
        media_removed: Words::default().with(MediaKind::Video),
        ..Negotiation::new(b"c1", b"alice", sdp.as_bytes())
    }
}

fn media(sdp: &str) -> Vec<&str> {
    let lines = sdp.lines().filter(|it| it.starts_with("m="));
    lines.map(|it| it.split(' ').next().unwrap()).collect()
}

#[test]
fn who_is_not_told_of_media_hears_nothing_of_it_and_the_other_party_that_it_is_refused() {
    let mut sim = Sim::new();
    let to_callee = sim.negotiate(&Command::Offer(without_video(&three())));
    assert_eq!(media(&to_callee), ["m=audio"]);
    assert_eq!(sim.relay.open_ports().len(), 4, "of audio alone");
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert_eq!(media(&to_caller), ["m=video", "m=audio", "m=video"]);
    assert!(to_caller.contains("m=video 0 RTP/AVP 97\r\nc=IN IP4 0.0.0.0\r\nm=audio"));
    let (callee, caller) = (port(&to_callee, 0), port(&to_caller, 1));
    let towards = |sim: &mut Sim, from| sim.relay.at(from).rtp.unwrap().number;
    assert_eq!(towards(&mut sim, caller), callee);
    assert_eq!(towards(&mut sim, callee), caller);
    let remote = sim.relay.at(callee).remote.unwrap();
    assert_eq!(remote.to_string(), format!("{CALLEE}:5000"));
}

#[test]
fn what_was_hidden_stays_hidden_whoever_offers_next() {
    let mut sim = Sim::new();
    let to_callee = sim.negotiate(&Command::Offer(without_video(&three())));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let again = sim.reoffer("c1", "alice", "bob", &three());
    assert_eq!(again, to_callee, "not asked for again");
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let to_caller = sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_000));
    assert_eq!(media(&to_caller), ["m=video", "m=audio", "m=video"]);
    let refused = three().replace("4010", "0").replace("4020", "0");
    let to_callee_again = sim.answer("c1", "bob", "alice", &refused);
    assert_eq!(media(&to_callee_again), ["m=audio"]);
    assert_eq!(port(&to_callee_again, 0), port(&to_callee, 0));
}

#[test]
fn media_that_a_party_knows_of_is_refused_not_hidden() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &three());
    let to_callee = sim.negotiate(&Command::Offer(without_video(&three())));
    assert_eq!(media(&to_callee), ["m=video", "m=audio", "m=video"]);
    assert_eq!((port(&to_callee, 0), port(&to_callee, 2)), (0, 0));
}
