//! The table: its memory, the programs that use it, and who owns which part.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;

use crate::assembler::AssembleError;
use crate::layout::{self, PORT_BYTES, SLOT_BYTES, SLOT_WORDS, word_of};
use crate::program::Scene;
use crate::program::forward::{self, Traits};
use crate::program::observe::{self, Lease};
use crate::system::{self, Hook, Memory};

/// Nothing is forwarded so long after the last packet that went through the relay.
pub(crate) const LEASE: Lease = Lease {
    ns: 8_000_000_000,
    renewed_after_ns: 5_000_000_000,
};

/// A slot that was taken out is not used again for so long: a processor that has begun with a
/// packet of the flow must be done with it. That takes less than a microsecond, but a virtual
/// machine may be stopped meanwhile.
const COOLING: Duration = Duration::from_secs(5);

/// Slots at most: 16 MiB.
const SLOTS_MAX: u32 = 131_072;

/// What a table is for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where media arrives.
    pub addresses: Vec<Ipv4Addr>,
    /// The ports of each.
    pub ports: RangeInclusive<u16>,
    /// The interfaces that run our programs.
    pub interfaces: Vec<Interface>,
    /// Packets a second of one flow that are forwarded; what is above goes to the socket. 0: no limit.
    pub packets_max: u32,
}

/// A network interface that runs our programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interface {
    /// As the system numbers it.
    pub index: u32,
    /// The end of a cable within this machine (veth).
    pub is_virtual: bool,
    /// Where frames come in there.
    pub place: Place,
}

/// Where an interface runs the program that forwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the driver, or behind it if it cannot.
    Any,
    /// Behind the driver: the kernel has made a packet of the frame, and knows what its sum is worth.
    Generic,
    /// In the driver.
    Native,
}

/// Why there is no table.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The kernel has no memory for it, or does not let us.
    #[error("no table could be made: {0}")]
    Table(#[source] io::Error),
    /// A program is wrong.
    #[error("the program {name} could not be written: {source}")]
    Assemble {
        /// Which one.
        name: &'static str,
        /// Why.
        source: AssembleError,
    },
    /// The kernel refuses a program.
    #[error("the kernel does not take the program {name}: {source}{log}")]
    Load {
        /// Which one.
        name: &'static str,
        /// Why.
        source: io::Error,
        /// What its verifier says.
        log: String,
    },
    /// The interface does not run it.
    #[error("interface {interface} does not run the program {name}: {source}")]
    Attach {
        /// Which one.
        name: &'static str,
        /// Where.
        interface: u32,
        /// Why.
        source: io::Error,
    },
}

/// The table, with the programs that use it. They end when this is dropped.
#[derive(Debug)]
pub struct Table {
    scene: Scene,
    ports: Memory,
    slots: Memory,
    slots_len: u32,
    generic: Vec<u32>,
    programs: Vec<OwnedFd>,
    /// What keeps the programs where they are.
    _links: Vec<OwnedFd>,
    _maps: [OwnedFd; 2],
}

/// A flow: packets that arrive from a peer at one of our ports, and leave from another to another
/// peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    /// Who sends.
    pub peer: SocketAddrV4,
    /// Where it arrives.
    pub arrives_at: SocketAddrV4,
    /// Where it leaves from.
    pub leaves_from: SocketAddrV4,
    /// Who gets it.
    pub to: SocketAddrV4,
    /// Only of this source (RFC 3550 §5.1).
    pub ssrc: u32,
    /// Only of this type.
    pub payload_type: u8,
    /// Nanoseconds of one unit of its timestamps, times 2^[`TICK_SCALE_BITS`](crate::TICK_SCALE_BITS);
    /// 0: not known, and then jitter is not measured.
    pub tick: u32,
    /// The highest number so far, extended.
    pub highest: u64,
    /// Bit n: the packet n before that has come.
    pub seen: u64,
    /// In 1/16 ns.
    pub jitter: u64,
}

/// What was counted of a flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Packets forwarded.
    pub packets: u64,
    /// Their UDP payload.
    pub bytes: u64,
    /// How long ago the newest came; `None`: none did.
    pub idle: Option<Duration>,
    /// As in [`Flow::highest`].
    pub highest: u64,
    /// As in [`Flow::seen`].
    pub seen: u64,
    /// As in [`Flow::jitter`].
    pub jitter: u64,
}

