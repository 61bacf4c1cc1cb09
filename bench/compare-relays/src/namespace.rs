//! Network namespaces: made, entered by a thread, and taken away again whatever happens.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What the names of ours begin with; the number of the process follows.
const PREFIX: &str = "tandem-bench-";

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";

/// A namespace, with loopback up.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one. Its interfaces go with it.
    pub(crate) fn new(label: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{label}", std::process::id());
        run(&["ip", "netns", "add", &name])?;
        let this = Self { name };
        this.ip(&["link", "set", "lo", "up"])?;
        // Ports of calls are not to be taken by our own sockets.
        this.set("net/ipv4/ip_local_port_range", "60001 65535")?;
        Ok(this)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        run(&[&["ip", "-n", &self.name], arguments].concat())
    }

    /// Writes a file below `/proc/sys`, as it is in there.
    pub(crate) fn set(&self, path: &str, value: &str) -> Result<()> {
        self.write(&format!("/proc/sys/{path}"), value)
    }

    /// Writes a file of the system, as it is in there.
    pub(crate) fn write(&self, path: &str, value: &str) -> Result<()> {
        let script = "printf %s \"$1\" > \"$0\"";
        run(&[
            "ip", "netns", "exec", &self.name, "sh", "-c", script, path, value,
        ])
    }

    /// Does something in a thread that is in the namespace; its children and threads are, too.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(Path::new(FOLDER).join(&self.name))
            .with_context(|| format!("cannot open namespace {}", self.name))?;
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(rustix::fd::AsFd::as_fd(&file), kind)
                    .context("cannot enter a namespace")?;
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Said, because the next run has to do it instead.
        if let Err(error) = run(&["ip", "netns", "del", &self.name]) {
            eprintln!("compare-relays: {error:#}");
        }
    }
}

/// Takes away what runs left that were killed: their namespaces, and the processes in these.
pub(crate) fn remove_stale() {
    let Ok(folder) = fs::read_dir(FOLDER) else {
        return;
    };
    for entry in folder.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let Some(owner) = owner else { continue };
        if !Path::new("/proc").join(owner).exists() {
            println!("taking away namespace {name} of a run that was killed");
            end_processes(&name);
            let _ = run(&["ip", "netns", "del", &name]);
        }
    }
}

/// Only relays that such a run started are in there.
fn end_processes(name: &str) {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    let pids = String::from_utf8_lossy(&text);
    for pid in pids.split_whitespace().filter_map(|it| it.parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (program, arguments) = words.split_first().context("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", words.join(" "), error.trim());
    }
    Ok(())
}
