//! Why the relay does not start, in words that name the cause and the cure.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use relay_dtls::IdentityError;

use crate::kernel_table::KernelTableError;

/// Why the relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The socket for control cannot be made.
    #[error("cannot listen for control on {}: {source}", path.display())]
    Link {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another relay answers on the socket for control.
    #[error(
        "another relay is running: it answers on {}. Stop it, or give this one another \
         tandem.runtime_dir and other relay.ports",
        path.display()
    )]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// A thread, an eventfd: the process has reached a limit.
    #[error("cannot {doing}: {source}. Look at the limits of this process (ulimit -a)")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An interface is not an address of this host.
    #[error(
        "relay.interfaces: cannot receive on {address}: {source}. It must be an address of this \
         host (ip address); what stands in front of a NAT goes behind a `!`"
    )]
    Interface {
        /// As configured.
        address: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel's table is wanted, and cannot be.
    #[error("relay.kernel_table: {0}. With \"auto\" or \"off\" the relay forwards through sockets")]
    KernelTable(#[source] KernelTableError),
    /// There is no certificate to shake hands with.
    #[error(transparent)]
    Identity(IdentityError),
    /// A worker cannot set its driver up.
    #[error("worker {worker}: {source}")]
    Worker {
        /// Which.
        worker: u8,
        /// Why.
        source: SetupError,
    },
}

/// Why a driver cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The poll driver has no epoll.
    #[error("cannot make an epoll: {0}")]
    Epoll(#[source] io::Error),
    /// Memory for the buffers.
    #[error("cannot take memory for the receive buffers: {0}")]
    Memory(#[source] io::Error),
    /// io_uring does not work here.
    #[error(
        "io_uring does not work here: cannot {step}: {source}. {}",
        cure(source)
    )]
    Ring {
        /// What was tried.
        step: RingStep,
        /// What the system said.
        source: io::Error,
    },
    /// io_uring is there, but not all that we need of it.
    #[error("io_uring of this kernel is too old. {CURE_OLD}")]
    RingFeatures,
}

/// One step of setting a ring up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RingStep {
    /// Give the kernel the ring of buffers.
    Buffers,
    /// Reserve slots for sockets.
    Files,
    /// Make the ring.
    Setup,
    /// Listen for control.
    Wake,
}

impl fmt::Display for RingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffers => "register the receive buffers",
            Self::Files => "reserve slots for the sockets",
            Self::Setup => "set up the ring",
            Self::Wake => "watch the mailbox",
        })
    }
}

const CURE_OLD: &str = "It takes Linux 6.1 or newer; relay.driver = \"poll\" works on all";

/// Where the kernel says who may use io_uring (since Linux 6.6).
const SWITCH_PATH: &str = "/proc/sys/kernel/io_uring_disabled";

/// What the operator can do about it.
fn cure(error: &io::Error) -> String {
    let cure = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => return permission_cure(),
        Some(libc::ENOSYS) => {
            "This kernel is built without it, or a sandbox hides it (seccomp; container runtimes \
             do): allow io_uring_setup, io_uring_enter and io_uring_register, or write \
             relay.driver = \"poll\""
        }
        Some(libc::EINVAL) => CURE_OLD,
        Some(libc::ENOMEM) => {
            "The limit of locked memory is too low for it (ulimit -l; LimitMEMLOCK= in systemd), \
             or memory is short; relay.driver = \"poll\" needs less"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "The limit of open files is too low for relay.ports (ulimit -n; LimitNOFILE= in \
             systemd): raise it, or configure fewer ports"
        }
        _ => "relay.driver = \"poll\" does without it",
    };
    cure.to_owned()
}

fn permission_cure() -> String {
    let switch = std::fs::read_to_string(SWITCH_PATH).unwrap_or_default();
    let cure = match switch.trim() {
        "1" => {
            "kernel.io_uring_disabled is 1: only the group of kernel.io_uring_group and \
             CAP_SYS_ADMIN may use it. Set it to 0 (sysctl kernel.io_uring_disabled=0)"
        }
        "2" => {
            "It is switched off: set kernel.io_uring_disabled to 0 (sysctl \
             kernel.io_uring_disabled=0)"
        }
        _ => {
            "A seccomp filter or security module forbids it (container runtimes do): allow \
             io_uring_setup, io_uring_enter and io_uring_register"
        }
    };
    format!("{cure}, or write relay.driver = \"poll\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_likely_cause_has_a_cure() {
        let causes = [
            (libc::EPERM, "io_uring"),
            (libc::ENOSYS, "seccomp"),
            (libc::EINVAL, "6.1"),
            (libc::ENOMEM, "LimitMEMLOCK"),
            (libc::EMFILE, "LimitNOFILE"),
            (libc::EIO, "poll"),
        ];
        for (errno, word) in causes {
            let error = SetupError::Ring {
                step: RingStep::Setup,
                source: io::Error::from_raw_os_error(errno),
            };
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
