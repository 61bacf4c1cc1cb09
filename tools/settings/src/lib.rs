//! The settings in `tandem.toml`, logging, and what all daemons do alike.
//!
//! This is the one leaf that every binary may import. It holds the file *as written*
//! ([`File`]); each daemon turns its part into settings that cannot be wrong.
//!
//! ```text
//! tandem.toml ─► load ─► Loaded { file } ─► the daemon's own checked settings
//!                 │         └─► wrong("relay.ports", …): a mistake with its line
//!                 └─► SettingsError: file, line, column, key, cure
//! ```
//!
//! A daemon's `main` is this, and what it does for a living:
//!
//! ```no_run
//! use tandem_settings::{DaemonArgs, Loaded, SettingsError};
//!
//! # struct Checked;
//! fn check(loaded: &Loaded) -> Result<Checked, SettingsError> {
//!     if loaded.file.relay.ports[0] % 2 != 0 {
//!         return Err(loaded.wrong("relay.ports", "the first port must be even", "use 30000"));
//!     }
//!     Ok(Checked)
//! }
//!
//! fn start(args: &DaemonArgs) -> Result<(), SettingsError> {
//!     let loaded = args.load()?;
//!     let checked = check(&loaded)?;
//!     if args.check_config {
//!         loaded.print_is_fine();
//!         return Ok(());
//!     }
//!     loaded.init_logging()?;
//!     // … run with `checked` until a signal comes
//! #   let _ = checked;
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

mod daemon;
mod error;
mod file;
mod folders;
mod load;
mod locate;
pub mod logging;
pub mod manual;
mod panics;

pub use daemon::{DaemonArgs, EXIT_CODE_DRAINED, EXIT_CODE_USAGE, exit_with_parent};
pub use error::{Place, SettingsError};
pub use file::{
    Control, Driver, EndpointLearning, File, KernelTable, Log, LogFormat, OtherSources, Relay,
    SipProxy, Tandem, Transcode, Xdp,
};
pub use load::{Loaded, load};
pub use panics::{end_on_panic, end_on_panic_unless};
