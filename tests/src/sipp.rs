//! SIPp: other people's idea of a caller and a callee.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::{Account, Daemon, Exchange, Launch, Site, tool};

/// Where a scenario's media action goes.
const MEDIA_MARK: &str = "<!-- media -->";

/// What SIPp is to do. The files are in `tests/sipp`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SippScenario {
    /// Waits for calls and answers them.
    Callee,
    /// Calls, holds for a while, hangs up.
    Caller,
    /// Registers once.
    Register,
}

impl SippScenario {
    fn name(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Caller => "caller",
            Self::Register => "register",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Callee => include_str!("../sipp/callee.xml"),
            Self::Caller => include_str!("../sipp/caller.xml"),
            Self::Register => include_str!("../sipp/register.xml"),
        }
    }
}

/// How SIPp is to be run.
#[derive(Clone, Debug)]
pub struct Sipp {
    program: PathBuf,
    folder: PathBuf,
    account: Account,
    /// Where it sends and receives.
    local: SocketAddr,
    proxy: SocketAddr,
    /// Calls in all.
    calls: u32,
    /// Calls begun each second.
    rate: u32,
    /// Milliseconds that a call lasts.
    duration_ms: u32,
    /// Whom to call.
    callee: String,
    /// First port of media; each call has the next fourth one (`[auto_media_port+4]`).
    media_port: u16,
    capture: Option<PathBuf>,
    is_tcp: bool,
}

impl Sipp {
    /// SIPp with an account, at an address. `None` if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn new(
        site: &Site,
        exchange: &impl Exchange,
        user: &str,
        local: SocketAddr,
    ) -> Option<Self> {
        Some(Self {
            program: tool("sipp")?,
            folder: site.subfolder(&format!("sipp-{user}")),
            account: exchange.account(user),
            local,
            proxy: exchange.sip(),
            calls: 1,
            rate: 20,
            duration_ms: 0,
            callee: String::new(),
            media_port: 20_000,
            capture: None,
            is_tcp: false,
        })
    }

    /// Where it sends and receives.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// How many calls, and how many begin each second.
    #[must_use]
    pub fn calls(mut self, calls: u32, rate: u32) -> Self {
        self.calls = calls;
        self.rate = rate;
        self
    }

    /// Whom to call, and for how long.
    #[must_use]
    pub fn callee(mut self, callee: &str, duration_ms: u32) -> Self {
        callee.clone_into(&mut self.callee);
        self.duration_ms = duration_ms;
        self
    }

    /// Replays a capture in each call; needs raw sockets.
    #[must_use]
    pub fn media(mut self, capture: PathBuf) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Uses one TCP connection.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.is_tcp = true;
        self
    }

    /// The ports that its calls name for their media, in their order.
    pub fn media_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let first = self.media_port;
        (1..)
            .take(self.calls as usize)
            .map(move |call: u16| first + 4 * call)
    }

    /// Registers, from the socket address that calls will come to.
    ///
    /// # Panics
    ///
    /// When the registration fails.
    #[track_caller]
    pub fn register(&self) {
        let mut once = self.clone();
        once.calls = 1;
        let run = once.start(SippScenario::Register);
        run.finish(Duration::from_secs(20));
    }

    /// Starts a scenario.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(&self, scenario: SippScenario) -> SippRun {
        let name = scenario.name();
        let xml = self.folder.join(format!("{name}.xml"));
        fs::write(&xml, self.render(scenario)).expect("the scenario's folder takes files");
        let injection = self.folder.join("accounts.csv");
        fs::write(&injection, self.injection()).expect("the scenario's folder takes files");
        let errors = self.folder.join(format!("{name}-errors.log"));
        let mut launch = Launch::new(&format!("sipp-{name}"), &self.program, &self.folder)
            .current_dir(&self.folder)
            .arg(self.proxy.to_string())
            .arg("-sf")
            .arg(&xml)
            .arg("-inf")
            .arg(&injection)
            .args(["-i", &self.local.ip().to_string()])
            .args(["-p", &self.local.port().to_string()])
            .args(["-mi", &self.local.ip().to_string()])
            .args(["-mp", &self.media_port.to_string()])
            .args(["-m", &self.calls.to_string()])
            .args(["-l", &self.calls.to_string()])
            .args(["-r", &self.rate.to_string()])
            .args(["-d", &self.duration_ms.to_string()])
            .args(["-t", if self.is_tcp { "t1" } else { "u1" }])
            // A call that waits this long for a message has failed.
            .args(["-recv_timeout", "20000"])
            .args(["-nostdin", "-trace_err", "-error_file"])
            .arg(&errors);
        if scenario == SippScenario::Callee {
            launch = launch.args(["-rtcheck", "full"]);
        }
        SippRun {
            daemon: launch.start(),
            errors,
        }
    }

    fn render(&self, scenario: SippScenario) -> String {
        let action = self.capture.as_ref().map_or_else(String::new, |capture| {
            let capture = capture.display();
            format!("<nop><action><exec play_pcap_audio=\"{capture}\"/></action></nop>")
        });
        scenario.text().replace(MEDIA_MARK, &action)
    }

    fn injection(&self) -> String {
        let Account {
            user,
            password,
            domain,
        } = &self.account;
        let callee = &self.callee;
        format!(
            "SEQUENTIAL\n{user};[authentication username={user} password={password}];{domain};{callee}\n"
        )
    }
}

/// A run of SIPp.
#[derive(Debug)]
pub struct SippRun {
    daemon: Daemon,
    errors: PathBuf,
}

impl SippRun {
    /// Waits until it can be called: until its socket is bound.
    #[track_caller]
    pub fn await_socket(&mut self, local: SocketAddr) {
        self.daemon
            .ready("SIPp is listening", Duration::from_secs(10), || {
                crate::udp_sockets_on(local.ip())
                    .contains(&local.port())
                    .then_some(())
            });
    }

    /// Waits for the end: each call succeeded, or this fails with what SIPp complains of.
    ///
    /// # Panics
    ///
    /// When a call failed, or it takes too long.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) {
        let status = self.daemon.wait(limit);
        let complaints = self.complaints();
        assert!(status.success(), "{}: {complaints}", meaning(status));
        assert!(complaints.is_empty(), "SIPp complains: {complaints}");
    }

    fn complaints(&self) -> String {
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        errors.chars().take(4_000).collect()
    }
}

/// Exit codes of sipp(1).
fn meaning(status: ExitStatus) -> String {
    match status.code() {
        Some(1) => "at least one call failed".to_owned(),
        Some(97) => "SIPp was told to stop".to_owned(),
        Some(253..=255) => "SIPp gave up".to_owned(),
        _ => format!("SIPp ended with {status}"),
    }
}
