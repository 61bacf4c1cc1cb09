//! What control asks of the relay.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    CallKey, CallStats, Dtls, EndpointCrypto, Filter, Ice, OnRtcp, Play, Port, Sink, SoundKey,
    SoundPiece, Transcoding, WorkerId, WorkerStats,
};

/// A message from control to the relay.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ToRelay {
    /// Must come first.
    Hello {
        /// Must equal [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u16,
    },
    /// Work for one worker.
    Request(Request),
    /// A part of a sound that is to be played. There is no answer: who plays a sound that is not
    /// whole is refused.
    Sound(SoundPiece),
    /// A sound is not needed any more. Where it is being played, it goes on.
    ForgetSound(SoundKey),
}

/// Commands for one worker, applied in order between two batches of packets. They stop at the
/// first that fails; those before it stand.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Request {
    /// Comes back in the [`Reply`](crate::Reply).
    pub id: u32,
    /// Who is to do it. Ports must belong to this worker by
    /// [`PortPartition`](crate::PortPartition).
    pub worker: WorkerId,
    /// At most [`COMMANDS_MAX`](crate::COMMANDS_MAX).
    pub commands: Vec<Command>,
}

/// One change, or one question.
///
/// An *endpoint* is a bound UDP port of the relay together with the one remote address it
/// exchanges packets with. A *flow* is one direction: what arrives at one endpoint leaves through
/// another, from that endpoint's port to that endpoint's remote address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Command {
    /// Begins a call. Fails with [`Refusal::CallExists`] if the key is taken.
    CreateCall {
        /// The key of the new call.
        call: CallKey,
        /// Silence on all endpoints after which [`Event::MediaTimeout`](crate::Event) is sent,
        /// in milliseconds; 0 is never.
        media_timeout_ms: u32,
        /// Opaque to the relay; given back by [`Command::ListCalls`].
        #[serde(with = "crate::bytes")]
        record: Vec<u8>,
    },
    /// Ends a call: closes its endpoints and forgets its record. Answers [`Answer::Call`] with
    /// the final counts.
    RemoveCall {
        /// Which call.
        call: CallKey,
    },
    /// Replaces the record of a call.
    SetRecord {
        /// Which call.
        call: CallKey,
        /// At most [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX).
        #[serde(with = "crate::bytes")]
        record: Vec<u8>,
    },
    /// Changes how long a call may be silent (0: for ever, as in a call on hold).
    SetMediaTimeout {
        /// Which call.
        call: CallKey,
        /// As in [`Command::CreateCall`]; counted from now.
        media_timeout_ms: u32,
    },
    /// Binds one UDP port and begins to receive on it. Nothing is forwarded before it is
    /// connected.
    OpenEndpoint {
        /// The call that it belongs to.
        call: CallKey,
        /// What to bind.
        port: Port,
        /// What packets that leave from here carry as type of service or traffic class (RFC 2474
        /// §3: the DSCP is its upper six bits). `None`: what is set for the interface.
        tos: Option<u8>,
    },
    /// Closes one endpoint; flows to it end.
    CloseEndpoint {
        /// The call that it belongs to.
        call: CallKey,
        /// Which endpoint.
        port: Port,
    },
    /// Says where an endpoint's peer is, as far as signalling knows, and how to learn better.
    /// If that is what was said before, what was learnt since stays; otherwise learning begins
    /// anew.
    SetRemote {
        /// The call that it belongs to.
        call: CallKey,
        /// Which endpoint.
        port: Port,
        /// Where to send before anything is learnt. `None`: nowhere.
        remote: Option<SocketAddr>,
        /// What to make of the source of packets that arrive.
        learning: Learning,
    },
    /// Installs the flows of packets that arrive at `ingress`; `None` drops them.
    Connect {
        /// The call that all three belong to.
        call: CallKey,
        /// Where packets arrive.
        ingress: Port,
        /// Where RTP (and anything that is not RTCP) leaves.
        rtp: Option<Port>,
        /// Where RTCP leaves: packets that RFC 5761 §4 tells apart as RTCP.
        rtcp: Option<Port>,
    },
    /// Answers [`Answer::Call`].
    QueryCall {
        /// Which call.
        call: CallKey,
    },
    /// Answers [`Answer::Calls`] with a page of the worker's calls in order of their keys. For
    /// those of them that are silent for too long, [`Event::MediaTimeout`](crate::Event) is sent
    /// again, so that events which nobody was there to hear are not lost.
    ListCalls {
        /// The last key of the page before; `None` at first.
        after: Option<CallKey>,
    },
    /// Answers [`Answer::Worker`].
    QueryWorker,
    /// Changes how long a call that nothing was ever heard of may stay so. Counted from now; what
    /// was heard before counts.
    SetFirstPacketTimeout {
        /// Which call.
        call: CallKey,
        /// Time without a packet at any of its endpoints after which
        /// [`Event::FirstPacketTimeout`](crate::Event) is sent, in milliseconds; 0 is never.
        first_packet_timeout_ms: u32,
    },
    /// Says what else holds for the source of packets at an endpoint; before it is said, the
    /// default does. What was learnt stays.
    SetSourceRules {
        /// The call that it belongs to.
        call: CallKey,
        /// Which endpoint.
        port: Port,
        /// What holds from now on.
        rules: SourceRules,
    },
    /// Says what becomes of the RTP that arrives at an endpoint, in place of what was said before.
    /// Fails with [`Refusal::Unsupported`] if the routes cannot be, and with [`Refusal::Overload`]
    /// if there is too much to do for another stream; then what was said before holds. A call that
    /// the same request creates is one that is installed again, and is not refused for that while
    /// there is room.
    SetTranscoding {
        /// The call that it belongs to.
        call: CallKey,
        /// Where packets arrive.
        ingress: Port,
        /// `None`: they leave as they come.
        transcoding: Option<Transcoding>,
    },
    /// Says what becomes of single packets that arrive at an endpoint, in place of what was said
    /// before. Fails with [`Refusal::TooLong`] if it names too many payload types.
    SetFilter {
        /// The call that it belongs to.
        call: CallKey,
        /// Where packets arrive.
        ingress: Port,
        /// `None`: nothing.
        filter: Option<Filter>,
    },
    /// Says whether [`Event::Report`](crate::Event) is sent from now on, of all calls of the worker.
    /// At first it is not.
    TellReports {
        /// Whether it is.
        enabled: bool,
    },
    /// Says who else gets a copy of what arrives at an endpoint, in place of what was said before.
    /// Fails with [`Refusal::TooLong`] if these are too many.
    SetSinks {
        /// The call that it belongs to.
        call: CallKey,
        /// Where packets arrive.
        ingress: Port,
        /// At most [`SINKS_MAX`](crate::SINKS_MAX).
        sinks: Vec<Sink>,
    },
    /// Says what becomes of RTCP that arrives at an endpoint, in place of what was said before.
    SetRtcp {
        /// The call that it belongs to.
        call: CallKey,
        /// Where it arrives.
        port: Port,
        /// What becomes of it.
        rtcp: OnRtcp,
    },
    /// Plays a sound to the peer of an endpoint, in place of what is being played, as one stream of
    /// a source of its own. Fails with [`Refusal::UnknownSound`] if the sound is not there as a
    /// whole, with [`Refusal::Unsupported`] if it does not fit the codec, and with
    /// [`Refusal::Overload`] if there is too much to do.
    Play {
        /// The call that the endpoint belongs to.
        call: CallKey,
        /// Where it leaves.
        port: Port,
        /// What is played.
        play: Play,
    },
    /// Ends what is played to the peer of an endpoint. Answers [`Answer::Played`].
    StopPlaying {
        /// The call that the endpoint belongs to.
        call: CallKey,
        /// Where it leaves.
        port: Port,
    },
    /// Says what protects packets between endpoints of a call and their peers, in place of what was
    /// said before. If that is what was said before, nothing changes: packets are counted on as they
    /// were. All of them have the keys at once, or none: no packet is opened by one that another does
    /// not seal yet. Fails with [`Refusal::WrongKey`] if a key does not fit its suite, and with
    /// [`Refusal::TooLong`] if it names too much.
    ///
    /// Keys may come late, after a handshake: before they do, packets pass as they are.
    SetCrypto {
        /// The call that they belong to.
        call: CallKey,
        /// At most [`ENDPOINTS_PER_CALL_MAX`](crate::ENDPOINTS_PER_CALL_MAX); those that are not
        /// named stay as they are.
        endpoints: Vec<EndpointCrypto>,
    },
    /// Has the relay find out by ICE where a peer is, in place of what was said before: it answers
    /// checks and makes them, takes packets only from where one was answered, and sends where it
    /// was decided to; before it is, where [`Command::SetRemote`] says. Flows to the first of the
    /// endpoints go to the one that was decided on. What was found out stays when candidates are
    /// added. Fails with [`Refusal::TooLong`] if it names too much.
    SetIce {
        /// The call that it belongs to.
        call: CallKey,
        /// The first of its endpoints.
        port: Port,
        /// `None`: ICE is not spoken.
        ice: Option<Ice>,
    },
    /// Has the relay agree on keys with the peer of an endpoint by a handshake, RTP and RTCP alike,
    /// in place of what was said before and of [`Command::SetCrypto`]. If that is what was said
    /// before, nothing changes; otherwise a handshake begins, and keys of the one before hold until
    /// it gives others. Until there are keys nothing passes. Handshakes are made with the address
    /// that media is sent to; who begins one may be elsewhere, since only the peer can end it. Fails
    /// with [`Refusal::WrongKey`] if the fingerprint is none.
    SetDtls {
        /// The call that it belongs to.
        call: CallKey,
        /// Which endpoint.
        port: Port,
        /// `None`: there are no handshakes.
        dtls: Option<Dtls>,
    },
}

