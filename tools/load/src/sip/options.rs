//! What a run is asked to do, and within which bounds.

use std::net::SocketAddr;
use std::time::Duration;

use crate::watch::Which;
use crate::{LoadError, Permission};

/// Accounts at most.
pub const USERS_MAX: u32 = 100_000;
/// Registrations or calls per second at most.
pub const RATE_MAX: u32 = 50_000;
/// Registrations or calls of one run at most.
pub const COUNT_MAX: u64 = 5_000_000;
/// Seconds that a run may last.
pub const DURATION_MAX_S: u64 = 3_600;
/// Calls at a time at most.
pub const CALLS_AT_A_TIME_MAX: usize = 100_000;

/// What is begun at a rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Calls from account to account, which this program answers.
    Calls,
    /// Registrations.
    Registrations,
}

/// What a run is asked to do.
#[derive(Clone)]
pub struct Options {
    /// Where SIP is sent, over UDP.
    pub server: SocketAddr,
    /// The host in the addresses of accounts; `None`: the server's address.
    pub domain: Option<String>,
    /// What is begun.
    pub mode: Mode,
    /// How many per second.
    pub rate: u32,
    /// For how long.
    pub duration: Duration,
    /// Accounts; they are called `prefix` and a number from 0.
    pub users: u32,
    /// What the names of accounts begin with.
    pub prefix: String,
    /// The password of all of them.
    pub password: String,
    /// How long callees ring.
    pub ring: Duration,
    /// How long calls last.
    pub hold: Duration,
    /// Calls at a time; more are left out and counted.
    pub calls_at_a_time: usize,
    /// How long to wait for what is not done at the end.
    pub drain: Duration,
    /// Core to stay on.
    pub core: Option<usize>,
    /// Processes whose CPU is watched.
    pub watch: Vec<Which>,
    /// Cores that are watched.
    pub watch_cores: Vec<usize>,
    /// Where load may be sent.
    pub permission: Permission,
}

/// Without the password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.server)
            .field("mode", &self.mode)
            .field("rate", &self.rate)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Ten seconds of ten a second, among ten accounts.
    #[must_use]
    pub fn new(server: SocketAddr, mode: Mode, permission: Permission) -> Self {
        Self {
            server,
            domain: None,
            mode,
            rate: 10,
            duration: Duration::from_secs(10),
            users: 10,
            prefix: "load".to_owned(),
            password: String::new(),
            ring: Duration::ZERO,
            hold: Duration::from_secs(1),
            calls_at_a_time: 20_000,
            drain: Duration::from_secs(5),
            core: None,
            watch: Vec::new(),
            watch_cores: Vec::new(),
            permission,
        }
    }

    /// The host in the addresses of accounts.
    #[must_use]
    pub fn domain(&self) -> String {
        self.domain.clone().unwrap_or_else(|| match self.server {
            SocketAddr::V4(it) => it.ip().to_string(),
            SocketAddr::V6(it) => format!("[{}]", it.ip()),
        })
    }

    pub(super) fn user(&self, index: u32) -> String {
        format!("{}{}", self.prefix, index % self.users.max(1))
    }

    /// Whether all is within bounds.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check(&self) -> Result<(), LoadError> {
        let is_word = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text
                    .bytes()
                    .all(|it| it.is_ascii_alphanumeric() || b"-_.[]:".contains(&it))
        };
        let count = u64::from(self.rate) * self.duration.as_secs();
        let checks = [
            (
                (1..=RATE_MAX).contains(&self.rate),
                format!("the rate must be 1 to {RATE_MAX} a second"),
            ),
            (
                (1..=USERS_MAX).contains(&self.users),
                format!("the number of accounts must be 1 to {USERS_MAX}"),
            ),
            (
                !self.duration.is_zero() && self.duration.as_secs() <= DURATION_MAX_S,
                format!("the duration must be at most {DURATION_MAX_S} s"),
            ),
            (
                count <= COUNT_MAX,
                format!("that would be {count}, of which {COUNT_MAX} are allowed"),
            ),
            (
                self.ring.as_secs() <= 60 && self.hold.as_secs() <= DURATION_MAX_S,
                format!("a call may ring for 60 s and last {DURATION_MAX_S} s"),
            ),
            (
                (1..=CALLS_AT_A_TIME_MAX).contains(&self.calls_at_a_time),
                format!("calls at a time must be 1 to {CALLS_AT_A_TIME_MAX}"),
            ),
            (
                self.drain.as_secs() <= 60,
                "the time to drain must be at most a minute".to_owned(),
            ),
            (
                is_word(&self.prefix) && is_word(&self.domain()),
                "names of accounts and domains are letters, digits, - _ and .".to_owned(),
            ),
        ];
        if let Some((_, reason)) = checks.into_iter().find(|(is_within, _)| !is_within) {
            return Err(LoadError::Option(reason));
        }
        self.permission.check(self.server.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(change: impl FnOnce(&mut Options)) -> bool {
        let server = "127.0.0.1:5060".parse().unwrap();
        let mut options = Options::new(server, Mode::Calls, Permission::new(Vec::new()));
        change(&mut options);
        options.check().is_err()
    }

    #[test]
    fn everything_is_bounded() {
        assert!(!is_refused(|_| ()));
        assert!(is_refused(|it| it.rate = 0));
        assert!(is_refused(|it| it.rate = RATE_MAX + 1));
        assert!(is_refused(|it| it.users = 0));
        assert!(is_refused(|it| it.duration = Duration::from_secs(3_601)));
        assert!(is_refused(
            |it| (it.rate, it.duration) = (50_000, Duration::from_secs(3_600))
        ));
        assert!(is_refused(|it| it.ring = Duration::from_secs(61)));
        assert!(is_refused(|it| it.calls_at_a_time = 0));
        assert!(is_refused(|it| it.prefix = "a\r\nb".to_owned()));
        assert!(is_refused(
            |it| it.server = "192.0.2.1:5060".parse().unwrap()
        ));
    }

    #[test]
    fn the_password_is_not_shown() {
        let server = "127.0.0.1:5060".parse().unwrap();
        let mut options = Options::new(server, Mode::Calls, Permission::new(Vec::new()));
        options.password = "open sesame".to_owned();
        assert!(!format!("{options:?}").contains("sesame"));
    }
}
