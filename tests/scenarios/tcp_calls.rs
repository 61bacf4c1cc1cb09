//! Calls over TCP, at one end or at both.

use std::time::Duration;

use tandem_tests::{Exchange, Reference, Sipp, SippScenario, Site, Tandem};

use crate::baresip_speech;

/// Calls over one connection.
const CALLS: u32 = 20;

#[test]
fn calls_over_one_connection_reach_a_phone_on_udp() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    if call_from_tcp_to_udp(&site, &tandem) {
        for record in tandem.await_records(CALLS as usize) {
            assert_eq!(record.cause, "caller-bye", "{record:?}");
        }
        tandem.stop();
    }
}

/// The callee can only be reached on the connection that it registered over.
#[test]
fn phones_that_are_both_on_tcp_talk() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    if baresip_speech::talk(&site, &tandem, "tcp") {
        assert_eq!(tandem.await_records(1)[0].status, 200);
        tandem.stop();
    }
}

#[test]
#[ignore = "shows that the scenario holds for Kamailio and rtpengine too"]
fn calls_over_tcp_go_through_the_reference() {
    let site = Site::new();
    if let Some(reference) = Reference::start(&site) {
        call_from_tcp_to_udp(&site, &reference.kamailio);
        baresip_speech::talk(&site, &reference.kamailio, "tcp");
    }
}

/// `false` if there is no SIPp on this machine.
fn call_from_tcp_to_udp(site: &Site, exchange: &impl Exchange) -> bool {
    let caller = Sipp::new(site, exchange, "carol", site.address(4, 5_060));
    let callee = Sipp::new(site, exchange, "dave", site.address(5, 5_060));
    let (Some(caller), Some(callee)) = (caller, callee) else {
        return false;
    };
    let caller = caller.tcp().calls(CALLS, 20).callee("dave", 200);
    let callee = callee.calls(CALLS, 20);
    caller.register();
    callee.register();
    let mut answering = callee.start(SippScenario::Callee);
    answering.await_socket(callee.local());
    caller
        .start(SippScenario::Caller)
        .finish(Duration::from_secs(30));
    answering.finish(Duration::from_secs(20));
    true
}
