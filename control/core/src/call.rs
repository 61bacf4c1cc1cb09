//! A call: who takes part, and which ports of the relay each of them uses.
//!
//! This is the whole of what control knows of a call, and all of it goes into the call's record:
//! what the relay must do follows from it ([`plan`](crate::plan)), so nothing else need be kept.
//!
//! ```text
//!            ports facing the caller │ ports facing a callee
//!  caller ◄────────────► Leg ◄───────┼───────► Leg ◄──────────► callee
//!                                    └───────► Leg ◄──────────► callee of another fork
//! ```
//!
//! When a call forks, the legs of the callees have one caller's leg as their peer, and that has as
//! its peer the callee that answered last: it hears the caller and is heard. Before anyone has
//! answered, all that the callees send goes to the caller.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use relay_wire::{CallKey, InterfaceId, Learning, Port, SourceRules};
use serde::{Deserialize, Deserializer, Serialize};

use crate::codecs::{Exchange, Payload};
use crate::echo::Reflection;
use crate::handshake::Handshake;
use crate::ice::Ice;
use crate::lean::{Address, Name, Names, Rare, Word};
use crate::links::Links;
use crate::profile;
use crate::sdp::{self, Direction, Transport};
use crate::srtp::{Agreed, Srtp};
use crate::treatment::{Flow, Treatment};

/// Parties of one call, forks included.
pub(crate) const LEGS_MAX: usize = 16;

/// Parties of most calls. There are many calls, so that none has room for more than it needs.
const LEGS_USUAL: usize = 2;

/// Other tags by which one party is known.
pub(crate) const ALIASES_MAX: usize = 8;

/// Ports of one stream that its party was told of before.
pub(crate) const FORMER_MAX: usize = 2;

/// Deleted forks that are remembered, so that a repeated delete does not end the call.
const DELETED_BRANCHES_MAX: usize = 16;

/// Names a leg within its call, whatever becomes of others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct LegId(pub(crate) u16);

/// All that is known of a call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct CallState {
    #[serde(
        serialize_with = "relay_wire::bytes::serialize",
        deserialize_with = "deserialize_call_id"
    )]
    pub(crate) call_id: Arc<[u8]>,
    pub(crate) created_unix_ms: u64,
    pub(crate) last_signal_unix_ms: u64,
    pub(crate) legs: Vec<Leg>,
    /// An answer came that was not provisional.
    pub(crate) is_confirmed: bool,
    /// Until then such an answer must have come.
    pub(crate) offer_deadline_unix_ms: Option<u64>,
    /// When it really ends, having been deleted.
    pub(crate) delete_at_unix_ms: Option<u64>,
    /// Where keys are told, if not where those of all calls are.
    pub(crate) key_log: Option<Box<SocketAddr>>,
    /// Who wants to know if media ends.
    pub(crate) subscriber: Option<Box<Client>>,
    deleted_branches: Rare<Vec<Name>>,
    legs_created: u16,
    /// What is encrypted is decrypted, even if it could pass as it is.
    pub(crate) recrypts: bool,
    /// What becomes of what everybody sends.
    pub(crate) treatment: Rare<Treatment>,
    /// And of what one party sends another, where that was said.
    pub(crate) flows: Rare<Vec<Flow>>,
    /// Other calls, whose parties may hear those of this one.
    pub(crate) group: Rare<Vec<CallKey>>,
}

/// One participant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    /// Empty until the party has answered; then its tag, and other tags it is known by.
    pub(crate) tags: Names,
    pub(crate) via_branch: Option<Name>,
    pub(crate) label: Option<Name>,
    pub(crate) interface: InterfaceId,
    pub(crate) created_unix_ms: u64,
    /// What stands for the party's last description, if it may come back under another tag.
    pub(crate) alias: Option<u64>,
    /// Whose media it gets.
    pub(crate) peer: Option<LegId>,
    /// An offer of this leg was answered, so that its peer is a party and not a guess.
    pub(crate) is_settled: bool,
    pub(crate) streams: Vec<Stream>,
    /// The place that each stream has in what the party says and is told. Empty: its own.
    pub(crate) order: Rare<Vec<u8>>,
    /// Streams that the party has two sections for, one with keys and one without.
    pub(crate) pairs: Rare<Vec<sdp::Pair>>,
    /// What `o=` said to the party, if it was asked to be kept.
    pub(crate) origin: Option<Box<Origin>>,
    /// What it takes to tell the party once more what it was told.
    pub(crate) kept: Name,
    /// What becomes of what the party sends.
    pub(crate) treatment: Rare<Treatment>,
    /// Who else hears the party.
    pub(crate) links: Option<Box<Links>>,
}

