//! One child process: started, its lines passed on, its end reported.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};
use tandem_settings::LogFormat;

use super::Happening;
use super::role::Role;

/// Bytes of a line at most; a longer one is cut into several.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// The first descriptor that is passed on: sd_listen_fds(3).
const PASSED_FROM: RawFd = 3;

/// Variables that tell of descriptors.
const LISTEN_NAMES: [&str; 4] = [
    "LISTEN_FDS",
    "LISTEN_FDS_FIRST_FD",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
];

/// How children are started.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// Looked into first; else the search path.
    pub(crate) bin_dir: PathBuf,
    /// Passed on.
    pub(crate) config: Option<PathBuf>,
    /// Text gets the process's name in front, JSON does not.
    pub(crate) format: LogFormat,
    /// Bound for control, and handed to each one: what is sent while none runs waits in them, and
    /// proxies are not told that nobody is there.
    pub(crate) ng_sockets: Vec<UdpSocket>,
    /// Where children report to.
    pub(crate) happenings: Sender<Happening>,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Launcher {
    /// The command line of a daemon, without what is particular to a run.
    pub(crate) fn command(&self, role: Role) -> Command {
        let beside = self.bin_dir.join(role.program());
        let mut command = match beside.is_file() {
            true => Command::new(beside),
            false => Command::new(role.program()),
        };
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        // What this process was started with is not for them.
        for name in LISTEN_NAMES {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts a daemon.
    ///
    /// Call from the main thread only: the children die with the thread that started them.
    pub(crate) fn start(&self, role: Role) -> io::Result<Process> {
        let mut command = self.command(role);
        command.arg(format!("--exit-with-parent={}", std::process::id()));
        if self.format == LogFormat::Text {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        // Ctrl-C goes to the whole foreground group: the order of stopping is ours to keep.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if role == Role::Control {
            self.hand_sockets_over(&mut command)?;
        }
        let mut child = command.spawn()?;
        self.pass_on(role, child.stdout.take().map(OwnedFd::from))?;
        self.pass_on(role, child.stderr.take().map(OwnedFd::from))?;
        let process = Process { child };
        self.watch(role, &process)?;
        Ok(process)
    }

    /// As systemd does, but for `LISTEN_PID`: the number of a process is known too late to be put
    /// into its environment, and control takes what it is given without one.
    fn hand_sockets_over(&self, command: &mut Command) -> io::Result<()> {
        let mappings = self.ng_sockets.iter().zip(PASSED_FROM..);
        let mappings = mappings.map(|(socket, child_fd)| {
            let parent_fd = OwnedFd::from(socket.try_clone()?);
            Ok(FdMapping {
                parent_fd,
                child_fd,
            })
        });
        let mappings = mappings.collect::<io::Result<Vec<_>>>()?;
        command.env("LISTEN_FDS", mappings.len().to_string());
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        Ok(())
    }

    fn pass_on(&self, role: Role, pipe: Option<OwnedFd>) -> io::Result<()> {
        let Some(pipe) = pipe else { return Ok(()) };
        let happenings = self.happenings.clone();
        let pass_on = move || {
            pass_lines_on(role.name(), &mut BufReader::new(File::from(pipe)));
            // Nobody listens any more once the main thread has ended: fine.
            let _ = happenings.send(Happening::OutputEnded);
        };
        thread::Builder::new()
            .name(format!("{role}-log"))
            .spawn(pass_on)?;
        Ok(())
    }

    /// Reports the end of the process, but leaves it to the main thread to reap it, so that no
    /// signal is ever sent to a number that belongs to somebody else by then.
    fn watch(&self, role: Role, process: &Process) -> io::Result<()> {
        let pidfd = pidfd_open(process.pid(), PidfdFlags::empty())?;
        let happenings = self.happenings.clone();
        let watch = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&pidfd)), options)
            {}
            let _ = happenings.send(Happening::Ended(role));
        };
        thread::Builder::new()
            .name(format!("{role}-end"))
            .spawn(watch)?;
        Ok(())
    }
}

impl Process {
    /// Its number, for messages.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; blocks until it did.
    pub(crate) fn reap(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Asks it to end. It may have ended already; then it is about to be reaped.
    pub(crate) fn terminate(&self) {
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Ends it.
    pub(crate) fn kill(&self) {
        let _ = kill_process(self.pid(), Signal::KILL);
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

fn pass_lines_on(name: &str, pipe: &mut impl BufRead) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => write_line(name, &line),
        }
    }
}

/// Writes one line with the name of who says it.
pub(crate) fn write_line(name: &str, line: &[u8]) {
    let (start, end) = match colour() {
        true => ("\u{1b}[2m", "\u{1b}[0m"),
        false => ("", ""),
    };
    let mut bytes = format!("{start}{name:<9} |{end} ").into_bytes();
    bytes.extend_from_slice(line.trim_ascii_end());
    bytes.push(b'\n');
    // One write for one line, so that the children's lines do not mix. A log that nobody reads
    // any more is no reason to stop.
    let _ = io::stderr().lock().write_all(&bytes);
}

fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// Runs a daemon's own check of the settings and returns its complaint.
pub(crate) fn check_settings(launcher: &Launcher, role: Role) -> Result<(), CheckError> {
    let output = launcher
        .command(role)
        .arg("--check-config")
        .output()
        .map_err(|error| CheckError::NoProgram(error, launcher.bin_dir.clone()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CheckError::Complaint(complaint))
}

/// Why a daemon cannot be started.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// It says that its settings are wrong.
    Complaint(String),
    /// It is not installed.
    NoProgram(io::Error, PathBuf),
}

/// The folder of this program, where the others are.
pub(crate) fn own_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().map(Path::to_owned).unwrap_or_default()
}
