//! For tests and benches, whose network is virtual.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::assembler::{Assembler, Register};
use crate::program::forward::PASS;
use crate::system::{self, Hook};
use crate::table::{Interface, OpenError, Options, Place, Table};

/// Why the kernel's table cannot work here at all; `None`: it can. To be asked in a namespace of
/// one's own, since it is tried on the loopback interface.
///
/// # Panics
///
/// When the kernel does not forbid it, but does not like it.
#[must_use]
pub fn why_not() -> Option<OpenError> {
    forbidden(Table::open(&of_loopback())).err()
}

/// A table for two ports of the loopback interface.
pub(crate) fn of_loopback() -> Options {
    Options {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ports: 30_000..=30_001,
        interfaces: vec![Interface {
            index: LOOPBACK,
            is_virtual: true,
            place: Place::Generic,
        }],
        packets_max: 0,
    }
}

/// Passes on that it is not possible here; all other errors are ours.
///
/// # Panics
///
/// With these.
pub(crate) fn forbidden(opened: Result<Arc<Table>, OpenError>) -> Result<Arc<Table>, OpenError> {
    opened.inspect_err(|error| {
        let (OpenError::Table(source)
        | OpenError::Load { source, .. }
        | OpenError::Attach { source, .. }) = error
        else {
            panic!("{error}");
        };
        // Before Linux 6.6 there is nothing where frames go out that a program could be attached to.
        let is_old = matches!(error, OpenError::Attach { .. });
        let is_forbidden = match source.raw_os_error() {
            Some(libc::EPERM | libc::ENOSYS) => true,
            Some(libc::EINVAL) => is_old,
            _ => false,
        };
        assert!(is_forbidden, "{error}");
    })
}

/// The loopback interface has this number in each namespace.
pub(crate) const LOOPBACK: u32 = 1;

const NAME: &str = "tandem_pass";

/// Has an interface run a program that passes everything, until what is returned is dropped.
///
/// What a program at one end of a veth pair sends back is delivered only if the other end runs
/// a program as well.
///
/// # Errors
///
/// When the kernel refuses it.
pub fn pass_everything(interface: u32) -> Result<OwnedFd, OpenError> {
    let mut it = Assembler::new();
    it.set(Register::R0, PASS);
    it.exit();
    let assembled = it.finish();
    let program = assembled.map_err(|source| OpenError::Assemble { name: NAME, source })?;
    let hook = Hook::Xdp { is_generic: false };
    let program = system::load(NAME, hook, &program).map_err(|failure| OpenError::Load {
        name: NAME,
        source: failure.error,
        log: failure.log,
    })?;
    system::attach(program.as_fd(), hook, interface).map_err(|source| OpenError::Attach {
        name: NAME,
        interface,
        source,
    })
}
