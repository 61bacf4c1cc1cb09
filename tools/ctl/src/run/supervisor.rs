//! Decides what to start, stop and restart, and when. No process, no clock.
//!
//! ```text
//! relay ready ─► control ready ─► sip-proxy ready ─► Announce        start, in this order
//! any of them ends ─► wait 0.2 s, 0.4 s, … 10 s ─► start             afterwards
//! signal ─► sip-proxy, control, relay: SIGTERM, 5 s each, SIGKILL    stop, one after the other
//! ```

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tandem_settings::{EXIT_CODE_DRAINED, EXIT_CODE_USAGE};

use super::role::Role;

/// What the driver is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// All are ready for the first time.
    Announce,
    /// End the process at once.
    Kill(Role),
    /// Tell the operator.
    Say(Severity, String),
    /// Start the process.
    Start(Role),
    /// Ask the process to end.
    Terminate(Role),
}

/// How much the operator should care.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Severity {
    Error,
    Info,
    Warn,
}

/// Three children and what is to become of them.
#[derive(Debug)]
pub(crate) struct Supervisor {
    children: [Child; Role::ALL.len()],
    phase: Phase,
    actions: VecDeque<Action>,
    /// What the process exits with in the end.
    exit_code: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Some have not been started yet.
    Starting,
    Running,
    Stopping,
    Done,
}

#[derive(Clone, Debug)]
struct Child {
    state: State,
    /// What the next restart waits.
    delay: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Not running, and nothing is due.
    Absent,
    /// Started, and not known to work yet.
    Starting {
        late_at: Instant,
    },
    /// Started, not known to work, and the operator has been told.
    Late,
    Ready {
        since: Instant,
    },
    /// Ended; to be started again.
    Resting {
        until: Instant,
    },
    /// Asked to end.
    Stopping {
        kill_at: Instant,
    },
    /// Killed; the system has yet to say so.
    Killed,
}

impl Supervisor {
    /// Begins with the first process.
    pub(crate) fn new(now: Instant) -> Self {
        let child = Child {
            state: State::Absent,
            delay: DELAY_MIN,
        };
        let mut supervisor = Self {
            children: [(); Role::ALL.len()].map(|()| child.clone()),
            phase: Phase::Starting,
            actions: VecDeque::new(),
            exit_code: 0,
        };
        supervisor.start(now, Role::ALL[0]);
        supervisor
    }

    /// Those that were started and may be ready by now: the driver probes them.
    pub(crate) fn probes(&self) -> impl Iterator<Item = Role> {
        let is_unknown = |role: &Role| {
            matches!(
                self.child(*role).state,
                State::Late | State::Starting { .. }
            )
        };
        Role::ALL.into_iter().filter(is_unknown)
    }

    /// A probe found the process at work.
    pub(crate) fn handle_ready(&mut self, now: Instant, role: Role) {
        if !self.probes().any(|it| it == role) {
            return;
        }
        self.child_mut(role).state = State::Ready { since: now };
        self.say(Severity::Info, format!("{role} is ready"));
        if self.phase != Phase::Starting {
            return;
        }
        match role.next() {
            Some(next) => self.start(now, next),
            None => {
                self.phase = Phase::Running;
                self.actions.push_back(Action::Announce);
            }
        }
    }

    /// The process could not be started at all.
    pub(crate) fn handle_start_failure(&mut self, now: Instant, role: Role, reason: &str) {
        self.ended(now, role, reason, 1);
    }

    /// The process ended.
    pub(crate) fn handle_exit(&mut self, now: Instant, role: Role, status: ExitStatus) {
        if self.phase == Phase::Stopping {
            if !status.success() {
                self.say(Severity::Warn, format!("{role} ended with {status}"));
            }
            self.child_mut(role).state = State::Absent;
            self.stop_next(now);
            return;
        }
        if status.code() == Some(i32::from(EXIT_CODE_DRAINED)) {
            self.say(Severity::Info, format!("{role} was drained; stopping"));
            self.child_mut(role).state = State::Absent;
            return self.stop(now);
        }
        let is_usage = status.code() == Some(i32::from(EXIT_CODE_USAGE));
        let code = if is_usage { EXIT_CODE_USAGE } else { 1 };
        self.ended(now, role, &format!("ended with {status}"), code);
    }

