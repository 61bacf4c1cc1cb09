//! Datagrams in batches: sendmmsg(2) and recvmmsg(2), with the kernel's time of arrival and its
//! count of what did not fit the receive queue.
//!
//! Like `link/packet.rs` with unsafe code, and no other. The kernel gets pointers into the batch's own
//! memory, written anew for each call, so none of them outlives what it points to.

#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg have no safe interface that keeps control messages intact \
              when its buffers are used again"
)]

mod address;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{iovec, mmsghdr};
use socket2::SockAddr;

pub(crate) use address::Control;
use address::{ADDRESS_LEN_MAX, read_address, read_control};

/// Datagrams that one system call takes at most.
pub(crate) const BATCH_MAX: usize = 64;
const BATCH_MAX_U32: u32 = 64;

const _: () = assert!(BATCH_MAX_U32 as usize == BATCH_MAX);

/// Bytes for control messages: a time (16) and a count (4), each with its header (16).
const CONTROL_LEN: usize = 64;

/// Memory that the kernel wants aligned.
#[repr(align(8))]
struct Aligned([u8; CONTROL_LEN]);

/// The datagrams of one batch, in one piece of memory.
struct Slots {
    bytes: Box<[u8]>,
    stride: usize,
    headers: Box<[mmsghdr]>,
    parts: Box<[iovec]>,
}

/// Datagrams that are sent with one system call.
pub(crate) struct SendBatch {
    slots: Slots,
    addresses: Box<[Option<SockAddr>]>,
    lens: [usize; BATCH_MAX],
    count: usize,
}

/// Datagrams that are received with one system call.
pub(crate) struct ReceiveBatch {
    slots: Slots,
    addresses: Box<[[u8; ADDRESS_LEN_MAX]]>,
    controls: Box<[Aligned]>,
}

/// One datagram received.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) source: Option<SocketAddr>,
    pub(crate) control: Control,
    pub(crate) is_truncated: bool,
}

impl Slots {
    fn new(stride: usize) -> Self {
        let part = || iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            bytes: vec![0; stride * BATCH_MAX].into(),
            stride,
            headers: (0..BATCH_MAX).map(|_| empty_header()).collect(),
            parts: (0..BATCH_MAX).map(|_| part()).collect(),
        }
    }

    fn bytes(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.stride..][..self.stride]
    }

    fn bytes_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.stride..][..self.stride]
    }

    /// Points a header at the first `len` bytes of its slot.
    fn describe(&mut self, index: usize, len: usize) -> &mut libc::msghdr {
        assert!(len <= self.stride);
        let base = self.bytes_mut(index).as_mut_ptr();
        let part = &mut self.parts[index];
        part.iov_base = base.cast();
        part.iov_len = len;
        let header = &mut self.headers[index].msg_hdr;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        header.msg_flags = 0;
        header
    }
}

impl SendBatch {
    /// For datagrams of up to `len_max` bytes.
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            slots: Slots::new(len_max),
            addresses: (0..BATCH_MAX).map(|_| None).collect(),
            lens: [0; BATCH_MAX],
            count: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count == BATCH_MAX
    }

    /// Adds a datagram. `write` fills its bytes and says how many they are. A full batch takes
    /// no more. Without an address it goes where the socket is bound or connected to.
    pub(crate) fn push(&mut self, to: Option<SockAddr>, write: impl FnOnce(&mut [u8]) -> usize) {
        if self.is_full() {
            return;
        }
        let bytes = self.slots.bytes_mut(self.count);
        self.lens[self.count] = write(bytes).min(bytes.len());
        self.addresses[self.count] = to;
        self.count += 1;
    }

    /// Sends all of it. Returns how many the kernel took; the rest are forgotten, `on_error` is
    /// told why for each.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        mut on_error: impl FnMut(&io::Error),
    ) -> usize {
        let (count, mut taken, mut from) = (self.count, 0, 0);
        while from < count {
            match self.send_from(socket, from) {
                Ok(0) => break,
                Ok(more) => (taken, from) = (taken + more, from + more),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // sendmmsg(2): the error is that of the first datagram, those after it were not
                // tried.
                Err(error) => {
                    on_error(&error);
                    from += 1;
                }
            }
        }
        self.count = 0;
        taken
    }

    fn send_from(&mut self, socket: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        for index in from..self.count {
            let header = self.slots.describe(index, self.lens[index]);
            let address = self.addresses[index].as_ref();
            header.msg_name =
                address.map_or(std::ptr::null_mut(), |it| it.as_ptr().cast_mut().cast());
            header.msg_namelen = address.map_or(0, SockAddr::len);
        }
        let headers = &mut self.slots.headers[from..self.count];
        let count = u32::try_from(headers.len()).unwrap_or(BATCH_MAX_U32);
        // JUSTIFICATION: no safe interface offers sendmmsg(2) without allocating.
        // SAFETY: sendmmsg(2) wants `vlen` headers that describe memory it may read, and writes
        // their `msg_len`. `count` is the number of headers in the slice; `describe` has pointed
        // each at bytes of this batch with their true length, and the names at addresses that the
        // batch keeps, of which it only reads. The descriptor is open for as long as the borrow.
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
}