/// What `o=` said to a party.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Origin {
    #[serde(with = "relay_wire::bytes")]
    pub(crate) user_name: Vec<u8>,
    #[serde(with = "relay_wire::bytes")]
    pub(crate) session_id: Vec<u8>,
    pub(crate) version: u64,
    /// Of the description it stood in, to know another one.
    pub(crate) hash: u64,
}

/// One m-line of a leg.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Stream {
    /// Such as `audio`.
    pub(crate) kind: Word,
    /// Such as `RTP/AVP`.
    pub(crate) protocol: Word,
    pub(crate) transport: Transport,
    /// The relay's port that faces the party; that of RTCP is the next one.
    pub(crate) port: Option<u16>,
    /// The same, of before.
    pub(crate) former: Rare<Vec<Former>>,
    /// Where the party was when the other one was told of a port: told of the same, that takes it
    /// for there still.
    pub(crate) chosen_for: Option<Address>,
    /// Type of service of what leaves there, if the proxy said when the port was taken.
    pub(crate) tos: Option<u8>,
    /// Where the party wants RTP.
    pub(crate) remote: Option<Address>,
    /// Where the party wants RTCP that has a port of its own.
    pub(crate) remote_rtcp: Option<Address>,
    pub(crate) learning: Learning,
    pub(crate) source_rules: SourceRules,
    pub(crate) rtcp_mux: Mux,
    /// Where what the party sends goes, if not to its peer.
    pub(crate) reflection: Reflection,
    /// The party first heard of the stream by an offer. Then it would be us who decide among ways
    /// that ICE finds (RFC 8445 §6.1.1); it is asked for by that name.
    pub(crate) was_offered: bool,
    /// The party put the stream on hold, or was put there.
    pub(crate) is_held: bool,
    /// Which way media flows, as the party said.
    pub(crate) direction: Direction,
    /// Not refused by the party.
    pub(crate) is_active: bool,
    /// The line by which the party would refuse the stream, of which it was not told.
    pub(crate) hidden: Option<Box<Name>>,
    /// The relay reports to the party by itself.
    pub(crate) makes_reports: bool,
    /// The party has named feedback (RFC 4585) that it knows, whatever its profile is.
    pub(crate) knows_feedback: bool,
    /// The party has named extensions (RFC 8285), and not that their headers may be of both kinds.
    pub(crate) mixes_no_extensions: bool,
    /// What was said of codecs between this leg and an older one.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// What the party says that its payload types are.
    pub(crate) payloads: Box<[Payload]>,
    /// Keys of the party's and of the relay's.
    pub(crate) srtp: Rare<Srtp>,
    /// What was said of ICE.
    pub(crate) ice: Rare<Ice>,
    /// Handshakes that give keys.
    pub(crate) handshake: Rare<Handshake>,
}

/// A port of the relay that a party was told of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Former {
    /// Where the other party was then.
    pub(crate) of: Address,
    /// That of RTP.
    pub(crate) port: u16,
}

/// RTCP on the port of RTP, as far as one party is concerned.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Mux {
    /// It was offered, by or to the party.
    pub(crate) is_offered: bool,
    /// The other party's offer of it is to be accepted whatever this party answers.
    pub(crate) accept: bool,
    /// It was agreed on.
    pub(crate) is_on: bool,
}

/// Where a request came from, and so where its reply goes, and how.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Client {
    /// The client's address.
    pub remote: SocketAddr,
    /// Ours that it sent to.
    pub local: SocketAddr,
    /// What brings messages from one to the other.
    pub carrier: Carrier,
    /// What the client's documents are written in. Control sees that by itself.
    pub format: Format,
}

