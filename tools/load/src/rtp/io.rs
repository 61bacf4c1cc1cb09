//! The two ports of a thread: datagrams out of them and into them, by UDP sockets or as whole
//! frames.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockAddr, SockFilter, SockRef};

use super::tally::Tally;
use crate::datagram::{BATCH_MAX, Control, ReceiveBatch, Received, SendBatch};
use crate::link::{Datagram, End, HEADER_LEN, Header, Interface, Ring, Sender};
use crate::{LoadError, socket};

/// Batches that are read before it is looked again at what is due.
const READS_MAX: usize = 4;

/// Blocks of frames that are read before that.
const BLOCKS_MAX: usize = 1;

/// Bytes beyond the packets that we send, so that longer ones show.
const LEN_SPARE: usize = 64;

/// The two ports of a thread, before it is known where it sends to.
#[derive(Debug)]
pub(super) struct Ports {
    addresses: [SocketAddr; 2],
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sockets([UdpSocket; 2]),
    /// The sockets are there for nobody else to have their ports, and for the host not to
    /// answer what comes to them; `None` if the address is not this host's.
    Frames(Interface, Option<[UdpSocket; 2]>),
}

/// The two ports of a thread.
#[derive(Debug)]
pub(super) enum Io {
    Sockets(Box<Sockets>),
    Frames(Box<Frames>),
}

#[derive(Debug)]
pub(super) struct Sockets {
    sockets: [UdpSocket; 2],
    sends: [SendBatch; 2],
    receive: ReceiveBatch,
    /// The count of each socket, as the kernel said last.
    dropped: [u32; 2],
}

#[derive(Debug)]
pub(super) struct Frames {
    addresses: [SocketAddr; 2],
    /// Of each stream.
    headers: Vec<Header>,
    sender: Sender,
    send: SendBatch,
    /// `None` if nothing is received.
    ring: Option<Ring>,
    _reserved: Option<[UdpSocket; 2]>,
}

impl Ports {
    /// Two ports at `local`, for the `index`th thread; on an interface, if frames are to be sent.
    pub(super) fn open(
        local: IpAddr,
        interface: Option<&Interface>,
        index: usize,
    ) -> Result<Self, LoadError> {
        let bind = || socket::bind(local).and_then(|it| Ok((it.local_addr()?, it)));
        let pair = || Ok([bind()?, bind()?]);
        let failed = LoadError::system(format!("bind to {local}"));
        match (interface, pair()) {
            (None, pair) => {
                let [(a, first), (b, second)] = pair.map_err(failed)?;
                Ok(Self {
                    addresses: [a, b],
                    kind: Kind::Sockets([first, second]),
                })
            }
            (Some(interface), Ok([(a, first), (b, second)])) => {
                for socket in [&first, &second] {
                    let refused = LoadError::system("attach a filter to a socket");
                    SockRef::from(socket)
                        .attach_filter(&NOTHING)
                        .map_err(refused)?;
                }
                Ok(Self {
                    addresses: [a, b],
                    kind: Kind::Frames(interface.clone(), Some([first, second])),
                })
            }
            (Some(interface), Err(error)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let first = PORT_FIRST + 2 * u16::try_from(index).unwrap_or(0);
                Ok(Self {
                    addresses: [first, first + 1].map(|port| SocketAddr::new(local, port)),
                    kind: Kind::Frames(interface.clone(), None),
                })
            }
            (Some(_), Err(error)) => Err(failed(error)),
        }
    }

