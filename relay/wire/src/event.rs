//! What the relay tells control.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Answer, CallKey, Failure, Fingerprint, Key, Port, PortPartition, Report, WorkerId};

/// A message from the relay to control.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FromRelay {
    /// Answers the first message.
    Hello(Hello),
    /// The relay speaks another version and closes.
    VersionMismatch {
        /// What it speaks.
        version: u16,
    },
    /// What became of a request.
    Reply(Reply),
    /// Something happened without being asked for.
    Event {
        /// Where.
        worker: WorkerId,
        /// What.
        event: Event,
    },
}

/// Who the relay is, and what it has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// The version that it speaks.
    pub version: u16,
    /// Differs from one start of the relay to the next: a changed number means that all calls
    /// are gone and must be installed again.
    pub instance: u64,
    /// Where media is received; [`InterfaceId`](crate::InterfaceId) is the index.
    pub interfaces: Vec<Interface>,
    /// How many workers there are and which ports belong to each.
    pub partition: PortPartition,
    /// Sockets of calls that are over that each worker keeps open: a port that was used not long
    /// ago is cheaper than another.
    pub idle_per_worker_max: u32,
    /// How peers may know the certificate that the relay shakes hands with: one for each hash
    /// function. None: it does not shake hands.
    pub fingerprints: Vec<Fingerprint>,
}

/// One address that media is received on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// The operator's name for it, as `direction` names it in ng.
    pub name: String,
    /// What sockets are bound to.
    pub address: IpAddr,
    /// What SDP says instead, behind a one-to-one NAT.
    pub advertised: Option<IpAddr>,
    /// First and last port that may be used here; the first is even. `None`: all there are.
    pub ports: Option<[u16; 2]>,
}

/// The answer to one [`Request`](crate::Request).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reply {
    /// The request's number.
    pub id: u32,
    /// One for each command that was done, in their order.
    pub answers: Vec<Answer>,
    /// Set if a command failed; those after it were not tried.
    pub failure: Option<Failure>,
}

/// Something that happened in the relay.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Event {
    /// No endpoint of the call received anything for its `media_timeout_ms`. Sent once until
    /// media returns or the time-out is set again.
    MediaTimeout {
        /// Which call.
        call: CallKey,
    },
    /// No endpoint of the call ever received anything, for its `first_packet_timeout_ms`. Sent
    /// like the other.
    FirstPacketTimeout {
        /// Which call.
        call: CallKey,
    },
    /// A key was pressed, where [`Filter::tells_keys`](crate::Filter). Told when it ends, once,
    /// however often its packets are repeated; if the end was lost, when something else is heard.
    Key {
        /// In which call.
        call: CallKey,
        /// Where its packets arrived.
        ingress: Port,
        /// Which, and how.
        key: Key,
    },
    /// A peer has reported by RTCP, where [`Command::TellReports`](crate::Command) says so. Of very
    /// many within a second some are not told.
    Report {
        /// In which call.
        call: CallKey,
        /// Where it arrived.
        ingress: Port,
        /// What it says.
        report: Report,
    },
}
