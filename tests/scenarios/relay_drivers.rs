//! The same call through both ways that the relay has to its sockets.

use std::fs;

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
    phones.call_once();
    let descriptors = tandem.relay().process().fd_count();
    for _ in 0..3 {
        phones.call_once();
    }
    until(
        "ports are released",
        std::time::Duration::from_secs(5),
        || tandem.media_ports().is_empty(),
    );
    assert_eq!(tandem.relay().process().fd_count(), descriptors);
    tandem.stop();
}
