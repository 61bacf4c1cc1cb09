//! Packets that are protected on the way between an endpoint and its peer (SRTP, RFC 3711).
//!
//! What arrives is opened before anything else is made of it, and what leaves is sealed after
//! everything else was: all between is as if nothing were protected.
//!
//! ```text
//!  packet ─► open (receive keys) ─► latch … filter … copies … ─► Verdict::Seal ─► Relay::seal (send keys)
//! ```
//!
//! A sealed packet is longer than a clear one, and copies of it are clear. So it is sealed last, by
//! the driver, which knows how much room there is behind it. Nothing leaves from an endpoint with
//! keys as it is: [`Endpoint::send`](crate::endpoint::Endpoint::send) refuses it like an address of
//! another family, which costs others nothing.

use std::iter;
use std::net::SocketAddr;
use std::time::Instant;

use relay_rtp::Kind;
use relay_srtp::{ProtectError, Receiver, Sender, UnprotectError};
use relay_wire::{Answer, CallKey, Crypto, ENDPOINTS_PER_CALL_MAX, EndpointCrypto, Port, Refusal};

use crate::dtls::Handshake;
use crate::endpoint::Endpoint;
use crate::{DropReason, Egress, Ingress, Relay, SocketId, Verdict};

/// A packet that is to be sealed before it leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Sealing {
    /// The socket that it leaves through.
    pub(crate) socket: SocketId,
    pub(crate) kind: Kind,
    /// Bytes of it, at the beginning of its buffer.
    pub(crate) len: u16,
    /// It is a copy of one that arrived there.
    pub(crate) copied_from: Option<Port>,
    /// The source and roll-over counter that it came with.
    pub(crate) came_with: Option<(u32, u32)>,
}

impl Sealing {
    /// Bytes of the packet that is to be sealed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn of_copy(self, from: Port) -> Self {
        Self {
            copied_from: Some(from),
            ..self
        }
    }

    /// Places that packets come from: other ports, and with 0 what comes no way but one.
    fn origin(&self) -> u32 {
        let origin = |it: Port| 1 << 31 | u32::from(it.interface.0) << 16 | u32::from(it.number);
        self.copied_from.map_or(0, origin)
    }
}

/// The keys of one endpoint. What was counted with them stays while a few others, or none, are used:
/// if numbers began anew, packets could be played again, or read.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    receive: Option<Keyed<Receiver>>,
    send: Option<Keyed<Sender>>,
    /// Agrees on them with the peer.
    pub(crate) handshake: Option<Box<Handshake>>,
    /// A handshake gives them: nothing passes before it has.
    waits: bool,
    /// A handshake gave those that are used.
    are_shaken: bool,
}

/// Keys that may come back after others: of a change that is taken back, or of one of several phones
/// that answer in turn.
const REPLACED_MAX: usize = 4;

/// Keys, and what was counted with them.
#[derive(Debug)]
struct Keyed<T> {
    crypto: Crypto,
    state: T,
    /// Those that were there before, the newest first, of which each has another key. They have none
    /// themselves, and lie where they are until they are overwritten.
    replaced: Vec<Box<Self>>,
    is_used: bool,
}

/// Where keys are from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Of signalling. They may be older than we know: RTCP begins with this number.
    Said { first_rtcp: u32 },
    /// Of a handshake.
    Shaken,
}

/// The roll-over counter that the newest packet came with which was opened. Where it leaves sealed
/// and its source is not known there, that is how it goes on: it may have passed as it was before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    call: CallKey,
    came_with: (u32, u32),
}

/// What was counted with keys.
trait Counts: Sized {
    /// With keys that nothing was done with yet.
    fn new(crypto: &Crypto, first_rtcp: u32) -> Result<Self, Refusal>;

    /// These keys take the place of others.
    fn follow(&mut self, before: &Self);

    /// Others have counted with the same key.
    fn join(&mut self, other: &Self);
}

impl Counts for Receiver {
    fn new(crypto: &Crypto, _: u32) -> Result<Self, Refusal> {
        Self::new(crypto)
    }

    fn follow(&mut self, before: &Self) {
        self.follow(before);
    }

    fn join(&mut self, other: &Self) {
        self.join(other);
    }
}

