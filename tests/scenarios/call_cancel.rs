//! Calls that are given up, refused, or sent to nobody leave nothing behind.

use std::time::Duration;

use tandem_tests::{
    Exchange, Reference, RtpEndpoint, Site, Tandem, TwoPhones, offer_sdp, udp_sockets_on, until,
};

#[test]
fn a_call_that_is_given_up_while_it_rings_is_cancelled() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    cancel(&site, &mut phones);
    let records = tandem.await_records(1);
    assert_eq!(records[0].cause, "cancelled");
    assert_eq!(records[0].status, 487);
    assert!(records[0].ring_unix_ms.is_some());
    assert_eq!(records[0].answer_unix_ms, None);
    assert_released(&tandem);
    phones.call_once();
    tandem.stop();
}

#[test]
fn a_call_that_is_refused_or_for_nobody_says_why() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    refuse(&site, &mut phones);
    let records = tandem.await_records(1);
    assert_eq!(
        (records[0].status, records[0].cause.as_str()),
        (486, "failed")
    );

    // An account whose phone is not there, and a name that is nobody's.
    tandem.account("carol");
    let media = RtpEndpoint::new(site.ip(2));
    for (callee, status) in [("carol", 480), ("nobody", 404)] {
        let offer = offer_sdp(&media, 1, "sendrecv");
        let invitation = phones.caller.begin_invite(callee, &offer);
        let mut response = phones.caller.response(&invitation);
        if response.status() == Some(100) {
            response = phones.caller.response(&invitation);
        }
        assert_eq!(response.status(), Some(status), "{callee}");
    }
    assert_released(&tandem);
    phones.call_once();
    tandem.stop();
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn a_call_is_cancelled_or_refused_through_the_reference() {
    let site = Site::new();
    if let Some(reference) = Reference::start(&site) {
        let mut phones = TwoPhones::new(&site, &reference.kamailio);
        cancel(&site, &mut phones);
        refuse(&site, &mut phones);
        phones.call_once();
    }
}

fn cancel(site: &Site, phones: &mut TwoPhones) {
    let media = RtpEndpoint::new(site.ip(2));
    let offer = offer_sdp(&media, 1, "sendrecv");
    let invitation = phones.caller.invite("bob", &offer);
    let request = phones.callee.expect_request("INVITE");
    phones.callee.reply(&request, 180, "Ringing", None);
    phones.caller.expect_response(&invitation, 180);

    phones.caller.cancel(&invitation);
    let cancel = phones.callee.expect_request("CANCEL");
    assert_eq!(cancel.branch(), request.branch(), "RFC 3261 §9.1");
    phones.callee.give_way(&request, &cancel);
    phones.caller.expect_response(&invitation, 487);
}

fn refuse(site: &Site, phones: &mut TwoPhones) {
    let media = RtpEndpoint::new(site.ip(2));
    let offer = offer_sdp(&media, 1, "sendrecv");
    let invitation = phones.caller.invite("bob", &offer);
    let request = phones.callee.expect_request("INVITE");
    phones.callee.reply(&request, 486, "Busy Here", None);
    phones.callee.expect_request("ACK");
    phones.caller.expect_response(&invitation, 486);
}

/// No call is left at control, and no port of the relay's.
fn assert_released(tandem: &Tandem) {
    until("no call is left", Duration::from_secs(5), || {
        tandem.call_count() == 0
    });
    until("no media port is left", Duration::from_secs(5), || {
        tandem.media_ports().is_empty()
    });
    assert!(!udp_sockets_on(tandem.media_ip()).is_empty(), "SIP and ng");
}
