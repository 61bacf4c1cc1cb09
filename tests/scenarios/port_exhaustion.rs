//! More calls than there are ports: each offer is answered, nothing hangs, and ports that were
//! given back rest before they are used again.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tandem_tests::{NgClient, RtpEndpoint, Site, Tandem, offer_sdp, sdp_endpoint, until};

/// Offers, of which each takes two pairs of ports.
const OFFERS: usize = 1_000;

/// Calls that there are ports for.
const CALLS: usize = 200;

/// The ports of as many calls.
const PORTS: [u16; 2] = [30_000, 30_799];

/// How long ports rest at least.
const REST: Duration = Duration::from_secs(1);

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn offers_without_ports_are_refused_and_ports_rest() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |file| file.relay.ports = PORTS);
    let client = NgClient::new(tandem.ng());
    let media = RtpEndpoint::new(site.ip(2));
    let sdp = offer_sdp(&media, 1, "sendrecv");
    let offer = |number: usize| -> Result<u16, String> {
        let id = format!("call {number}");
        let entries = [("call-id", id.as_str()), ("from-tag", "a"), ("sdp", &sdp)];
        let reply = client.request("offer", &entries);
        match reply.text("result") {
            "ok" => Ok(sdp_endpoint(reply.text("sdp")).port()),
            _ => Err(reply.text("error-reason").to_owned()),
        }
    };
    // The probe that found control ready had ports, too.
    until("all ports are free", LIMIT, || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
    sleep(REST);

    let replies: Vec<_> = (0..OFFERS).map(offer).collect();
    let (placed, refused) = replies.split_at(CALLS);
    let ports: HashSet<u16> = placed.iter().flatten().copied().collect();
    assert_eq!(ports.len(), CALLS, "each has ports of its own: {placed:?}");
    let reason = Err("Ran out of ports".to_owned());
    assert!(refused.iter().all(|reply| *reply == reason));
    assert_eq!(tandem.media_ports().len(), CALLS * 4);

    let given_back_at = Instant::now();
    let last = format!("call {}", CALLS - 1);
    let reply = client.request("delete", &[("call-id", &last), ("delete-delay", "0")]);
    assert_eq!(reply.text("result"), "ok", "{reply:?}");
    until("a call has ports again", LIMIT, || offer(OFFERS).is_ok());
    let rested = given_back_at.elapsed();
    assert!(rested >= REST, "used again after {rested:?}");
    assert_eq!(tandem.media_ports().len(), CALLS * 4);
    tandem.stop();
}
