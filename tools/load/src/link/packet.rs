//! Sockets of packet(7) on one interface: one that sends frames past the queue discipline, and
//! one into whose ring (`TPACKET_V3`) the kernel writes what arrives.
//!
//! The kernel fills one block of the ring after the other. One that is full, or some milliseconds
//! old, is ours until we give it back:
//!
//! ```text
//! block   version (4)  private (4)  status (4)  packets (4)  first at (4)  …
//! packet  next (4)  seconds (4)  nanoseconds (4)  kept (4)  length (4)  status (4)  frame at (2)  …
//! ```

#![expect(
    unsafe_code,
    reason = "packet sockets have no safe interface: their address, their options and their ring"
)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt as rustix_sockopt;
use socket2::{Domain, SockFilter, Socket, Type};

use super::interface::Interface;

/// Bytes of one block, and how many there are: some 40,000 packets of RTP.
const BLOCK_LEN: usize = 128 * 1024;
const BLOCKS: usize = 96;
const RING_LEN: usize = BLOCK_LEN * BLOCKS;

/// Milliseconds after which a block is ours that is not full.
const BLOCK_AGE_MS: u32 = 1;

/// The kernel wants to know how long frames are, and does not use it with blocks.
const FRAME_LEN: u32 = 2_048;

/// Bytes of a queue that frames wait in when the interface is slow.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Sends frames.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: Socket,
}

/// Receives frames.
pub(crate) struct Ring {
    socket: Socket,
    map: NonNull<u8>,
    /// The block that is filled next.
    next: usize,
    dropped: u64,
}

/// A frame that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    /// In nanoseconds since 1970.
    pub(crate) arrived_ns: u64,
}

impl Sender {
    pub(crate) fn new(interface: &Interface) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        rustix_sockopt::set_socket_send_buffer_size_force(&socket, QUEUE_BYTES)?;
        set_option(&socket, libc::PACKET_QDISC_BYPASS, &1_i32)?;
        // Of no protocol: it receives nothing.
        bind(&socket, interface, 0)?;
        Ok(Self { socket })
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Ring {
    /// Receives the frames of IPv4 that `filter` passes.
    pub(crate) fn new(interface: &Interface, filter: &[SockFilter]) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        socket.attach_filter(filter)?;
        // The time is that at the interface, as that of a datagram is.
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        set_option(
            &socket,
            libc::PACKET_TIMESTAMP,
            &libc::SOF_TIMESTAMPING_SOFTWARE,
        )?;
        set_option(&socket, libc::PACKET_VERSION, &VERSION)?;
        set_option(&socket, libc::PACKET_RX_RING, &request())?;
        let map = map(&socket)?;
        let this = Self {
            socket,
            map,
            next: 0,
            dropped: 0,
        };
        bind(&this.socket, interface, PROTOCOL_IPV4)?;
        Ok(this)
    }

