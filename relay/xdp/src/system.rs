//! bpf(2), and the memory of its tables: what is unsafe here, but for [`crate::interface`].
//!
//! A file descriptor is all that keeps a table, a program or its attachment alive; they are gone
//! with the process that holds them, however it ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

// Commands of bpf(2).
const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
#[cfg(test)]
const PROG_TEST_RUN: libc::c_int = 10;
const OBJECT_INFO: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
#[cfg(test)]
const LINK_DETACH: libc::c_int = 34;

const MAP_TYPE_ARRAY: u32 = 2;
/// The memory of a table can be mapped.
const MAP_MAPPABLE: u32 = 1 << 10;

/// What a program says of itself; helpers for GPL only are not used.
const LICENSE: &[u8; 18] = b"MIT OR Apache-2.0\0";

/// Bytes that the verifier may say at most.
const LOG_BYTES: u32 = 1 << 20;

/// Where a program is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hook {
    /// Where frames come in, before the kernel has looked at them.
    Xdp {
        /// By the kernel for any interface, slower, rather than by the driver of the interface.
        is_generic: bool,
    },
    /// Where frames go out.
    TcxEgress,
}

impl Hook {
    const fn program_type(self) -> u32 {
        match self {
            Self::Xdp { .. } => 6,
            Self::TcxEgress => 3,
        }
    }

    const fn attach_type(self) -> u32 {
        match self {
            Self::Xdp { .. } => 37,
            Self::TcxEgress => 47,
        }
    }

    /// Frames in several pieces may come as well, so that a large MTU is no hindrance; a program that
    /// looks at the first piece only lets them pass.
    const fn program_flags(self) -> u32 {
        match self {
            Self::Xdp { .. } => 1 << 5,
            Self::TcxEgress => 0,
        }
    }

    const fn flags(self) -> u32 {
        match self {
            Self::Xdp { is_generic: true } => 1 << 1,
            Self::Xdp { is_generic: false } => 1 << 2,
            Self::TcxEgress => 0,
        }
    }
}

// The parts of `union bpf_attr` that we use; the kernel takes what is behind them for 0.

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: RawFd,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    padding: u32,
    expected_revision: u64,
}

#[repr(C)]
struct ObjectInfo {
    fd: RawFd,
    info_len: u32,
    info: u64,
}

#[cfg(test)]
#[repr(C)]
struct TestRun {
    prog_fd: RawFd,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// Calls bpf(2). Says what it returned.
///
/// # Safety
///
/// `attributes` must be what the command takes, and the addresses in it valid for as many bytes as
/// it says there: to be read, or written if the command does that.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    let attributes: *mut T = attributes;
    // JUSTIFICATION: no safe interface has this system call.
    // SAFETY: bpf(2) reads and writes `size_of::<T>()` bytes at `attributes` during the call, which
    // an exclusive reference covers; what is behind the addresses in it is promised by the caller.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}

fn owned(fd: RawFd) -> OwnedFd {
    // JUSTIFICATION: bpf(2) returns numbers.
    // SAFETY: the callers have it from bpf(2), which has just opened it for us; nobody else knows
    // of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A name as the kernel takes it: 15 letters.
fn name_of(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    bytes
}

/// Makes an array in the kernel, whose memory can be mapped.
pub(crate) fn create_array(name: &str, entry_bytes: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: entry_bytes,
        max_entries: entries,
        map_flags: MAP_MAPPABLE,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: name_of(name),
    };
    // SAFETY: these are the attributes of `BPF_MAP_CREATE`, without addresses.
    unsafe { bpf(MAP_CREATE, &mut attributes) }.map(owned)
}

/// Why a program was not taken.
#[derive(Debug)]
pub(crate) struct LoadFailure {
    pub(crate) error: io::Error,
    /// The verifier's last words; empty if it was not asked.
    pub(crate) log: String,
}

/// Hands a program to the kernel.
pub(crate) fn load(name: &str, hook: Hook, program: &[u64]) -> Result<OwnedFd, LoadFailure> {
    match load_with(name, hook, program, None) {
        Ok(fd) => Ok(fd),
        // Once more, for the reason.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(LoadFailure {
            error,
            log: String::new(),
        }),
        Err(_) => {
            let mut log = vec![0; LOG_BYTES as usize];
            load_with(name, hook, program, Some(&mut log)).map_err(|error| {
                let end = log.iter().position(|it| *it == 0).unwrap_or(log.len());
                let log = String::from_utf8_lossy(&log[..end]).into_owned();
                LoadFailure { error, log }
            })
        }
    }
}

fn load_with(
    name: &str,
    hook: Hook,
    program: &[u64],
    log: Option<&mut [u8]>,
) -> io::Result<OwnedFd> {
    let (log_level, log_size, log_buf) = match log {
        Some(log) => (
            1,
            u32::try_from(log.len()).map_err(io::Error::other)?,
            address_of(log.as_mut_ptr()),
        ),
        None => (0, 0, 0),
    };
    let mut attributes = ProgLoad {
        prog_type: hook.program_type(),
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: address_of(program.as_ptr().cast_mut()),
        license: address_of(LICENSE.as_ptr().cast_mut()),
        log_level,
        log_size,
        log_buf,
        kern_version: 0,
        prog_flags: hook.program_flags(),
        prog_name: name_of(name),
        prog_ifindex: 0,
        expected_attach_type: hook.attach_type(),
    };
    // SAFETY: these are the attributes of `BPF_PROG_LOAD`: `insns` has `insn_cnt` instructions of 8
    // bytes, which are read; `license` is a string that ends with 0; `log_buf` has `log_size` bytes,
    // borrowed exclusively, which are written. All three outlive the call.
    unsafe { bpf(PROG_LOAD, &mut attributes) }.map(owned)
}

