//! Kamailio with its stock `rtpengine` module takes our control for an rtpengine.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{Kamailio, Site, Tandem, TwoPhones, has_raw_sockets, skip, until};

use crate::{call_hold, sipp_calls};

#[test]
fn a_hundred_calls_with_media_go_through_kamailio_and_our_relay() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let Some(kamailio) = Kamailio::start(&site, tandem.ng()) else {
        return;
    };
    if !has_raw_sockets() {
        return skip("replaying a capture needs raw sockets (root, or CAP_NET_RAW)");
    }
    let Some([caller, callee]) = sipp_calls::ends(&site, &kamailio) else {
        return;
    };
    sipp_calls::run_half_with_speech(&site, &caller, &callee);
    assert_clean(&tandem, &kamailio);
    kamailio.stop();
    tandem.stop();
}

#[test]
fn hold_and_hanging_up_work_through_kamailio() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let Some(kamailio) = Kamailio::start(&site, tandem.ng()) else {
        return;
    };
    call_hold::hold_and_resume(&site, &kamailio);
    assert_clean(&tandem, &kamailio);
    kamailio.stop();
    tandem.stop();
}

/// Control dies and comes back: Kamailio asks again, and the call ends in order.
#[test]
fn kamailio_does_not_notice_that_control_was_killed() {
    let site = Site::new();
    let mut tandem = Tandem::start_pair(&site, |_| {});
    let Some(kamailio) = Kamailio::start(&site, tandem.ng()) else {
        return;
    };
    let mut phones = TwoPhones::new(&site, &kamailio);
    let call = phones.connect();
    let (mut call, reports) = call.converse(|| {
        sleep(Duration::from_millis(300));
        tandem.kill_control();
        sleep(Duration::from_millis(300));
        tandem.start_control();
        sleep(Duration::from_millis(300));
    });
    call.assert_nothing_lost(&reports);
    phones.hang_up(&mut call);
    phones.call_once();
    assert_clean(&tandem, &kamailio);
    kamailio.stop();
    tandem.stop();
}

/// Nothing is left of the calls, and the proxy had nothing to complain of.
pub(crate) fn assert_clean(tandem: &Tandem, kamailio: &Kamailio) {
    assert_released(tandem);
    let log = kamailio.log();
    assert!(!log.contains("ERROR"), "{log}");
}

pub(crate) fn assert_released(tandem: &Tandem) {
    until("all calls are released", Duration::from_secs(10), || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
}