    /// Hands over the frames of up to `blocks` blocks that are ours; says how many they were.
    pub(crate) fn receive(&mut self, blocks: usize, mut each: impl FnMut(Frame<'_>)) -> usize {
        let mut count = 0;
        for _ in 0..blocks {
            let at = self.next * BLOCK_LEN;
            if self.status(at).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            for frame in Frames::new(self.block(at)) {
                each(frame);
                count += 1;
            }
            self.status(at)
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % BLOCKS;
        }
        count
    }

    /// Frames that found no room, since the beginning.
    pub(crate) fn dropped(&mut self) -> u64 {
        // The kernel counts from zero each time it is asked.
        self.dropped += u64::from(drops(&self.socket).unwrap_or(0));
        self.dropped
    }

    /// The status of the block that begins at a byte of the ring.
    fn status(&self, at: usize) -> &AtomicU32 {
        assert!(at < RING_LEN && at.is_multiple_of(BLOCK_LEN));
        // JUSTIFICATION: the kernel writes it while we look.
        // SAFETY: the word is within the mapping of RING_LEN bytes, which lives as long as self;
        // blocks begin on pages, so that it is aligned; on our side all accesses to it are atomic.
        unsafe { AtomicU32::from_ptr(self.map.as_ptr().add(at + STATUS_AT).cast()) }
    }

    /// A block of ours, behind its status.
    fn block(&self, at: usize) -> &[u8] {
        assert!(at < RING_LEN && at.is_multiple_of(BLOCK_LEN));
        // JUSTIFICATION: it is the kernel's memory, and reading it in place is what a ring is for.
        // SAFETY: the bytes are within the mapping, which lives as long as self. The kernel does
        // not write a block that it has handed over until its status says that it may, and we
        // write that after the last use of the slice (`receive`). The status itself, which
        // is written through another pointer, is not part of the slice.
        unsafe {
            let begin = self.map.as_ptr().add(at + STATUS_AT + 4);
            std::slice::from_raw_parts(begin, BLOCK_LEN - STATUS_AT - 4)
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // JUSTIFICATION: what was mapped is unmapped.
        // SAFETY: address and length are those of the mapping, and nobody can borrow from it any
        // more.
        unsafe { libc::munmap(self.map.as_ptr().cast(), RING_LEN) };
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

// JUSTIFICATION: a worker makes its ring in the thread that started it, because that may fail.
// SAFETY: the mapping belongs to the process, not to a thread, and is reached through self only.
unsafe impl Send for Ring {}

/// Where the status of a block is in it.
const STATUS_AT: usize = 8;

const VERSION: i32 = 2;

/// As the kernel wants it in an address: in the order of the network.
const PROTOCOL_IPV4: u16 = 0x0800_u16.to_be();

const _: () = {
    assert!(VERSION == libc::tpacket_versions::TPACKET_V3 as i32);
    assert!(RING_LEN < u32::MAX as usize);
};

/// The frames of a block without its first words, up to the first that makes no sense.
struct Frames<'a> {
    block: &'a [u8],
    left: u32,
    at: usize,
}

impl<'a> Frames<'a> {
    /// Bytes of a block before the slice.
    const BEFORE: usize = STATUS_AT + 4;

    fn new(block: &'a [u8]) -> Self {
        let at = word(block, 4).and_then(|it| usize::try_from(it).ok());
        Self {
            block,
            left: word(block, 0).unwrap_or(0),
            at: at.and_then(|it| it.checked_sub(Self::BEFORE)).unwrap_or(0),
        }
    }

    fn read(&mut self) -> Option<Frame<'a>> {
        let packet = self.block.get(self.at..)?;
        let frame_at: [u8; 2] = *packet.get(24..)?.first_chunk()?;
        let kept = usize::try_from(word(packet, 12)?).ok()?;
        let bytes = packet.get(usize::from(u16::from_ne_bytes(frame_at))..)?;
        let bytes = bytes.get(..kept)?;
        let (seconds, ns) = (word(packet, 4)?, word(packet, 8)?);
        let step = usize::try_from(word(packet, 0)?).ok()?;
        self.at = self.at.saturating_add(step);
        self.left = if step == 0 { 0 } else { self.left - 1 };
        Some(Frame {
            bytes,
            arrived_ns: u64::from(seconds) * 1_000_000_000 + u64::from(ns),
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.left > 0).then(|| self.read())?
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn request() -> libc::tpacket_req3 {
    // Both fit, as is asserted above.
    let number = |it: usize| u32::try_from(it).unwrap_or(0);
    libc::tpacket_req3 {
        tp_block_size: number(BLOCK_LEN),
        tp_block_nr: number(BLOCKS),
        tp_frame_size: FRAME_LEN,
        tp_frame_nr: number(RING_LEN) / FRAME_LEN,
        tp_retire_blk_tov: BLOCK_AGE_MS,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    }
}

fn map(socket: &Socket) -> io::Result<NonNull<u8>> {
    // JUSTIFICATION: a ring is reached by mapping its socket.
    // SAFETY: a new mapping of a descriptor that is open, at an address that the kernel chooses,
    // touches no memory of ours.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            RING_LEN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            socket.as_raw_fd(),
            0,
        )
    };
    match NonNull::new(address.cast()) {
        Some(map) if address != libc::MAP_FAILED => Ok(map),
        _ => Err(io::Error::last_os_error()),
    }
}

fn bind(socket: &Socket, interface: &Interface, protocol: u16) -> io::Result<()> {
    let family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    let address = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: protocol,
        sll_ifindex: interface.index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // JUSTIFICATION: no safe interface makes an address of a packet socket.
    // SAFETY: bind(2) reads `len` bytes of an address, which is what the struct has.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    done(result)
}

/// Options that packet(7) takes as plain numbers.
trait PlainOption {}
impl PlainOption for i32 {}
impl PlainOption for u32 {}
impl PlainOption for libc::tpacket_req3 {}

fn set_option<T: PlainOption>(socket: &Socket, name: i32, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // JUSTIFICATION: these options have no safe interface.
    // SAFETY: setsockopt(2) reads `len` bytes of the value, which is what T has: a number, or a
    // struct of seven without padding.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            (&raw const *value).cast(),
            len,
        )
    };
    done(result)
}

/// Frames that found no room since this was asked last.
fn drops(socket: &Socket) -> io::Result<u32> {
    let mut counts = [0_u32; 3];
    let mut len = libc::socklen_t::try_from(size_of_val(&counts)).unwrap_or(0);
    // JUSTIFICATION: this option has no safe interface.
    // SAFETY: getsockopt(2) writes at most `len` bytes, which is what the array has: packets,
    // drops, and how often the ring stood still.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    done(result).map(|()| counts[1])
}

fn done(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block as the kernel writes it, from behind its status on.
    fn block(frames: &[(&[u8], u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(&u32::try_from(frames.len()).unwrap().to_ne_bytes());
        bytes[4..8].copy_from_slice(&48_u32.to_ne_bytes());
        for (frame, ns) in frames {
            let len = u32::try_from(frame.len()).unwrap();
            let step = (82 + len).next_multiple_of(8);
            let begin = bytes.len();
            for value in [step, 3, *ns, len, len, 1] {
                bytes.extend(value.to_ne_bytes());
            }
            bytes.extend(82_u16.to_ne_bytes());
            bytes.resize(begin + 82, 0xee);
            bytes.extend(*frame);
            bytes.resize(begin + usize::try_from(step).unwrap(), 0xee);
        }
        bytes
    }

    #[test]
    fn the_frames_of_a_block_are_read_with_their_times() {
        let bytes = block(&[(b"one", 5), (b"and two", 7)]);
        let frames: Vec<_> = Frames::new(&bytes).collect();
        let frame = |bytes, arrived_ns| Frame { bytes, arrived_ns };
        let expected: [Frame<'_>; 2] = [
            frame(&b"one"[..], 3_000_000_005),
            frame(&b"and two"[..], 3_000_000_007),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn a_block_that_is_cut_short_ends_early() {
        let bytes = block(&[(b"one", 5), (b"and two", 7)]);
        for len in 0..bytes.len() {
            assert!(Frames::new(&bytes[..len]).count() <= 2);
        }
        assert_eq!(Frames::new(&bytes[..36]).count(), 0);
    }

    proptest! {
        #[test]
        fn no_block_panics(mut bytes: Vec<u8>, packets: u32, at in 0_u32..200) {
            if bytes.len() > 8 {
                bytes[..4].copy_from_slice(&packets.to_ne_bytes());
                bytes[4..8].copy_from_slice(&at.to_ne_bytes());
            }
            prop_assert!(Frames::new(&bytes).count() <= bytes.len());
        }
    }
}