/// Has an interface run a program, until what is returned is closed.
pub(crate) fn attach(program: BorrowedFd<'_>, hook: Hook, interface: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        prog_fd: program.as_raw_fd(),
        target_ifindex: interface,
        attach_type: hook.attach_type(),
        flags: hook.flags(),
        relative_fd: 0,
        padding: 0,
        expected_revision: 0,
    };
    // SAFETY: these are the attributes of `BPF_LINK_CREATE`, without addresses.
    unsafe { bpf(LINK_CREATE, &mut attributes) }.map(owned)
}

/// The interface that runs a program by this attachment; `None`: none does any more.
pub(crate) fn attached_to(link: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    // `struct bpf_link_info` up to what follows the interface, of XDP and of tcx alike.
    let mut info = [0_u32; 6];
    let mut attributes = ObjectInfo {
        fd: link.as_raw_fd(),
        info_len: u32::try_from(size_of_val(&info)).map_err(io::Error::other)?,
        info: address_of(info.as_mut_ptr()),
    };
    // SAFETY: these are the attributes of `BPF_OBJ_GET_INFO_BY_FD`: `info` has `info_len` bytes, which
    // are written and outlive the call.
    unsafe { bpf(OBJECT_INFO, &mut attributes) }?;
    Ok(Some(info[4]).filter(|it| *it != 0))
}

#[cfg(test)]
/// Takes a program away from its interface, as an operator may.
pub(crate) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = [link.as_raw_fd()];
    // SAFETY: these are the attributes of `BPF_LINK_DETACH`, without addresses.
    unsafe { bpf(LINK_DETACH, &mut attributes) }.map(drop)
}

#[cfg(test)]
/// What came of running a program with a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ran {
    pub(crate) verdict: u32,
    pub(crate) frame: Vec<u8>,
    /// On average.
    pub(crate) duration_ns: u32,
}

#[cfg(test)]
/// Runs a program with a frame, as often as is said, on no interface.
pub(crate) fn run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<Ran> {
    run_with(program, frame, repeat, &[])
}

#[cfg(test)]
/// Runs a program where frames go out with one that has come in by an interface; 0: by none.
pub(crate) fn run_come_in(
    program: BorrowedFd<'_>,
    frame: &[u8],
    interface: u32,
) -> io::Result<Ran> {
    // Words of `struct __sk_buff`, all that are before it 0.
    let mut context = [0; 10];
    context[9] = interface;
    run_with(program, frame, 1, &context)
}

#[cfg(test)]
fn run_with(
    program: BorrowedFd<'_>,
    frame: &[u8],
    repeat: u32,
    context: &[u32],
) -> io::Result<Ran> {
    let mut out = vec![0; frame.len() + 256];
    let mut attributes = TestRun {
        prog_fd: program.as_raw_fd(),
        retval: 0,
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_size_out: u32::try_from(out.len()).map_err(io::Error::other)?,
        data_in: address_of(frame.as_ptr().cast_mut()),
        data_out: address_of(out.as_mut_ptr()),
        repeat,
        duration: 0,
        ctx_size_in: u32::try_from(size_of_val(context)).map_err(io::Error::other)?,
        ctx_size_out: 0,
        ctx_in: match context {
            [] => 0,
            _ => address_of(context.as_ptr().cast_mut()),
        },
        ctx_out: 0,
        flags: 0,
        cpu: 0,
        batch_size: 0,
        padding: 0,
    };
    // SAFETY: these are the attributes of `BPF_PROG_TEST_RUN`: `data_in` has `data_size_in` bytes,
    // which are read, `data_out` has `data_size_out`, which are written, `ctx_in` has
    // `ctx_size_in`, which are read; all outlive the call.
    unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
    out.truncate(usize::try_from(attributes.data_size_out).map_err(io::Error::other)?);
    Ok(Ran {
        verdict: attributes.retval,
        frame: out,
        duration_ns: attributes.duration,
    })
}

fn address_of<T>(pointer: *mut T) -> u64 {
    // Widening: an address has at most 64 bits.
    pointer.expose_provenance() as u64
}

/// The memory of a table, as words that the kernel reads and writes as well.
#[derive(Debug)]
pub(crate) struct Memory {
    first: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: it is owned memory that is only reached by shared references to atomics.
unsafe impl Send for Memory {}
// SAFETY: the same.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps an array of [`create_array`] that has so many words in all.
    pub(crate) fn map(array: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // JUSTIFICATION: counters are read and flows installed without a system call.
        // SAFETY: mmap(2) chooses the address, so nothing that exists is touched.
        let first = unsafe {
            mmap(
                std::ptr::null_mut(),
                words * size_of::<AtomicU64>(),
                protection,
                MapFlags::SHARED,
                array,
                0,
            )
        }?;
        let first = NonNull::new(first.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { first, words })
    }

    /// One word.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "outside of the table");
        // SAFETY: the mapping has `words` words, begins on a page and lives as long as `self`; all
        // who reach it, the kernel's programs too, do it in aligned pieces of at most a word, and on
        // our side by atomics only.
        unsafe { self.first.add(index).as_ref() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it outlives `self`.
        // It cannot fail: the address and the length are those that mmap(2) has returned.
        let _ = unsafe {
            munmap(
                self.first.as_ptr().cast(),
                self.words * size_of::<AtomicU64>(),
            )
        };
    }
}
