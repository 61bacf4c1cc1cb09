//! Endpoints that agree on keys with their peer by a handshake (DTLS-SRTP, RFC 5764).
//!
//! Handshakes are somebody else's: they take long. What arrives for one is told apart here, and
//! handed out, with whether it came from where media goes; what comes of it is installed here.
//!
//! ```text
//!  packet, first byte 20 to 63 ─► Verdict::Shake ─► … handshakes … ─┬─► handle_shaking: where to
//!                 poll_shaking: begin, end ───────►                 └─► handle_shaken: keys
//! ```
//!
//! What we begin is begun as soon as there is a way to the peer. With ICE that is what was decided on, and
//! only those are heard that have been checked. All bases of a component share one handshake, that of the first.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use relay_wire::{Answer, CallKey, Crypto, Dtls, DtlsRole, Port, Refusal};

use crate::allowance::Allowance;
use crate::crypto::{Keys, Origin};
use crate::endpoint::Endpoint;
use crate::{DropReason, Egress, Ingress, Relay, SocketId, Verdict};

/// Datagrams of one endpoint that are handed out, from where media goes: a handshake has ten, and
/// some come twice.
type Pace = Allowance<64, 20>;

/// The same from elsewhere, of one share of those who send.
type StrangersPace = Allowance<32, 40>;

/// Shares that sources have of what strangers may send: nobody can choose whose he has.
const SHARES: usize = 16;

/// A datagram of a handshake, or of somebody who would like one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shaken {
    /// The endpoint.
    pub socket: SocketId,
    /// Which of the handshakes that [`Shaking`] has begun.
    pub generation: u32,
    /// It came from where media goes.
    pub is_peer: bool,
}

/// What is to be done about handshakes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Shaking {
    /// An endpoint shakes hands from now on.
    Begin {
        /// Which.
        socket: SocketId,
        /// Never used again.
        generation: u32,
        /// How.
        dtls: Dtls,
    },
    /// It does not any more.
    End {
        /// Which.
        socket: SocketId,
        /// As it was begun.
        generation: u32,
    },
}

/// What an endpoint has that shakes hands.
#[derive(Debug)]
pub(crate) struct Handshake {
    dtls: Dtls,
    generation: u32,
    /// It was said that it is to begin.
    is_begun: bool,
    /// Of who is where media goes.
    peer: Pace,
    /// Of others, by their shares.
    strangers: [StrangersPace; SHARES],
    /// It was said that one has failed, with a stranger, and with who is where media goes.
    has_failed: [bool; 2],
}

impl Handshake {
    fn new(dtls: Dtls, generation: u32) -> Self {
        Self {
            dtls,
            generation,
            is_begun: false,
            peer: Pace::FULL,
            strangers: [StrangersPace::FULL; SHARES],
            has_failed: [false; 2],
        }
    }
}

/// Handshakes of a worker, as far as they are told.
#[derive(Debug, Default)]
pub(crate) struct Handshaking {
    orders: VecDeque<Shaking>,
    last: u32,
    /// Says whose share is whose.
    hasher: RandomState,
    /// Datagrams that were handed out.
    taken: u64,
    /// Those that were not: too many came.
    paced: u64,
    /// Keys that were installed.
    keyed: u64,
}

impl Handshaking {
    /// What was seen, by the names of its metrics.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("dtls_taken", self.taken),
            ("dtls_paced", self.paced),
            ("dtls_keyed", self.keyed),
        ]
    }

    /// Addresses of one network of IPv6 have the same share.
    fn share_of(&self, source: IpAddr) -> usize {
        let network = match source {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits() >> 64,
        };
        let [low, ..] = self.hasher.hash_one(network).to_le_bytes();
        usize::from(low) % SHARES
    }
}

