//! The floor without io_uring: a batch of each socket that has something, read with one system
//! call and sent with another.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::{Arguments, Link, ORDERS_AFTER, Order, PACKET_BYTES_MAX, SLOTS, address_of};

/// Sockets that are read in one turn.
const EVENTS: usize = 256;

/// Packets of one socket that are read at once.
const BATCH: usize = 32;

/// What is between a socket and its partner.
struct Floor {
    epoll: OwnedFd,
    slots: Vec<Option<Slot>>,
    /// Where packets are: each header has one part, each part one buffer of these.
    headers: Vec<libc::mmsghdr>,
    is_connected: bool,
}

struct Slot {
    link: Link,
    address: Box<libc::sockaddr_in>,
}

/// Forwards for ever.
pub(crate) fn run(arguments: &Arguments, inbox: &Receiver<Order>) -> Result<()> {
    let mut floor = Floor {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        slots: (0..SLOTS).map(|_| None).collect(),
        headers: headers()?,
        is_connected: arguments.connected,
    };
    let timeout = Timespec::try_from(ORDERS_AFTER)?;
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&floor.epoll, room, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &events {
            floor.serve(event.data.u64());
        }
        while let Ok(order) = inbox.try_recv() {
            floor.obey(order)?;
        }
    }
}

impl Floor {
    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Open(link) => {
                let data = EventData::new_u64(link.slot.into());
                epoll::add(&self.epoll, &link.socket, data, EventFlags::IN)?;
                let address = Box::new(address_of(&link));
                let index = usize::try_from(link.slot)?;
                self.slots[index] = Some(Slot { link, address });
            }
            // Closing takes it out of the epoll, too.
            Order::Close(slot) => self.slots[usize::try_from(slot)?] = None,
        }
        Ok(())
    }

    fn serve(&mut self, slot: u64) {
        let get = |slot| self.slots.get(usize::try_from(slot).ok()?)?.as_ref();
        let Some(from) = get(slot) else {
            return;
        };
        let Some(partner) = get(from.link.partner.into()) else {
            return;
        };
        for header in &mut self.headers {
            header.msg_hdr.msg_name = std::ptr::null_mut();
            header.msg_hdr.msg_namelen = 0;
            set_len(header, PACKET_BYTES_MAX);
        }
        let count = receive(&from.link.socket, &mut self.headers);
        let packets = &mut self.headers[..count];
        for header in &mut *packets {
            set_len(header, header.msg_len);
            if !self.is_connected {
                let address: *const libc::sockaddr_in = &raw const *from.address;
                header.msg_hdr.msg_name = address.cast_mut().cast();
                header.msg_hdr.msg_namelen = crate::ADDRESS_LEN;
            }
        }
        send(&partner.link.socket, packets);
    }
}

/// Headers of as many buffers, which live as long as the process.
fn headers() -> Result<Vec<libc::mmsghdr>> {
    let bytes = usize::try_from(PACKET_BYTES_MAX)?;
    let header = |_| {
        let buffer = Box::leak(vec![0_u8; bytes].into_boxed_slice());
        let part = Box::leak(Box::new(libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: bytes,
        }));
        // JUSTIFICATION: the struct has private padding on some platforms.
        // SAFETY: all its fields are integers and pointers, for which zero is a valid value.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    Ok((0..BATCH).map(header).collect())
}

fn set_len(header: &libc::mmsghdr, len: u32) {
    // JUSTIFICATION: the part is reached through its header only.
    // SAFETY: `headers` has leaked it, nobody else refers to it, and the kernel has no call of
    // ours at this moment.
    unsafe { (*header.msg_hdr.msg_iov).iov_len = usize::try_from(len).unwrap_or(0) };
}

fn receive(socket: &UdpSocket, headers: &mut [libc::mmsghdr]) -> usize {
    let count = u32::try_from(headers.len()).unwrap_or(0);
    let (file, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
    // JUSTIFICATION: no safe interface offers recvmmsg(2) without work of its own.
    // SAFETY: as many headers as is said, each with a part of its own and no address.
    let received = unsafe {
        libc::recvmmsg(
            file,
            headers.as_mut_ptr(),
            count,
            flags,
            std::ptr::null_mut(),
        )
    };
    usize::try_from(received).unwrap_or(0)
}

/// What cannot be sent is lost.
fn send(socket: &UdpSocket, headers: &mut [libc::mmsghdr]) {
    let mut rest = headers;
    while !rest.is_empty() {
        let count = u32::try_from(rest.len()).unwrap_or(0);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // JUSTIFICATION: no safe interface offers sendmmsg(2) without work of its own.
        // SAFETY: as many headers as is said, whose parts and addresses live on; they are read.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count, flags) };
        // One that fails is skipped.
        let done = usize::try_from(sent).unwrap_or(0).max(1);
        rest = &mut rest[done..];
    }
}
