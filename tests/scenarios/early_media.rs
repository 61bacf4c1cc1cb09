//! Offers and answers that travel in other messages than INVITE and 200.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Call, Dialog, Exchange, Reference, RtpEndpoint, Site, Tandem, TwoPhones, offer_sdp,
    sdp_endpoint,
};

/// Time that people talk for.
const TALK: Duration = Duration::from_millis(400);

#[test]
fn the_callee_is_heard_before_it_answers() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    announce(&site, &tandem);
    let records = tandem.await_records(1);
    assert_eq!(records[0].cause, "callee-bye");
    tandem.stop();
}

#[test]
fn an_offer_in_the_answer_is_answered_by_the_ack() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    offer_late(&site, &tandem);
    let records = tandem.await_records(1);
    assert!(records[0].caller_media.is_some_and(|media| media.0 > 10));
    assert!(records[0].callee_media.is_some_and(|media| media.0 > 10));
    tandem.stop();
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn early_and_late_offers_go_through_the_reference() {
    let site = Site::new();
    if let Some(reference) = Reference::start(&site) {
        announce(&site, &reference.kamailio);
    }
}

/// An announcement in a 183, then the same stream goes on after the answer.
pub(crate) fn announce(site: &Site, exchange: &impl Exchange) {
    let mut phones = TwoPhones::new(site, exchange);
    let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));
    let invitation = phones
        .caller
        .invite("bob", &offer_sdp(&ends[0], 1, "sendrecv"));
    let request = phones.callee.expect_request("INVITE");
    let answer = offer_sdp(&ends[1], 1, "sendrecv");
    phones
        .callee
        .reply(&request, 183, "Session Progress", Some(&answer));
    let early = phones.caller.expect_response(&invitation, 183);
    let relay = [&early.body, &request.body].map(|sdp| sdp_endpoint(sdp));

    let [caller, callee] = ends;
    let media = [caller.talk(relay[0]), callee.talk(relay[1])];
    sleep(TALK);
    let [caller, callee] = media;
    let [(caller, to_caller), (callee, to_callee)] = caller.finish_both(callee);
    to_caller.assert_heard_all_of(&to_callee, relay[0]);
    to_callee.assert_heard_all_of(&to_caller, relay[1]);

    let response = phones.callee.reply(&request, 200, "OK", Some(&answer));
    let answered = phones.caller.expect_response(&invitation, 200);
    assert_eq!(sdp_endpoint(&answered.body), relay[0], "the port stays");
    let dialog = phones.caller.acknowledge(&invitation, &answered);
    phones.callee.expect_request("ACK");
    let call = Call {
        dialogs: [dialog, Dialog::of_callee(&request, &response)],
        ends: [caller, callee],
        relay,
    };
    let (mut call, reports) = call.converse(|| sleep(TALK));
    call.assert_nothing_lost(&reports);
    phones.hang_up_by_callee(&mut call);
}

/// An INVITE without SDP (RFC 3264 by way of RFC 3261 §13.2.1): the offer comes with the 200.
fn offer_late(site: &Site, exchange: &impl Exchange) {
    let mut phones = TwoPhones::new(site, exchange);
    let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));
    let invitation = phones.caller.invite("bob", "");
    let request = phones.callee.expect_request("INVITE");
    assert_eq!(request.body, "");
    let offer = offer_sdp(&ends[1], 1, "sendrecv");
    let response = phones.callee.reply(&request, 200, "OK", Some(&offer));
    let answered = phones.caller.expect_response(&invitation, 200);
    let answer = offer_sdp(&ends[0], 1, "sendrecv");
    let dialog = phones
        .caller
        .acknowledge_with(&invitation, &answered, Some(&answer));
    let acknowledgement = phones.callee.expect_request("ACK");
    let relay = [&answered.body, &acknowledgement.body].map(|sdp| sdp_endpoint(sdp));
    for (relay, end) in relay.iter().zip(ends.iter().rev()) {
        assert_ne!(*relay, end.address(), "media goes through the relay");
    }
    let call = Call {
        dialogs: [dialog, Dialog::of_callee(&request, &response)],
        ends,
        relay,
    };
    let (mut call, reports) = call.converse(|| sleep(TALK));
    call.assert_nothing_lost(&reports);
    phones.hang_up(&mut call);
}
