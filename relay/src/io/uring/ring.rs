//! The ring itself: setting it up, and the few requests that we make of it.
//!
//! Nobody outside this file can make a request that points to short-lived memory: buffers come
//! as leases, and the header of receives lives here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use relay_core::{Egress, GROWTH_MAX, SocketId};

use super::batching::Company;
use super::buffers::{BufferPool, Lease};
use super::token::Token;
use crate::error::{RingStep, SetupError};
use crate::io::SEND_BYTES_MAX;
use crate::io::address::{ADDRESS_LEN_MAX, write_address};
use crate::io::control_message::CONTROL_LEN;

/// The one group of provided buffers.
const BUFFER_GROUP: u16 = 0;

/// How large the ring is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingSize {
    /// Requests that fit before the kernel must be entered to make room.
    pub(super) submissions: u32,
    /// Completions that fit before the kernel must keep them for us.
    pub(super) completions: u32,
    /// Slots for sockets.
    pub(super) files: u32,
}

/// One ring, used by the thread that made it and by no other.
pub(super) struct Ring {
    ring: IoUring,
    /// Says how receives lay out what they write. The kernel reads it when a receive is armed.
    header: Box<libc::msghdr>,
    /// The kernel can wait for company.
    has_min_wait: bool,
    /// Sends of what did not arrive here. The kernel reads them when they are submitted.
    copies: Box<[Copied]>,
    /// How many of them wait to be submitted.
    copies_used: usize,
}

/// Bytes of such a datagram, which may have been sealed here.
const COPIED_BYTES_MAX: usize = SEND_BYTES_MAX + GROWTH_MAX;

/// A datagram that did not arrive here.
struct Copied {
    address: [u8; ADDRESS_LEN_MAX],
    bytes: [u8; COPIED_BYTES_MAX],
}

/// Such sends between two entries into the kernel; before there are more it is entered.
const COPIES_MAX: usize = 64;

/// Where the address of the sender is in a filled buffer: behind `io_uring_recvmsg_out`.
pub(super) const ADDRESS_AT: usize = 16;

/// Where the control message is.
pub(super) const CONTROL_AT: usize = ADDRESS_AT + ADDRESS_LEN_MAX;

/// Where the datagram is.
pub(super) const PAYLOAD_AT: usize = CONTROL_AT + CONTROL_LEN;

impl Ring {
    /// Sets the ring up and gives it the pool.
    pub(super) fn open(size: RingSize, pool: &BufferPool) -> Result<Self, SetupError> {
        let step = |step: RingStep| move |source: io::Error| SetupError::Ring { step, source };
        let ring = IoUring::builder()
            // One thread, which runs the kernel's part of the work when it enters: completions
            // come in batches, and nothing interrupts the work in between.
            .setup_single_issuer()
            .setup_defer_taskrun()
            // A request that is refused must not strand those behind it.
            .setup_submit_all()
            .setup_cqsize(size.completions)
            .build(size.submissions)
            .map_err(step(RingStep::Setup))?;
        let params = ring.params();
        if !(params.is_feature_ext_arg()
            && params.is_feature_nodrop()
            && params.is_feature_submit_stable())
        {
            return Err(SetupError::RingFeatures);
        }
        let submitter = ring.submitter();
        submitter
            .register_files_sparse(size.files)
            .map_err(step(RingStep::Files))?;
        // JUSTIFICATION: the ring of buffers is shared with the kernel by address.
        // SAFETY: the crate wants the memory to be valid for as long as the ring is. The pool
        // has `count` entries there, and `Uring` drops it after the ring.
        unsafe {
            submitter.register_buf_ring_with_flags(
                pool.ring_address(),
                pool.count(),
                BUFFER_GROUP,
                0,
            )
        }
        .map_err(step(RingStep::Buffers))?;
        Ok(Self {
            has_min_wait: ring.params().is_feature_min_timeout(),
            ring,
            header: Box::new(receive_header()),
            copies: (0..COPIES_MAX).map(|_| Copied::new()).collect(),
            copies_used: 0,
        })
    }