    pub(super) fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// For packets of `len` bytes. `streams` says of each which port it leaves from, and where it
    /// goes to.
    pub(super) fn into_io(
        self,
        len: usize,
        streams: impl Iterator<Item = (usize, SocketAddr)>,
        is_receiving: bool,
    ) -> Result<Io, LoadError> {
        match self.kind {
            Kind::Sockets(sockets) => Ok(Io::Sockets(Box::new(Sockets {
                sockets,
                sends: [SendBatch::new(len), SendBatch::new(len)],
                receive: ReceiveBatch::new(len + LEN_SPARE),
                dropped: [0; 2],
            }))),
            Kind::Frames(interface, reserved) => {
                let headers = headers(&interface, self.addresses, len, streams)?;
                let refused = |error| {
                    let what = "open a packet socket (only root may, or who has CAP_NET_RAW)";
                    LoadError::system(what)(error)
                };
                let ring = is_receiving.then(|| Ring::new(&interface, &filter(self.addresses)));
                Ok(Io::Frames(Box::new(Frames {
                    addresses: self.addresses,
                    headers,
                    sender: Sender::new(&interface).map_err(refused)?,
                    send: SendBatch::new(HEADER_LEN + len),
                    ring: ring.transpose().map_err(refused)?,
                    _reserved: reserved,
                })))
            }
        }
    }
}

impl Io {
    /// Takes a packet of a stream from one port to an address; it leaves with the next
    /// [`Self::send`].
    pub(super) fn push(
        &mut self,
        stream: usize,
        from: usize,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        match self {
            Self::Sockets(it) => it.sends[from].push(Some(SockAddr::from(to)), write),
            Self::Frames(it) => {
                let Some(header) = it.headers.get(stream) else {
                    return;
                };
                it.send.push(None, |out| {
                    let (before, datagram) = out.split_at_mut(HEADER_LEN);
                    before.copy_from_slice(header.bytes());
                    HEADER_LEN + write(datagram)
                });
            }
        }
    }

    /// Sends what was taken, and counts it.
    pub(super) fn send(&mut self, tally: &mut Tally) {
        match self {
            Self::Sockets(it) => it.send(tally),
            Self::Frames(it) => it.send(tally),
        }
    }

    /// Hands over what waits, with the port that it came to; says how much that was.
    pub(super) fn receive(&mut self, each: impl FnMut(usize, &Received<'_>)) -> usize {
        match self {
            Self::Sockets(it) => it.receive(each),
            Self::Frames(it) => it.receive(each),
        }
    }

    /// Packets that found no room with us.
    pub(super) fn dropped(&mut self) -> u64 {
        match self {
            Self::Sockets(it) => it.dropped.iter().copied().map(u64::from).sum(),
            Self::Frames(it) => it.ring.as_mut().map_or(0, Ring::dropped),
        }
    }

    /// Waits until something arrives, but no longer than so.
    pub(super) fn wait(&self, pause: Duration) {
        let timeout = Timespec {
            tv_sec: pause.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: pause.subsec_nanos().into(),
        };
        // Woken early by a signal is woken.
        let _ = match self {
            Self::Sockets(it) => {
                let [a, b] = &it.sockets;
                let mut fds = [PollFd::new(a, PollFlags::IN), PollFd::new(b, PollFlags::IN)];
                poll(&mut fds, Some(&timeout))
            }
            Self::Frames(it) => {
                let fds = it.ring.iter().map(|it| PollFd::new(it, PollFlags::IN));
                poll(&mut fds.collect::<Vec<_>>(), Some(&timeout))
            }
        };
    }
}

impl Sockets {
    fn send(&mut self, tally: &mut Tally) {
        for (send, socket) in self.sends.iter_mut().zip(&self.sockets) {
            if !send.is_empty() {
                let taken = send.send(socket.as_fd(), |error| tally.count_unsent(error));
                tally.sent += u64::try_from(taken).unwrap_or(0);
            }
        }
    }