/// A flow that is, or was, in the table: its place there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot(pub u32);

/// The part of the table that one worker fills.
#[derive(Debug)]
pub struct Share {
    table: Arc<Table>,
    /// Slots that were never used.
    fresh: std::ops::Range<u32>,
    free: Vec<u32>,
    cooling: VecDeque<(Instant, u32)>,
    /// By slot, from the first of this share: where in the table of ports its flow arrives and
    /// leaves, while it is in the table.
    installed: Vec<Option<[u32; 2]>>,
    first: u32,
}

impl Table {
    /// Makes the table, and has the interfaces run the programs.
    ///
    /// # Errors
    ///
    /// When the kernel refuses any of it; then nothing stays behind.
    pub fn open(options: &Options) -> Result<Arc<Self>, OpenError> {
        let addresses = u32::try_from(options.addresses.len()).unwrap_or(u32::MAX);
        let ports = u32::try_from(options.ports.len()).unwrap_or(u32::MAX);
        let ports_len = ports.saturating_mul(addresses).max(1);
        let slots_len = ports_len.min(SLOTS_MAX);
        let ports_map = system::create_array("tandem_ports", PORT_BYTES, ports_len);
        let ports_map = ports_map.map_err(OpenError::Table)?;
        let slots_map = system::create_array("tandem_flows", SLOT_BYTES, slots_len);
        let slots_map = slots_map.map_err(OpenError::Table)?;
        let words = |len: u32, each: usize| usize::try_from(len).unwrap_or(0) * each;
        let ports = Memory::map(ports_map.as_fd(), words(ports_len, 1));
        let slots = Memory::map(slots_map.as_fd(), words(slots_len, SLOT_WORDS));
        let mut table = Self {
            scene: Scene {
                addresses: options.addresses.clone(),
                ports: options.ports.clone(),
                ports_fd: ports_map.as_raw_fd(),
                slots_fd: slots_map.as_raw_fd(),
            },
            ports: ports.map_err(OpenError::Table)?,
            slots: slots.map_err(OpenError::Table)?,
            slots_len,
            generic: Vec::new(),
            programs: Vec::new(),
            _links: Vec::new(),
            _maps: [ports_map, slots_map],
        };
        table.attach(options)?;
        Ok(Arc::new(table))
    }

    fn attach(&mut self, options: &Options) -> Result<(), OpenError> {
        for interface in &options.interfaces {
            self.attach_forward(interface, options.packets_max)?;
            let program = observe::write(&self.scene, LEASE);
            self.install("tandem_observe", Hook::TcxEgress, interface.index, program)?;
        }
        Ok(())
    }

    fn attach_forward(&mut self, interface: &Interface, packets_max: u32) -> Result<(), OpenError> {
        let mut attach = |is_generic: bool| {
            let traits = Traits {
                // What the kernel has made a packet of keeps the note that its sum is not there yet,
                // so that none can be left out.
                is_virtual: interface.is_virtual && !is_generic,
                packets_max,
            };
            let program = forward::write(&self.scene, traits);
            let hook = Hook::Xdp { is_generic };
            self.install("tandem_forward", hook, interface.index, program)?;
            if is_generic {
                self.generic.push(interface.index);
            }
            Ok(())
        };
        match interface.place {
            Place::Generic => attach(true),
            Place::Native => attach(false),
            Place::Any => match attach(false) {
                Err(OpenError::Attach { source, .. }) if is_of_driver(&source) => attach(true),
                result => result,
            },
        }
    }

    /// Those of our interfaces that run the program behind their drivers.
    pub fn generic(&self) -> impl Iterator<Item = u32> {
        self.generic.iter().copied()
    }

    fn install(
        &mut self,
        name: &'static str,
        hook: Hook,
        interface: u32,
        program: Result<Vec<u64>, AssembleError>,
    ) -> Result<(), OpenError> {
        let program = program.map_err(|source| OpenError::Assemble { name, source })?;
        let program = system::load(name, hook, &program).map_err(|failure| OpenError::Load {
            name,
            source: failure.error,
            log: failure.log,
        })?;
        let link = system::attach(program.as_fd(), hook, interface);
        let link = link.map_err(|source| OpenError::Attach {
            name,
            interface,
            source,
        })?;
        self.programs.push(program);
        self._links.push(link);
        Ok(())
    }

