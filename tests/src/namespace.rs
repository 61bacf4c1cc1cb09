//! Network namespaces: hosts of an Internet of our own.
//!
//! None has a name: one lives as long as somebody holds it, so nothing stays behind, not even after
//! a test run that was killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{is_root, skip, tool};

/// A network namespace, with loopback up.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Whether this machine has what it takes: root, and the tools. If not, says so.
    #[must_use]
    #[track_caller]
    pub fn are_possible() -> bool {
        if !is_root() {
            skip("network namespaces need root");
            return false;
        }
        ["ip", "nft", "unshare", "sh"]
            .iter()
            .all(|name| tool(name).is_some())
    }

    /// Makes one.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let mut child = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up && echo ready && read -r _",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be started");
        let mut line = String::new();
        let output = child.stdout.take().expect("the output is a pipe");
        let read = BufReader::new(output).read_line(&mut line);
        assert!(read.is_ok() && line == "ready\n", "no new namespace");
        let handle = File::open(format!("/proc/{}/ns/net", child.id()));
        // It holds the namespace until we do.
        drop(child.stdin.take());
        child.wait().expect("a child ends");
        Self {
            handle: handle.expect("root may open a namespace"),
        }
    }

    /// Does something in a thread that is in the namespace. Its children and its threads are, too;
    /// and a socket stays in the namespace that it was made in, whoever uses it.
    ///
    /// # Panics
    ///
    /// When it does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.handle.as_fd(), kind)
                    .expect("root may enter a namespace");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` in it, for each line of arguments.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, lines: &str) {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]);
        self.run(command, lines);
    }

    /// What `ip` prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ask_ip(&self, arguments: &str) -> String {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        self.run(command, "")
    }

    /// Sets rules of the packet filter.
    ///
    /// # Panics
    ///
    /// When they are refused.
    #[track_caller]
    pub fn nft(&self, rules: &str) {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]);
        self.run(command, rules);
    }

    /// Runs `ethtool` in it.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ethtool(&self, arguments: &str) {
        let mut command = Command::new("ethtool");
        command.args(arguments.split_whitespace());
        self.run(command, "");
    }

    /// What `nft` prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ask_nft(&self, arguments: &str) -> String {
        let mut command = Command::new("nft");
        command.args(arguments.split_whitespace());
        self.run(command, "")
    }

    /// Writes a setting of the kernel.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn set(&self, path: &str, value: &str) {
        let path = format!("/proc/sys/{path}");
        let written = self.within(|| std::fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// What names it to `ip`, while it is held.
    #[must_use]
    pub fn path(&self) -> String {
        let (pid, fd) = (std::process::id(), self.handle.as_raw_fd());
        format!("/proc/{pid}/fd/{fd}")
    }

    #[track_caller]
    fn run(&self, mut command: Command, input: &str) -> String {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.within(|| child.spawn());
        let mut child = child.expect("the tool can be started");
        let mut pipe = child.stdin.take().expect("the input is a pipe");
        // A child that does not read shows by its exit status.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("a child ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {errors}{input}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}
