//! Limits that were set at run time, kept for the next control.
//!
//! What differs from `tandem.toml` stands in a small file of the data folder, which is replaced as
//! a whole (written beside it, then renamed). A limit that is set to what `tandem.toml` says
//! counts as that again: that is how one goes back.
//!
//! A disk may take seconds to say that it has something. So a thread writes, one at a time and only
//! as long as it takes, and the loop is told by an eventfd when it is done. Limits that change
//! meanwhile are written after that, the last of them alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use control_core::Limits;
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::config::hundredths;

/// Bytes of the file at most: four numbers.
const FILE_BYTES_MAX: u64 = 4_096;

/// From one writing to the next, however often limits change.
const PAUSE: Duration = Duration::from_secs(1);

/// From one attempt to the next, when the system does not let us write.
const PAUSE_FAILED: Duration = Duration::from_secs(30);

/// Limits to change; what is not named stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent_max: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth_mbit_max: Option<u32>,
}

impl Change {
    /// What makes one of the other.
    fn between(before: Limits, after: Limits) -> Self {
        fn other<T: Copy + PartialEq>(before: T, after: T) -> Option<T> {
            (before != after).then_some(after)
        }
        Self {
            calls_max: other(before.calls_max, after.calls_max),
            load_max: other(before.load_max_hundredths, after.load_max_hundredths).map(load),
            cpu_percent_max: other(before.cpu_percent_max, after.cpu_percent_max),
            bandwidth_mbit_max: other(before.bandwidth_mbit_max, after.bandwidth_mbit_max),
        }
    }

    /// The limits after it, or what is wrong with it.
    pub(crate) fn apply(self, limits: Limits) -> Result<Limits, String> {
        let load_max_hundredths = match self.load_max {
            None => limits.load_max_hundredths,
            Some(load) => hundredths(load).ok_or_else(|| format!("{load} is no load average"))?,
        };
        let cpu_percent_max = self.cpu_percent_max.unwrap_or(limits.cpu_percent_max);
        if cpu_percent_max > 100 {
            return Err(format!(
                "{cpu_percent_max} percent is more than all processors"
            ));
        }
        Ok(Limits {
            calls_max: self.calls_max.unwrap_or(limits.calls_max),
            load_max_hundredths,
            cpu_percent_max,
            bandwidth_mbit_max: self.bandwidth_mbit_max.unwrap_or(limits.bandwidth_mbit_max),
        })
    }
}

/// A load average as people write it.
pub(crate) fn load(hundredths: u32) -> f64 {
    f64::from(hundredths) / 100.0
}

/// The file, and what stands in it.
#[derive(Debug)]
pub(crate) struct KeptLimits {
    path: PathBuf,
    /// What `tandem.toml` says.
    configured: Limits,
    /// What the next control would begin with.
    kept: Limits,
    /// The file says more than, less than or something else than that.
    is_stale: bool,
    /// When it may be written again.
    next_write: Option<Instant>,
    /// The last attempt failed, which was told.
    has_failed: bool,
    writing: Option<Writing>,
    /// What is written at once after that.
    next: Option<Limits>,
    /// Readable when [`Self::handle_written`] has something to do.
    wake: Arc<OwnedFd>,
}

/// What a thread is about to write.
#[derive(Debug)]
struct Writing {
    limits: Limits,
    thread: JoinHandle<io::Result<()>>,
}