impl Counts for Sender {
    fn new(crypto: &Crypto, first_rtcp: u32) -> Result<Self, Refusal> {
        let mut sender = Self::new(crypto)?;
        sender.skip_rtcp(first_rtcp);
        Ok(sender)
    }

    fn follow(&mut self, before: &Self) {
        self.follow(before);
    }

    fn join(&mut self, other: &Self) {
        self.join(other);
    }
}

impl<T: Counts> Keyed<T> {
    /// Numbers are counted for the key itself, whatever else is said of it.
    fn has_key_of(&self, crypto: &Crypto) -> bool {
        self.crypto.key_and_salt == crypto.key_and_salt
    }

    /// These, or those of before, whichever have this key.
    fn of_key(&mut self, crypto: &Crypto) -> Option<&mut Self> {
        if self.has_key_of(crypto) {
            return Some(self);
        }
        let mut replaced = self.replaced.iter_mut();
        replaced.find(|it| it.has_key_of(crypto)).map(Box::as_mut)
    }

    /// Others take the place of these: says what was there before them.
    fn replace(mut self) -> Vec<Box<Self>> {
        let mut replaced = std::mem::take(&mut self.replaced);
        replaced.insert(0, Box::new(self));
        replaced
    }
}

fn join<T: Counts>(keyed: &mut Option<Keyed<T>>, other: Option<&Keyed<T>>) {
    let (Some(keyed), Some(other)) = (keyed, other) else {
        return;
    };
    let replaced = other.replaced.iter().map(Box::as_ref);
    for other in iter::once(other).chain(replaced) {
        if let Some(same) = keyed.of_key(&other.crypto) {
            same.state.join(&other.state);
        }
    }
}

impl Keys {
    /// Goes on where those of another endpoint are, if they are the same.
    fn join(&mut self, other: &Self) {
        join(&mut self.receive, other.receive.as_ref());
        join(&mut self.send, other.send.as_ref());
    }

    /// The source of RTP that was opened, and the roll-over counter that it has come to.
    fn came_with(&self, kind: Kind, packet: &[u8]) -> Option<(u32, u32)> {
        let ssrc = packet
            .get(8..)?
            .first_chunk()
            .filter(|_| kind == Kind::Rtp)?;
        let ssrc = u32::from_be_bytes(*ssrc);
        Some((ssrc, self.receive.as_ref()?.state.roll_over(ssrc)?))
    }

    /// What arrives is to be opened.
    pub(crate) fn opens(&self) -> bool {
        self.waits || self.receive.as_ref().is_some_and(|it| it.is_used)
    }

    /// What leaves is to be sealed.
    pub(crate) fn seals(&self) -> bool {
        self.waits || self.send.as_ref().is_some_and(|it| it.is_used)
    }

    /// Nothing passes before a handshake has given keys.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// What a handshake has given, to receive and to send with.
    pub(crate) fn shaken(&self) -> Option<[Crypto; 2]> {
        let (receive, send) = (self.receive.as_ref()?, self.send.as_ref()?);
        let are_used = self.are_shaken && receive.is_used && send.is_used;
        are_used.then(|| [receive.crypto.clone(), send.crypto.clone()])
    }

    fn receiver(&mut self) -> Option<&mut Receiver> {
        let receive = self.receive.as_mut().filter(|it| it.is_used);
        receive.map(|it| &mut it.state)
    }

    fn sender(&mut self) -> Option<&mut Sender> {
        let send = self.send.as_mut().filter(|it| it.is_used);
        send.map(|it| &mut it.state)
    }

    /// Opens a packet where it lies; `is_strange`: it is not where the peer is. Says how many bytes
    /// are left.
    fn open(
        &mut self,
        kind: Kind,
        packet: &mut [u8],
        is_strange: bool,
    ) -> Result<usize, DropReason> {
        let waits = self.waits;
        let Some(receiver) = self.receiver() else {
            return match waits {
                true => Err(DropReason::Unauthentic),
                false => Ok(packet.len()),
            };
        };
        let opened = match kind {
            Kind::Rtp if is_strange => receiver.unprotect_strange_rtp(packet),
            Kind::Rtp => receiver.unprotect_rtp(packet),
            Kind::Rtcp => receiver.unprotect_rtcp(packet),
            Kind::Other => Err(UnprotectError::Malformed),
        };
        opened.map_err(|error| match error {
            UnprotectError::Malformed | UnprotectError::Unauthentic => DropReason::Unauthentic,
            UnprotectError::Replayed => DropReason::Replayed,
        })
    }

