use std::time::Duration;

use super::*;

#[test]
fn every_state_answers_every_input() {
    let now = crate::sim::start();
    let mut table = String::new();
    for is_completed in [false, true] {
        let make = || {
            let mut machine = Server::new(false);
            if is_completed {
                machine.handle_response(now, 200);
            }
            machine
        };
        table += &format!(
            "{:?} + request: {:?}\n",
            is_completed,
            make().handle_request()
        );
        for status in [100, 200] {
            let mut machine = make();
            let goes_out = machine.handle_response(now, status);
            let is_proceeding = machine.is_proceeding();
            table += &format!("{is_completed:?} + send {status}: {goes_out}, {is_proceeding}\n");
        }
    }
    assert_eq!(
        table,
        "\
false + request: LastResponse
false + send 100: true, true
false + send 200: true, false
true + request: LastResponse
true + send 100: false, false
true + send 200: false, false
"
    );
}

#[test]
fn timer_j_ends_it_at_once_over_a_reliable_transport() {
    let now = crate::sim::start();
    for (is_reliable, seconds) in [(false, 32), (true, 0)] {
        let mut machine = Server::new(is_reliable);
        assert_eq!(machine.poll_timeout(), None);
        machine.handle_response(now, 200);
        let until = now + Duration::from_secs(seconds);
        assert_eq!(machine.poll_timeout(), Some(until));
        machine.handle_timeout(until);
        assert!(machine.is_terminated());
        assert_eq!(machine.handle_request(), Resend::Nothing);
    }
}
