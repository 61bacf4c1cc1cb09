//! The proxy dies in the middle of a call and comes back: media flows on, hanging up works, and
//! the phones need not register again.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{Site, Tandem, TwoPhones, until};

/// Silence after which control gives a call up whose proxy has forgotten it.
const MEDIA_TIMEOUT_S: u32 = 3;

#[test]
fn a_call_outlives_the_proxy_and_can_be_hung_up() {
    let site = Site::new();
    let mut tandem = Tandem::start_with(&site, |file| {
        file.control.media_timeout_s = MEDIA_TIMEOUT_S;
    });
    let mut phones = TwoPhones::new(&site, &tandem);
    // What came in the last moment before a kill is lost.
    until("both are in the database", Duration::from_secs(10), || {
        let registrations = tandem.tandem(&["registrations", "--json"]);
        let mut phones = [&phones.caller, &phones.callee].into_iter();
        phones.all(|phone| registrations.contains(&phone.address().to_string()))
    });
    let call = phones.connect();
    let (mut call, reports) = call.converse(|| {
        tandem.kill_sip_proxy();
        sleep(Duration::from_millis(300));
        tandem.start_sip_proxy();
        sleep(Duration::from_millis(300));
    });
    call.assert_nothing_lost(&reports);
    phones.hang_up(&mut call);
    until("the ports are released", Duration::from_secs(20), || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
    phones.call_once();
    tandem.stop();
}
