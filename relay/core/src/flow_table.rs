//! The endpoints of a worker by socket: an array, since the socket *is* the slot.
//!
//! ```text
//!        reserve          commit         close          too many          free
//! Free ──────────► Reserved ─────► Open ──────► Idle ─────────► Closing ─────► Free
//!                    ▲  └─── roll_back ──────────│──────────────────────────►
//!                    └────────── reserve ────────┘
//! ```
//!
//! A slot is Reserved while the driver binds, or makes a bound socket ready for another call. It is
//! Idle when its call is over and its socket is kept, for whoever wants the same port again; what
//! arrives there goes nowhere. It is Closing until the driver has seen the last completion of its
//! socket: until then neither slot nor port may be used again.

use std::collections::VecDeque;
use std::net::IpAddr;

use relay_wire::{CallKey, InterfaceId, Port};
use rustc_hash::FxHashMap;

use crate::SocketId;
use crate::endpoint::Endpoint;
use crate::idle_list::IdleList;

/// The endpoints of one worker.
#[derive(Debug)]
pub(crate) struct FlowTable {
    slots: Vec<Slot>,
    /// Slots below `slots.len()` that are free.
    free: Vec<SocketId>,
    /// The slot of every port that is not free, whichever name of its address it was opened by.
    by_port: FxHashMap<Port, SocketId>,
    /// By interface: the first one that has its address.
    homes: Vec<InterfaceId>,
    slots_max: u32,
    idle: IdleList,
    idle_max: usize,
    closing: usize,
    /// Those among them that the driver has not been told of.
    closes: VecDeque<SocketId>,
    /// How often a port was reserved whose socket was idle.
    reused: u64,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most slots are open, and a pointer would be one more look per packet"
)]
enum Slot {
    Free,
    /// Waits for the driver.
    Reserved {
        wanted: Reservation,
        is_bound: bool,
    },
    Open(Endpoint),
    /// The socket is kept.
    Idle(Port),
    Closing(Port),
}

/// What an endpoint is made of when its port is bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    pub(crate) call: CallKey,
    pub(crate) port: Port,
    pub(crate) is_ipv4: bool,
}

