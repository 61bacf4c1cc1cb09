//! Whole-system scenarios, one file each.
//!
//! They start real daemons and other people's phones and proxies; see the harness in `tests/src`.

mod baresip_speech;
mod call_cancel;
mod call_hold;
mod cdr_complete;
mod control_killed;
mod make_run;
mod register_digest;
mod rtp_timeout;
mod sipp_calls;
