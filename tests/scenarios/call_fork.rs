//! One account, two phones: both ring, one answers, the other stops.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Call, Dialog, Exchange, RtpEndpoint, Site, Tandem, offer_sdp, sdp_endpoint, until,
};

#[test]
fn the_phone_that_answers_gets_the_call_and_the_other_is_cancelled() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut caller = tandem.phone("alice", site.address(2, 5_060));
    let mut desk = tandem.phone("bob", site.address(3, 5_060));
    let mut kitchen = tandem.phone("bob", site.address(4, 5_060));
    for phone in [&mut caller, &mut desk, &mut kitchen] {
        assert_eq!(phone.register(300).status(), Some(200));
    }
    let ends = [2, 4].map(|host| RtpEndpoint::new(site.ip(host)));
    let invitation = caller.invite("bob", &offer_sdp(&ends[0], 1, "sendrecv"));
    let at_desk = desk.expect_request("INVITE");
    let at_kitchen = kitchen.expect_request("INVITE");
    desk.reply(&at_desk, 180, "Ringing", None);
    caller.expect_response(&invitation, 180);

    let answer = offer_sdp(&ends[1], 1, "sendrecv");
    let response = kitchen.reply(&at_kitchen, 200, "OK", Some(&answer));
    let answered = caller.expect_response(&invitation, 200);
    let cancel = desk.expect_request("CANCEL");
    desk.give_way(&at_desk, &cancel);
    let dialog = caller.acknowledge(&invitation, &answered);
    kitchen.expect_request("ACK");

    let call = Call {
        dialogs: [dialog, Dialog::of_callee(&at_kitchen, &response)],
        ends,
        relay: [&answered.body, &at_kitchen.body].map(|sdp| sdp_endpoint(sdp)),
    };
    let (mut call, reports) = call.converse(|| sleep(Duration::from_millis(500)));
    call.assert_nothing_lost(&reports);
    caller.hang_up(&mut call.dialogs[0], &mut kitchen);
    assert!(
        desk.is_quiet(Duration::ZERO),
        "the desk hears no more of it"
    );
    let records = tandem.await_records(1);
    assert_eq!(records[0].cause, "caller-bye");
    let packets = i64::from(reports[1].sent);
    assert_eq!(records[0].callee_media.map(|media| media.0), Some(packets));
    until(
        "both forks' ports are released",
        Duration::from_secs(5),
        || tandem.media_ports().is_empty() && tandem.call_count() == 0,
    );
    tandem.stop();
}
