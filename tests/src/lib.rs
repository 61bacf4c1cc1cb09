//! The harness of the whole-system scenarios.
//!
//! A scenario starts the daemons as an operator would (binaries, one `tandem.toml`, signals) in a
//! [`Site`] of its own, and meets them only from outside: as phones, as a proxy that speaks ng, as
//! a stranger who sends rubbish. What the daemons did is read from the wire, from `/proc`, from
//! the call records and from their own counters.
//!
//! ```text
//!  Site: a folder, a /24 of loopback, a turn      (one scenario at a time on a machine)
//!   ├── Tandem: relay, control, sip-proxy         or Reference: Kamailio and rtpengine
//!   ├── Phone, RtpEndpoint: our own ends          SIPp, baresip: other people's
//!   └── NgClient, records, proc: what to ask and where to look
//! ```
//!
//! Waits are bounded and poll; no scenario asserts on speed. What a scenario needs and this
//! machine lacks is skipped aloud ([`skip`]), unless `TANDEM_TESTS_REQUIRE_ALL=1`.

#![forbid(unsafe_code)]

mod anchored;
pub mod audio;
mod baresip;
mod call;
mod daemon;
mod dialog;
mod digest;
mod handset;
mod internet;
mod line;
mod namespace;
mod ng;
mod pcap;
mod phone;
mod proc;
mod records;
mod reference;
mod require;
mod rtp;
mod rubbish;
mod sip;
mod sipp;
mod site;
mod stage;
mod supervised;
mod tandem;
mod wait;

pub use anchored::{Anchored, Party};
pub use baresip::{Baresip, PhoneCodec, Speaker};
pub use call::{Call, TwoPhones};
pub use daemon::{Daemon, Launch};
pub use dialog::{Dialog, Invitation};
pub use digest::{Account, HashKind};
pub use handset::{Handset, dial, speech};
pub use internet::{Internet, Nat, NatKind, public_ip, public_ip6};
pub use namespace::Namespace;
pub use ng::{NgClient, Value};
pub use pcap::{capture, g711_frames};
pub use phone::Phone;
pub use proc::{Process, is_listening, udp_sockets_on};
pub use records::{CallRecord, call_records};
pub use reference::{Kamailio, KamailioSetup, Reference, Rtpengine};
pub use require::{binary, has_raw_sockets, is_root, raise_file_limit, require_all, skip, tool};
pub use rtp::{Media, MediaReport, Received, RtpEndpoint, Sink, converse, meet};
pub use rubbish::{mutations, random_datagrams, truncations};
pub use sip::{Message, offer_sdp, sdp_endpoint};
pub use sipp::{Sipp, SippRun, SippScenario};
pub use site::Site;
pub use stage::Stage;
pub use supervised::{DAEMONS, Supervised};
pub use tandem::{Exchange, Tandem};
pub use wait::{until, within};
