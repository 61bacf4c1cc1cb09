use super::*;

const RING: Duration = Duration::from_secs(180);

/// A machine in each state, by name, and when it got there.
fn in_state(name: &str, is_reliable: bool) -> (InviteClient, Instant) {
    let now = crate::sim::start();
    let mut machine = InviteClient::new(now, is_reliable, RING);
    match name {
        "Calling" => {}
        "Proceeding" => {
            machine.handle_response(now, 180);
        }
        "Cancelled" => {
            machine.handle_response(now, 180);
            machine.handle_cancelled(now);
        }
        "Completed" => {
            machine.handle_response(now, 486);
        }
        "Accepted" => {
            machine.handle_response(now, 200);
        }
        _ => unreachable!("{name}"),
    }
    (machine, now)
}

fn name(machine: &InviteClient) -> &'static str {
    match machine.state {
        State::Calling { .. } => "Calling",
        State::Proceeding { .. } => "Proceeding",
        State::Cancelled { .. } => "Cancelled",
        State::Completed { .. } => "Completed",
        State::Accepted { .. } => "Accepted",
        State::Terminated => "Terminated",
    }
}

#[test]
fn every_state_answers_every_response() {
    let mut table = String::new();
    for state in [
        "Calling",
        "Proceeding",
        "Cancelled",
        "Completed",
        "Accepted",
    ] {
        for status in [100, 180, 200, 486] {
            let (mut machine, now) = in_state(state, false);
            let reaction = machine.handle_response(now, status);
            table += &format!("{state} + {status}: {reaction:?}, {}\n", name(&machine));
        }
    }
    assert_eq!(
        table,
        "\
Calling + 100: PassOn, Proceeding
Calling + 180: PassOn, Proceeding
Calling + 200: PassOn, Accepted
Calling + 486: AcknowledgeAndPassOn, Completed
Proceeding + 100: Absorb, Proceeding
Proceeding + 180: PassOn, Proceeding
Proceeding + 200: PassOn, Accepted
Proceeding + 486: AcknowledgeAndPassOn, Completed
Cancelled + 100: PassOn, Cancelled
Cancelled + 180: PassOn, Cancelled
Cancelled + 200: PassOn, Accepted
Cancelled + 486: AcknowledgeAndPassOn, Completed
Completed + 100: Absorb, Completed
Completed + 180: Absorb, Completed
Completed + 200: Absorb, Completed
Completed + 486: Acknowledge, Completed
Accepted + 100: Absorb, Accepted
Accepted + 180: Absorb, Accepted
Accepted + 200: PassOn, Accepted
Accepted + 486: Absorb, Accepted
"
    );
}

#[test]
fn every_state_ends_by_its_timer() {
    let mut table = String::new();
    for state in [
        "Calling",
        "Proceeding",
        "Cancelled",
        "Completed",
        "Accepted",
    ] {
        for is_reliable in [false, true] {
            let (mut machine, start) = in_state(state, is_reliable);
            table += &format!("{state} reliable={is_reliable}:");
            for _ in 0..8 {
                let Some(at) = machine.poll_timeout() else {
                    break;
                };
                let fired = machine.handle_timeout(at);
                let after = (at - start).as_secs_f32();
                table += &format!(" {after}s {fired:?}");
                if fired == Fired::RingTimeout {
                    break;
                }
            }
            table += &format!(", {}\n", name(&machine));
        }
    }
    assert_eq!(
        table,
        "\
Calling reliable=false: 0.5s Retransmit 1.5s Retransmit 3.5s Retransmit 7.5s Retransmit \
15.5s Retransmit 31.5s Retransmit 32s TimedOut, Terminated
Calling reliable=true: 32s TimedOut, Terminated
Proceeding reliable=false: 180s RingTimeout, Proceeding
Proceeding reliable=true: 180s RingTimeout, Proceeding
Cancelled reliable=false: 32s TimedOut, Terminated
Cancelled reliable=true: 32s TimedOut, Terminated
Completed reliable=false: 32s Nothing, Terminated
Completed reliable=true: 0s Nothing, Terminated
Accepted reliable=false: 32s Nothing, Terminated
Accepted reliable=true: 32s Nothing, Terminated
"
    );
}

#[test]
fn ringing_again_starts_timer_c_again() {
    let (mut machine, start) = in_state("Proceeding", false);
    let later = start + Duration::from_secs(100);
    machine.handle_response(later, 180);
    assert_eq!(machine.poll_timeout(), Some(later + RING));
}

#[test]
fn a_request_that_cannot_be_sent_is_over_only_before_a_response() {
    let (mut machine, _) = in_state("Calling", true);
    assert!(machine.is_pending());
    assert_eq!(machine.handle_transport_error(), Fired::TimedOut);
    assert!(machine.is_terminated());
    let (mut machine, _) = in_state("Proceeding", true);
    assert_eq!(machine.handle_transport_error(), Fired::Nothing);
    assert!(machine.is_proceeding());
}