impl Relay {
    /// Says how an endpoint agrees on keys with its peer.
    pub(crate) fn set_dtls(
        &mut self,
        (call, port): (CallKey, Port),
        dtls: Option<Dtls>,
    ) -> Result<Answer, Refusal> {
        let socket = self.socket_of(call, port)?;
        if dtls.as_ref().is_some_and(|it| !it.fingerprint.is_whole()) {
            return Err(Refusal::WrongKey);
        }
        let endpoint = self.flows.endpoint(socket);
        let before = endpoint.and_then(Endpoint::handshake);
        if before.map(|it| &it.dtls) == dtls.as_ref() {
            return Ok(Answer::Done);
        }
        let is_first = before.is_none();
        self.forget_dtls(socket);
        let Some(dtls) = dtls else {
            for socket in self.agents.bases_of(socket) {
                self.await_keys(socket, false);
            }
            return Ok(Answer::Done);
        };
        self.handshaking.last = self.handshaking.last.wrapping_add(1);
        let generation = self.handshaking.last;
        let handshake = Box::new(Handshake::new(dtls, generation));
        if is_first {
            for socket in self.agents.bases_of(socket) {
                self.await_keys(socket, true);
            }
        }
        let rare = self.endpoint_of(call, port)?.rare_mut();
        rare.crypto.get_or_insert_default().handshake = Some(handshake);
        self.begin_handshake(socket);
        Ok(Answer::Done)
    }

    /// Has a handshake begin, if it has not. What we begin waits until there is a way to the peer: what
    /// leads nowhere would be sent again only after ever longer.
    pub(crate) fn begin_handshake(&mut self, socket: SocketId) {
        let endpoint = self.flows.endpoint(socket);
        let handshake = endpoint.and_then(Endpoint::handshake);
        let Some(handshake) = handshake.filter(|it| !it.is_begun) else {
            return;
        };
        let begin = Shaking::Begin {
            socket,
            generation: handshake.generation,
            dtls: handshake.dtls.clone(),
        };
        let is_ours = handshake.dtls.role == DtlsRole::Active;
        if is_ours && self.way_to_peer(socket, None).is_none() {
            return;
        }
        let keys = self.flows.open(socket).and_then(Endpoint::keys_mut);
        if let Some(handshake) = keys.and_then(|it| it.handshake.as_mut()) {
            handshake.is_begun = true;
            self.handshaking.orders.push_back(begin);
        }
    }

    /// An endpoint shakes no hands any more. Its keys stay.
    pub(crate) fn forget_dtls(&mut self, socket: SocketId) {
        let endpoint = self.flows.open(socket);
        let keys = endpoint.and_then(Endpoint::keys_mut);
        let Some(before) = keys.and_then(|it| it.handshake.take()) else {
            return;
        };
        let generation = before.generation;
        if !before.is_begun {
            return;
        }
        // What nobody has begun need not be ended.
        let orders = &mut self.handshaking.orders;
        let is_it = |it: &Shaking| matches!(it, Shaking::Begin { generation: other, .. } if *other == generation);
        let waiting = orders.iter().position(is_it);
        if waiting.and_then(|index| orders.remove(index)).is_none() {
            orders.push_back(Shaking::End { socket, generation });
        }
    }

    /// Takes the next order. There are two for each endpoint at most.
    #[must_use]
    pub fn poll_shaking(&mut self) -> Option<Shaking> {
        self.handshaking.orders.pop_front()
    }

    /// Takes what is neither RTP nor RTCP where there may be handshakes. `None`: it is none of one.
    pub(crate) fn take_handshake(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
    ) -> Option<Result<Verdict, DropReason>> {
        let Ingress { socket, source } = ingress;
        let arrived_at = self.flows.endpoint(socket)?;
        let member = arrived_at.rare().ice.as_ref();
        let name = member.map_or(socket, |it| it.agent());
        let named = self.flows.endpoint(name)?;
        if named.handshake().is_none() || !is_dtls(datagram) {
            return None;
        }
        let knows = arrived_at.rare().ice.as_ref().map(|it| it.knows(source));
        if knows == Some(false) {
            return Some(Err(DropReason::Unchecked));
        }
        let is_peer = knows.is_some() || arrived_at.latch.remote() == Some(source);
        let share = self.handshaking.share_of(source.ip());
        let keys = self.flows.open(name)?.keys_mut();
        let handshake = keys?.handshake.as_mut()?;
        let is_taken = match is_peer {
            true => handshake.peer.take(now),
            false => handshake.strangers[share].take(now),
        };
        if !is_taken {
            self.handshaking.paced += 1;
            return Some(Err(DropReason::Unchecked));
        }
        self.handshaking.taken += 1;
        Some(Ok(Verdict::Shake(Shaken {
            socket: name,
            generation: handshake.generation,
            is_peer,
        })))
    }