/// What brings messages.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Carrier {
    /// UDP.
    Datagram,
    /// TCP, or what is built on it.
    Stream,
}

/// What documents are written in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Format {
    /// Bencode.
    Bencode,
    /// JSON.
    Json,
}

impl Client {
    /// A client that writes bencode, as long as nothing else is seen.
    #[must_use]
    pub fn new(carrier: Carrier, remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote,
            local,
            carrier,
            format: Format::Bencode,
        }
    }
}

impl CallState {
    pub(crate) fn new(call_id: impl Into<Arc<[u8]>>, unix_ms: u64) -> Self {
        Self {
            call_id: call_id.into(),
            created_unix_ms: unix_ms,
            last_signal_unix_ms: unix_ms,
            legs: Vec::new(),
            is_confirmed: false,
            offer_deadline_unix_ms: None,
            delete_at_unix_ms: None,
            key_log: None,
            subscriber: None,
            deleted_branches: Rare::default(),
            legs_created: 0,
            recrypts: false,
            treatment: Rare::default(),
            flows: Rare::default(),
            group: Rare::default(),
        }
    }

    /// Adds a leg and returns its name. The caller sees to [`LEGS_MAX`].
    pub(crate) fn add_leg(&mut self, interface: InterfaceId, unix_ms: u64) -> LegId {
        let id = LegId(self.legs_created);
        self.legs_created = self.legs_created.wrapping_add(1);
        if self.legs.is_empty() {
            self.legs.reserve_exact(LEGS_USUAL);
        }
        self.legs.push(Leg {
            id,
            tags: Names::default(),
            via_branch: None,
            label: None,
            interface,
            created_unix_ms: unix_ms,
            alias: None,
            peer: None,
            is_settled: false,
            streams: Vec::new(),
            order: Rare::default(),
            pairs: Rare::default(),
            origin: None,
            kept: Name::default(),
            treatment: Rare::default(),
            links: None,
        });
        id
    }

    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    pub(crate) fn leg_by_tag(&self, tag: &[u8]) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.has_tag(tag))
    }

    pub(crate) fn leg_by_label(&self, label: &[u8]) -> Option<&Leg> {
        let mut legs = self.legs.iter();
        legs.find(|leg| leg.label.as_deref() == Some(label))
    }

    pub(crate) fn leg_by_branch(&self, branch: &[u8]) -> Option<&Leg> {
        let mut legs = self.legs.iter();
        legs.find(|leg| leg.via_branch.as_deref() == Some(branch))
    }

    /// The legs whose peer is this one: several if the call forked.
    pub(crate) fn legs_towards(&self, id: LegId) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(move |leg| leg.peer == Some(id))
    }

    /// Whether somebody has answered, if only for the time being.
    pub(crate) fn is_answered(&self) -> bool {
        self.legs.iter().any(|leg| leg.is_settled)
    }

    /// Whether all media rest, so that silence means nothing.
    pub(crate) fn is_held(&self) -> bool {
        let mut streams = self.legs.iter().flat_map(|leg| &leg.streams);
        let mut any = false;
        let all = streams
            .by_ref()
            .filter(|stream| stream.is_active && stream.port.is_some())
            .all(|stream| {
                any = true;
                stream.is_held
            });
        any && all
    }

    /// Takes legs away. A caller whose peer is gone gets another fork, if there is one.
    pub(crate) fn remove_legs(&mut self, gone: &[LegId]) {
        let leaving = self.legs.iter().filter(|leg| gone.contains(&leg.id));
        let branches = leaving.filter_map(|leg| leg.via_branch.clone());
        self.deleted_branches.change(|deleted| {
            deleted.extend(branches);
            let excess = deleted.len().saturating_sub(DELETED_BRANCHES_MAX);
            deleted.drain(..excess);
        });
        self.legs.retain(|leg| !gone.contains(&leg.id));
        self.flows.change(|flows| {
            flows.retain(|flow| !gone.contains(&flow.from) && !gone.contains(&flow.to));
        });
        for index in 0..self.legs.len() {
            let leg = &self.legs[index];
            if leg.peer.is_some_and(|peer| gone.contains(&peer)) {
                let heir = self.legs_towards(leg.id).last().map(|leg| leg.id);
                self.legs[index].peer = heir;
            }
        }
    }

    /// Whether a fork of this name was deleted before.
    pub(crate) fn is_branch_deleted(&self, branch: &[u8]) -> bool {
        self.deleted_branches
            .iter()
            .any(|deleted| **deleted == *branch)
    }

    /// All pairs of ports in use, by the port of RTP.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Port> {
        self.legs.iter().flat_map(|leg| {
            let ports = leg.streams.iter().flat_map(Stream::ports);
            let others = leg.streams.iter().flat_map(|it| it.ice.others()).copied();
            let own = ports.map(|number| Port {
                interface: leg.interface,
                number,
            });
            own.chain(others)
        })
    }
}