/// How an endpoint learns the address of its peer (RFC 7362 §4). What is learnt is locked:
/// packets from elsewhere are dropped and counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Learning {
    /// Addresses of packets are matched with those signalled: for three seconds after the first
    /// packet that counts the best match (address and port, address, port, any) wins, then it is
    /// locked. Of sources that match alike the first wins; a perfect match is locked at once. A
    /// source at another address than the signalled one must first prove to be a stream: several
    /// packets in a row, which go no further and after which alone it is sent to.
    #[default]
    Heuristic,
    /// The source of the first packet is locked.
    Immediate,
    /// The last source within three seconds of the first packet is locked.
    Delayed,
    /// Only the signalled address is used, and packets are accepted only from it.
    Off,
}

/// What holds for the source of packets at an endpoint, beyond [`Learning`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SourceRules {
    /// The peer sends from elsewhere than it receives: packets go where signalling says, wherever
    /// they come from.
    pub is_asymmetric: bool,
    /// Nothing is sent before something came from the peer.
    pub waits_for_peer: bool,
    /// Empty datagrams are sent until something comes from the peer, to open its NAT.
    pub pierces_nat: bool,
    /// Whether a locked source may change.
    pub handover: Handover,
    /// Packets from other sources than the peer go on as if they were the peer's, unless a source
    /// that is locked never changes ([`Handover::Never`]), and nobody need prove anything to be
    /// learnt. Who sends to the port is heard.
    pub forwards_others: bool,
    /// A packet that comes again and again goes no further: signalling says that the peer is at an
    /// address of ours, so that packets may go in a circle.
    pub checks_loops: bool,
}

