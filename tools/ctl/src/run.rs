//! `tandem run`: the three daemons as children of one process.

mod demo;
mod ports;
mod process;
mod ready;
mod role;
mod supervisor;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;
use signal_hook::iterator::Signals;
use tandem_settings::{Loaded, LogFormat, load};

use crate::failure::Failure;
use crate::output::print;
use crate::time::{date_and_time, unix_ms};
use crate::{Context, examples};
use demo::DemoAccount;
use process::{CheckError, Launcher, Process, check_settings, own_folder, write_line};
use ready::Probes;
pub(crate) use ready::find_holder;
use role::Role;
use supervisor::{Action, Severity, Supervisor};

/// `tandem run`
#[derive(Args, Debug)]
#[command(
    after_help = examples!(
        "tandem run --demo" => "with two accounts to try, alice and bob",
        "tandem run --config /etc/tandem/tandem.toml" => "as a service would"
    ))]
pub(crate) struct RunArgs {
    /// Make two accounts with random passwords and print how to point phones at them
    #[arg(long)]
    demo: bool,

    /// Folder of the daemons' programs, instead of this program's own
    #[arg(long, hide = true, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

/// How often one that was started is looked at.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Time for the last lines of the children to arrive after their end.
const OUTPUT_LIMIT: Duration = Duration::from_millis(500);

/// What the main thread is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// The process ended and can be reaped.
    Ended(Role),
    /// A child's output was passed on to its last line.
    OutputEnded,
    /// SIGINT or SIGTERM.
    Signal,
}

/// Runs the daemons until a signal comes.
pub(crate) fn run(context: &Context, args: &RunArgs) -> Result<ExitCode, Failure> {
    let loaded = load(context.config.as_deref())?;
    let (sender, happenings) = mpsc::channel();
    let mut launcher = Launcher {
        bin_dir: args.bin_dir.clone().unwrap_or_else(own_folder),
        config: context.config.clone(),
        format: loaded.file.log.format,
        ng_sockets: Vec::new(),
        happenings: sender.clone(),
    };
    for role in Role::ALL {
        check_settings(&launcher, role).map_err(|error| explain(role, error))?;
    }
    let _only_one = lock(&loaded)?;
    launcher.ng_sockets = ports::claim(&loaded)?;
    let accounts = match args.demo {
        true => demo::prepare(&loaded)?,
        false => Vec::new(),
    };
    if loaded.file.log.format == LogFormat::Json {
        loaded.init_logging()?;
    }
    watch_signals(sender)?;
    let mut runner = Runner {
        probes: Probes::new(&loaded)?,
        processes: [const { None }; Role::ALL.len()],
        supervisor: Supervisor::new(Instant::now()),
        outputs: 0,
        loaded,
        launcher,
        accounts,
    };
    let exit_code = runner.run(&happenings);
    runner.drain_output(&happenings);
    Ok(ExitCode::from(exit_code))
}

fn explain(role: Role, error: CheckError) -> Failure {
    match error {
        CheckError::Complaint(complaint) => Failure::usage(complaint),
        CheckError::NoProgram(error, folder) => Failure::failed(format!(
            "cannot start {} (neither in {} nor in the search path): {error}; \
             `cargo build --release` makes all programs",
            role.program(),
            folder.display()
        )),
    }
}

