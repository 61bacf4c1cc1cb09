//! The table: its memory, the programs that use it, and who owns which part.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Not, RangeInclusive};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;

use crate::assembler::AssembleError;
use crate::flow::{Flow, put};
use crate::interface;
use crate::layout::{
    self, LINK_BYTES, LINK_WORDS, LINKS_MAX, PORT_BYTES, SLOT_BYTES, SLOT_WORDS, WORD_BYTES,
    word_of,
};
use crate::netlink;
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

/// Slots at most: 32 MiB.
const SLOTS_MAX: u32 = 131_072;

/// What a table is for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where media arrives.
    pub addresses: Vec<IpAddr>,
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
    /// More than the table has places for.
    #[error("{0} network interfaces are too many: {LINKS_MAX} are possible")]
    TooManyInterfaces(usize),
    /// There is no such interface, or its frames are not those of Ethernet.
    #[error("interface {interface} is none with Ethernet addresses: {source}")]
    NotEthernet {
        /// Which one.
        interface: u32,
        /// What the system said.
        source: io::Error,
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
    links: Memory,
    /// By place.
    attached: Vec<Attached>,
    _maps: [OwnedFd; 3],
}

/// What keeps the programs on an interface.
#[derive(Debug)]
struct Attached {
    interface: u32,
    is_generic: bool,
    forward: Running,
    observe: Running,
}

/// A program that an interface runs, until this is dropped.
#[derive(Debug)]
struct Running {
    link: OwnedFd,
    /// Kept for whoever wants to know what it costs: with `kernel.bpf_stats_enabled` the kernel says
    /// in `/proc/PID/fdinfo` how often it ran, and for how long.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is there to be open"))]
    program: OwnedFd,
}

