use super::*;

fn in_state(name: &str, is_reliable: bool) -> (Client, Instant) {
    let now = crate::sim::start();
    let mut machine = Client::new(now, is_reliable);
    match name {
        "Trying" => {}
        "Proceeding" => {
            machine.handle_response(now, 100);
        }
        "Completed" => {
            machine.handle_response(now, 200);
        }
        _ => unreachable!("{name}"),
    }
    (machine, now)
}

fn name(machine: &Client) -> &'static str {
    match machine.state {
        State::Trying { interval, .. } if interval == T2 => "Proceeding",
        State::Trying { .. } => "Trying",
        State::Completed { .. } => "Completed",
        State::Terminated => "Terminated",
    }
}

#[test]
fn every_state_answers_every_response() {
    let mut table = String::new();
    for state in ["Trying", "Proceeding", "Completed"] {
        for status in [100, 200, 404] {
            let (mut machine, now) = in_state(state, false);
            let reaction = machine.handle_response(now, status);
            table += &format!("{state} + {status}: {reaction:?}, {}\n", name(&machine));
        }
    }
    assert_eq!(
        table,
        "\
Trying + 100: PassOn, Proceeding
Trying + 200: PassOn, Completed
Trying + 404: PassOn, Completed
Proceeding + 100: PassOn, Proceeding
Proceeding + 200: PassOn, Completed
Proceeding + 404: PassOn, Completed
Completed + 100: Absorb, Completed
Completed + 200: Absorb, Completed
Completed + 404: Absorb, Completed
"
    );
}

#[test]
fn every_state_ends_by_its_timer() {
    let mut table = String::new();
    for state in ["Trying", "Proceeding", "Completed"] {
        for is_reliable in [false, true] {
            let (mut machine, start) = in_state(state, is_reliable);
            table += &format!("{state} reliable={is_reliable}:");
            while let Some(at) = machine.poll_timeout() {
                let fired = machine.handle_timeout(at);
                table += &format!(" {}s {fired:?}", (at - start).as_secs_f32());
            }
            table += "\n";
        }
    }
    assert_eq!(
        table,
        "\
Trying reliable=false: 0.5s Retransmit 1.5s Retransmit 3.5s Retransmit 7.5s Retransmit \
11.5s Retransmit 15.5s Retransmit 19.5s Retransmit 23.5s Retransmit 27.5s Retransmit \
31.5s Retransmit 32s TimedOut
Trying reliable=true: 32s TimedOut
Proceeding reliable=false: 0.5s Retransmit 4.5s Retransmit 8.5s Retransmit 12.5s Retransmit \
16.5s Retransmit 20.5s Retransmit 24.5s Retransmit 28.5s Retransmit 32s TimedOut
Proceeding reliable=true: 32s TimedOut
Completed reliable=false: 5s Nothing
Completed reliable=true: 0s Nothing
"
    );
}

#[test]
fn a_request_that_cannot_be_sent_is_over() {
    let (mut machine, _) = in_state("Trying", true);
    assert_eq!(machine.handle_transport_error(), Fired::TimedOut);
    assert!(machine.is_terminated());
    let (mut machine, _) = in_state("Completed", false);
    assert_eq!(machine.handle_transport_error(), Fired::Nothing);
    assert!(!machine.is_terminated());
}
