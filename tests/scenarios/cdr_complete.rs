//! Each call leaves one record, and what is in it happened.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_tests::{CallRecord, RtpEndpoint, Site, Tandem, TwoPhones, offer_sdp, sdp_endpoint};

/// Time between the steps of a call, so that they can be told apart.
const STEP: Duration = Duration::from_millis(300);

#[test]
fn the_record_of_an_answered_call_has_its_times_and_counts() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));

    let begun = now_ms();
    let invitation = phones
        .caller
        .invite("bob", &offer_sdp(&ends[0], 1, "sendrecv"));
    let request = phones.callee.expect_request("INVITE");
    sleep(STEP);
    let ringing = now_ms();
    phones.callee.reply(&request, 180, "Ringing", None);
    phones.caller.expect_response(&invitation, 180);
    sleep(STEP);
    let answering = now_ms();
    let answer = offer_sdp(&ends[1], 1, "sendrecv");
    phones.callee.reply(&request, 200, "OK", Some(&answer));
    let answered = phones.caller.expect_response(&invitation, 200);
    let mut dialog = phones.caller.acknowledge(&invitation, &answered);
    phones.callee.expect_request("ACK");
    let relay = [&answered.body, &request.body].map(|sdp| sdp_endpoint(sdp));
    for sequence in 0..10 {
        ends[0].send(relay[0], sequence);
    }
    for sequence in 0..7 {
        ends[1].send(relay[1], sequence);
    }
    let silence = Duration::from_secs(5);
    assert!((0..10).all(|_| ends[1].receive(silence).is_some()));
    assert!((0..7).all(|_| ends[0].receive(silence).is_some()));
    sleep(STEP);
    let ending = now_ms();
    phones.caller.hang_up(&mut dialog, &mut phones.callee);
    let ended = now_ms();

    let records = tandem.await_records(1);
    let record = &records[0];
    assert_eq!(record.call_id, dialog.call_id);
    assert_eq!(record.caller, "alice@tandem.test");
    assert_eq!(record.callee, "bob@tandem.test");
    assert_eq!((record.status, record.cause.as_str()), (200, "caller-bye"));
    assert_between(begun, record.start_unix_ms, ringing);
    assert_between(ringing, record.ring_unix_ms.expect("it rang"), answering);
    let answer = record.answer_unix_ms.expect("it was answered");
    assert_between(answering, answer, ending);
    // The record may be written a moment after the 200 of the BYE was passed on.
    assert_between(ending, record.end_unix_ms, ended + 1_000);
    assert_eq!(record.caller_media, Some((10, 10 * 172)));
    assert_eq!(record.callee_media, Some((7, 7 * 172)));
    tandem.stop();
}

#[test]
fn records_say_who_hung_up_and_why_a_call_failed() {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| file.sip_proxy.ring_timeout_s = 5);
    let mut phones = TwoPhones::new(&site, &tandem);

    let mut call = phones.connect();
    phones.hang_up_by_callee(&mut call);
    assert_last(&tandem.await_records(1), 200, "callee-bye");

    let media = RtpEndpoint::new(site.ip(2));
    let offer = offer_sdp(&media, 1, "sendrecv");
    let invitation = phones.caller.invite("bob", &offer);
    let request = phones.callee.expect_request("INVITE");
    phones.callee.reply(&request, 603, "Decline", None);
    phones.callee.expect_request("ACK");
    phones.caller.expect_response(&invitation, 603);
    assert_last(&tandem.await_records(2), 603, "failed");

    // Nobody picks up: the proxy cancels at the callee and tells the caller.
    let invitation = phones.caller.invite("bob", &offer);
    let request = phones.callee.expect_request("INVITE");
    phones.callee.reply(&request, 180, "Ringing", None);
    phones.caller.expect_response(&invitation, 180);
    let cancel = phones
        .callee
        .expect_request_within("CANCEL", Duration::from_secs(15));
    phones.callee.give_way(&request, &cancel);
    phones.caller.expect_response(&invitation, 408);
    assert_last(&tandem.await_records(3), 408, "no-answer");
    tandem.stop();
}

fn assert_last(records: &[CallRecord], status: i64, cause: &str) {
    let last = records.last().expect("there are records");
    assert_eq!((last.status, last.cause.as_str()), (status, cause));
    assert_eq!(last.answer_unix_ms.is_some(), status == 200);
    assert!(last.end_unix_ms >= last.start_unix_ms);
}

/// Both clocks are cut to milliseconds, each in its own way.
#[track_caller]
fn assert_between(earliest: i64, time: i64, latest: i64) {
    assert!(
        (earliest - 2..=latest + 2).contains(&time),
        "{time} is not from {earliest} to {latest}"
    );
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_millis();
    i64::try_from(now).expect("it is before the year 292278994")
}