    /// Puts a socket into its slot.
    pub(super) fn set_file(&self, socket: SocketId, file: BorrowedFd<'_>) -> io::Result<()> {
        self.update_file(socket, file.as_raw_fd())
    }

    /// Empties a slot.
    pub(super) fn clear_file(&self, socket: SocketId) -> io::Result<()> {
        self.update_file(socket, -1)
    }

    /// Empties all slots up to one.
    pub(super) fn clear_files(&self, slots: usize) -> io::Result<()> {
        let none = vec![-1; slots];
        self.ring.submitter().register_files_update(0, &none)?;
        Ok(())
    }

    fn update_file(&self, socket: SocketId, file: RawFd) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let updated = submitter.register_files_update(socket.slot(), &[file])?;
        if updated == 1 {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// Receives on a socket until the completion that says there will be no more.
    pub(super) fn arm_receive(&mut self, socket: SocketId) -> io::Result<()> {
        let header: *const libc::msghdr = &raw const *self.header;
        let entry = opcode::RecvMsgMulti::new(Fixed(socket.slot()), header, BUFFER_GROUP).build();
        self.push(entry, Token::Receive(socket))
    }

    /// Sends `len` bytes of a filled buffer to the address that was written into it.
    ///
    /// The buffer is the kernel's until [`Self::is_submitted`]. A send that succeeds makes no
    /// completion: with MSG_DONTWAIT it is tried once, when it is submitted, and never later.
    pub(super) fn send(
        &mut self,
        socket: SocketId,
        pool: &mut BufferPool,
        lease: &Lease,
        address_len: usize,
        len: usize,
    ) -> io::Result<()> {
        let bytes = pool.bytes(lease);
        let address = bytes[ADDRESS_AT..CONTROL_AT].as_ptr().cast();
        let payload = bytes[PAYLOAD_AT..][..len].as_ptr();
        let (Ok(len), Ok(address_len)) = (u32::try_from(len), u32::try_from(address_len)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let entry = opcode::Send::new(Fixed(socket.slot()), payload, len)
            .dest_addr(address)
            .dest_addr_len(address_len)
            // A full socket drops the packet, as a full network would, and keeps no buffer.
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, Token::Send)
    }

    /// Hands over what was asked for, without waiting.
    pub(super) fn submit(&self) -> io::Result<()> {
        self.ring.submit().map(|_| ())
    }

    /// The kernel has taken over all that was asked for, and so is done with what was sent.
    pub(super) fn is_submitted(&mut self) -> bool {
        self.ring.submission().is_empty()
    }

    /// Sends a datagram that did not arrive here.
    pub(super) fn send_copy(&mut self, egress: Egress, datagram: &[u8]) -> io::Result<()> {
        if self.copies_used == COPIES_MAX {
            self.ring.submit()?;
            if !self.is_submitted() {
                return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
            }
            self.copies_used = 0;
        }
        let copied = &mut self.copies[self.copies_used];
        let bytes = copied.bytes.get_mut(..datagram.len());
        let bytes = bytes.ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        bytes.copy_from_slice(datagram);
        let bytes_len = u32::try_from(bytes.len()).unwrap_or(0);
        let len = write_address(egress.destination, &mut copied.address);
        let entry = opcode::Send::new(Fixed(egress.socket.slot()), bytes.as_ptr(), bytes_len)
            .dest_addr(copied.address.as_ptr().cast())
            .dest_addr_len(u32::try_from(len).unwrap_or(ADDRESS_LEN_U32))
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build();
        self.copies_used += 1;
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), Token::Send)
    }

    /// Ends the receive of a socket. Its last completion comes for sure; this makes one of its own
    /// only if there was nothing to end.
    pub(super) fn cancel_receive(&mut self, socket: SocketId) -> io::Result<()> {
        self.cancel(Token::Receive(socket))
    }

    /// Ends [`Self::arm_mailbox`].
    pub(super) fn cancel_mailbox(&mut self) -> io::Result<()> {
        self.cancel(Token::Mailbox)
    }

    /// By its name, which the kernel finds at once. "All that there is" (`IORING_ASYNC_CANCEL_ANY`)
    /// is one request, but looks for each through those that it has ended already.
    fn cancel(&mut self, token: Token) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(token.pack()).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), Token::Cancel)
    }

    /// Completes each time that something is written to the eventfd.
    pub(super) fn arm_mailbox(&mut self, wake: BorrowedFd<'_>) -> io::Result<()> {
        let events = u32::from(libc::POLLIN.cast_unsigned());
        let wake = io_uring::types::Fd(wake.as_raw_fd());
        let entry = opcode::PollAdd::new(wake, events).multi(true).build();
        self.push(entry, Token::Mailbox)
    }

    /// Submits what was asked for, and waits for a completion or the time-out: the one system
    /// call of a turn. With `company` it waits for so many completions, but when the time of that
    /// is over, one is enough again (`min_wait_usec`, kernel 6.12).
    pub(super) fn enter(
        &mut self,
        timeout: Option<Duration>,
        company: Option<Company>,
    ) -> io::Result<()> {
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        let mut want = 1;
        if let Some(company) = company.filter(|_| self.has_min_wait) {
            want = usize::try_from(company.packets).unwrap_or(1);
            let bound = company.bound.as_micros();
            args = args.min_wait_usec(u32::try_from(bound).unwrap_or(u32::MAX));
        }
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        match self.ring.submitter().submit_with_args(want, &args) {
            // It takes fewer than all if it has no memory for them.
            Ok(_) if self.is_submitted() => {
                self.copies_used = 0;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes what has completed.
    pub(super) fn completions(&mut self, out: &mut Vec<cqueue::Entry>) {
        out.extend(self.ring.completion());
    }

    /// Completions that did not fit and that the kernel keeps: it has to be entered for them.
    pub(super) fn is_overflown(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// `WouldBlock` if there is no room now.
    fn push(&mut self, entry: squeue::Entry, token: Token) -> io::Result<()> {
        let entry = entry.user_data(token.pack());
        if self.ring.submission().is_full()
            // Makes room, since the kernel takes all entries over, unless it cannot now.
            && let Err(error) = self.ring.submit()
            && !is_passing(&error)
        {
            return Err(error);
        }
        // JUSTIFICATION: an entry holds addresses, whose validity the crate cannot know.
        // SAFETY: the crate wants the parameters to be valid for the whole operation. `header`
        // and `copies` are boxed and live as long as the ring, and a copy is not written to before
        // its send was submitted; a buffer that is sent lies in the pool, which
        // outlives the ring, and is not handed out again before `is_submitted`, since `Uring` keeps
        // its lease; the eventfd is kept open by `Uring`; other entries hold no address.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))
    }
}

/// The deadline, a signal; or a kernel that wants completions to be taken first, or has no memory
/// now: what it did not take is there still.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
    )
}

impl Copied {
    const fn new() -> Self {
        Self {
            address: [0; ADDRESS_LEN_MAX],
            bytes: [0; COPIED_BYTES_MAX],
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.ring.as_raw_fd())
            .finish_non_exhaustive()
    }
}

/// Wants the sender's address, and room for one control message.
fn receive_header() -> libc::msghdr {
    // JUSTIFICATION: the struct has private padding on some platforms, so it cannot be written
    // out.
    // SAFETY: all its fields are integers and pointers, for which zero is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = ADDRESS_LEN_U32;
    header.msg_controllen = CONTROL_LEN;
    header
}

/// [`ADDRESS_LEN_MAX`] as the kernel wants it.
const ADDRESS_LEN_U32: u32 = 28;

const _: () = assert!(ADDRESS_LEN_U32 as usize == ADDRESS_LEN_MAX);
