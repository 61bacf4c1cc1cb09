//! What arrives at one endpoint and goes to several: the driver makes a copy for each.
//!
//! ```text
//!  handle_packet ─► Verdict (the first one, if there is one)
//!   poll_copy    ─► Copy ─► the worker of its port ─► handle_copy ─► Verdict
//! ```
//!
//! A copy leaves from a port of any call and any worker. So it is sent by name: whoever the port
//! belongs to finds it when the copy comes, or throws it away. That takes a hash, and a copy takes
//! the driver a bounded queue; streams that have no sinks have nothing to do with either.

use std::time::Instant;

use relay_rtp::Kind;
use relay_wire::{Answer, CallKey, Port, Refusal, SINKS_MAX, Sink, WorkerId};

use crate::allowance::Allowance;
use crate::{DropReason, Relay, SocketId, Verdict};

/// Packets of one endpoint that may be copied at once; beyond that, one each millisecond.
pub const COPIED_BURST: u32 = 500;

/// A copy that the driver is to make, and to hand to the worker that it names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Copy {
    /// Who hands it to [`Relay::handle_copy`].
    pub worker: WorkerId,
    /// Whose port it is.
    pub call: CallKey,
    /// Where it is to leave from.
    pub port: Port,
    /// Where the packet arrived, or that was which it was made of.
    pub from: Port,
    /// Bytes of it, at the beginning of the packet.
    pub len: u16,
    /// It leaves sealed, or not at all.
    pub is_sealed: bool,
}

/// Who gets copies of what arrives at an endpoint, and who serves them.
#[derive(Clone, Debug)]
pub(crate) struct Sinks {
    all: Box<[Sink]>,
    /// Packets that may come: a burst, and then one each millisecond. Parties may have named each
    /// other's ports of this relay, so that copies go in a circle and become more with each round;
    /// and each packet that comes takes the room of sixteen.
    pace: Allowance<COPIED_BURST, 1>,
}

impl Sinks {
    /// `None`: there are none.
    pub(crate) fn new(all: Vec<Sink>) -> Option<Box<Self>> {
        let pace = Allowance::default();
        let all = all.into_boxed_slice();
        (!all.is_empty()).then(|| Box::new(Self { all, pace }))
    }

    pub(crate) fn all(&self) -> &[Sink] {
        &self.all
    }

    /// Whether another packet may come now.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        self.pace.take(now)
    }
}

/// The packet at hand, of which copies are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copying {
    /// Where it arrived.
    socket: SocketId,
    kind: Kind,
    /// Bytes of it.
    len: u16,
    /// It is not what arrived, but was made of that.
    is_remade: bool,
    /// The place of the sink whose turn it is.
    next: usize,
}

/// What became of copies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copied {
    /// Packets that copies were made of.
    pub(crate) packets: u64,
    /// Of these, packets that went nowhere else.
    pub(crate) only: u64,
    /// Copies that left.
    pub(crate) sent: u64,
    /// Copies that found no way out.
    pub(crate) lost: u64,
    /// Of these, copies of too many sources for keys.
    pub(crate) crowded: u64,
}

impl Copied {
    pub(crate) fn counters(&self) -> [(&'static str, u64); 5] {
        [
            ("packets_copied", self.packets),
            ("packets_copied_only", self.only),
            ("copies_sent", self.sent),
            ("copies_lost", self.lost),
            ("copies_of_too_many_sources", self.crowded),
        ]
    }
}

impl Relay {
    pub(crate) fn set_sinks(
        &mut self,
        call: CallKey,
        ingress: Port,
        sinks: Vec<Sink>,
    ) -> Result<Answer, Refusal> {
        if sinks.len() > SINKS_MAX {
            return Err(Refusal::TooLong);
        }
        let endpoint = self.endpoint_of(call, ingress)?;
        endpoint.set_sinks(Sinks::new(sinks));
        Ok(Answer::Done)
    }

    /// Has copies made of the packet at hand.
    #[cold]
    pub(crate) fn begin_copies(
        &mut self,
        socket: SocketId,
        kind: Kind,
        len: usize,
        is_remade: bool,
    ) {
        self.copied.packets += u64::from(!is_remade);
        self.copying = Some(Copying {
            socket,
            kind,
            len: u16::try_from(len).unwrap_or(u16::MAX),
            is_remade,
            next: 0,
        });
    }

    /// Takes the next copy that is to be made of the packet that was just handed in, before
    /// anything else is done with that.
    #[must_use]
    #[inline]
    pub fn poll_copy(&mut self) -> Option<Copy> {
        let copying = self.copying?;
        self.next_copy(copying)
    }

    #[cold]
    fn next_copy(&mut self, mut copying: Copying) -> Option<Copy> {
        let endpoint = self.flows.endpoint(copying.socket);
        let sinks = endpoint.map(|it| (it.port, it.sinks()));
        let Some((from, sinks)) = sinks else {
            self.copying = None;
            return None;
        };
        for sink in sinks.iter().skip(copying.next) {
            copying.next += 1;
            let port = match copying.kind {
                Kind::Rtcp => sink.rtcp,
                Kind::Rtp | Kind::Other => sink.rtp,
            };
            let port = port.filter(|_| sink.is_remade == copying.is_remade);
            let worker = port.and_then(|it| self.limits.partition.owner(it.number));
            if let (Some(port), Some(worker)) = (port, worker) {
                self.copying = Some(copying);
                return Some(Copy {
                    worker,
                    call: sink.call,
                    port,
                    from,
                    len: copying.len,
                    is_sealed: sink.is_sealed,
                });
            }
        }
        self.copying = None;
        None
    }

    /// Takes a copy that some worker has made for a port of this one; says where it leaves. It is
    /// counted already.
    pub fn handle_copy(&mut self, copy: &Copy, packet: &[u8]) -> Verdict {
        match self.route_copy(copy, packet) {
            Ok(Verdict::Seal(sealing)) => Verdict::Seal(sealing.of_copy(copy.from)),
            Ok(verdict) => {
                self.copied.sent += 1;
                self.bytes_out += packet.len() as u64;
                verdict
            }
            Err(reason) => {
                self.copied.lost += 1;
                Verdict::Drop(reason)
            }
        }
    }

    fn route_copy(&mut self, copy: &Copy, packet: &[u8]) -> Result<Verdict, DropReason> {
        let socket = self.flows.socket_of(copy.port);
        let socket = socket.ok_or(DropReason::UnknownFlow)?;
        let socket = self.agents.elected(socket);
        let endpoint = self.flows.endpoint(socket);
        let endpoint = endpoint.filter(|it| it.call == copy.call);
        let endpoint = endpoint.ok_or(DropReason::UnknownFlow)?;
        // Keys of another call come and go when they do.
        if copy.is_sealed && !endpoint.is_sealed() {
            return Err(DropReason::Unsealed);
        }
        self.depart(socket, Kind::of(packet), packet.len())
    }
}
