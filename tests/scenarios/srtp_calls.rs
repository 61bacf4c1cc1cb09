//! A real phone that speaks SRTP alone, and one that knows nothing of it, talk through Kamailio and
//! the relay: each hears every sample of the other.

use tandem_settings::Transcode;
use tandem_tests::{Kamailio, KamailioSetup, NgClient, Site, Tandem};

use crate::baresip_speech::talk_sealed;

#[test]
fn a_caller_with_keys_and_a_callee_without_hear_each_other() {
    bridge("RTP/AVP", [true, false]);
}

#[test]
fn a_caller_without_keys_and_a_callee_with_some_hear_each_other() {
    bridge("RTP/SAVP", [false, true]);
}

/// The proxy's script names the profile that the callee is offered.
fn bridge(profile: &str, are_sealed: [bool; 2]) {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |file| {
        file.control.transcode = Transcode::Directives;
    });
    // baresip leaves out the last bytes of a key whose `=` are missing.
    let flags = format!("{profile} replace-origin SDES-pad");
    let setup = KamailioSetup::new(&[tandem.ng()]).flags(&flags, "replace-origin");
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    if talk_sealed(&site, &kamailio, "udp", are_sealed) {
        let count = |counter| count(&tandem, counter);
        // Six seconds of speech in each direction, and reports.
        assert!(count("packets_opened") >= 250);
        assert!(count("packets_sealed") >= 250);
        // What a phone sends before it knows the keys.
        assert!(count("dropped_unauthentic") < 10);
        assert_eq!(count("dropped_replayed"), 0);
        assert_eq!(count("dropped_unsealed"), 0);
    }
    kamailio.stop();
    tandem.stop();
}

fn count(tandem: &Tandem, counter: &str) -> i64 {
    let reply = NgClient::new(tandem.ng()).request("statistics", &[]);
    let counters = reply.find("statistics").unwrap_or(&reply);
    let count = counters.integer(&["relay", "counters", counter]);
    count.unwrap_or_else(|| panic!("no {counter} in {reply:?}"))
}