impl ReceiveBatch {
    /// For datagrams of up to `len_max` bytes; longer ones are marked as truncated.
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            slots: Slots::new(len_max),
            addresses: vec![[0; ADDRESS_LEN_MAX]; BATCH_MAX].into(),
            controls: (0..BATCH_MAX).map(|_| Aligned([0; CONTROL_LEN])).collect(),
        }
    }

    /// Reads what waits in a socket, without waiting for more.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for index in 0..BATCH_MAX {
            let stride = self.slots.stride;
            let header = self.slots.describe(index, stride);
            header.msg_name = self.addresses[index].as_mut_ptr().cast();
            // 28 bytes, which fits.
            header.msg_namelen = ADDRESS_LEN_MAX.try_into().unwrap_or(0);
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_LEN;
        }
        // JUSTIFICATION: no safe interface offers recvmmsg(2) with control messages.
        // SAFETY: recvmmsg(2) wants `vlen` headers that describe memory it may write. Each of the
        // BATCH_MAX headers has just been pointed at bytes, an address and a control buffer of
        // this batch, with their true lengths; nothing else is borrowed from it during the call.
        // The descriptor is open for as long as the borrow lasts.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.slots.headers.as_mut_ptr(),
                BATCH_MAX_U32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(result) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }

    /// One of those that the last [`Self::receive`] counted.
    pub(crate) fn get(&self, index: usize) -> Received<'_> {
        let header = &self.slots.headers[index];
        let len = usize::try_from(header.msg_len).unwrap_or(0);
        let address_len = usize::try_from(header.msg_hdr.msg_namelen).unwrap_or(0);
        let control_len = header.msg_hdr.msg_controllen.min(CONTROL_LEN);
        let bytes = self.slots.bytes(index);
        Received {
            bytes: &bytes[..len.min(bytes.len())],
            source: self.addresses[index]
                .get(..address_len)
                .and_then(read_address),
            control: read_control(&self.controls[index].0[..control_len]),
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

/// A header that describes nothing.
fn empty_header() -> mmsghdr {
    // JUSTIFICATION: the struct has private padding on some platforms, so it cannot be written
    // out.
    // SAFETY: all its fields are integers and pointers, for which zero is a valid value.
    unsafe { std::mem::zeroed() }
}

// JUSTIFICATION: a worker makes its batches in the thread that started it, because that may fail.
// SAFETY: the raw pointers in the headers point into the boxes beside them, which move with the
// struct without moving their contents; they are written anew before each use.
unsafe impl Send for SendBatch {}
// JUSTIFICATION: as above.
// SAFETY: as above.
unsafe impl Send for ReceiveBatch {}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch").finish_non_exhaustive()
    }
}

impl fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_sent_arrives_with_its_source() {
        let (a, b) = (bind(), bind());
        let to = SockAddr::from(b.local_addr().unwrap());
        let mut batch = SendBatch::new(100);
        for round in 0..3_u8 {
            for number in 0..10 {
                batch.push(Some(to.clone()), |bytes| {
                    bytes[..2].copy_from_slice(&[round, number]);
                    2
                });
            }
            let taken = batch.send(a.as_fd(), |error| panic!("{error}"));
            assert_eq!(taken, 10);
            assert!(batch.is_empty());
            let mut batch = ReceiveBatch::new(100);
            let count = batch.receive(b.as_fd()).unwrap();
            assert_eq!(count, 10);
            for number in 0..10 {
                let received = batch.get(usize::from(number));
                assert_eq!(received.bytes, [round, number]);
                assert_eq!(received.source, a.local_addr().ok());
                assert!(!received.is_truncated);
            }
            assert_eq!(batch.receive(b.as_fd()).unwrap(), 0);
        }
    }

    #[test]
    fn a_batch_takes_no_more_than_it_holds() {
        let to = SockAddr::from(bind().local_addr().unwrap());
        let mut batch = SendBatch::new(8);
        for _ in 0..BATCH_MAX + 5 {
            batch.push(Some(to.clone()), |bytes| bytes.len());
        }
        assert!(batch.is_full());
        assert_eq!(batch.send(bind().as_fd(), |_| ()), BATCH_MAX);
    }

    #[test]
    fn a_long_datagram_is_marked() {
        let (a, b) = (bind(), bind());
        a.send_to(&[7; 101], b.local_addr().unwrap()).unwrap();
        let mut batch = ReceiveBatch::new(100);
        assert_eq!(batch.receive(b.as_fd()).unwrap(), 1);
        assert!(batch.get(0).is_truncated);
        assert_eq!(batch.get(0).bytes.len(), 100);
    }

    fn bind() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }
}
