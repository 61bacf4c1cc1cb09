//! A call is put on hold, in each way that phones say it, and taken back.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Call, Exchange, Message, Reference, Site, Tandem, TwoPhones, offer_sdp, sdp_endpoint,
};

/// Silence after which a call that is not on hold would end.
const MEDIA_TIMEOUT_S: u32 = 3;

/// Time on hold: longer than that.
const HOLD: Duration = Duration::from_millis(4_500);

/// Time that people talk for.
const TALK: Duration = Duration::from_millis(400);

#[test]
fn a_held_call_is_silent_for_as_long_as_it_likes_and_comes_back() {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| {
        file.control.media_timeout_s = MEDIA_TIMEOUT_S;
    });
    let heard = hold_and_resume(&site, &tandem);
    let records = tandem.await_records(1);
    assert_eq!(records[0].cause, "callee-bye");
    let packets = [records[0].caller_media, records[0].callee_media]
        .map(|media| media.expect("the relay knew the call").0);
    assert_eq!(packets, heard, "counts of all of the call, holds included");
    tandem.stop();
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn a_held_call_comes_back_through_the_reference() {
    let site = Site::new();
    if let Some(reference) = Reference::start(&site) {
        hold_and_resume(&site, &reference.kamailio);
    }
}

/// One call with three holds. Gives the packets that caller and callee sent.
pub(crate) fn hold_and_resume(site: &Site, exchange: &impl Exchange) -> [i64; 2] {
    let mut phones = TwoPhones::new(site, exchange);
    let call = phones.connect();
    let mut sent = [0, 0];
    let mut call = talk(call, &mut sent);

    // RFC 3264 §8.4: the one who holds may play music.
    change(&mut phones, &mut call, 2, ["sendonly", "recvonly"]);
    let relay = call.relay;
    let (mut call, reports) = call.monologue(|| sleep(TALK));
    sent[0] += i64::from(reports[0].sent);
    reports[1].assert_heard_all_of(&reports[0], relay[1]);
    change(&mut phones, &mut call, 3, ["sendrecv", "sendrecv"]);
    let mut call = talk(call, &mut sent);

    change(&mut phones, &mut call, 4, ["inactive", "inactive"]);
    assert!(
        phones.callee.is_quiet(HOLD),
        "a held call must not time out"
    );
    change(&mut phones, &mut call, 5, ["sendrecv", "sendrecv"]);
    let mut call = talk(call, &mut sent);

    hold_as_in_rfc_2543(&mut phones, &mut call);
    // The other side takes the call back.
    let offer = offer_sdp(&call.ends[1], 7, "sendrecv");
    let answer = offer_sdp(&call.ends[0], 7, "sendrecv");
    let seen = phones.reinvite_by_callee(&mut call, &offer, &answer);
    let [to_caller, to_callee] = seen.map(|message| sdp_endpoint(&message.body));
    assert_eq!([to_caller, to_callee], call.relay, "ports stay");
    let mut call = talk(call, &mut sent);
    phones.hang_up_by_callee(&mut call);
    sent
}

/// Both talk, and nothing is lost.
fn talk(call: Call, sent: &mut [i64; 2]) -> Call {
    let (call, reports) = call.converse(|| sleep(TALK));
    call.assert_nothing_lost(&reports);
    sent[0] += i64::from(reports[0].sent);
    sent[1] += i64::from(reports[1].sent);
    call
}

/// The caller offers and the callee answers; directions come through and ports stay.
fn change(phones: &mut TwoPhones, call: &mut Call, version: u32, directions: [&str; 2]) {
    let offer = offer_sdp(&call.ends[0], version, directions[0]);
    let answer = offer_sdp(&call.ends[1], version, directions[1]);
    let [offered, answered] = phones.reinvite(call, &offer, &answer);
    assert_direction(&offered, directions[0]);
    assert_direction(&answered, directions[1]);
    assert_eq!(sdp_endpoint(&offered.body), call.relay[1], "ports stay");
    assert_eq!(sdp_endpoint(&answered.body), call.relay[0], "ports stay");
}

fn assert_direction(message: &Message, direction: &str) {
    let attribute = format!("a={direction}");
    let has_it = message.body.lines().any(|line| line == attribute);
    // `sendrecv` is what no attribute means (RFC 8866 §6.7).
    let is_default = direction == "sendrecv" && !message.body.contains("only");
    assert!(has_it || is_default, "{attribute} in {}", message.body);
}

/// Hold as phones said it before RFC 3264: an address of zeros, which nobody may send to.
fn hold_as_in_rfc_2543(phones: &mut TwoPhones, call: &mut Call) {
    let address = call.ends[0].address().ip().to_string();
    let offer = offer_sdp(&call.ends[0], 6, "sendrecv");
    let offer = offer.replace(&format!("c=IN IP4 {address}"), "c=IN IP4 0.0.0.0");
    let answer = offer_sdp(&call.ends[1], 6, "recvonly");
    let [offered, _] = phones.reinvite(call, &offer, &answer);
    let held = offered.body.contains("c=IN IP4 0.0.0.0")
        || offered.body.contains("a=sendonly")
        || offered.body.contains("a=inactive");
    assert!(held, "the callee sees that it is held: {}", offered.body);
}