impl KeptLimits {
    /// Reads what was kept. A file that makes no sense is as none, and is told. One that says
    /// something else than what differs from `tandem.toml` is replaced or removed at once:
    /// otherwise it would say something else again when `tandem.toml` changes.
    ///
    /// # Errors
    ///
    /// Only when there are no descriptors left.
    pub(crate) fn open(path: &Path, configured: Limits) -> io::Result<Self> {
        let read = read(path).and_then(|change| {
            let limits = change.unwrap_or_default().apply(configured);
            Ok((change, limits.map_err(io::Error::other)?))
        });
        let (is_stale, kept) = match read {
            Ok((change, kept)) => {
                let set = Change::between(configured, kept);
                (
                    change.is_some_and(|it| it != set || kept == configured),
                    kept,
                )
            }
            Err(error) => {
                let path = path.display();
                warn!(%path, %error, "limits that were set at run time cannot be read; tandem.toml holds");
                (true, configured)
            }
        };
        if kept != configured {
            let set = Change::between(configured, kept);
            info!(
                ?set,
                "limits that were set at run time hold; `tandem limit reset` goes back to tandem.toml"
            );
        }
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let mut opened = Self {
            path: path.to_owned(),
            configured,
            kept,
            is_stale,
            next_write: None,
            has_failed: false,
            writing: None,
            next: None,
            wake: Arc::new(eventfd(0, flags)?),
        };
        // Nobody is served yet. If it fails, the next `keep` tries again.
        opened.write_here(kept);
        Ok(opened)
    }

    /// What the next control would begin with, and this one does.
    pub(crate) fn limits(&self) -> Limits {
        self.kept
    }

    /// What `tandem.toml` says.
    pub(crate) fn configured(&self) -> Limits {
        self.configured
    }

    /// Begins to keep the limits if they have changed, unless that was done a moment ago.
    pub(crate) fn keep(&mut self, now: Instant, limits: Limits) {
        let is_due = self.next_write.is_none_or(|due| due <= now);
        if is_due && !self.is_busy() {
            self.keep_now(now, limits);
        }
    }

    /// Begins to keep the limits at once; a failure is told, and tried again later.
    pub(crate) fn keep_now(&mut self, now: Instant, limits: Limits) {
        match &self.writing {
            Some(writing) => self.next = Some(limits).filter(|it| *it != writing.limits),
            None if self.differs(limits) => self.begin(now, limits),
            None => {}
        }
    }

    /// Whether limits are being written: what is kept is not known yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.writing.is_some()
    }

    /// What to wait for, if for anything: when it is readable, [`Self::handle_written`] is due.
    pub(crate) fn interest(&self) -> Option<BorrowedFd<'_>> {
        self.is_busy().then(|| self.wake.as_fd())
    }

    /// Notes what writing came to, if it has come to something.
    pub(crate) fn handle_written(&mut self, now: Instant) {
        let mut count = [0; 8];
        if rustix::io::read(&self.wake, &mut count).is_ok() {
            self.await_written(now);
        }
    }

    /// Keeps the limits, and waits until that is done: the process is about to end.
    pub(crate) fn finish(&mut self, now: Instant, limits: Limits) {
        self.next = None;
        self.await_written(now);
        self.write_here(limits);
    }

    /// The next control would begin with something else.
    fn differs(&self, limits: Limits) -> bool {
        self.is_stale || limits != self.kept
    }

    /// Has a thread make the file say these limits.
    fn begin(&mut self, now: Instant, limits: Limits) {
        let (path, wake) = (self.path.clone(), Arc::clone(&self.wake));
        let change = Change::between(self.configured, limits);
        let write = move || {
            let written = write(&path, change);
            // It cannot be full: it is read before the next one begins.
            let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
            written
        };
        match thread::Builder::new().name("limits".into()).spawn(write) {
            Ok(thread) => self.writing = Some(Writing { limits, thread }),
            Err(error) => self.note(now, limits, Err(error)),
        }
    }

    /// Waits for the thread, and begins with what is next.
    fn await_written(&mut self, now: Instant) {
        let Some(Writing { limits, thread }) = self.writing.take() else {
            return;
        };
        let written = thread.join();
        let written = written.unwrap_or_else(|_| Err(io::Error::other("the thread failed")));
        self.note(now, limits, written);
        if let Some(next) = self.next.take() {
            self.keep_now(now, next);
        }
    }

    /// Makes the file say these limits, unless it does, while everybody waits.
    fn write_here(&mut self, limits: Limits) {
        if self.differs(limits) {
            let written = write(&self.path, Change::between(self.configured, limits));
            self.note(Instant::now(), limits, written);
            // Nothing has been served meanwhile.
            self.next_write = None;
        }
    }

    /// Notes what an attempt came to. Only the first one of several that fail is worth a warning.
    fn note(&mut self, now: Instant, limits: Limits, written: io::Result<()>) {
        let has_failed = written.is_err();
        let path = self.path.display();
        match written {
            Ok(()) => {
                self.kept = limits;
                self.is_stale = false;
                if self.has_failed {
                    info!(%path, "limits are kept again");
                }
            }
            Err(error) if self.has_failed => debug!(%path, %error, "limits are still not kept"),
            Err(error) => {
                warn!(%path, %error, "limits are not kept for the next control: make the folder writable");
            }
        }
        self.has_failed = has_failed;
        self.next_write = Some(now + if has_failed { PAUSE_FAILED } else { PAUSE });
    }
}

