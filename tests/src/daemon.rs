//! A child process with a log: started, watched, stopped, and never left behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Process, within};

/// Time that an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a log that a failing test prints.
const LOG_TAIL_BYTES: usize = 6_000;

/// How to start a process.
#[derive(Debug)]
pub struct Launch {
    name: String,
    program: PathBuf,
    command: Command,
    log: PathBuf,
}

impl Launch {
    /// A program whose output goes to `FOLDER/NAME.log`.
    ///
    /// The child is told to stop when the thread that started it ends (`PR_SET_PDEATHSIG`, by way
    /// of setpriv(1)): a test run that is killed leaves nothing behind. It leads a process group
    /// of its own, so that what it started itself can be killed with it.
    #[must_use]
    pub fn new(name: &str, program: &Path, folder: &Path) -> Self {
        let command = if Path::new(SETPRIV).is_file() {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            command,
            log: folder.join(format!("{name}.log")),
        }
    }

    /// Runs it as another user (of the group of the same number), with no capabilities: needs root
    /// and setpriv(1).
    #[must_use]
    pub fn run_as(mut self, uid: u32) -> Self {
        let (uid, program) = (uid.to_string(), self.program.clone());
        let mut command = Command::new(SETPRIV);
        command
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .args(["--inh-caps=-all", "--bounding-set=-all"])
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program);
        self.command = command;
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets the folder that it runs in.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Daemon {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the scenario's folder takes a log");
        let errors = log.try_clone().expect("a file has a second handle");
        self.command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .env_remove("RUST_LOG")
            .process_group(0);
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.name));
        Daemon {
            name: self.name,
            child,
            log: self.log,
            exit: None,
        }
    }
}

/// Part of util-linux, which every Debian has.
pub(crate) const SETPRIV: &str = "/usr/bin/setpriv";

/// A running child. Dropping it kills it, and prints the end of its log if the test failed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    exit: Option<ExitStatus>,
}

impl Daemon {
    /// What `/proc` knows of it.
    #[must_use]
    pub fn process(&self) -> Process {
        Process {
            pid: self.child.id(),
        }
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Bytes it wrote so far.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// Sends a signal. A process that is gone already is no error.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| self.exit.is_none()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until `probe` gives something, while it runs.
    ///
    /// # Panics
    ///
    /// When it ends first, or the time is over.
    #[track_caller]
    pub fn ready<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> T {
        let found = within(limit, || {
            let ended = self.poll_exit();
            probe().map(Ok).or_else(|| ended.map(Err))
        });
        match found {
            Some(Ok(found)) => found,
            Some(Err(status)) => panic!("{} ended ({status}) before: {what}", self.name),
            None => panic!("{}: not within {limit:?}: {what}", self.name),
        }
    }

    /// How it ended, if it did.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten();
        }
        self.exit
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        within(limit, || self.poll_exit())
            .unwrap_or_else(|| panic!("{} still runs after {limit:?}", self.name))
    }

    /// Stops it as an operator does and checks that it ends in order.
    ///
    /// # Panics
    ///
    /// When it was gone already, does not stop, or says that something went wrong.
    #[track_caller]
    pub fn stop(mut self) {
        if let Some(status) = self.poll_exit() {
            panic!("{} had ended already: {status}", self.name);
        }
        self.signal(Signal::TERM);
        let status = self.wait(STOP_LIMIT);
        assert!(status.success(), "{} stopped with {status}", self.name);
        assert!(
            !self.log().contains("panicked at"),
            "{} panicked",
            self.name
        );
    }

    /// Kills it without warning (SIGKILL), and waits until the system has cleaned up.
    ///
    /// # Panics
    ///
    /// When it had ended before.
    #[track_caller]
    pub fn kill(mut self) {
        if let Some(status) = self.poll_exit() {
            panic!("{} had ended already: {status}", self.name);
        }
        self.signal(Signal::KILL);
        let status = self.wait(STOP_LIMIT);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    fn print_log_tail(&self) {
        let log = self.log();
        let mut start = log.len().saturating_sub(LOG_TAIL_BYTES);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        println!("--- {} (end of its log)\n{}", self.name, &log[start..]);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_log_tail();
        }
        // Kamailio forks, and its children outlive it if it is killed.
        if let Some(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // It may have ended long ago; then there is nothing to do.
        let _ = self.child.wait();
    }
}
