//! Relays that come and go behind Kamailio: dead, back again, or full.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tandem_tests::{
    Exchange, Kamailio, KamailioSetup, NgClient, RtpEndpoint, Sipp, Site, Tandem, TwoPhones,
    has_raw_sockets, offer_sdp, skip, until,
};

use crate::kamailio_drop_in::assert_released;
use crate::sipp_calls;

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// Calls of a load, and how many begin each second.
const CALLS: u32 = 60;
const RATE: u32 = 20;

/// Control is killed when so many calls are up.
const KILLED_AT: usize = 10;

/// Calls go on being set up while control is dead and comes back: each of them succeeds, each
/// packet of those that were up and of those that came later arrives.
#[test]
fn no_call_of_a_load_is_lost_when_control_is_restarted() {
    let site = Site::new();
    let mut tandem = Tandem::start_pair(&site, |_| {});
    let setup = KamailioSetup::new(&[tandem.ng()]).disabled_for(1).insist();
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    let Some([caller, callee]) = load(&site, &kamailio) else {
        return;
    };
    let heard = sipp_calls::run_with_speech(&site, [&caller, &callee], || {
        until("calls are up", LIMIT, || tandem.call_count() >= KILLED_AT);
        tandem.kill_control();
        tandem.start_control();
    });
    assert_eq!(heard.len(), 2 * CALLS as usize);
    for packets in heard {
        assert_eq!(packets[0].from.ip(), tandem.media_ip());
    }
    assert_released(&tandem);
    kamailio.stop();
    tandem.stop();
}

/// A relay that does not answer is left alone for a while; then a ping finds that it is back.
#[test]
fn a_relay_is_disabled_while_it_is_dead_and_found_again() {
    let site = Site::new();
    let mut tandem = Tandem::start_pair(&site, |_| {});
    let setup = KamailioSetup::new(&[tandem.ng()]).disabled_for(1);
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    let mut phones = TwoPhones::new(&site, &kamailio);
    phones.call_once();
    assert_released(&tandem);

    tandem.kill_control();
    for _ in 0..2 {
        let mut call = phones.connect();
        let own = [1, 0].map(|other: usize| call.ends[other].address());
        assert_eq!(call.relay, own, "nobody is there to relay it");
        phones.hang_up(&mut call);
    }
    let log = kamailio.log();
    assert!(log.contains("no available proxies"), "{log}");

    tandem.start_control();
    let deadline = Instant::now() + LIMIT;
    let call = loop {
        assert!(Instant::now() < deadline, "{}", kamailio.log());
        let mut call = phones.connect();
        if call
            .relay
            .iter()
            .all(|relay| relay.ip() == tandem.media_ip())
        {
            break call;
        }
        phones.hang_up(&mut call);
    };
    let (mut call, reports) = call.converse(|| std::thread::sleep(Duration::from_millis(300)));
    call.assert_nothing_lost(&reports);
    phones.hang_up(&mut call);
    assert_released(&tandem);
    kamailio.stop();
    tandem.stop();
}

#[test]
fn calls_that_a_full_relay_refuses_go_to_the_next() {
    let site = Site::new();
    let full = Tandem::start_pair(&site, |_| {});
    let other = Tandem::start_second_pair(&site, |_| {});
    assert_ne!(full.media_ip(), other.media_ip());
    full.tandem(&["limit", "set", "--calls", "1"]);
    let client = NgClient::new(full.ng());
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(5)), 1, "sendrecv");
    let held = [("call-id", "held"), ("from-tag", "a"), ("sdp", &sdp)];
    assert_eq!(client.request("offer", &held).text("result"), "ok");

    let setup = KamailioSetup::new(&[full.ng(), other.ng()]);
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    let Some([caller, callee]) = load(&site, &kamailio) else {
        return;
    };
    let heard = sipp_calls::run_with_speech(&site, [&caller, &callee], || {});
    assert_eq!(heard.len(), 2 * CALLS as usize);
    for packets in heard {
        assert_eq!(packets[0].from.ip(), other.media_ip());
    }
    let limits = full.tandem(&["limit", "show", "--json"]);
    let limits: Json = serde_json::from_str(&limits).expect("it is JSON");
    let refused = limits["rejected"]["calls"].as_u64();
    assert!(refused.is_some_and(|count| count > 0), "{limits}");

    assert_eq!(full.call_count(), 1, "who was there stays");
    client.request("delete", &[("call-id", "held"), ("delete-delay", "0")]);
    for tandem in [&full, &other] {
        assert_released(tandem);
    }
    kamailio.stop();
    other.stop();
    full.stop();
}

/// Two registered ends for a load of calls with speech. `None`, and that is said, where it is not
/// possible.
fn load(site: &Site, exchange: &impl Exchange) -> Option<[Sipp; 2]> {
    if !has_raw_sockets() {
        skip("replaying a capture needs raw sockets (root, or CAP_NET_RAW)");
        return None;
    }
    let ends = sipp_calls::ends(site, exchange)?;
    Some(ends.map(|end| end.calls(CALLS, RATE)))
}