impl Leg {
    /// One more name of the party.
    pub(crate) fn add_tag(&mut self, tag: &[u8]) {
        self.tags.push(tag);
    }

    pub(crate) fn has_tag(&self, tag: &[u8]) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    /// The stream of an m-line, made if it is the first time that this many are spoken of.
    pub(crate) fn stream_mut(&mut self, index: usize) -> &mut Stream {
        if self.streams.len() <= index {
            self.streams.reserve_exact(index + 1 - self.streams.len());
            self.streams.resize_with(index + 1, Stream::default);
        }
        &mut self.streams[index]
    }

    /// What the party says, with the streams that it was not told of.
    pub(crate) fn completed<'a>(&self, sdp: &'a [u8]) -> Cow<'a, [u8]> {
        let streams = self.streams.iter().enumerate();
        let hidden = streams.filter_map(|(index, it)| Some((index, &***it.hidden.as_ref()?)));
        sdp::completed(sdp, &hidden.collect::<Vec<_>>())
    }

    /// The port for RTP (or whatever else) of a stream.
    pub(crate) fn port(&self, index: usize) -> Option<Port> {
        let stream = self.streams.get(index)?;
        Some(Port {
            interface: self.interface,
            number: stream.port?,
        })
    }
}

impl Stream {
    /// Whether it is encrypted, or may be: SRTP, by whatever key.
    pub(crate) fn is_secure(&self) -> bool {
        profile::is_secure(&self.protocol) || self.srtp.is_optional
    }

    /// Whether only the parties can read it: the relay has no keys (yet).
    pub(crate) fn is_opaque(&self) -> bool {
        self.is_secure() && !self.has_keys()
    }

    /// Whether the relay has keys of the party, or is to agree on some.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys().is_some() || self.handshake.agreed().is_some()
    }

    /// What the relay and the party encrypt with.
    pub(crate) fn keys(&self) -> Option<&Agreed> {
        self.srtp.agreed.as_ref()
    }

    /// All its ports for RTP, the one in use first.
    fn ports(&self) -> impl Iterator<Item = u16> {
        let former = self.former.iter().map(|former| former.port);
        self.port.into_iter().chain(former)
    }

    /// The relay's port for RTCP from and to the party.
    pub(crate) fn rtcp_port(&self) -> Option<u16> {
        match self.transport {
            Transport::Rtp if !self.rtcp_mux.is_on => self.port?.checked_add(1),
            _ => self.port,
        }
    }
}

fn deserialize_call_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    relay_wire::bytes::deserialize(deserializer).map(Arc::from)
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            kind: Word::default(),
            protocol: Word::default(),
            transport: Transport::Rtp,
            port: None,
            former: Rare::default(),
            chosen_for: None,
            tos: None,
            remote: None,
            remote_rtcp: None,
            learning: Learning::default(),
            source_rules: SourceRules::default(),
            rtcp_mux: Mux::default(),
            reflection: Reflection::None,
            was_offered: false,
            is_held: false,
            direction: Direction::SendRecv,
            is_active: false,
            hidden: None,
            makes_reports: false,
            knows_feedback: false,
            mixes_no_extensions: false,
            exchange: None,
            payloads: Box::default(),
            srtp: Rare::default(),
            handshake: Rare::default(),
            ice: Rare::default(),
        }
    }
}