    /// A datagram of a handshake is to leave: says where, if the handshake still is wanted. `to` is
    /// `None` where media goes.
    pub fn handle_shaking(
        &mut self,
        socket: SocketId,
        generation: u32,
        to: Option<SocketAddr>,
    ) -> Option<Egress> {
        self.handshake(socket, generation)?;
        self.way_to_peer(socket, to)
    }

    fn way_to_peer(&self, socket: SocketId, to: Option<SocketAddr>) -> Option<Egress> {
        let knows = |socket: SocketId, to: SocketAddr| {
            let endpoint = self.flows.endpoint(socket);
            endpoint.is_some_and(|it| {
                let ice = it.rare().ice.as_ref();
                it.is_of_family(to) && ice.is_none_or(|it| it.knows(to))
            })
        };
        let elected = self.agents.elected(socket);
        let destination = match to {
            Some(to) => to,
            None => self.flows.endpoint(elected)?.destination().ok()?,
        };
        let bases = self.agents.bases_of(socket).into_iter();
        let mut from = std::iter::once(elected).chain(bases);
        Some(Egress {
            socket: from.find(|it| knows(*it, destination))?,
            destination,
        })
    }

    /// A handshake has given keys.
    pub fn handle_shaken(
        &mut self,
        socket: SocketId,
        generation: u32,
        receive: Crypto,
        send: Crypto,
    ) {
        if self.handshake(socket, generation).is_none() {
            return;
        }
        self.handshaking.keyed += 1;
        for socket in self.agents.bases_of(socket) {
            let keys = [Some(receive.clone()), Some(send.clone())];
            // What does not fit its suite opens nothing: then none do.
            let _ = self.install_keys(socket, keys, Origin::Shaken);
        }
    }

    /// A handshake has failed, with who is where media goes or with a stranger. Says whose it was, the
    /// first time of either.
    pub fn handle_unshaken(
        &mut self,
        socket: SocketId,
        generation: u32,
        is_peer: bool,
    ) -> Option<(CallKey, Port)> {
        self.handshake(socket, generation)?;
        let endpoint = self.flows.open(socket)?;
        let of = (endpoint.call, endpoint.port);
        let handshake = endpoint.keys_mut()?.handshake.as_mut()?;
        let has_failed = &mut handshake.has_failed[usize::from(is_peer)];
        (!std::mem::replace(has_failed, true)).then_some(of)
    }

    /// A component has other bases: they have the keys of the first, or wait for them as it does.
    pub(crate) fn share_keys(&mut self, first: SocketId) {
        let Some(keys) = self.flows.open(first).and_then(Endpoint::keys_mut) else {
            return;
        };
        if keys.handshake.is_none() {
            return;
        }
        let shaken = keys.shaken();
        for socket in self.agents.bases_of(first) {
            let keys = self.flows.open(socket).and_then(Endpoint::keys_mut);
            if keys.is_none_or(|it| !it.waits()) {
                self.await_keys(socket, true);
            }
            if let Some([receive, send]) = shaken.clone() {
                // They were installed before.
                let _ = self.install_keys(socket, [Some(receive), Some(send)], Origin::Shaken);
            }
        }
    }

    fn handshake(&self, socket: SocketId, generation: u32) -> Option<&Handshake> {
        let endpoint = self.flows.endpoint(socket)?;
        let handshake = endpoint.handshake();
        handshake.filter(|it| it.generation == generation)
    }
}

impl Endpoint {
    fn handshake(&self) -> Option<&Handshake> {
        self.rare().crypto.as_ref()?.handshake.as_deref()
    }

    fn keys_mut(&mut self) -> Option<&mut Keys> {
        self.rare_if(false)?.crypto.as_deref_mut()
    }
}

/// Whether a datagram is one of DTLS (RFC 7983 §7).
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}
