//! The same call through both ways that the relay has to its sockets.

use std::fs;
use std::time::Duration;

use tandem_settings::Driver;
use tandem_tests::{Site, Tandem, TwoPhones, skip, until};

#[test]
fn a_call_goes_through_recvmmsg() {
    call_through(Driver::Poll);
}

#[test]
fn a_call_goes_through_io_uring() {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    if disabled.is_ok_and(|value| value.trim() != "0") {
        return skip("io_uring is switched off here (kernel.io_uring_disabled)");
    }
    call_through(Driver::Uring);
}

fn call_through(driver: Driver) {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| file.relay.driver = driver);
    let mut phones = TwoPhones::new(&site, &tandem);
    let descriptors = descriptors_after_a_call(&tandem, &mut phones);
    for _ in 0..3 {
        assert_eq!(descriptors_after_a_call(&tandem, &mut phones), descriptors);
    }
    tandem.stop();
}

/// Descriptors of the relay once a call is over.
fn descriptors_after_a_call(tandem: &Tandem, phones: &mut TwoPhones) -> usize {
    phones.call_once();
    until("ports are released", Duration::from_secs(5), || {
        tandem.media_ports().is_empty()
    });
    tandem.relay().process().fd_count()
}
