//! Processes of what is compared: started on one core, and ended when they go.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long one may take to start and to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Some that run.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Child>);

impl Children {
    /// Starts one. All threads of all are on one core: the comparison is of CPU, not of cores.
    pub(crate) fn spawn(&mut self, words: &[String], core: usize, log: &Path) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new("taskset")
            // Ctrl-C is for us; we end them.
            .process_group(0)
            .args(["-c", &core.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", words.join(" ")))?;
        self.0.push(child);
        Ok(())
    }

    /// Those that were started.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }

    /// Those that were started, and those that they started.
    pub(crate) fn pids_of_all(&self) -> Vec<u32> {
        let own = self.pids();
        let theirs = own.iter().flat_map(|pid| {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            let pids = text.split_whitespace().filter_map(|it| it.parse().ok());
            pids.collect::<Vec<u32>>()
        });
        own.iter().copied().chain(theirs).collect()
    }

    /// How one ended that should not have.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        for child in &mut self.0 {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        // The last first: control would report the loss of its relay.
        for child in self.0.iter_mut().rev() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::TERM);
            }
            let until = Instant::now() + PATIENCE;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