/// Whether another source may take the place of a locked one that has fallen silent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Handover {
    /// If it goes on with the very stream: the same SSRC, and a sequence number that follows.
    /// Nobody can guess these who does not hear the call.
    #[default]
    SameStream,
    /// Never.
    Never,
    /// Any stream that has proven to be one. Whoever sends at random gets in when a phone is
    /// silent.
    AnyStream,
}

/// What became of one [`Request`], command by command.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Answer {
    /// Done, and nothing to say.
    Done,
    /// Counts of one call.
    Call(CallStats),
    /// A page of calls.
    Calls {
        /// In order of their keys.
        calls: Vec<CallRecord>,
        /// There are more after the last of these.
        more: bool,
    },
    /// Counts of the worker.
    Worker(WorkerStats),
    /// How far something was played that has ended, now or before, in its
    /// [units](Play::unit_hz); `None`: nothing was.
    Played(Option<u64>),
}

impl Answer {
    /// Bytes of an [`Answer::Calls`] without its calls, at most.
    pub const CALLS_LEN_MAX: usize = 8;

    /// Bytes that this takes in a [`Reply`](crate::Reply), at most: lets the relay keep a reply
    /// within [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) without encoding it twice.
    #[must_use]
    pub fn encoded_len_max(&self) -> usize {
        match self {
            Self::Done => 1,
            Self::Call(stats) => 1 + stats.encoded_len_max(),
            Self::Calls { calls, .. } => {
                let lens = calls
                    .iter()
                    .map(|it| CallRecord::encoded_len_max(it.record.len()));
                Self::CALLS_LEN_MAX + lens.sum::<usize>()
            }
            Self::Worker(stats) => 1 + stats.encoded_len_max(),
            Self::Played(_) => 2 + 10,
        }
    }
}

impl CallRecord {
    /// Bytes of an encoded record of `record_len` bytes, at most.
    #[must_use]
    pub const fn encoded_len_max(record_len: usize) -> usize {
        // The key, and the length that stands before the record.
        10 + 5 + record_len
    }
}

/// A call and what control wrote about it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallRecord {
    /// The call's key.
    pub call: CallKey,
    /// As control left it.
    #[serde(with = "crate::bytes")]
    pub record: Vec<u8>,
}

/// The first command of a request that could not be done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// Its place in [`Request::commands`].
    pub index: u16,
    /// Why.
    pub error: CommandError,
}

/// Why a command could not be done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum CommandError {
    /// The relay said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The operating system said no, with this `errno`.
    #[error("the system refused it: errno {0}")]
    System(i32),
}

/// Why the relay said no.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// The key names a call already.
    #[error("the call exists already")]
    CallExists,
    /// Codecs have too much to do for another stream that is transcoded, or may not be used.
    #[error("too much is transcoded already")]
    Overload,
    /// The port is an endpoint already.
    #[error("the port is open already")]
    PortOpen,
    /// The record, or the list of commands, payload types or sinks is over its limit.
    #[error("too long")]
    TooLong,
    /// The worker's table of calls or endpoints is full, or the call has too many endpoints.
    #[error("the table is full")]
    TableFull,
    /// No such call.
    #[error("no such call")]
    UnknownCall,
    /// No such endpoint in this call.
    #[error("no such endpoint")]
    UnknownPort,
    /// Routes of a stream that cannot be: none or too many, two for one payload type, or numbers
    /// out of their range.
    #[error("this cannot be transcoded")]
    Unsupported,
    /// No such worker, or the port belongs to another one.
    #[error("not this worker's")]
    WrongWorker,
    /// No such sound, or not all of it.
    #[error("no such sound")]
    UnknownSound,
    /// A key, or its identifier, is not of a length that the suite has, or it cannot do one thing
    /// without the other.
    #[error("the key does not fit its suite")]
    WrongKey,
}