/// What the file says; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Change>> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
    };
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Replaces the file as a whole, or removes it if there is nothing to keep.
fn write(path: &Path, change: Change) -> io::Result<()> {
    if change == Change::default() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    writeln!(file, "{}", serde_json::to_string(&change)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const CONFIGURED: Limits = Limits {
        calls_max: 100,
        load_max_hundredths: 0,
        cpu_percent_max: 80,
        bandwidth_mbit_max: 0,
    };

    fn open(folder: &tempfile::TempDir) -> KeptLimits {
        open_with(folder, CONFIGURED)
    }

    fn open_with(folder: &tempfile::TempDir, configured: Limits) -> KeptLimits {
        KeptLimits::open(&folder.path().join("data/limits.json"), configured).unwrap()
    }

    fn calls(calls_max: u32) -> Limits {
        Limits {
            calls_max,
            ..CONFIGURED
        }
    }

    /// Waits until the loop would be told that all is written, and tells.
    fn settle(kept: &mut KeptLimits, now: Instant) {
        while let Some(wake) = kept.interest() {
            poll(&mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)], None).unwrap();
            kept.handle_written(now);
        }
    }

    #[test]
    fn what_was_set_holds_for_the_next_one_and_what_is_taken_back_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut first = open(&folder);
        assert_eq!(first.limits(), CONFIGURED);
        let set = Limits {
            calls_max: 7,
            load_max_hundredths: 250,
            ..CONFIGURED
        };
        first.keep(now, set);
        settle(&mut first, now);
        let mut second = open(&folder);
        assert_eq!((second.limits(), second.configured()), (set, CONFIGURED));
        // What was not set follows the settings.
        let configured = Limits {
            cpu_percent_max: 50,
            ..CONFIGURED
        };
        let other = open_with(&folder, configured);
        assert_eq!(
            (other.limits().calls_max, other.limits().cpu_percent_max),
            (7, 50)
        );
        second.keep(now, CONFIGURED);
        settle(&mut second, now);
        assert!(
            fs::read_dir(folder.path().join("data"))
                .unwrap()
                .next()
                .is_none()
        );
        assert_eq!(open(&folder).limits(), CONFIGURED);
    }

    #[test]
    fn whoever_changes_limits_all_the_time_does_not_have_them_written_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut kept = open(&folder);
        kept.keep(now, calls(1));
        settle(&mut kept, now);
        kept.keep(now, calls(2));
        assert!(!kept.is_busy());
        assert_eq!(open(&folder).limits(), calls(1));
        kept.keep(now + PAUSE, calls(2));
        settle(&mut kept, now + PAUSE);
        assert_eq!(open(&folder).limits(), calls(2));
        kept.keep_now(now + PAUSE, calls(3));
        settle(&mut kept, now + PAUSE);
        assert_eq!(
            open(&folder).limits(),
            calls(3),
            "an operator waits for nothing"
        );
    }

    /// A pipe is where the new file is made, so that writing does not get on until somebody reads.
    #[test]
    fn a_disk_that_takes_its_time_keeps_nobody_waiting_and_the_last_of_several_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let pipe = folder.path().join("data/limits.new");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let now = Instant::now();
        let mut kept = open(&folder);
        kept.keep_now(now, calls(1));
        for count in 2..10 {
            kept.keep_now(now, calls(count));
            kept.keep(now + PAUSE_FAILED, calls(100 + count));
            kept.handle_written(now);
        }
        assert!(kept.is_busy());
        assert_eq!(kept.limits(), CONFIGURED, "not yet");
        // Whatever becomes of the first, the next has a file again.
        let reader = OpenOptions::new().read(true).write(true).open(&pipe);
        let reader = reader.unwrap();
        fs::remove_file(&pipe).unwrap();
        settle(&mut kept, now);
        drop(reader);
        assert_eq!(kept.limits(), calls(9));
        assert_eq!(open(&folder).limits(), calls(9));
    }

    #[test]
    fn what_was_set_last_is_kept_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut kept = open(&folder);
        for count in 1..10 {
            kept.keep(now, calls(count));
        }
        kept.finish(now, calls(10));
        assert!(!kept.is_busy());
        assert_eq!(
            (kept.limits(), open(&folder).limits()),
            (calls(10), calls(10))
        );
        kept.keep_now(now, calls(11));
        kept.finish(now, CONFIGURED);
        assert_eq!(open(&folder).limits(), CONFIGURED);
    }

    #[test]
    fn a_file_that_makes_no_sense_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let long = format!("{{\"calls_max\":{}}}", "1".repeat(5_000));
        for text in [
            "",
            "{",
            "[]",
            "{\"calls_max\":-1}",
            "{\"cpu_percent_max\":101}",
            "{\"x\":1}",
            &long,
        ] {
            fs::write(folder.path().join("data/limits.json"), text).unwrap();
            assert_eq!(open(&folder).limits(), CONFIGURED, "{text}");
            let is_there = folder.path().join("data/limits.json").exists();
            assert!(!is_there, "{text}: nothing is kept");
        }
    }

    #[test]
    fn what_is_kept_no_longer_does_not_come_back_when_the_settings_change_again() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let set = Limits {
            calls_max: 7,
            cpu_percent_max: 60,
            ..CONFIGURED
        };
        let path = folder.path().join("data/limits.json");
        open(&folder).finish(now, set);
        // Now the settings say one of them, too.
        let configured = Limits {
            calls_max: 7,
            ..CONFIGURED
        };
        let mut second = open_with(&folder, configured);
        assert_eq!(second.limits(), set);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim(), "{\"cpu_percent_max\":60}");
        let later = open(&folder).limits();
        assert_eq!((later.calls_max, later.cpu_percent_max), (100, 60));
        second.keep_now(now, configured);
        settle(&mut second, now);
        assert!(!path.exists());
        // And all of them.
        open(&folder).finish(now, set);
        assert_eq!(open_with(&folder, set).limits(), set);
        assert_eq!(open(&folder).limits(), CONFIGURED);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        // A file is where the folder should be.
        fs::write(folder.path().join("data"), "").unwrap();
        let now = Instant::now();
        let mut kept = open(&folder);
        let mut keep = |now| {
            kept.keep(now, calls(7));
            settle(&mut kept, now);
            kept.limits()
        };
        assert_eq!(keep(now), CONFIGURED);
        fs::remove_file(folder.path().join("data")).unwrap();
        assert_eq!(keep(now + PAUSE), CONFIGURED, "not at once");
        assert_eq!(keep(now + PAUSE_FAILED), calls(7));
        assert_eq!(open(&folder).limits(), calls(7));
    }

    proptest! {
        #[test]
        fn any_limits_are_read_as_they_were_written(
            calls_max in any::<u32>(),
            load_max_hundredths in 0_u32..10_000_000,
            cpu_percent_max in 0_u8..=100,
            bandwidth_mbit_max in any::<u32>(),
        ) {
            let limits = Limits { calls_max, load_max_hundredths, cpu_percent_max, bandwidth_mbit_max };
            let text = serde_json::to_string(&Change::between(CONFIGURED, limits)).unwrap();
            let change: Change = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(change.apply(CONFIGURED), Ok(limits));
        }
    }
}
