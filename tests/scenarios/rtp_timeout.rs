//! A call whose media stopped is ended for both phones.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{Site, Tandem, TwoPhones, until};

/// Seconds of silence that end a call here.
const MEDIA_TIMEOUT_S: u32 = 2;

/// Time that both phones have to hear of it: generous, the machine may be busy.
const BYE_LIMIT: Duration = Duration::from_secs(15);

#[test]
fn a_call_without_media_ends_by_a_bye_to_both() {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| {
        file.control.media_timeout_s = MEDIA_TIMEOUT_S;
    });
    let mut phones = TwoPhones::new(&site, &tandem);
    let call = phones.connect();

    // One side that talks is enough to live on.
    let silence = Duration::from_secs(u64::from(MEDIA_TIMEOUT_S) + 2);
    let (call, reports) = call.monologue(|| sleep(silence));
    assert!(phones.caller.is_quiet(Duration::ZERO));
    assert!(phones.callee.is_quiet(Duration::ZERO));
    reports[1].assert_heard_all_of(&reports[0], call.relay[1]);

    for phone in [&mut phones.caller, &mut phones.callee] {
        let bye = phone.expect_request_within("BYE", BYE_LIMIT);
        assert_eq!(bye.expect("Call-ID"), call.dialogs[0].call_id);
        phone.reply(&bye, 200, "OK", None);
    }
    let records = tandem.await_records(1);
    let record = &records[0];
    assert_eq!(record.cause, "media-timeout");
    assert_eq!(record.status, 200, "it was answered");
    assert_eq!(
        record.caller_media.map(|media| media.0),
        Some(i64::from(reports[0].sent))
    );
    assert_eq!(record.callee_media.map(|media| media.0), Some(0));
    until("the ports are released", Duration::from_secs(5), || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
    phones.call_once();
    tandem.stop();
}