/// How it is with an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceState {
    /// Which one.
    pub interface: u32,
    /// The program that forwards is where it was put.
    pub forwards: bool,
    /// So is the one that observes.
    pub observes: bool,
    /// What comes in by another interface may leave here.
    pub takes_from_others: bool,
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
        if options.interfaces.len() > usize::try_from(LINKS_MAX).unwrap_or(0) {
            return Err(OpenError::TooManyInterfaces(options.interfaces.len()));
        }
        let create = |name, bytes, len| {
            let map = system::create_array(name, bytes, len)?;
            let words = usize::try_from(len * (bytes / WORD_BYTES)).unwrap_or(0);
            Ok((Memory::map(map.as_fd(), words)?, map))
        };
        let create = |name, bytes, len| create(name, bytes, len).map_err(OpenError::Table);
        let (ports, ports_map) = create("tandem_ports", PORT_BYTES, ports_len)?;
        let (slots, slots_map) = create("tandem_flows", SLOT_BYTES, slots_len)?;
        let (links, links_map) = create("tandem_links", LINK_BYTES, LINKS_MAX)?;
        let mut table = Self {
            scene: Scene {
                addresses: options.addresses.clone(),
                ports: options.ports.clone(),
                ports_fd: ports_map.as_raw_fd(),
                slots_fd: slots_map.as_raw_fd(),
                links_fd: links_map.as_raw_fd(),
            },
            ports,
            slots,
            slots_len,
            links,
            attached: Vec::new(),
            _maps: [ports_map, slots_map, links_map],
        };
        for interface in &options.interfaces {
            table.attach(options, *interface)?;
        }
        table.survey();
        Ok(Arc::new(table))
    }

    /// Those of our interfaces that run the program behind their drivers.
    pub fn generic(&self) -> impl Iterator<Item = u32> {
        let generic = self.attached.iter().filter(|it| it.is_generic);
        generic.map(|it| it.interface)
    }

    fn attach(&mut self, options: &Options, interface: Interface) -> Result<(), OpenError> {
        let index = interface.index;
        interface::ethernet_of(index).map_err(|source| OpenError::NotEthernet {
            interface: index,
            source,
        })?;
        let place = i32::try_from(self.attached.len()).unwrap_or(i32::MAX);
        let install_forward = |is_generic: bool| {
            let traits = Traits {
                place,
                // What the kernel has made a packet of keeps the note that its sum is not there yet,
                // so that none can be left out.
                is_virtual: interface.is_virtual && !is_generic,
                packets_max: options.packets_max,
            };
            let program = forward::write(&self.scene, traits);
            let link = install("tandem_forward", Hook::Xdp { is_generic }, index, program)?;
            Ok((link, is_generic))
        };
        let (forward, is_generic) = match interface.place {
            Place::Generic => install_forward(true)?,
            Place::Native => install_forward(false)?,
            Place::Any => match install_forward(false) {
                Err(OpenError::Attach { source, .. }) if is_of_driver(&source) => {
                    install_forward(true)?
                }
                result => result?,
            },
        };
        let program = observe::write(&self.scene, LEASE, place);
        let observe = install("tandem_observe", Hook::TcxEgress, index, program)?;
        self.attached.push(Attached {
            interface: index,
            is_generic,
            forward,
            observe,
        });
        Ok(())
    }

    /// Looks how it is with the interfaces, and tells the programs: addresses change, and programs
    /// are taken away by others. To be called every few seconds; no privilege is needed.
    pub fn survey(&self) -> Vec<InterfaceState> {
        let features = |it: &Attached| netlink::features_of(it.interface).unwrap_or_default();
        let all_send_on = self.attached.iter().all(|it| features(it).sends_on());
        let survey = |(place, attached): (usize, &Attached)| {
            let is_there = |it: &Running| {
                let interface = system::attached_to(it.link.as_fd());
                // Not to know is no reason for an alarm.
                interface.is_ok_and(|it| it.is_none()).not()
            };
            let forwards = is_there(&attached.forward);
            let takes = all_send_on && self.attached.len() > 1 && features(attached).takes();
            let state = InterfaceState {
                interface: attached.interface,
                forwards,
                observes: is_there(&attached.observe),
                takes_from_others: takes && forwards,
            };
            let ethernet = interface::ethernet_of(attached.interface).unwrap_or_default();
            self.set_link(place, ethernet, state);
            state
        };
        self.attached.iter().enumerate().map(survey).collect()
    }

    /// Tells the programs of an interface.
    fn set_link(&self, place: usize, ethernet: [u8; 6], state: InterfaceState) {
        let target = if state.takes_from_others {
            state.interface
        } else {
            0
        };
        let mut link = [0; LINK_BYTES as usize];
        put(&mut link, layout::LINK_ETHERNET, &ethernet);
        put(&mut link, layout::LINK_TARGET, &target.to_ne_bytes());
        for (word, bytes) in link.as_chunks().0.iter().enumerate() {
            let word = self.links.word(place * LINK_WORDS + word);
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
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

    /// As if there was an interface.
    #[cfg(test)]
    pub(crate) fn pretend(&self, place: usize, ethernet: [u8; 6], target: Option<u32>) {
        let state = InterfaceState {
            interface: target.unwrap_or(0),
            forwards: true,
            observes: true,
            takes_from_others: target.is_some(),
        };
        self.set_link(place, ethernet, state);
    }

    /// As if an operator had taken the program away that forwards.
    #[cfg(test)]
    pub(crate) fn detach(&self, place: usize) -> io::Result<()> {
        system::detach(self.attached[place].forward.link.as_fd())
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

/// Has an interface run a program.
fn install(
    name: &'static str,
    hook: Hook,
    interface: u32,
    program: Result<Vec<u64>, AssembleError>,
) -> Result<Running, OpenError> {
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
    Ok(Running { link, program })
}

impl Share {
    /// Puts a flow into the table. `None` if there is no room, or if another flow arrives or leaves
    /// at the same ports, or if it would leave by another IP than it came.
    pub fn install(&mut self, now: Instant, flow: &Flow) -> Option<Slot> {
        let family = flow.family()?;
        let scene = &self.table.scene;
        let index_of = |end: SocketAddr| scene.index_of(end.ip(), end.port());
        let ports = [index_of(flow.arrives_at)?, index_of(flow.leaves_from)?];
        let [arrives, leaves] = ports;
        if self.table.port(arrives, layout::PORT_ARRIVES).is_some()
            || self.table.port(leaves, layout::PORT_LEAVES).is_some()
        {
            return None;
        }
        let index = self.free_slot(now)?;
        for (place, word) in flow.words(family, monotonic_ns()).into_iter().enumerate() {
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

    /// As if time had passed: how long packets may be is measured anew.
    #[cfg(test)]
    pub(crate) fn forget_len(&self, slot: Slot) {
        let since = self.table.word(slot.0, layout::LEN_SINCE);
        since.store(0, Ordering::Relaxed);
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

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, ns) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + ns.unwrap_or(0)
}

#[cfg(test)]
mod tests;
