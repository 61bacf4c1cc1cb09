//! The endpoints of a worker by socket: an array, since the socket *is* the slot.
//!
//! ```text
//!        reserve            open              close             free
//! Free ──────────► Reserved ─────► Open ──────────────► Closing ─────► Free
//!                     └────────────── free ──────────────────────────►
//! ```
//!
//! A slot is Reserved while the driver binds, and Closing until the driver has seen the last
//! completion of its socket: until then neither slot nor port may be used again.

use relay_wire::{CallKey, Port};
use rustc_hash::FxHashMap;

use crate::SocketId;
use crate::endpoint::Endpoint;

/// The endpoints of one worker.
#[derive(Debug)]
pub(crate) struct FlowTable {
    slots: Vec<Slot>,
    /// Slots below `slots.len()` that are free.
    free: Vec<SocketId>,
    /// The slot of every port that is not free.
    by_port: FxHashMap<Port, SocketId>,
    slots_max: u32,
    closing: usize,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most slots are open, and a pointer would be one more look per packet"
)]
enum Slot {
    Free,
    /// Waits for the driver to bind.
    Reserved(Reservation),
    Open(Endpoint),
    Closing(Port),
}

/// What an endpoint is made of when its port is bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    pub(crate) call: CallKey,
    pub(crate) port: Port,
    pub(crate) is_ipv4: bool,
}

// An open endpoint's slot is the endpoint: that it is open is written in its own first line.
const _: () = assert!(size_of::<Slot>() == size_of::<Endpoint>());

/// Why no slot was reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReserveError {
    /// The port, or the slot that it needs, is being closed: it will be free soon.
    Closing,
    /// No slot is left.
    Full,
    /// The port has a slot.
    PortOpen,
}

impl FlowTable {
    pub(crate) fn new(slots_max: u32) -> Self {
        Self {
            // Pages are taken as slots are first used, and nothing moves while packets flow.
            slots: Vec::with_capacity(usize::try_from(slots_max).unwrap_or(0)),
            free: Vec::new(),
            by_port: FxHashMap::default(),
            slots_max,
            closing: 0,
        }
    }

    /// Endpoints that are open or being opened.
    pub(crate) fn len(&self) -> usize {
        self.by_port.len() - self.closing
    }

    /// Endpoints whose sockets are being closed.
    pub(crate) fn closing(&self) -> usize {
        self.closing
    }

    /// The endpoint of a socket, if it is open: once or twice for each packet.
    pub(crate) fn open(&mut self, socket: SocketId) -> Option<&mut Endpoint> {
        match self.slots.get_mut(socket.index()) {
            Some(Slot::Open(endpoint)) => Some(endpoint),
            _ => None,
        }
    }

    /// The same, to read.
    pub(crate) fn endpoint(&self, socket: SocketId) -> Option<&Endpoint> {
        match self.slots.get(socket.index()) {
            Some(Slot::Open(endpoint)) => Some(endpoint),
            _ => None,
        }
    }

    /// The socket of an open port.
    pub(crate) fn socket_of(&self, port: Port) -> Option<SocketId> {
        let socket = *self.by_port.get(&port)?;
        self.endpoint(socket).map(|_| socket)
    }

    /// Takes a slot for an endpoint whose port is yet to be bound.
    pub(crate) fn reserve(&mut self, wanted: Reservation) -> Result<SocketId, ReserveError> {
        let port = wanted.port;
        if let Some(socket) = self.by_port.get(&port) {
            return Err(match self.slots[socket.index()] {
                Slot::Closing(_) => ReserveError::Closing,
                _ => ReserveError::PortOpen,
            });
        }
        let socket = self.free_slot().ok_or(if self.closing > 0 {
            ReserveError::Closing
        } else {
            ReserveError::Full
        })?;
        self.slots[socket.index()] = Slot::Reserved(wanted);
        self.by_port.insert(port, socket);
        Ok(socket)
    }

    /// The port of a reserved slot is bound. `None`: it was not reserved.
    pub(crate) fn commit(&mut self, socket: SocketId) -> Option<&mut Endpoint> {
        let slot = self.slots.get_mut(socket.index())?;
        let Slot::Reserved(reserved) = *slot else {
            return None;
        };
        *slot = Slot::Open(Endpoint::new(reserved));
        self.open(socket)
    }

    /// The port of a reserved slot could not be bound.
    pub(crate) fn roll_back(&mut self, socket: SocketId) {
        if let Some(Slot::Reserved(reserved)) = self.slots.get(socket.index()) {
            let port = reserved.port;
            self.set_free(socket, port);
        }
    }

    /// Ends an open endpoint. Its slot stays taken until [`Self::free`].
    pub(crate) fn close(&mut self, socket: SocketId) -> Option<Endpoint> {
        let slot = self.slots.get_mut(socket.index())?;
        match std::mem::replace(slot, Slot::Free) {
            Slot::Open(endpoint) => {
                *slot = Slot::Closing(endpoint.port);
                self.closing += 1;
                Some(endpoint)
            }
            other => {
                *slot = other;
                None
            }
        }
    }

    /// The socket of a closing slot is gone.
    pub(crate) fn free(&mut self, socket: SocketId) {
        if let Some(Slot::Closing(port)) = self.slots.get(socket.index()) {
            let port = *port;
            self.closing -= 1;
            self.set_free(socket, port);
        }
    }

    fn set_free(&mut self, socket: SocketId, port: Port) {
        self.by_port.remove(&port);
        self.slots[socket.index()] = Slot::Free;
        self.free.push(socket);
    }

    /// A slot that nothing is in: one used before, or else a new one.
    fn free_slot(&mut self) -> Option<SocketId> {
        if let Some(socket) = self.free.pop() {
            return Some(socket);
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        if slot >= self.slots_max {
            return None;
        }
        self.slots.push(Slot::Free);
        Some(SocketId::new(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_wire::InterfaceId;

    fn endpoint(number: u16) -> Reservation {
        let port = Port {
            interface: InterfaceId(0),
            number,
        };
        Reservation {
            call: CallKey(1),
            port,
            is_ipv4: true,
        }
    }

    #[test]
    fn a_slot_is_taken_until_its_socket_is_gone() {
        let mut table = FlowTable::new(1);
        let socket = table.reserve(endpoint(1)).unwrap();
        assert_eq!(table.reserve(endpoint(1)), Err(ReserveError::PortOpen));
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Full));
        assert!(table.open(socket).is_none(), "not bound yet");
        table.commit(socket).unwrap();
        assert!(table.commit(socket).is_none(), "once only");
        assert!(table.close(socket).is_some());
        assert!(table.open(socket).is_none());
        assert_eq!(table.len(), 0);
        assert_eq!(table.reserve(endpoint(1)), Err(ReserveError::Closing));
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Closing));
        table.free(socket);
        table.free(socket);
        assert_eq!(table.reserve(endpoint(2)), Ok(socket));
    }

    #[test]
    fn a_port_that_cannot_be_bound_leaves_nothing_behind() {
        let mut table = FlowTable::new(1);
        let socket = table.reserve(endpoint(1)).unwrap();
        table.roll_back(socket);
        table.roll_back(socket);
        assert_eq!(table.len(), 0);
        assert_eq!(table.reserve(endpoint(1)), Ok(socket));
    }
}
