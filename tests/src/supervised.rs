//! The daemons as `make run` has them: children of `tandem run`.

use std::fs;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use crate::reference::answers_options;
use crate::{Account, Daemon, Exchange, Launch, Process, Site, Tandem, binary, within};

/// Time for all three to be ready.
const START_LIMIT: Duration = Duration::from_secs(40);

/// Programs that `tandem run` keeps running.
pub const DAEMONS: [&str; 3] = ["tandem-relay", "tandem-control", "tandem-sip-proxy"];

/// `tandem run --demo` and what it started.
#[derive(Debug)]
pub struct Supervised {
    run: Daemon,
    /// Settings and paths; starts nothing by itself.
    tandem: Tandem,
}

impl Supervised {
    /// Starts it and waits until it says that all is ready.
    #[must_use]
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        let tandem = Tandem::prepare(site, |_| {});
        let log = site.path("tandem-run.log");
        let mut run = Launch::new("tandem-run", &binary("tandem"), site.folder())
            .arg("--config")
            .arg(tandem.config())
            .args(["run", "--demo"])
            .start();
        run.ready("it says that it runs", START_LIMIT, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.contains("Tandem is running").then_some(())
        });
        Self { run, tandem }
    }

    /// Settings and paths.
    #[must_use]
    pub fn tandem(&self) -> &Tandem {
        &self.tandem
    }

    /// What was printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.run.log()
    }

    /// The running daemon of a name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Process> {
        let children = self.run.process().children();
        children
            .into_iter()
            .find(|process| process.executable() == name)
    }

    /// The running daemon of a name.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn process(&self, name: &str) -> Process {
        self.find(name)
            .unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Waits until another process of a name runs.
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[track_caller]
    pub fn await_successor(&self, name: &str, of: Process) -> Process {
        let successor = || self.find(name).filter(|process| *process != of);
        within(START_LIMIT, successor).unwrap_or_else(|| panic!("{name} does not come back"))
    }

    /// Waits until all three serve: until an offer gets ports and SIP answers.
    ///
    /// # Panics
    ///
    /// When they do not.
    #[track_caller]
    pub fn await_service(&self) {
        let serves = || {
            let running = DAEMONS.iter().all(|name| self.find(name).is_some());
            (running && self.tandem.places_calls() && answers_options(self.sip())).then_some(())
        };
        within(START_LIMIT, serves).expect("all three serve again");
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.run.wait(limit)
    }

    /// Stops it, and checks that nothing is left.
    ///
    /// # Panics
    ///
    /// When something is.
    #[track_caller]
    pub fn stop(self) {
        let children = self.run.process().children();
        assert_eq!(children.len(), DAEMONS.len(), "{children:?}");
        self.run.stop();
        for child in children {
            assert!(!child.is_alive(), "{child:?} was left behind");
        }
    }
}

impl Exchange for Supervised {
    fn sip(&self) -> SocketAddr {
        self.tandem.sip()
    }

    fn domain(&self) -> String {
        self.tandem.domain()
    }

    /// One of the demo accounts.
    #[track_caller]
    fn account(&self, user: &str) -> Account {
        let path = self.tandem.data_dir().join("demo-accounts");
        let text = fs::read_to_string(&path).expect("the passwords are kept");
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        let (_, password) = pairs
            .find(|(name, _)| *name == user)
            .unwrap_or_else(|| panic!("no demo account {user}"));
        Account {
            user: user.to_owned(),
            password: password.to_owned(),
            domain: self.domain(),
        }
    }
}
