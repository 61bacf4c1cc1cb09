//! Datagrams that are read with one system call and sent with a few.
//!
//! All addresses that the kernel is given point into this batch's own memory and are written
//! anew for each call, so none of them outlives what it points to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{iovec, mmsghdr};

use crate::io::address::{ADDRESS_LEN_MAX, read_address, write_address};
use crate::io::control_message::{CONTROL_LEN, read_overflow};
use crate::io::counters::Counters;

/// Datagrams of one socket that are read at once: RTP comes in ones and twos, and a socket that
/// has more waiting may not keep the others from being read.
const BATCH_MAX: usize = 32;

/// Bytes of one datagram, as with the other driver.
const PACKET_BYTES_MAX: usize = 9_216;

/// One datagram and its address: the sender's, then the receiver's.
struct Packet {
    bytes: [u8; PACKET_BYTES_MAX],
    len: usize,
    is_truncated: bool,
    address: [u8; ADDRESS_LEN_MAX],
    address_len: usize,
    control: [u8; CONTROL_LEN],
    control_len: usize,
}

/// Datagrams that are read with one system call.
pub(super) struct Batch {
    packets: Box<[Packet]>,
    headers: Box<[mmsghdr]>,
    parts: Box<[iovec]>,
    /// Packets that are to be sent, by index.
    queue: Vec<usize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        let packet = || Packet {
            bytes: [0; PACKET_BYTES_MAX],
            len: 0,
            is_truncated: false,
            address: [0; ADDRESS_LEN_MAX],
            address_len: 0,
            control: [0; CONTROL_LEN],
            control_len: 0,
        };
        let part = || iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            packets: (0..BATCH_MAX).map(|_| packet()).collect(),
            headers: (0..BATCH_MAX).map(|_| empty_header()).collect(),
            parts: (0..BATCH_MAX).map(|_| part()).collect(),
            queue: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// Reads what waits in a socket; says how many datagrams that were.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for index in 0..BATCH_MAX {
            let packet = &mut self.packets[index];
            packet.len = PACKET_BYTES_MAX;
            packet.address_len = ADDRESS_LEN_MAX;
            packet.control_len = CONTROL_LEN;
            self.describe(index, index);
        }
        // JUSTIFICATION: no safe interface offers recvmmsg(2).
        // SAFETY: recvmmsg(2) wants `vlen` headers that describe memory it may write. `describe`
        // has just pointed each of the BATCH_MAX headers at one part, one address and one control
        // message of this batch, with their true lengths; nothing else is borrowed from it during the call. The
        // descriptor is open for as long as the borrow lasts.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_MAX_U32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(result) else {
            return Err(io::Error::last_os_error());
        };
        for (packet, header) in self.packets.iter_mut().zip(&self.headers[..count]) {
            packet.len = header.msg_len.try_into().unwrap_or(0);
            packet.address_len = header.msg_hdr.msg_namelen.try_into().unwrap_or(0);
            packet.control_len = header.msg_hdr.msg_controllen;
            packet.is_truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(count)
    }

    /// One of the datagrams read, unless something is wrong with it.
    pub(super) fn packet(
        &mut self,
        index: usize,
        counters: &mut Counters,
    ) -> Option<(SocketAddr, &mut [u8])> {
        let packet = &mut self.packets[index];
        if packet.is_truncated {
            counters.receives_truncated += 1;
            return None;
        }
        let address = packet.address.get(..packet.address_len);
        let Some(source) = address.and_then(read_address) else {
            counters.receives_malformed += 1;
            return None;
        };
        Some((source, packet.bytes.get_mut(..packet.len)?))
    }

    /// What the kernel says with one of the datagrams of how many the socket has lost so far.
    pub(super) fn overflow(&self, index: usize) -> Option<u32> {
        let packet = &self.packets[index];
        read_overflow(packet.control.get(..packet.control_len)?)
    }

    /// The memory that one of the datagrams lies at the beginning of.
    pub(super) fn buffer(&mut self, index: usize) -> &mut [u8] {
        &mut self.packets[index].bytes
    }

    /// Of the memory of one of the datagrams so much is to be sent.
    pub(super) fn set_len(&mut self, index: usize, len: usize) {
        self.packets[index].len = len.min(PACKET_BYTES_MAX);
    }

    /// Puts one of the datagrams into the run that the next [`Self::send`] sends.
    pub(super) fn queue(&mut self, index: usize, destination: SocketAddr) {
        let packet = &mut self.packets[index];
        packet.address_len = write_address(destination, &mut packet.address);
        packet.control_len = 0;
        self.queue.push(index);
    }

    /// Drops the run.
    pub(super) fn forget(&mut self) {
        self.queue.clear();
    }

    /// Sends the run, and counts what the kernel did not take.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, counters: &mut Counters) {
        let count = self.queue.len();
        for position in 0..count {
            self.describe(position, self.queue[position]);
        }
        self.queue.clear();
        let mut sent = 0;
        while sent < count {
            match self.send_from(socket, sent, count) {
                Ok(more) => sent += more,
                // sendmmsg(2): the error is that of the first datagram, those after it were not
                // tried.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    counters.count_unsent(&error, 1);
                    sent += 1;
                }
            }
        }
    }

    fn send_from(&mut self, socket: BorrowedFd<'_>, from: usize, to: usize) -> io::Result<usize> {
        let headers = &mut self.headers[from..to];
        let count = u32::try_from(headers.len()).unwrap_or(BATCH_MAX_U32);
        // JUSTIFICATION: no safe interface offers sendmmsg(2) without allocating.
        // SAFETY: sendmmsg(2) wants `vlen` headers that describe memory it may read, and writes
        // their `msg_len`. `count` is the number of headers in the slice; `describe` has pointed
        // each at a part and an address of this batch with their true lengths. The descriptor is
        // open for as long as the borrow lasts.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Points a header at a packet: its address, and its bytes by way of a part.
    fn describe(&mut self, header: usize, packet: usize) {
        let packet = &mut self.packets[packet];
        let part = &mut self.parts[header];
        part.iov_base = packet.bytes.as_mut_ptr().cast();
        part.iov_len = packet.len;
        let header = &mut self.headers[header].msg_hdr;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        header.msg_name = packet.address.as_mut_ptr().cast();
        // Below ADDRESS_LEN_MAX, which fits.
        header.msg_namelen = packet.address_len.try_into().unwrap_or(0);
        header.msg_control = packet.control.as_mut_ptr().cast();
        header.msg_controllen = packet.control_len;
        header.msg_flags = 0;
    }
}

/// [`BATCH_MAX`] as the kernel wants it.
const BATCH_MAX_U32: u32 = 32;

const _: () = assert!(BATCH_MAX_U32 as usize == BATCH_MAX);

/// A header that describes nothing.
fn empty_header() -> mmsghdr {
    // JUSTIFICATION: the struct has private padding on some platforms, so it cannot be written
    // out.
    // SAFETY: all its fields are integers and pointers, for which zero is a valid value.
    unsafe { std::mem::zeroed() }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