    fn receive(&mut self, mut each: impl FnMut(usize, &Received<'_>)) -> usize {
        let mut all = 0;
        for side in 0..2 {
            for _ in 0..READS_MAX {
                // An error is that of an earlier send, which is counted as lost.
                let socket = self.sockets[side].as_fd();
                let count = self.receive.receive(socket).unwrap_or(0);
                for index in 0..count {
                    let received = self.receive.get(index);
                    if let Some(dropped) = received.control.dropped {
                        self.dropped[side] = dropped;
                    }
                    each(side, &received);
                }
                all += count;
                if count < BATCH_MAX {
                    break;
                }
            }
        }
        all
    }
}

impl Frames {
    /// What the link had no room for counts as sent, and so as lost: between two namespaces it is
    /// the other side's queue that was full, of which a UDP socket never hears.
    fn send(&mut self, tally: &mut Tally) {
        if self.send.is_empty() {
            return;
        }
        let taken = self.send.send(self.sender.as_fd(), |error| {
            tally.count_unlinked(error);
        });
        tally.sent += u64::try_from(taken).unwrap_or(0);
    }

    fn receive(&mut self, mut each: impl FnMut(usize, &Received<'_>)) -> usize {
        let Some(ring) = &mut self.ring else {
            return 0;
        };
        let addresses = self.addresses;
        ring.receive(BLOCKS_MAX, |frame| {
            let Some(datagram) = Datagram::read(frame.bytes) else {
                return;
            };
            let destination = SocketAddr::V4(datagram.destination);
            let Some(side) = addresses.iter().position(|it| *it == destination) else {
                return;
            };
            each(
                side,
                &Received {
                    bytes: datagram.bytes,
                    source: Some(datagram.source.into()),
                    control: Control {
                        arrived_ns: Some(frame.arrived_ns),
                        dropped: None,
                    },
                    is_truncated: false,
                },
            );
        })
    }
}

/// Ports of an address that no host has.
const PORT_FIRST: u16 = 40_000;

/// What stands before the datagrams of each stream.
fn headers(
    interface: &Interface,
    addresses: [SocketAddr; 2],
    len: usize,
    streams: impl Iterator<Item = (usize, SocketAddr)>,
) -> Result<Vec<Header>, LoadError> {
    let mut last = None;
    let header = |(from, to): (usize, SocketAddr)| {
        let (from, to) = (v4(addresses[from])?, v4(to)?);
        // Most streams go to one host.
        let hardware = match last {
            Some((ip, hardware)) if ip == *to.ip() => hardware,
            _ => interface.neighbour(*to.ip())?,
        };
        last = Some((*to.ip(), hardware));
        let from = End {
            hardware: interface.hardware,
            address: from,
        };
        let to = End {
            hardware,
            address: to,
        };
        let header = Header::new(from, to, len);
        header.ok_or_else(|| LoadError::Option("the payload is too long for a frame".to_owned()))
    };
    streams.map(header).collect()
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4, LoadError> {
    match address {
        SocketAddr::V4(it) => Ok(it),
        SocketAddr::V6(it) => Err(LoadError::Option(format!(
            "{it}: whole frames are of IPv4 only"
        ))),
    }
}

/// Passes nothing.
const NOTHING: [SockFilter; 1] = [SockFilter::new(RETURN, 0, 0, 0)];

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND: u16 = 0x48;
const LOAD_IP_HEADER_LEN: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Passes whole UDP datagrams to one of two ports: classic BPF on a frame of IPv4.
fn filter(addresses: [SocketAddr; 2]) -> [SockFilter; 12] {
    let ip = match addresses[0].ip() {
        IpAddr::V4(it) => it.to_bits(),
        IpAddr::V6(_) => 0,
    };
    let [first, second] = addresses.map(|it| u32::from(it.port()));
    let step = SockFilter::new;
    [
        step(LOAD_BYTE, 0, 0, 23),
        step(JUMP_IF_EQUAL, 0, 9, 17),
        step(LOAD_WORD, 0, 0, 30),
        step(JUMP_IF_EQUAL, 0, 7, ip),
        step(LOAD_HALF, 0, 0, 20),
        step(JUMP_IF_ANY_BIT, 5, 0, 0x3fff),
        step(LOAD_IP_HEADER_LEN, 0, 0, 14),
        step(LOAD_HALF_BEHIND, 0, 0, 16),
        step(JUMP_IF_EQUAL, 1, 0, first),
        step(JUMP_IF_EQUAL, 0, 1, second),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]
}