    /// The part of one worker, of so many. To be taken once.
    #[must_use]
    pub fn share(self: &Arc<Self>, worker: u8, workers: u8) -> Share {
        let each = self.slots_len / u32::from(workers.max(1));
        let first = each * u32::from(worker);
        Share {
            table: Arc::clone(self),
            fresh: first..(first + each).min(self.slots_len),
            free: Vec::new(),
            cooling: VecDeque::new(),
            installed: vec![None; usize::try_from(each).unwrap_or(0)],
            first,
        }
    }

    #[cfg(test)]
    pub(crate) fn scene(&self) -> &Scene {
        &self.scene
    }

    fn word(&self, slot: u32, field: i16) -> &std::sync::atomic::AtomicU64 {
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        self.slots.word(slot * SLOT_WORDS + word_of(field))
    }

    /// Sets one half of a word of the table of ports; only the worker whose port it is does.
    fn set_port(&self, index: u32, half: i16, slot: Option<u32>) {
        let word = self
            .ports
            .word(usize::try_from(index).unwrap_or(usize::MAX));
        let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        let first = usize::from(half.unsigned_abs());
        let slot = slot.map_or(0, |it| it + 1);
        bytes[first..first + 4].copy_from_slice(&slot.to_ne_bytes());
        // Whoever sees the slot's number sees what is in it: the programs load the one by the other.
        word.store(u64::from_ne_bytes(bytes), Ordering::Release);
    }

    fn port(&self, index: u32, half: i16) -> Option<u32> {
        let word = self
            .ports
            .word(usize::try_from(index).unwrap_or(usize::MAX));
        let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        let first = usize::from(half.unsigned_abs());
        let slot = bytes[first..].first_chunk().copied();
        slot.map(u32::from_ne_bytes)?.checked_sub(1)
    }
}

/// Whether it is the driver that will not run programs: with this MTU, these queues, or at all.
fn is_of_driver(error: &io::Error) -> bool {
    // Those of a system that does not let us, or where another program runs.
    !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBUSY))
}

impl Share {
    /// Puts a flow into the table. `None` if there is no room, or if another flow arrives or leaves
    /// at the same ports.
    pub fn install(&mut self, now: Instant, flow: &Flow) -> Option<Slot> {
        let scene = &self.table.scene;
        let index_of = |end: SocketAddrV4| scene.index_of(*end.ip(), end.port());
        let ports = [index_of(flow.arrives_at)?, index_of(flow.leaves_from)?];
        let [arrives, leaves] = ports;
        if self.table.port(arrives, layout::PORT_ARRIVES).is_some()
            || self.table.port(leaves, layout::PORT_LEAVES).is_some()
        {
            return None;
        }
        let index = self.free_slot(now)?;
        for (place, word) in flow.words().into_iter().enumerate() {
            let field = usize::try_from(index).ok()? * SLOT_WORDS + place;
            self.table.slots.word(field).store(word, Ordering::Relaxed);
        }
        self.table
            .set_port(leaves, layout::PORT_LEAVES, Some(index));
        self.table
            .set_port(arrives, layout::PORT_ARRIVES, Some(index));
        *self.ports_of(Slot(index))? = Some(ports);
        Some(Slot(index))
    }

    /// Takes a flow out: its packets go to the socket from now on. What it has counted can be read
    /// until another flow is installed.
    pub fn take_out(&mut self, now: Instant, slot: Slot) {
        let ports = self.ports_of(slot).and_then(Option::take);
        let Some([arrives, leaves]) = ports else {
            return;
        };
        self.table.set_port(arrives, layout::PORT_ARRIVES, None);
        self.table.set_port(leaves, layout::PORT_LEAVES, None);
        let lease = self.table.word(slot.0, layout::LEASE_UNTIL);
        lease.store(0, Ordering::Relaxed);
        self.cooling.push_back((now, slot.0));
    }

    /// What a flow has counted since it was installed.
    #[must_use]
    pub fn read(&self, slot: Slot) -> Counts {
        let word = |field| self.table.word(slot.0, field).load(Ordering::Relaxed);
        let arrived = word(layout::ARRIVED);
        Counts {
            packets: word(layout::PACKETS),
            bytes: word(layout::BYTES),
            idle: (arrived != 0)
                .then(|| Duration::from_nanos(monotonic_ns().saturating_sub(arrived))),
            highest: word(layout::HIGHEST),
            seen: word(layout::SEEN),
            jitter: word(layout::JITTER),
        }
    }