/// Keeps a second `tandem run` from fighting over the same data. Held as long as the file is open.
fn lock(loaded: &Loaded) -> Result<File, Failure> {
    let path = loaded.create_runtime_dir()?.join("run.lock");
    let explain =
        |error: std::io::Error| Failure::failed(format!("cannot lock {}: {error}", path.display()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(explain)?;
    if file.try_lock().is_err() {
        let mut pid = String::new();
        Read::take(&mut file, 20)
            .read_to_string(&mut pid)
            .map_err(explain)?;
        return Err(Failure::failed(format!(
            "it is running already, as process {}, with its data in {}; stop that one, or set \
             another tandem.data_dir",
            pid.trim(),
            loaded.data_dir().display()
        )));
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(explain)?;
    Ok(file)
}

fn watch_signals(happenings: Sender<Happening>) -> Result<(), Failure> {
    let stop = [Signal::HUP, Signal::INT, Signal::TERM].map(Signal::as_raw);
    let explain = |error: std::io::Error| Failure::failed(format!("cannot watch signals: {error}"));
    let mut signals = Signals::new(stop).map_err(explain)?;
    let watch = move || {
        for _signal in signals.forever() {
            let _ = happenings.send(Happening::Signal);
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(explain)?;
    Ok(())
}

/// Does what the supervisor decides.
struct Runner {
    supervisor: Supervisor,
    launcher: Launcher,
    probes: Probes,
    processes: [Option<Process>; Role::ALL.len()],
    /// Pipes that have not ended.
    outputs: usize,
    loaded: Loaded,
    accounts: Vec<DemoAccount>,
}

impl Runner {
    fn run(&mut self, happenings: &Receiver<Happening>) -> u8 {
        loop {
            while let Some(action) = self.supervisor.poll_action() {
                self.act(action);
            }
            if let Some(exit_code) = self.supervisor.poll_done() {
                return exit_code;
            }
            let happening = self.wait(happenings);
            let now = Instant::now();
            match happening {
                Some(Happening::Ended(role)) => self.reap(now, role),
                Some(Happening::OutputEnded) => self.outputs = self.outputs.saturating_sub(1),
                Some(Happening::Signal) => self.supervisor.handle_signal(now),
                None => {}
            }
            for role in self.supervisor.probes().collect::<Vec<_>>() {
                if self.probes.is_ready(role) {
                    self.supervisor.handle_ready(now, role);
                }
            }
            self.supervisor.handle_timeout(now);
        }
    }

    fn wait(&self, happenings: &Receiver<Happening>) -> Option<Happening> {
        let mut deadline = self.supervisor.poll_timeout();
        if self.supervisor.probes().next().is_some() {
            let probe_at = Instant::now() + PROBE_INTERVAL;
            deadline = Some(deadline.map_or(probe_at, |deadline| deadline.min(probe_at)));
        }
        let Some(deadline) = deadline else {
            return happenings.recv().ok();
        };
        let left = deadline.saturating_duration_since(Instant::now());
        happenings.recv_timeout(left).ok()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Announce => {
                // Nobody at the terminal is no reason to stop.
                let _ = print(&demo::welcome(&self.loaded, &self.accounts));
            }
            Action::Kill(role) => self.with_process(role, Process::kill),
            Action::Say(severity, text) => self.say(severity, &text),
            Action::Start(role) => self.start(role),
            Action::Terminate(role) => self.with_process(role, Process::terminate),
        }
    }

    fn start(&mut self, role: Role) {
        match self.launcher.start(role) {
            Ok(process) => {
                self.say(
                    Severity::Info,
                    &format!("{role} started, process {}", process.id()),
                );
                self.processes[role.index()] = Some(process);
                if self.launcher.format == LogFormat::Text {
                    self.outputs += 2;
                }
            }
            Err(error) => {
                let reason = format!("cannot be started: {error}");
                self.supervisor
                    .handle_start_failure(Instant::now(), role, &reason);
            }
        }
    }

    fn reap(&mut self, now: Instant, role: Role) {
        let Some(mut process) = self.processes[role.index()].take() else {
            return;
        };
        match process.reap() {
            Ok(status) => self.supervisor.handle_exit(now, role, status),
            Err(error) => {
                let reason = format!("is lost: {error}");
                self.supervisor.handle_start_failure(now, role, &reason);
            }
        }
    }

    fn with_process(&self, role: Role, body: impl FnOnce(&Process)) {
        if let Some(process) = &self.processes[role.index()] {
            body(process);
        }
    }

    fn say(&self, severity: Severity, text: &str) {
        match (self.launcher.format, severity) {
            (LogFormat::Json, Severity::Error) => tracing::error!("{text}"),
            (LogFormat::Json, Severity::Info) => tracing::info!("{text}"),
            (LogFormat::Json, Severity::Warn) => tracing::warn!("{text}"),
            (LogFormat::Text, severity) => {
                let time = date_and_time(unix_ms()).replace(' ', "T");
                let severity = format!("{severity:?}").to_uppercase();
                write_line("tandem", format!("{time}Z {severity:>5} {text}").as_bytes());
            }
        }
    }

    /// Lets the children's last lines arrive.
    fn drain_output(&mut self, happenings: &Receiver<Happening>) {
        let deadline = Instant::now() + OUTPUT_LIMIT;
        while self.outputs > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match happenings.recv_timeout(left) {
                Ok(Happening::OutputEnded) => self.outputs -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}
