//! The supervisor against a script of events; time is an argument.

use std::os::unix::process::ExitStatusExt;

use super::Role::{Control, Relay, SipProxy};
use super::*;

fn actions(supervisor: &mut Supervisor) -> Vec<Action> {
    std::iter::from_fn(|| supervisor.poll_action())
        .filter(|action| !matches!(action, Action::Say(..)))
        .collect()
}

fn said(supervisor: &mut Supervisor) -> Vec<String> {
    std::iter::from_fn(|| supervisor.poll_action())
        .filter_map(|action| match action {
            Action::Say(_, text) => Some(text),
            _ => None,
        })
        .collect()
}

fn code(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

/// All three at work since `now`.
fn running(now: Instant) -> Supervisor {
    let mut supervisor = Supervisor::new(now);
    for role in Role::ALL {
        supervisor.handle_ready(now, role);
    }
    let _ = actions(&mut supervisor);
    supervisor
}

#[test]
fn each_is_started_when_the_one_before_it_is_ready() {
    let now = Instant::now();
    let mut supervisor = Supervisor::new(now);
    assert_eq!(actions(&mut supervisor), [Action::Start(Relay)]);
    supervisor.handle_ready(now, Control);
    assert_eq!(actions(&mut supervisor), [], "not started, so not ready");
    supervisor.handle_ready(now, Relay);
    assert_eq!(actions(&mut supervisor), [Action::Start(Control)]);
    supervisor.handle_ready(now, Control);
    assert_eq!(actions(&mut supervisor), [Action::Start(SipProxy)]);
    supervisor.handle_ready(now, SipProxy);
    assert_eq!(actions(&mut supervisor), [Action::Announce]);
    assert_eq!(supervisor.probes().count(), 0);
    assert_eq!(supervisor.poll_timeout(), None);
}

#[test]
fn waits_grow_to_ten_seconds_and_begin_anew_after_a_stable_time() {
    let mut now = Instant::now();
    let mut supervisor = running(now);
    for expected in [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        supervisor.handle_exit(now, Control, code(1));
        let due = supervisor.poll_timeout().unwrap();
        assert_eq!(due - now, Duration::from_millis(expected));
        supervisor.handle_timeout(due - Duration::from_millis(1));
        assert_eq!(actions(&mut supervisor), [], "not before its time");
        now = due;
        supervisor.handle_timeout(now);
        assert_eq!(actions(&mut supervisor), [Action::Start(Control)]);
        supervisor.handle_ready(now, Control);
        assert_eq!(actions(&mut supervisor), [], "announced once only");
    }
    now += STABLE_AFTER;
    supervisor.handle_exit(now, Control, code(1));
    assert_eq!(supervisor.poll_timeout().unwrap() - now, DELAY_MIN);
}

#[test]
fn when_control_has_been_drained_all_stop_in_order_and_in_peace() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_exit(now, Control, code(i32::from(EXIT_CODE_DRAINED)));
    assert_eq!(actions(&mut supervisor), [Action::Terminate(SipProxy)]);
    supervisor.handle_exit(now, SipProxy, code(0));
    assert_eq!(actions(&mut supervisor), [Action::Terminate(Relay)]);
    supervisor.handle_exit(now, Relay, code(0));
    assert_eq!(supervisor.poll_done(), Some(0));
}

#[test]
fn says_how_it_ended() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_exit(now, Relay, ExitStatus::from_raw(9));
    assert_eq!(
        said(&mut supervisor),
        ["relay ended with signal: 9 (SIGKILL); starting it again in 0.2 s"]
    );
}

#[test]
fn stops_from_the_phones_inwards_one_after_the_other() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_signal(now);
    for role in [SipProxy, Control, Relay] {
        assert_eq!(actions(&mut supervisor), [Action::Terminate(role)]);
        assert_eq!(supervisor.poll_done(), None);
        supervisor.handle_exit(now, role, code(0));
    }
    assert_eq!(supervisor.poll_done(), Some(0));
}

#[test]
fn one_that_does_not_stop_is_killed() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_signal(now);
    assert_eq!(actions(&mut supervisor), [Action::Terminate(SipProxy)]);
    let due = supervisor.poll_timeout().unwrap();
    assert_eq!(due - now, STOP_LIMIT);
    supervisor.handle_timeout(due);
    assert_eq!(actions(&mut supervisor), [Action::Kill(SipProxy)]);
    supervisor.handle_exit(due, SipProxy, ExitStatus::from_raw(9));
    assert_eq!(actions(&mut supervisor), [Action::Terminate(Control)]);
}

#[test]
fn the_second_signal_kills_all() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_signal(now);
    supervisor.handle_signal(now);
    let kills = [
        Action::Kill(Relay),
        Action::Kill(Control),
        Action::Kill(SipProxy),
    ];
    assert_eq!(actions(&mut supervisor)[1..], kills);
    for role in Role::ALL {
        supervisor.handle_exit(now, role, ExitStatus::from_raw(9));
        assert_eq!(actions(&mut supervisor), []);
    }
    assert_eq!(supervisor.poll_done(), Some(0));
}

#[test]
fn one_that_ends_before_it_was_ready_ends_the_start() {
    let now = Instant::now();
    for (status, exit_code) in [(1, 1), (2, 2), (0, 1)] {
        let mut supervisor = Supervisor::new(now);
        supervisor.handle_ready(now, Relay);
        let _ = actions(&mut supervisor);
        supervisor.handle_exit(now, Control, code(status));
        assert_eq!(actions(&mut supervisor), [Action::Terminate(Relay)]);
        supervisor.handle_exit(now, Relay, code(0));
        assert_eq!(supervisor.poll_done(), Some(exit_code));
    }
}

#[test]
fn one_that_is_never_ready_ends_the_start_but_not_a_restart() {
    let now = Instant::now();
    let mut supervisor = Supervisor::new(now);
    let _ = actions(&mut supervisor);
    supervisor.handle_timeout(now + READY_LIMIT);
    assert_eq!(actions(&mut supervisor), [Action::Terminate(Relay)]);

    let mut supervisor = running(now);
    supervisor.handle_exit(now, Relay, code(1));
    let restart = supervisor.poll_timeout().unwrap();
    supervisor.handle_timeout(restart);
    assert_eq!(actions(&mut supervisor), [Action::Start(Relay)]);
    supervisor.handle_timeout(restart + READY_LIMIT);
    assert_eq!(said(&mut supervisor), ["relay is not ready after 10 s"]);
    assert_eq!(
        supervisor.probes().collect::<Vec<_>>(),
        [Relay],
        "still looked at"
    );
    supervisor.handle_ready(restart + READY_LIMIT, Relay);
    assert_eq!(supervisor.probes().count(), 0);
}

#[test]
fn nothing_is_restarted_while_stopping() {
    let now = Instant::now();
    let mut supervisor = running(now);
    supervisor.handle_exit(now, SipProxy, code(1));
    supervisor.handle_signal(now);
    assert_eq!(actions(&mut supervisor), [Action::Terminate(Control)]);
    supervisor.handle_timeout(now + Duration::from_secs(1));
    assert_eq!(actions(&mut supervisor), []);
    // The relay dies by itself meanwhile.
    supervisor.handle_exit(now, Relay, code(1));
    supervisor.handle_exit(now, Control, code(0));
    assert_eq!(actions(&mut supervisor), []);
    assert_eq!(supervisor.poll_done(), Some(0));
}
