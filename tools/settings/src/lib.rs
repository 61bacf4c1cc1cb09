//! The settings in `tandem.toml`, logging, and what all daemons do alike.
//!
//! This is the one leaf that every binary may import. It holds the file *as written*
//! ([`File`]); each daemon turns its part into settings that cannot be wrong.

#![forbid(unsafe_code)]

mod file;

pub use file::{Control, Driver, File, Log, LogFormat, Relay, SipProxy, Tandem};