    /// Seals the packet at the beginning of a buffer. Says how many bytes it has then.
    fn seal(&mut self, sealing: Sealing, buffer: &mut [u8]) -> Result<usize, DropReason> {
        // Keys of a handshake are as new to the peer as to us, and begin with 0.
        let came_with = sealing.came_with.filter(|_| !self.are_shaken);
        let sender = self.sender().ok_or(DropReason::Unsealed)?;
        sender.come_from(sealing.origin());
        if let Some((ssrc, roll_over)) = came_with {
            sender.expect(ssrc, roll_over);
        }
        let sealed = match sealing.kind {
            Kind::Rtp => sender.protect_rtp(buffer, sealing.len()),
            Kind::Rtcp => sender.protect_rtcp(buffer, sealing.len()),
            Kind::Other => Err(ProtectError::Malformed),
        };
        sealed.map_err(|error| match error {
            ProtectError::Repeated => DropReason::Replayed,
            ProtectError::TooManySources => DropReason::TooManySources,
            ProtectError::Malformed | ProtectError::NoRoom | ProtectError::UsedUp => {
                DropReason::Unsealed
            }
        })
    }
}

/// What is used from now on of keys that are told, or told again.
fn renew<T: Counts>(
    before: &mut Option<Keyed<T>>,
    crypto: Option<Crypto>,
    first_rtcp: u32,
) -> Result<(), Refusal> {
    let Some(crypto) = crypto else {
        if let Some(before) = before {
            before.is_used = false;
        }
        return Ok(());
    };
    if let Some(same) = before.as_mut().filter(|it| it.crypto == crypto) {
        same.is_used = true;
        return Ok(());
    }
    let mut state = T::new(&crypto, first_rtcp)?;
    let mut replaced = before.take().map_or_else(Vec::new, Keyed::replace);
    if let Some(newest) = replaced.first().filter(|it| !it.has_key_of(&crypto)) {
        state.follow(&newest.state);
    }
    for same in replaced.extract_if(.., |it| it.has_key_of(&crypto)) {
        state.join(&same.state);
    }
    replaced.truncate(REPLACED_MAX);
    *before = Some(Keyed {
        crypto,
        state,
        replaced,
        is_used: true,
    });
    Ok(())
}

/// The number of the first RTCP that is sealed with a key, which may be older than we know: the
/// parties begin low, and a relay that began like this earlier has not come so far since, unless it
/// sent 16 in each second. 2^29 are left at least.
pub(crate) fn first_rtcp(ntp_time: u64) -> u32 {
    let [a, b, c, d, ..] = ntp_time.to_be_bytes();
    let seconds = u32::from_be_bytes([a, b, c, d]);
    (1 << 29) + (seconds << 4 & 0x3fff_ffff)
}

impl Relay {
    /// Says what protects packets between endpoints of a call and their peers: all at once, or
    /// nothing changes.
    pub(crate) fn set_crypto(
        &mut self,
        now: Instant,
        call: CallKey,
        endpoints: Vec<EndpointCrypto>,
    ) -> Result<Answer, Refusal> {
        if endpoints.len() > ENDPOINTS_PER_CALL_MAX {
            return Err(Refusal::TooLong);
        }
        for it in &endpoints {
            self.endpoint_of(call, it.port)?;
            for crypto in it.receive.iter().chain(&it.send) {
                crypto.check()?;
            }
        }
        let (ntp_time, _) = self.reports.sign(now);
        let first_rtcp = first_rtcp(ntp_time);
        for it in endpoints {
            let socket = self.socket_of(call, it.port)?;
            let keys = [it.receive, it.send];
            self.install_keys(socket, keys, Origin::Said { first_rtcp })?;
        }
        Ok(Answer::Done)
    }