/// What was reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reserved {
    pub(crate) socket: SocketId,
    /// Its socket was idle: it is bound, and things may have arrived there.
    pub(crate) is_bound: bool,
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
    pub(crate) fn new(slots_max: u32, idle_max: u32) -> Self {
        Self {
            // Pages are taken as slots are first used, and nothing moves while packets flow.
            slots: Vec::with_capacity(usize::try_from(slots_max).unwrap_or(0)),
            free: Vec::new(),
            by_port: FxHashMap::default(),
            homes: Vec::new(),
            slots_max,
            idle: IdleList::default(),
            idle_max: usize::try_from(idle_max).unwrap_or(usize::MAX),
            closing: 0,
            closes: VecDeque::new(),
            reused: 0,
        }
    }

    /// Interfaces by these addresses. Those of one address have the same ports: one socket each,
    /// which is one interface's now and may be the other's next.
    pub(crate) fn with_addresses(mut self, addresses: &[IpAddr]) -> Self {
        let home = |address| addresses.iter().position(|it| it == address);
        let homes = addresses.iter().filter_map(home);
        let homes = homes.map(|index| InterfaceId(u8::try_from(index).unwrap_or(u8::MAX)));
        self.homes = homes.collect();
        self
    }

    /// The name that a port is known by, whichever name of its address it is called by.
    fn home(&self, port: Port) -> Port {
        let InterfaceId(interface) = port.interface;
        let home = self.homes.get(usize::from(interface)).copied();
        Port {
            interface: home.unwrap_or(port.interface),
            ..port
        }
    }

    /// Endpoints that are open or being opened.
    pub(crate) fn len(&self) -> usize {
        self.by_port.len() - self.closing - self.idle.len()
    }

    /// Sockets that are kept and belong to no call.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How often a port was reserved whose socket was idle.
    pub(crate) fn reused(&self) -> u64 {
        self.reused
    }

    /// Whether a socket is idle.
    pub(crate) fn is_idle(&self, socket: SocketId) -> bool {
        matches!(self.slots.get(socket.index()), Some(Slot::Idle(_)))
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
        let socket = *self.by_port.get(&self.home(port))?;
        let endpoint = self.endpoint(socket)?;
        (endpoint.port == port).then_some(socket)
    }

    /// Takes a slot for an endpoint whose port is yet to be bound, or to be made ready.
    pub(crate) fn reserve(&mut self, wanted: Reservation) -> Result<Reserved, ReserveError> {
        let home = self.home(wanted.port);
        if let Some(socket) = self.by_port.get(&home) {
            return self.reserve_again(*socket, wanted);
        }
        let Some(socket) = self.free_slot() else {
            let idle = self.idle.oldest().filter(|_| self.closing == 0);
            if let Some(socket) = idle {
                self.close_idle(socket);
            }
            return Err(match self.closing {
                0 => ReserveError::Full,
                _ => ReserveError::Closing,
            });
        };
        let is_bound = false;
        self.slots[socket.index()] = Slot::Reserved { wanted, is_bound };
        self.by_port.insert(home, socket);
        Ok(Reserved { socket, is_bound })
    }

    /// The same for a port that has a slot.
    fn reserve_again(
        &mut self,
        socket: SocketId,
        wanted: Reservation,
    ) -> Result<Reserved, ReserveError> {
        let slot = &mut self.slots[socket.index()];
        match slot {
            Slot::Idle(_) => {
                let is_bound = true;
                *slot = Slot::Reserved { wanted, is_bound };
                self.idle.remove(socket);
                self.reused += 1;
                Ok(Reserved { socket, is_bound })
            }
            Slot::Closing(_) => Err(ReserveError::Closing),
            _ => Err(ReserveError::PortOpen),
        }
    }

    /// The port of a reserved slot is bound. `None`: it was not reserved.
    pub(crate) fn commit(&mut self, socket: SocketId) -> Option<&mut Endpoint> {
        let slot = self.slots.get_mut(socket.index())?;
        let Slot::Reserved { wanted, .. } = *slot else {
            return None;
        };
        *slot = Slot::Open(Endpoint::new(wanted));
        self.open(socket)
    }

    /// The port of a reserved slot could not be bound, or its socket not be made ready: that is
    /// closed then.
    pub(crate) fn roll_back(&mut self, socket: SocketId) {
        if let Some(Slot::Reserved { wanted, is_bound }) = self.slots.get(socket.index()) {
            let (port, is_bound) = (wanted.port, *is_bound);
            if is_bound {
                self.begin_closing(socket, port);
            } else {
                self.set_free(socket, port);
            }
        }
    }

    /// Ends an open endpoint. Its socket is kept, and the one closed that was idle for the longest
    /// time if there are too many; that one's slot stays taken until [`Self::free`].
    pub(crate) fn close(&mut self, socket: SocketId) -> Option<Endpoint> {
        let slot = self.slots.get_mut(socket.index())?;
        let Slot::Open(endpoint) = slot else {
            return None;
        };
        let idle = Slot::Idle(endpoint.port);
        let Slot::Open(endpoint) = std::mem::replace(slot, idle) else {
            return None;
        };
        self.idle.push(socket);
        if self.idle.len() > self.idle_max
            && let Some(oldest) = self.idle.oldest()
        {
            self.close_idle(oldest);
        }
        Some(endpoint)
    }

    /// Takes the next socket that the driver is to close.
    pub(crate) fn poll_close(&mut self) -> Option<SocketId> {
        self.closes.pop_front()
    }

    fn close_idle(&mut self, socket: SocketId) {
        if let Some(Slot::Idle(port)) = self.slots.get(socket.index()) {
            let port = *port;
            self.idle.remove(socket);
            self.begin_closing(socket, port);
        }
    }

    fn begin_closing(&mut self, socket: SocketId, port: Port) {
        self.slots[socket.index()] = Slot::Closing(port);
        self.closing += 1;
        self.closes.push_back(socket);
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
        self.by_port.remove(&self.home(port));
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

    const NEW: fn(SocketId) -> Reserved = |socket| Reserved {
        socket,
        is_bound: false,
    };

    #[test]
    fn a_slot_is_taken_until_its_socket_is_gone() {
        let mut table = FlowTable::new(1, 0);
        let socket = table.reserve(endpoint(1)).unwrap().socket;
        assert_eq!(table.reserve(endpoint(1)), Err(ReserveError::PortOpen));
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Full));
        assert!(table.open(socket).is_none(), "not bound yet");
        table.commit(socket).unwrap();
        assert!(table.commit(socket).is_none(), "once only");
        assert!(table.close(socket).is_some());
        assert!(table.close(socket).is_none(), "once only");
        assert!(table.open(socket).is_none());
        assert_eq!((table.len(), table.idle()), (0, 0));
        assert_eq!(table.poll_close(), Some(socket));
        assert_eq!(table.poll_close(), None);
        assert_eq!(table.reserve(endpoint(1)), Err(ReserveError::Closing));
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Closing));
        table.free(socket);
        table.free(socket);
        assert_eq!(table.reserve(endpoint(2)), Ok(NEW(socket)));
    }

    #[test]
    fn a_port_that_cannot_be_bound_leaves_nothing_behind() {
        let mut table = FlowTable::new(1, 1);
        let reserved = table.reserve(endpoint(1)).unwrap();
        table.roll_back(reserved.socket);
        table.roll_back(reserved.socket);
        assert_eq!(table.len(), 0);
        assert_eq!(table.reserve(endpoint(1)), Ok(reserved));
        assert_eq!(table.poll_close(), None);
    }

    /// Opens a port and closes it again.
    fn use_once(table: &mut FlowTable, number: u16) -> SocketId {
        let socket = table.reserve(endpoint(number)).unwrap().socket;
        table.commit(socket).unwrap();
        table.close(socket).unwrap();
        socket
    }

    #[test]
    fn an_idle_socket_is_for_its_own_port_only() {
        let mut table = FlowTable::new(4, 2);
        let first = use_once(&mut table, 1);
        assert!(table.is_idle(first));
        assert_eq!((table.len(), table.idle()), (0, 1));
        assert_eq!(table.socket_of(endpoint(1).port), None);
        let other = table.reserve(endpoint(2)).unwrap();
        assert!(other.socket != first && !other.is_bound);
        let again = table.reserve(endpoint(1)).unwrap();
        assert!(again.socket == first && again.is_bound);
        assert!(!table.is_idle(first));
        assert_eq!(table.reserve(endpoint(1)), Err(ReserveError::PortOpen));
        assert_eq!((table.len(), table.idle(), table.reused()), (2, 0, 1));
    }

    #[test]
    fn a_socket_serves_all_names_of_its_address_one_after_the_other() {
        let [near, far] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        let mut table = FlowTable::new(4, 4).with_addresses(&[near, far, near]);
        let named = |interface| {
            let mut wanted = endpoint(30_000);
            wanted.port.interface = InterfaceId(interface);
            wanted
        };
        let first = table.reserve(named(0)).unwrap().socket;
        table.commit(first).unwrap();
        assert_eq!(table.reserve(named(2)), Err(ReserveError::PortOpen));
        assert_eq!(
            table.socket_of(named(2).port),
            None,
            "it is not its name now"
        );
        let other = table.reserve(named(1)).unwrap().socket;
        assert_ne!(other, first, "another address");
        table.close(first).unwrap();
        let again = table.reserve(named(2)).unwrap();
        assert_eq!((again.socket, again.is_bound), (first, true));
        table.commit(first).unwrap();
        assert_eq!(table.socket_of(named(2).port), Some(first));
        assert_eq!(table.socket_of(named(0).port), None);
        table.close(first).unwrap();
        assert_eq!(table.idle(), 1);
    }

    #[test]
    fn the_oldest_idle_socket_is_closed_when_there_are_too_many() {
        let mut table = FlowTable::new(8, 2);
        let first = use_once(&mut table, 1);
        let second = use_once(&mut table, 2);
        assert_eq!(use_once(&mut table, 1), first, "it is the youngest now");
        assert_eq!(table.poll_close(), None);
        use_once(&mut table, 3);
        assert_eq!(table.poll_close(), Some(second));
        assert_eq!((table.idle(), table.closing()), (2, 1));
    }

    #[test]
    fn an_idle_socket_makes_room_for_a_call() {
        let mut table = FlowTable::new(1, 1);
        let socket = use_once(&mut table, 1);
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Closing));
        assert_eq!(table.reserve(endpoint(2)), Err(ReserveError::Closing));
        assert_eq!(table.poll_close(), Some(socket));
        assert_eq!(table.poll_close(), None, "once only");
        table.free(socket);
        assert_eq!(table.reserve(endpoint(2)), Ok(NEW(socket)));
    }

    #[test]
    fn an_idle_socket_that_cannot_be_made_ready_is_closed() {
        let mut table = FlowTable::new(1, 1);
        let socket = use_once(&mut table, 1);
        let reserved = table.reserve(endpoint(1)).unwrap();
        table.roll_back(reserved.socket);
        table.roll_back(reserved.socket);
        assert_eq!((table.len(), table.closing()), (0, 1));
        assert_eq!(table.poll_close(), Some(socket));
        table.free(socket);
        assert_eq!(table.reserve(endpoint(1)), Ok(NEW(socket)));
    }
}