    /// As if time had passed: a packet is to renew, or even the lease is over.
    #[cfg(test)]
    pub(crate) fn expire(&self, slot: Slot, is_over: bool) {
        let field = if is_over {
            layout::LEASE_UNTIL
        } else {
            layout::RENEW_AT
        };
        self.table.word(slot.0, field).store(1, Ordering::Relaxed);
    }

    fn ports_of(&mut self, slot: Slot) -> Option<&mut Option<[u32; 2]>> {
        let place = slot.0.checked_sub(self.first)?;
        self.installed.get_mut(usize::try_from(place).ok()?)
    }

    fn free_slot(&mut self, now: Instant) -> Option<u32> {
        while let Some((since, index)) = self.cooling.front().copied() {
            if now.saturating_duration_since(since) < COOLING {
                break;
            }
            self.free.push(index);
            self.cooling.pop_front();
        }
        self.free.pop().or_else(|| self.fresh.next())
    }
}

impl Flow {
    /// What a slot is when the flow is installed.
    fn words(&self) -> [u64; SLOT_WORDS] {
        let old = Ends::new(self.peer, self.arrives_at);
        let new = Ends::new(self.leaves_from, self.to);
        let ip = difference(&old.addresses, &new.addresses);
        let udp = add(ip, difference(&old.ports, &new.ports));
        let mut slot = [0; SLOT_BYTES as usize];
        let mut put = |field: i16, bytes: &[u8]| {
            let first = usize::from(field.unsigned_abs());
            slot[first..first + bytes.len()].copy_from_slice(bytes);
        };
        put(layout::OLD_ADDRESSES, &old.addresses);
        put(layout::OLD_PORTS, &old.ports);
        put(layout::SSRC, &self.ssrc.to_be_bytes());
        put(layout::NEW_ADDRESSES, &new.addresses);
        put(layout::NEW_PORTS, &new.ports);
        put(layout::UDP_DIFFERENCE, &udp.to_ne_bytes());
        put(layout::IP_DIFFERENCE, &ip.to_ne_bytes());
        put(layout::PAYLOAD_TYPE, &[self.payload_type]);
        put(layout::TICK, &self.tick.to_ne_bytes());
        put(layout::HIGHEST, &self.highest.to_ne_bytes());
        put(layout::SEEN, &self.seen.to_ne_bytes());
        put(layout::JITTER, &self.jitter.to_ne_bytes());
        let [.., a, b, c, d] = (monotonic_ns() >> layout::PACE_BITS).to_be_bytes();
        let paced = u32::from_be_bytes([a, b, c, d]);
        put(layout::PACED, &paced.to_ne_bytes());
        let mut words = [0; SLOT_WORDS];
        for (word, bytes) in words.iter_mut().zip(slot.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words
    }
}

/// Source and destination as they stand in packets.
struct Ends {
    addresses: [u8; 8],
    ports: [u8; 4],
}

impl Ends {
    fn new(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let [a, b, c, d] = from.ip().octets();
        let [e, f, g, h] = to.ip().octets();
        let [i, j] = from.port().to_be_bytes();
        let [k, l] = to.port().to_be_bytes();
        Self {
            addresses: [a, b, c, d, e, f, g, h],
            ports: [i, j, k, l],
        }
    }
}

/// What a sum changes by if `new` takes the place of `old` (RFC 1624, equation 3).
fn difference(old: &[u8], new: &[u8]) -> u16 {
    let words = |bytes: &[u8]| {
        let pairs = bytes.as_chunks().0.iter();
        pairs.map(|it| u16::from_ne_bytes(*it)).collect::<Vec<_>>()
    };
    let old = words(old).into_iter().map(|it| !it);
    old.chain(words(new)).fold(0, add)
}

/// Adds in ones' complement (RFC 1071).
fn add(a: u16, b: u16) -> u16 {
    let (sum, carries) = a.overflowing_add(b);
    sum + u16::from(carries)
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, ns) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + ns.unwrap_or(0)
}
