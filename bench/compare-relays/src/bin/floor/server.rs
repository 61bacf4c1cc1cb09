//! As much of ng as the generator speaks: offer, answer, delete.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::Sender;

use anyhow::{Context, Result, bail};
use control_ng::{Command, Message, Request, Value, reply};
use socket2::{Domain, Protocol, Socket, Type};
use tandem_load::{describe, media_address};

use crate::{Arguments, Link, Order, SLOTS};

/// Sets calls up.
pub(crate) struct Server {
    listen: SocketAddrV4,
    queue_bytes: usize,
    is_connected: bool,
    socket: UdpSocket,
    orders: Sender<Order>,
    calls: HashMap<Vec<u8>, Call>,
    /// The one that was free longest is taken first, so that nothing of its last use is left.
    free: VecDeque<u32>,
}

/// Two sockets, one towards each party.
struct Call {
    slots: [u32; 2],
    /// Until the answer.
    sockets: Option<[UdpSocket; 2]>,
    ports: [SocketAddr; 2],
    caller: SocketAddrV4,
}

/// The port of the first slot; those of the others follow.
const PORT_FIRST: u32 = 10_000;

/// Bytes of the greatest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

impl Server {
    pub(crate) fn new(arguments: &Arguments, socket: UdpSocket, orders: Sender<Order>) -> Self {
        Self {
            listen: arguments.listen,
            queue_bytes: arguments.queue_bytes,
            is_connected: arguments.connected,
            socket,
            orders,
            calls: HashMap::new(),
            free: (0..SLOTS).collect(),
        }
    }

    /// Serves for ever.
    pub(crate) fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let Ok((len, client)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let Some(message) = Message::split(&buffer[..len]) else {
                continue;
            };
            let cookie = message.cookie;
            let reply = match self.serve(message.body) {
                Ok(sdp) => reply::ok().with("sdp", sdp.as_str()).encode(cookie),
                Err(error) => reply::error(&error.to_string()).encode(cookie),
            };
            // A client that is gone needs no reply.
            let _ = self.socket.send_to(&reply, client);
        }
    }

    /// Does what a request asks for; returns the description of a reply.
    fn serve(&mut self, body: &[u8]) -> Result<String> {
        let document = Value::parse(body)?;
        match Request::parse(&document)?.command {
            Command::Ping => Ok(String::new()),
            Command::Offer(it) => self.offer(it.call_id, it.sdp),
            Command::Answer(it) => self.answer(it.call_id, it.sdp),
            Command::Delete(it) => self.delete(it.call_id),
            _ => bail!("the floor does not do that"),
        }
    }

    fn offer(&mut self, call_id: &[u8], sdp: &[u8]) -> Result<String> {
        if let Some(call) = self.calls.get(call_id) {
            return Ok(describe(call.ports[1], 0, "", 20));
        }
        let caller = party(sdp)?;
        let mut slot = || self.free.pop_front().context("too many calls");
        let slots = [slot()?, slot()?];
        let sockets = [self.bind(slots[0])?, self.bind(slots[1])?];
        let ports = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        let call = Call {
            slots,
            sockets: Some(sockets),
            ports,
            caller,
        };
        self.calls.insert(call_id.to_owned(), call);
        Ok(describe(ports[1], 0, "", 20))
    }

    fn answer(&mut self, call_id: &[u8], sdp: &[u8]) -> Result<String> {
        let callee = party(sdp)?;
        let call = self.calls.get_mut(call_id).context("no such call")?;
        let reply = describe(call.ports[0], 0, "", 20);
        let Some(sockets) = call.sockets.take() else {
            return Ok(reply);
        };
        let (parties, [first, second]) = ([call.caller, callee], call.slots);
        if self.is_connected {
            for (socket, party) in sockets.iter().zip(parties) {
                socket.connect(party)?;
            }
        }
        // What comes from one leaves for the other.
        let ways = [(first, second, callee), (second, first, call.caller)];
        for (socket, (slot, partner, destination)) in sockets.into_iter().zip(ways) {
            self.orders.send(Order::Open(Link {
                slot,
                socket,
                partner,
                destination,
            }))?;
        }
        Ok(reply)
    }

    fn delete(&mut self, call_id: &[u8]) -> Result<String> {
        let call = self.calls.remove(call_id).context("no such call")?;
        for slot in call.slots {
            if call.sockets.is_none() {
                self.orders.send(Order::Close(slot))?;
            }
            self.free.push_back(slot);
        }
        Ok(String::new())
    }

    fn bind(&self, slot: u32) -> Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(self.queue_bytes)?;
        // The system's own range may be too small.
        let port = u16::try_from(PORT_FIRST + 2 * slot)?;
        let address = SocketAddrV4::new(*self.listen.ip(), port);
        socket.bind(&address.into())?;
        Ok(socket.into())
    }
}

/// Where a party says that it receives.
fn party(sdp: &[u8]) -> Result<SocketAddrV4> {
    match media_address(sdp) {
        Some(SocketAddr::V4(address)) => Ok(address),
        _ => bail!("a description without an IPv4 address"),
    }
}