    fn ended(&mut self, now: Instant, role: Role, how: &str, exit_code: u8) {
        if self.phase == Phase::Starting {
            self.child_mut(role).state = State::Absent;
            self.give_up(now, format!("{role} {how} before it was ready"), exit_code);
            return;
        }
        let child = self.child_mut(role);
        if let State::Ready { since } = child.state
            && now.saturating_duration_since(since) >= STABLE_AFTER
        {
            child.delay = DELAY_MIN;
        }
        let delay = child.delay;
        child.delay = (delay * 2).min(DELAY_MAX);
        child.state = State::Resting { until: now + delay };
        let delay_s = delay.as_secs_f32();
        self.say(
            Severity::Error,
            format!("{role} {how}; starting it again in {delay_s} s"),
        );
    }

    /// SIGINT or SIGTERM came: stop in order. At the second one, stop at once.
    pub(crate) fn handle_signal(&mut self, now: Instant) {
        if self.phase == Phase::Stopping {
            self.say(Severity::Warn, "stopping at once".to_owned());
            self.kill_all();
            return;
        }
        self.say(Severity::Info, "stopping".to_owned());
        self.stop(now);
    }

    fn stop(&mut self, now: Instant) {
        self.phase = Phase::Stopping;
        for child in &mut self.children {
            if let State::Resting { .. } = child.state {
                child.state = State::Absent;
            }
        }
        self.stop_next(now);
    }

    /// Asks the last one that still runs to end.
    fn stop_next(&mut self, now: Instant) {
        let running = |role: &Role| self.child(*role).state != State::Absent;
        let Some(role) = Role::ALL.into_iter().rev().find(running) else {
            self.phase = Phase::Done;
            return;
        };
        if !matches!(
            self.child(role).state,
            State::Killed | State::Stopping { .. }
        ) {
            let kill_at = now + STOP_LIMIT;
            self.child_mut(role).state = State::Stopping { kill_at };
            self.actions.push_back(Action::Terminate(role));
        }
    }

    fn kill_all(&mut self) {
        for role in Role::ALL {
            let child = self.child_mut(role);
            if !matches!(child.state, State::Absent | State::Killed) {
                child.state = State::Killed;
                self.actions.push_back(Action::Kill(role));
            }
        }
    }

    fn give_up(&mut self, now: Instant, reason: String, exit_code: u8) {
        self.exit_code = exit_code;
        let cure = match exit_code {
            EXIT_CODE_USAGE => "its settings are wrong: see its message above",
            _ => "see its messages above",
        };
        self.say(Severity::Error, format!("{reason}; {cure}"));
        self.stop(now);
    }

    /// Does what is due. Nothing before [`Self::poll_timeout`].
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for role in Role::ALL {
            match self.child(role).state {
                State::Resting { until } if until <= now => self.start(now, role),
                State::Starting { late_at } if late_at <= now => self.late(now, role),
                State::Stopping { kill_at } if kill_at <= now => {
                    let limit_s = STOP_LIMIT.as_secs();
                    let text = format!("{role} did not stop within {limit_s} s; killing it");
                    self.say(Severity::Warn, text);
                    self.child_mut(role).state = State::Killed;
                    self.actions.push_back(Action::Kill(role));
                }
                _ => {}
            }
        }
    }

    fn late(&mut self, now: Instant, role: Role) {
        let limit_s = READY_LIMIT.as_secs();
        let text = format!("{role} is not ready after {limit_s} s");
        if self.phase == Phase::Starting {
            self.give_up(now, text, 1);
        } else {
            self.child_mut(role).state = State::Late;
            self.say(Severity::Warn, text);
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = |child: &Child| match child.state {
            State::Resting { until } => Some(until),
            State::Starting { late_at } => Some(late_at),
            State::Stopping { kill_at } => Some(kill_at),
            State::Absent | State::Killed | State::Late | State::Ready { .. } => None,
        };
        self.children.iter().filter_map(due).min()
    }

    /// Takes the next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The exit code, once nothing runs any more.
    pub(crate) fn poll_done(&self) -> Option<u8> {
        (self.phase == Phase::Done && self.actions.is_empty()).then_some(self.exit_code)
    }

    fn start(&mut self, now: Instant, role: Role) {
        let late_at = now + READY_LIMIT;
        self.child_mut(role).state = State::Starting { late_at };
        self.actions.push_back(Action::Start(role));
    }

    fn say(&mut self, severity: Severity, text: String) {
        self.actions.push_back(Action::Say(severity, text));
    }

    fn child(&self, role: Role) -> &Child {
        &self.children[role.index()]
    }

    fn child_mut(&mut self, role: Role) -> &mut Child {
        &mut self.children[role.index()]
    }
}

/// First wait before a restart: short, so that a phone's retransmission still finds the proxy.
const DELAY_MIN: Duration = Duration::from_millis(200);

/// Longest wait before a restart.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Whoever worked this long did not die of its own start: waits begin anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Time that a start may take.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Time that an orderly stop may take, for each.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