    /// The keys of one endpoint, which were looked at.
    pub(crate) fn install_keys(
        &mut self,
        socket: SocketId,
        [receive, send]: [Option<Crypto>; 2],
        origin: Origin,
    ) -> Result<(), Refusal> {
        let endpoint = self.flows.open(socket).ok_or(Refusal::UnknownPort)?;
        let call = endpoint.call;
        let is_needed = receive.is_some() || send.is_some();
        let Some(rare) = endpoint.rare_if(is_needed) else {
            return Ok(());
        };
        let keys = rare.crypto.get_or_insert_default();
        if !is_needed && keys.are_shaken {
            // It was not signalling that said these.
            return Ok(());
        }
        let first_rtcp = match origin {
            Origin::Said { first_rtcp } => first_rtcp,
            // Nobody has used such a key before.
            Origin::Shaken => 0,
        };
        keys.are_shaken = origin == Origin::Shaken;
        renew(&mut keys.receive, receive, 0)?;
        renew(&mut keys.send, send, first_rtcp)?;
        endpoint.look_at_keys();
        self.follow_keys(call, socket);
        Ok(())
    }

    /// Keys of an endpoint come of handshakes from now on, or do not any more. There are none yet, or
    /// none left.
    pub(crate) fn await_keys(&mut self, socket: SocketId, waits: bool) {
        let Some(endpoint) = self.flows.open(socket) else {
            return;
        };
        let Some(rare) = endpoint.rare_if(waits) else {
            return;
        };
        let keys = rare.crypto.get_or_insert_default();
        let were_shaken = std::mem::take(&mut keys.are_shaken);
        keys.waits = waits;
        if waits || were_shaken {
            if let Some(receive) = &mut keys.receive {
                receive.is_used = false;
            }
            if let Some(send) = &mut keys.send {
                send.is_used = false;
            }
        }
        endpoint.look_at_keys();
    }

    /// One key may be that of several endpoints of a call. What left from another may leave from this
    /// one from now on: it goes on where that is.
    pub(crate) fn follow_keys(&mut self, call: CallKey, to: SocketId) {
        for from in self.others_with_keys(call, to) {
            self.join_keys(from, to);
        }
    }

    /// An endpoint is closed: others go on where it is.
    pub(crate) fn leave_keys(&mut self, call: CallKey, from: SocketId) {
        for to in self.others_with_keys(call, from) {
            self.join_keys(from, to);
        }
    }

    /// The other endpoints of a call that have keys; none if this one has none.
    fn others_with_keys(&self, call: CallKey, socket: SocketId) -> Vec<SocketId> {
        let endpoint = |it| self.flows.endpoint(it);
        let has_keys = |it: &SocketId| endpoint(*it).is_some_and(|it| it.rare().crypto.is_some());
        let call = self.calls.get(call).filter(|_| has_keys(&socket));
        let all = call.map_or(&[][..], |it| &it.endpoints);
        let others = all.iter().filter(|it| **it != socket && has_keys(it));
        others.copied().collect()
    }

    fn join_keys(&mut self, from: SocketId, to: SocketId) {
        let endpoint = self.flows.open(to);
        let rare = endpoint.and_then(|it| it.rare_if(false));
        let Some(mut keys) = rare.and_then(|it| it.crypto.take()) else {
            return;
        };
        let other = self.flows.endpoint(from);
        if let Some(other) = other.and_then(|it| it.rare().crypto.as_ref()) {
            keys.join(other);
        }
        if let Some(endpoint) = self.flows.open(to) {
            endpoint.rare_mut().crypto = Some(keys);
        }
    }

    /// Opens a packet that has arrived where there are keys. Says how many bytes are left.
    pub(crate) fn open_packet(
        &mut self,
        ingress: Ingress,
        kind: Kind,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let endpoint = self.flows.open(ingress.socket);
        let endpoint = endpoint.ok_or(DropReason::Unauthentic)?;
        let call = endpoint.call;
        let is_strange = endpoint.is_strange(ingress.source);
        let keys = endpoint.rare_if(false).and_then(|it| it.crypto.as_mut());
        let keys = keys.ok_or(DropReason::Unauthentic)?;
        let len = keys.open(kind, packet, is_strange)?;
        let came_with = keys.came_with(kind, packet);
        self.newest_opened = came_with.map(|came_with| Opened { call, came_with });
        self.opened += 1;
        Ok(len)
    }

