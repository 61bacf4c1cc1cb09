//! The relay over real sockets: the same suite on both drivers.
//!
//! Each test starts relays of its own inside this process, with ports of their own on loopback.
//! Where io_uring does not work, its half of the suite is skipped aloud.

mod control;
mod harness;
#[path = "../../dtls/tests/program/mod.rs"]
mod openssl;
mod overload;
mod phone;

mod calls;
mod crypto;
mod dtls;
mod filter;
mod forwarding;
mod limits;
mod link;
mod process;
mod reuse;
mod rtcp;
mod tos;
mod transcoding;
