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

use relay_rtp::Kind;
use relay_srtp::{ProtectError, Receiver, Sender, UnprotectError};
use relay_wire::{Answer, CallKey, Crypto, Port, Refusal};

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
    /// It is a copy of one.
    pub(crate) is_copy: bool,
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

    pub(crate) fn of_copy(self) -> Self {
        Self {
            is_copy: true,
            ..self
        }
    }
}

/// The keys of one endpoint. What was counted with them stays while others, or none, are used: if
/// numbers began anew, packets could be played again, or read.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    receive: Option<Keyed<Receiver>>,
    send: Option<Keyed<Sender>>,
}

/// Keys, and what was counted with them.
#[derive(Debug)]
struct Keyed<T> {
    crypto: Crypto,
    state: T,
    is_used: bool,
}

impl Keys {
    /// What arrives is to be opened.
    pub(crate) fn opens(&self) -> bool {
        self.receive.as_ref().is_some_and(|it| it.is_used)
    }

    /// What leaves is to be sealed.
    pub(crate) fn seals(&self) -> bool {
        self.send.as_ref().is_some_and(|it| it.is_used)
    }

    fn receiver(&mut self) -> Option<&mut Receiver> {
        let receive = self.receive.as_mut().filter(|it| it.is_used);
        receive.map(|it| &mut it.state)
    }

    fn sender(&mut self) -> Option<&mut Sender> {
        let send = self.send.as_mut().filter(|it| it.is_used);
        send.map(|it| &mut it.state)
    }

    /// Opens a packet where it lies. Says how many bytes are left.
    fn open(&mut self, kind: Kind, packet: &mut [u8]) -> Result<usize, DropReason> {
        let Some(receiver) = self.receiver() else {
            return Ok(packet.len());
        };
        let opened = match kind {
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
    fn seal(&mut self, kind: Kind, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let sender = self.sender().ok_or(DropReason::Unsealed)?;
        let sealed = match kind {
            Kind::Rtp => sender.protect_rtp(buffer, len),
            Kind::Rtcp => sender.protect_rtcp(buffer, len),
            Kind::Other => Err(ProtectError::Malformed),
        };
        sealed.map_err(|error| match error {
            ProtectError::Repeated => DropReason::Replayed,
            ProtectError::Malformed
            | ProtectError::NoRoom
            | ProtectError::TooManySources
            | ProtectError::UsedUp => DropReason::Unsealed,
        })
    }
}

/// What is used from now on of keys that are told, or told again: `make` begins with new ones, and
/// knows those before.
fn renew<T>(
    before: &mut Option<Keyed<T>>,
    crypto: Option<Crypto>,
    make: impl FnOnce(&Crypto, Option<&T>) -> Result<T, Refusal>,
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
    let state = make(&crypto, before.as_ref().map(|it| &it.state))?;
    *before = Some(Keyed {
        crypto,
        state,
        is_used: true,
    });
    Ok(())
}

impl Relay {
    /// Says what protects packets between an endpoint and its peer.
    pub(crate) fn set_crypto(
        &mut self,
        (call, port): (CallKey, Port),
        [receive, send]: [Option<Crypto>; 2],
    ) -> Result<Answer, Refusal> {
        let endpoint = self.endpoint_of(call, port)?;
        for crypto in [&receive, &send].into_iter().flatten() {
            crypto.check()?;
        }
        let is_needed = receive.is_some() || send.is_some();
        let Some(rare) = endpoint.rare_if(is_needed) else {
            return Ok(Answer::Done);
        };
        let keys = rare.crypto.get_or_insert_default();
        renew(&mut keys.receive, receive, |crypto, before| {
            let mut receiver = Receiver::new(crypto)?;
            before.map(|it| receiver.follow(it)).unwrap_or_default();
            Ok(receiver)
        })?;
        renew(&mut keys.send, send, |crypto, _| Sender::new(crypto))?;
        endpoint.look_at_keys();
        Ok(Answer::Done)
    }

    /// Opens a packet that has arrived where there are keys. Says how many bytes are left.
    pub(crate) fn open_packet(
        &mut self,
        ingress: Ingress,
        kind: Kind,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let endpoint = self.flows.open(ingress.socket);
        let rare = endpoint.and_then(|it| it.rare_if(false));
        let keys = rare.and_then(|it| it.crypto.as_mut());
        let keys = keys.ok_or(DropReason::Unauthentic)?;
        let len = keys.open(kind, packet)?;
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
            is_copy: false,
        })
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
        match self.seal_in_place(sealing, buffer) {
            Ok((egress, len)) => {
                self.packets_out += u64::from(!sealing.is_copy);
                self.copied.sent += u64::from(sealing.is_copy);
                self.bytes_out += u64::from(len);
                self.sealed += 1;
                Verdict::ForwardPart { egress, len }
            }
            Err(reason) => {
                self.drops[reason.index()] += u64::from(!sealing.is_copy);
                self.copied.lost += u64::from(sealing.is_copy);
                Verdict::Drop(reason)
            }
        }
    }

    pub(crate) fn seal_in_place(
        &mut self,
        sealing: Sealing,
        buffer: &mut [u8],
    ) -> Result<(Egress, u16), DropReason> {
        let Sealing {
            socket, kind, len, ..
        } = sealing;
        let endpoint = self.flows.open(socket).ok_or(DropReason::UnknownFlow)?;
        let destination = endpoint.destination()?;
        let keys = endpoint.rare_if(false).and_then(|it| it.crypto.as_mut());
        let keys = keys.ok_or(DropReason::Unsealed)?;
        let sealed = keys.seal(kind, buffer, len.into())?;
        endpoint.count_sent(sealed);
        let egress = Egress {
            socket,
            destination,
        };
        let len = u16::try_from(sealed).map_err(|_| DropReason::Unsealed)?;
        Ok((egress, len))
    }
}
