use super::*;

fn in_state(name: &str, is_reliable: bool) -> (InviteServer, Instant) {
    let now = crate::sim::start();
    let mut machine = InviteServer::new(is_reliable);
    match name {
        "Proceeding" => {}
        "Completed" => {
            machine.handle_response(now, 486);
        }
        "Confirmed" => {
            machine.handle_response(now, 486);
            machine.handle_ack(now);
        }
        "Accepted" => {
            machine.handle_response(now, 200);
        }
        _ => unreachable!("{name}"),
    }
    (machine, now)
}

fn name(machine: &InviteServer) -> &'static str {
    match machine.state {
        State::Proceeding => "Proceeding",
        State::Completed { .. } => "Completed",
        State::Confirmed { .. } => "Confirmed",
        State::Accepted { .. } => "Accepted",
        State::Terminated => "Terminated",
    }
}

const STATES: [&str; 4] = ["Proceeding", "Completed", "Confirmed", "Accepted"];

#[test]
fn every_state_answers_every_input() {
    let mut table = String::new();
    for state in STATES {
        let (machine, _) = in_state(state, false);
        table += &format!("{state} + INVITE: {:?}\n", machine.handle_request());
        let (mut machine, now) = in_state(state, false);
        let is_absorbed = machine.handle_ack(now);
        table += &format!("{state} + ACK: {is_absorbed}, {}\n", name(&machine));
        for status in [180, 200, 486] {
            let (mut machine, now) = in_state(state, false);
            let goes_out = machine.handle_response(now, status);
            table += &format!("{state} + send {status}: {goes_out}, {}\n", name(&machine));
        }
    }
    assert_eq!(
        table,
        "\
Proceeding + INVITE: LastResponse
Proceeding + ACK: false, Proceeding
Proceeding + send 180: true, Proceeding
Proceeding + send 200: true, Accepted
Proceeding + send 486: true, Completed
Completed + INVITE: LastResponse
Completed + ACK: true, Confirmed
Completed + send 180: false, Completed
Completed + send 200: false, Completed
Completed + send 486: false, Completed
Confirmed + INVITE: Nothing
Confirmed + ACK: true, Confirmed
Confirmed + send 180: false, Confirmed
Confirmed + send 200: false, Confirmed
Confirmed + send 486: false, Confirmed
Accepted + INVITE: Nothing
Accepted + ACK: false, Accepted
Accepted + send 180: false, Accepted
Accepted + send 200: true, Accepted
Accepted + send 486: false, Accepted
"
    );
}

#[test]
fn every_state_ends_by_its_timer() {
    let mut table = String::new();
    for state in STATES {
        for is_reliable in [false, true] {
            let (mut machine, start) = in_state(state, is_reliable);
            table += &format!("{state} reliable={is_reliable}:");
            while let Some(at) = machine.poll_timeout() {
                let resend = machine.handle_timeout(at);
                table += &format!(" {}s {resend:?}", (at - start).as_secs_f32());
            }
            table += &format!(", {}\n", name(&machine));
        }
    }
    assert_eq!(
        table,
        "\
Proceeding reliable=false:, Proceeding
Proceeding reliable=true:, Proceeding
Completed reliable=false: 0.5s LastResponse 1.5s LastResponse 3.5s LastResponse \
7.5s LastResponse 11.5s LastResponse 15.5s LastResponse 19.5s LastResponse 23.5s LastResponse \
27.5s LastResponse 31.5s LastResponse 32s Nothing, Terminated
Completed reliable=true: 32s Nothing, Terminated
Confirmed reliable=false: 5s Nothing, Terminated
Confirmed reliable=true: 0s Nothing, Terminated
Accepted reliable=false: 32s Nothing, Terminated
Accepted reliable=true: 32s Nothing, Terminated
"
    );
}

#[test]
fn a_response_is_kept_only_while_it_may_be_repeated() {
    let kept: Vec<bool> = STATES
        .iter()
        .map(|state| in_state(state, false).0.keeps_response())
        .collect();
    assert_eq!(kept, [true, true, false, false]);
}
