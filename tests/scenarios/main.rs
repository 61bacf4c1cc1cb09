//! Whole-system scenarios, one file each.
//!
//! They start real daemons and other people's phones and proxies; see the harness in `tests/src`.

mod baresip_speech;
mod sipp_calls;
