//! Whole-system scenarios, one file each.
//!
//! They start real daemons and other people's phones and proxies; see the harness in `tests/src`.

mod bad_input;
mod baresip_speech;
mod baresip_transcoding;
mod bridging;
mod browser_calls;
mod call_cancel;
mod call_fork;
mod call_hold;
mod cdr_complete;
mod control_killed;
mod drain;
mod dtls_calls;
mod early_media;
mod ice_calls;
mod installed;
mod kamailio_calls;
mod kamailio_drop_in;
mod kamailio_nodes;
mod kernel_table;
mod kernel_tuning;
mod keys_and_silence;
mod make_run;
mod nat_modes;
mod nat_moves;
mod nat_types;
mod opensips_requests;
#[path = "../../relay/dtls/tests/program/mod.rs"]
mod openssl;
mod operator_commands;
mod peer_suite;
mod playing;
mod port_exhaustion;
mod proxy_killed;
mod register_digest;
mod relay_drivers;
mod relay_reports;
mod releases_everything;
mod rtp_timeout;
mod several_parties;
mod sipp_calls;
mod spray_attack;
mod srtp_calls;
mod survival;
mod tcp_calls;
mod transcoding;
mod unprivileged;
