//! Two hundred calls at twenty a second between two registered ends that are not ours, one half of
//! them with speech both ways.

use std::time::Duration;

use tandem_tests::{
    CallRecord, Exchange, Received, Reference, Sink, Sipp, SippScenario, Site, Tandem, audio,
    capture, g711_frames, has_raw_sockets, skip,
};

/// Calls of each half.
const CALLS: u32 = 100;

/// Calls begun each second.
const RATE: u32 = 20;

/// Milliseconds of speech in each call that has media.
const SPEECH_MS: u32 = 1_500;

/// Packets of that speech, from each end.
const PACKETS: i64 = (SPEECH_MS / 20) as i64;

/// UDP payload of one of them: RTP header and 160 bytes.
const PACKET_BYTES: i64 = 172;

#[test]
fn two_hundred_calls_at_twenty_a_second_all_succeed() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let Some([caller, callee]) = ends(&site, &tandem) else {
        return;
    };
    run_half(&caller, &callee, || {});
    let silent = tandem.await_records(CALLS as usize);
    assert_records(&silent, 0);

    if !has_raw_sockets() {
        return skip("replaying a capture needs raw sockets (root, or CAP_NET_RAW)");
    }
    run_half_with_speech(&site, &caller, &callee);
    let records = tandem.await_records(2 * CALLS as usize);
    assert_records(&records[CALLS as usize..], PACKETS);
    assert_eq!(tandem.call_count(), 0);
    tandem.stop();
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn two_hundred_calls_succeed_through_the_reference() {
    let site = Site::new();
    let Some(reference) = Reference::start(&site) else {
        return;
    };
    let Some([caller, callee]) = ends(&site, &reference.kamailio) else {
        return;
    };
    run_half(&caller, &callee, || {});
    run_half_with_speech(&site, &caller, &callee);
}

/// Both ends, registered.
pub(crate) fn ends(site: &Site, exchange: &impl Exchange) -> Option<[Sipp; 2]> {
    let caller = Sipp::new(site, exchange, "alice", site.address(2, 5_060))?;
    let callee = Sipp::new(site, exchange, "bob", site.address(3, 5_060))?;
    caller.register();
    callee.register();
    Some([
        caller.calls(CALLS, RATE).callee("bob", 200),
        callee.calls(CALLS, RATE),
    ])
}

/// SIPp itself fails a call whose responses come out of order: each has its place in the script.
fn run_half(caller: &Sipp, callee: &Sipp, meanwhile: impl FnOnce()) {
    let mut answering = callee.start(SippScenario::Callee);
    answering.await_socket(callee.local());
    let calling = caller.start(SippScenario::Caller);
    meanwhile();
    calling.finish(Duration::from_secs(60));
    answering.finish(Duration::from_secs(20));
}

pub(crate) fn run_half_with_speech(site: &Site, caller: &Sipp, callee: &Sipp) {
    let heard = run_with_speech(site, [caller, callee], || {});
    assert_eq!(heard.len(), 2 * CALLS as usize);
}

/// Calls with speech both ways, each packet of which arrives; `meanwhile` runs once the first has
/// begun. Gives what came to each port.
pub(crate) fn run_with_speech(
    site: &Site,
    [caller, callee]: [&Sipp; 2],
    meanwhile: impl FnOnce(),
) -> Vec<Vec<Received>> {
    let path = site.path("speech.pcap");
    let frames = g711_frames(&audio::speech(11, SPEECH_MS));
    capture(&path, &frames);
    // SIPp replays but does not listen, so the far ends are ours.
    let sinks = [caller, callee].map(|end| Sink::new(end.local().ip(), end.media_ports()));
    let caller = caller
        .clone()
        .callee("bob", SPEECH_MS + 300)
        .media(path.clone());
    run_half(&caller, &callee.clone().media(path), meanwhile);
    let heard: Vec<_> = sinks.into_iter().flat_map(Sink::finish).collect();
    for packets in &heard {
        assert_speech(packets, &frames);
    }
    heard
}

/// All frames came, in order and untouched, from one port of the relay.
fn assert_speech(packets: &[Received], frames: &[Vec<u8>]) {
    let sequences = packets.iter().map(|packet| usize::from(packet.sequence));
    let sequences: Vec<usize> = sequences.collect();
    let sent: Vec<usize> = (0..frames.len()).collect();
    assert_eq!(sequences, sent, "sequence numbers that arrived");
    for (packet, frame) in packets.iter().zip(frames) {
        assert!(packet.payload == *frame, "packet {}", packet.sequence);
        assert_eq!(packet.from, packets[0].from, "packet {}", packet.sequence);
    }
}

fn assert_records(records: &[CallRecord], packets: i64) {
    for record in records {
        assert_eq!(record.status, 200, "{record:?}");
        assert_eq!(record.cause, "caller-bye", "{record:?}");
        let media = Some((packets, packets * PACKET_BYTES));
        assert_eq!(record.caller_media, media, "{record:?}");
        assert_eq!(record.callee_media, media, "{record:?}");
    }
}