    /// Nothing may leave through this socket as it is: says that it is to be sealed, if that is why.
    #[cold]
    pub(crate) fn to_seal(
        &self,
        socket: SocketId,
        kind: Kind,
        len: usize,
        reason: DropReason,
    ) -> Result<Sealing, DropReason> {
        let endpoint = self.flows.endpoint(socket);
        let is_sealed = endpoint.is_some_and(|it| it.is_sealed());
        if reason != DropReason::AddressFamily || !is_sealed {
            return Err(reason);
        }
        Ok(Sealing {
            socket,
            kind,
            len: u16::try_from(len).map_err(|_| DropReason::Unsealed)?,
            copied_from: None,
            came_with: self.came_with(socket),
        })
    }

    /// What the newest packet came with that was opened in the call of this socket.
    fn came_with(&self, socket: SocketId) -> Option<(u32, u32)> {
        let call = self.flows.endpoint(socket)?.call;
        let opened = self.newest_opened.filter(|it| it.call == call);
        opened.map(|it| it.came_with)
    }

    /// A packet is about to leave through a socket: as it is, or sealed.
    pub(crate) fn depart(
        &mut self,
        socket: SocketId,
        kind: Kind,
        len: usize,
    ) -> Result<Verdict, DropReason> {
        match self.leave(socket, len) {
            Ok(egress) => Ok(Verdict::Forward(egress)),
            Err(reason) => self.to_seal(socket, kind, len, reason).map(Verdict::Seal),
        }
    }

    /// Seals a packet of [`Verdict::Seal`], which lies at the beginning of the buffer; what is behind
    /// it is room, [`GROWTH_MAX`](crate::GROWTH_MAX) at most are needed. Says where it leaves, and how long it is now. It
    /// is counted already.
    pub fn seal(&mut self, sealing: Sealing, buffer: &mut [u8]) -> Verdict {
        let is_copy = sealing.copied_from.is_some();
        match self.seal_in_place(sealing, buffer) {
            Ok((egress, len)) => {
                self.packets_out += u64::from(!is_copy);
                self.copied.sent += u64::from(is_copy);
                self.bytes_out += u64::from(len);
                Verdict::ForwardPart { egress, len }
            }
            Err(reason) => {
                self.drops[reason.index()] += u64::from(!is_copy);
                self.copied.lost += u64::from(is_copy);
                let is_crowded = reason == DropReason::TooManySources;
                self.copied.crowded += u64::from(is_copy && is_crowded);
                Verdict::Drop(reason)
            }
        }
    }

    pub(crate) fn seal_in_place(
        &mut self,
        sealing: Sealing,
        buffer: &mut [u8],
    ) -> Result<(Egress, u16), DropReason> {
        let socket = sealing.socket;
        let endpoint = self.flows.open(socket).ok_or(DropReason::UnknownFlow)?;
        let sealed = endpoint.seal(sealing, buffer);
        if sealed.is_err() {
            endpoint.count_drop();
        }
        let (destination, len) = sealed?;
        self.sealed += 1;
        let egress = Egress {
            socket,
            destination,
        };
        Ok((egress, len))
    }
}

impl Endpoint {
    /// Somebody else than this source is known to be the peer, and the peer alone is heard.
    fn is_strange(&self, source: SocketAddr) -> bool {
        let is_other = self.latch.learnt().is_some_and(|it| it != source);
        let ice = self.rare().ice.as_ref();
        let is_checked = ice.is_some_and(|it| it.knows(source));
        is_other && !is_checked && !self.latch.rules().forwards_others
    }

    /// Seals a packet that leaves here, and counts it.
    fn seal(
        &mut self,
        sealing: Sealing,
        buffer: &mut [u8],
    ) -> Result<(SocketAddr, u16), DropReason> {
        let destination = self.destination()?;
        let keys = self.rare_if(false).and_then(|it| it.crypto.as_mut());
        let keys = keys.ok_or(DropReason::Unsealed)?;
        let sealed = keys.seal(sealing, buffer)?;
        self.count_sent(sealed);
        let len = u16::try_from(sealed).map_err(|_| DropReason::Unsealed)?;
        Ok((destination, len))
    }
}
