//! The floor with io_uring, set up as the relay's ring is.

use std::alloc::{Layout, alloc_zeroed};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result};
use io_uring::types::{BufRingEntry, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::{
    ADDRESS_LEN, Arguments, Link, ORDERS_AFTER, Order, PACKET_BYTES_MAX, SLOTS, address_of,
};

/// A ring and all that it points to, which lives as long as the process.
struct Floor {
    ring: IoUring,
    slots: Vec<Option<Slot>>,
    buffers: Buffers,
    /// Buffers that are being sent.
    sending: Vec<u16>,
    to_arm: Vec<u32>,
    /// Without its address, since it is connected.
    is_connected: bool,
    submit_every: usize,
}

struct Slot {
    link: Link,
    /// What the kernel reads when a send is submitted.
    address: Box<libc::sockaddr_in>,
}

/// Receive buffers and the ring that offers them.
struct Buffers {
    memory: NonNull<u8>,
    ring: NonNull<BufRingEntry>,
    count: u16,
    tail: u16,
}

/// As many as the relay has. They count as locked memory.
const COMPLETIONS: u32 = 16_384;

const GROUP: u16 = 0;

/// What a completion belongs to, if to no receive.
const NO_RECEIVE: u64 = u64::MAX;

/// A packet waits for so many at most.
const COMPANY: usize = 64;

/// Forwards for ever.
pub(crate) fn run(arguments: &Arguments, inbox: &Receiver<Order>) -> Result<()> {
    let mut floor = Floor::open(arguments)?;
    let mut batch: Vec<cqueue::Entry> = Vec::with_capacity(usize::try_from(COMPLETIONS)?);
    let timeout = Timespec::from(ORDERS_AFTER);
    let waiting = SubmitArgs::new()
        .timespec(&timeout)
        .min_wait_usec(arguments.wait_us);
    let hasty = SubmitArgs::new().timespec(&timeout);
    let mut packets = 0;
    loop {
        // As the relay does: no wait for company that will not come.
        match packets {
            0 | 1 => floor.enter(1, &hasty)?,
            _ if arguments.wait_us == 0 => floor.enter(1, &hasty)?,
            _ => floor.enter(COMPANY, &waiting)?,
        }
        while let Ok(order) = inbox.try_recv() {
            floor.obey(order)?;
        }
        batch.extend(floor.ring.completion());
        packets = batch.len();
        for completion in batch.drain(..) {
            floor.completed(&completion)?;
        }
        floor.buffers.publish();
        floor.arm()?;
    }
}

impl Floor {
    fn open(arguments: &Arguments) -> Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(4_096)
            .context("io_uring")?;
        ring.submitter().register_files_sparse(SLOTS)?;
        let mut buffers = Buffers::new(arguments.buffers)?;
        // JUSTIFICATION: the ring of buffers is shared with the kernel by address.
        // SAFETY: it has as many entries as is said, and is never freed.
        unsafe {
            let address = buffers.ring.addr().get() as u64;
            ring.submitter()
                .register_buf_ring_with_flags(address, buffers.count, GROUP, 0)?;
        }
        (0..buffers.count).for_each(|id| buffers.release(id));
        buffers.publish();
        Ok(Self {
            ring,
            slots: (0..SLOTS).map(|_| None).collect(),
            buffers,
            sending: Vec::new(),
            to_arm: Vec::new(),
            is_connected: arguments.connected,
            submit_every: match arguments.submit_every {
                0 => usize::MAX,
                sends => sends,
            },
        })
    }

    fn enter(&mut self, want: usize, args: &SubmitArgs<'_, '_>) -> Result<()> {
        match self.ring.submitter().submit_with_args(want, args) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error).context("io_uring_enter"),
            },
        }
        self.release_sent();
        Ok(())
    }

    /// What was submitted is sent: with MSG_DONTWAIT it is tried once.
    fn release_sent(&mut self) {
        if self.ring.submission().is_empty() {
            for id in self.sending.drain(..) {
                self.buffers.release(id);
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Open(link) => {
                let (slot, file) = (link.slot, link.socket.as_raw_fd());
                self.ring.submitter().register_files_update(slot, &[file])?;
                let address = Box::new(address_of(&link));
                self.slots[index(slot)] = Some(Slot { link, address });
                self.to_arm.push(slot);
            }
            Order::Close(slot) => {
                let cancel = opcode::AsyncCancel::new(slot.into()).build();
                self.push(cancel.user_data(NO_RECEIVE))?;
                self.ring.submit()?;
                self.release_sent();
                self.ring.submitter().register_files_update(slot, &[-1])?;
                self.slots[index(slot)] = None;
            }
        }
        Ok(())
    }

    fn completed(&mut self, completion: &cqueue::Entry) -> Result<()> {
        let Ok(slot) = u32::try_from(completion.user_data()) else {
            return Ok(());
        };
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            match u32::try_from(completion.result()) {
                Ok(len) => self.forward(slot, id, len)?,
                Err(_) => self.buffers.release(id),
            }
        }
        if !cqueue::more(completion.flags()) {
            self.to_arm.push(slot);
        }
        Ok(())
    }

    fn forward(&mut self, slot: u32, id: u16, len: u32) -> Result<()> {
        let Some(from) = &self.slots[index(slot)] else {
            self.buffers.release(id);
            return Ok(());
        };
        let partner = Fixed(from.link.partner);
        let send = opcode::Send::new(partner, self.buffers.address(id), len)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        let send = match self.is_connected {
            true => send,
            false => {
                let address: *const libc::sockaddr_in = &raw const *from.address;
                send.dest_addr(address.cast()).dest_addr_len(ADDRESS_LEN)
            }
        };
        let send = send.build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(send.user_data(NO_RECEIVE))?;
        self.sending.push(id);
        if self.sending.len() >= self.submit_every {
            self.ring.submit()?;
            self.release_sent();
            self.buffers.publish();
        }
        Ok(())
    }

    fn arm(&mut self) -> Result<()> {
        while let Some(slot) = self.to_arm.pop() {
            if self.slots[index(slot)].is_some() {
                let entry = opcode::RecvMulti::new(Fixed(slot), GROUP).build();
                self.push(entry.user_data(slot.into()))?;
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> Result<()> {
        if self.ring.submission().is_full() {
            self.ring.submit()?;
        }
        // JUSTIFICATION: an entry holds addresses, whose validity the crate cannot know.
        // SAFETY: those of buffers are never freed, and those of slots not before what was pushed
        // is submitted (see `obey`).
        unsafe { self.ring.submission().push(&entry) }.context("the ring is full")
    }
}

impl Buffers {
    fn new(count: u16) -> Result<Self> {
        let count = count.next_power_of_two();
        let bytes = usize::from(count) * index(PACKET_BYTES_MAX);
        Ok(Self {
            memory: pages(bytes)?,
            ring: pages(usize::from(count) * size_of::<BufRingEntry>())?.cast(),
            count,
            tail: 0,
        })
    }

    fn address(&self, id: u16) -> *const u8 {
        let offset = usize::from(id) * index(PACKET_BYTES_MAX);
        self.memory.as_ptr().wrapping_add(offset)
    }

    fn release(&mut self, id: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        // JUSTIFICATION: the kernel reads the entries that it has not consumed at the same time.
        // SAFETY: `at` is below `count`, and each buffer is in the ring once, so the kernel has
        // consumed this entry.
        let entry = unsafe { self.ring.add(at).as_mut() };
        entry.set_addr(self.address(id).addr() as u64);
        entry.set_len(PACKET_BYTES_MAX);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // JUSTIFICATION: the tail is shared with the kernel.
        // SAFETY: it is a field of the first entry, and all access to it is atomic.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.as_ptr());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }
}

/// Zeroed pages that are never given back.
fn pages(bytes: usize) -> Result<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes.max(1), 4_096)?;
    // JUSTIFICATION: no safe interface aligns to a page.
    // SAFETY: the layout is of at least one byte.
    NonNull::new(unsafe { alloc_zeroed(layout) }).context("no memory")
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
