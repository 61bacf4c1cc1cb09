//! Control dies in the middle of a call and comes back: nobody on the phone notices.

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{Call, MediaReport, Site, Supervised, Tandem, TwoPhones, until};

/// Time that people talk for before and after.
const TALK: Duration = Duration::from_millis(700);

#[test]
fn media_flows_on_while_control_is_dead_and_bye_cleans_up() {
    let site = Site::new();
    let mut tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    let call = phones.connect();
    let ports = tandem.media_ports();
    assert_eq!(ports.len(), 4, "RTP and RTCP for two ends: {ports:?}");

    let (call, reports) = call.converse(|| {
        sleep(TALK);
        tandem.kill_control();
        sleep(TALK);
        tandem.start_control();
        until(
            "control knows the call again",
            Duration::from_secs(10),
            || tandem.call_count() == 1,
        );
        sleep(TALK);
    });
    let mut call = assert_untouched(call, &reports);
    assert_eq!(tandem.media_ports(), ports, "nothing was opened or closed");

    // What came before the kill and while control was dead is in the record.
    phones.hang_up(&mut call);
    let records = tandem.await_records(1);
    let packets = [records[0].caller_media, records[0].callee_media]
        .map(|media| media.expect("the relay knew the call").0);
    assert_eq!(
        packets,
        reports.each_ref().map(|report| i64::from(report.sent))
    );
    until("the ports are released", Duration::from_secs(5), || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
    phones.call_once();
    tandem.stop();
}

/// A call that is hung up while control is dead must not live for ever.
#[test]
fn a_call_that_ended_while_control_was_dead_is_cleaned_up_later() {
    let site = Site::new();
    let mut tandem = Tandem::start_with(&site, |file| file.control.media_timeout_s = 3);
    let mut phones = TwoPhones::new(&site, &tandem);
    let call = phones.connect();
    let (mut call, _) = call.converse(|| sleep(TALK));
    tandem.kill_control();
    phones.hang_up(&mut call);
    tandem.start_control();
    until("the ports are released", Duration::from_secs(20), || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });
    assert_eq!(tandem.await_records(1)[0].cause, "caller-bye");
    phones.call_once();
    tandem.stop();
}

#[test]
fn run_starts_control_again_by_itself() {
    let site = Site::new();
    let run = Supervised::start(&site);
    let mut phones = TwoPhones::new(&site, &run);
    let call = phones.connect();
    let (call, reports) = call.converse(|| {
        sleep(TALK);
        let control = run.process("tandem-control");
        control.kill();
        run.await_successor("tandem-control", control);
        let tandem = run.tandem();
        until(
            "control knows the call again",
            Duration::from_secs(20),
            || tandem.call_count() == 1,
        );
        sleep(TALK);
    });
    let mut call = assert_untouched(call, &reports);
    phones.hang_up(&mut call);
    until("the ports are released", Duration::from_secs(5), || {
        run.tandem().media_ports().is_empty()
    });
    run.stop();
}

fn assert_untouched(call: Call, reports: &[MediaReport; 2]) -> Call {
    let least = u16::try_from(2 * TALK.as_millis() / 20).expect("it is a short call");
    assert!(reports[0].sent >= least, "the call went on all the time");
    call.assert_nothing_lost(reports);
    call
}
