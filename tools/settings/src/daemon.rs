//! What the three daemons' command lines have in common.

use std::path::PathBuf;
use std::process;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::error::SettingsError;
use crate::load::{Loaded, load};

/// Exit code for wrong settings or arguments, as clap uses it.
pub const EXIT_CODE_USAGE: u8 = 2;

/// Exit code of a daemon that was drained and told to stop: whoever supervises it must not start
/// it again.
pub const EXIT_CODE_DRAINED: u8 = 5;

/// The arguments of every daemon. Use with `#[command(flatten)]`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DaemonArgs {
    /// Settings file. Without it: $TANDEM_CONFIG, ./tandem.toml, /etc/tandem/tandem.toml, and
    /// the defaults if none of these is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the settings, say what is wrong with them, and exit.
    #[arg(long)]
    pub check_config: bool,

    /// Stop when the process that started this one dies. `tandem run` passes its own id, so
    /// that a death before this is read is noticed, too; 0 stands for not knowing it.
    #[arg(long, hide = true, value_name = "PID", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub exit_with_parent: Option<u32>,
}

impl DaemonArgs {
    /// Ties the process to its parent if asked to, and loads the settings.
    pub fn load(&self) -> Result<Loaded, SettingsError> {
        if let Some(parent) = self.exit_with_parent {
            exit_with_parent(parent);
        }
        load(self.config.as_deref())
    }
}

/// Asks for SIGTERM when the thread that started this process ends, and exits at once if the
/// parent is no longer the process `parent` (0: do not look).
pub fn exit_with_parent(parent: u32) {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        eprintln!("cannot tie this process to its parent: {error}");
    }
    let current = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent != 0 && i64::from(current) != i64::from(parent) {
        process::exit(0);
    }
}
