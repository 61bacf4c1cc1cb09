//! Limits that were set at run time, kept for the next control.
//!
//! What differs from `tandem.toml` stands in a small file of the data folder, which is replaced as
//! a whole (written beside it, then renamed). A limit that is set to what `tandem.toml` says
//! counts as that again: that is how one goes back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use control_core::Limits;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

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
}

impl KeptLimits {
    /// Reads what was kept. A file that makes no sense is as none, and is told. One that says
    /// something else than what differs from `tandem.toml` is replaced or removed at once:
    /// otherwise it would say something else again when `tandem.toml` changes.
    pub(crate) fn open(path: &Path, configured: Limits) -> Self {
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
        let mut opened = Self {
            path: path.to_owned(),
            configured,
            kept,
            is_stale,
            next_write: None,
        };
        // If it fails, the next `keep` tries again.
        let _ = opened.write(kept);
        opened
    }

    /// What the next control would begin with, and this one does.
    pub(crate) fn limits(&self) -> Limits {
        self.kept
    }

    /// What `tandem.toml` says.
    pub(crate) fn configured(&self) -> Limits {
        self.configured
    }

    /// Keeps the limits if they have changed, unless it was done a moment ago.
    pub(crate) fn keep(&mut self, now: Instant, limits: Limits) {
        if self.differs(limits) && self.next_write.is_none_or(|due| due <= now) {
            self.keep_now(now, limits);
        }
    }

    /// Keeps the limits at once; a failure is told, and tried again later.
    pub(crate) fn keep_now(&mut self, now: Instant, limits: Limits) {
        if self.differs(limits) {
            let pause = self.write(limits).map_or(PAUSE_FAILED, |()| PAUSE);
            self.next_write = Some(now + pause);
        }
    }

    /// The next control would begin with something else.
    fn differs(&self, limits: Limits) -> bool {
        self.is_stale || limits != self.kept
    }

    /// Makes the file say these limits, unless it does; `None` if that failed, which is told.
    fn write(&mut self, limits: Limits) -> Option<()> {
        if !self.differs(limits) {
            return Some(());
        }
        match write(&self.path, Change::between(self.configured, limits)) {
            Ok(()) => {
                self.kept = limits;
                self.is_stale = false;
                Some(())
            }
            Err(error) => {
                let path = self.path.display();
                warn!(%path, %error, "limits are not kept for the next control: make the folder writable");
                None
            }
        }
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

    use super::*;

    const CONFIGURED: Limits = Limits {
        calls_max: 100,
        load_max_hundredths: 0,
        cpu_percent_max: 80,
        bandwidth_mbit_max: 0,
    };

    fn open(folder: &tempfile::TempDir) -> KeptLimits {
        KeptLimits::open(&folder.path().join("data/limits.json"), CONFIGURED)
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
        let mut second = open(&folder);
        assert_eq!((second.limits(), second.configured()), (set, CONFIGURED));
        // What was not set follows the settings.
        let configured = Limits {
            cpu_percent_max: 50,
            ..CONFIGURED
        };
        let other = KeptLimits::open(&folder.path().join("data/limits.json"), configured);
        assert_eq!(
            (other.limits().calls_max, other.limits().cpu_percent_max),
            (7, 50)
        );
        second.keep(now, CONFIGURED);
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
        let calls = |calls_max| Limits {
            calls_max,
            ..CONFIGURED
        };
        kept.keep(now, calls(1));
        kept.keep(now, calls(2));
        assert_eq!(open(&folder).limits(), calls(1));
        kept.keep(now + PAUSE, calls(2));
        assert_eq!(open(&folder).limits(), calls(2));
        kept.keep_now(now + PAUSE, calls(3));
        assert_eq!(
            open(&folder).limits(),
            calls(3),
            "an operator waits for nothing"
        );
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
        open(&folder).keep(now, set);
        let path = folder.path().join("data/limits.json");
        // Now the settings say one of them, too.
        let configured = Limits {
            calls_max: 7,
            ..CONFIGURED
        };
        let mut second = KeptLimits::open(&path, configured);
        assert_eq!(second.limits(), set);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim(), "{\"cpu_percent_max\":60}");
        let later = open(&folder).limits();
        assert_eq!((later.calls_max, later.cpu_percent_max), (100, 60));
        second.keep_now(now, configured);
        assert!(!path.exists());
        // And all of them.
        open(&folder).keep(now, set);
        assert_eq!(KeptLimits::open(&path, set).limits(), set);
        assert_eq!(open(&folder).limits(), CONFIGURED);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        // A file is where the folder should be.
        fs::write(folder.path().join("data"), "").unwrap();
        let now = Instant::now();
        let mut kept = open(&folder);
        let set = Limits {
            calls_max: 7,
            ..CONFIGURED
        };
        kept.keep(now, set);
        assert_ne!(kept.limits(), set);
        fs::remove_file(folder.path().join("data")).unwrap();
        kept.keep(now + PAUSE, set);
        assert_ne!(kept.limits(), set, "not at once");
        kept.keep(now + PAUSE_FAILED, set);
        assert_eq!((kept.limits(), open(&folder).limits()), (set, set));
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
