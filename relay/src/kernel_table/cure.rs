//! What an operator can do when the kernel does not take the table.

use std::io;

use relay_xdp::OpenError;
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use super::Nic;

/// What matters of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Host {
    /// Of those that are needed.
    missing: CapabilitySet,
    /// As the kernel names itself.
    release: String,
}

impl Host {
    pub(super) fn here() -> Self {
        let ours = capabilities(None).map(|it| it.effective);
        Self {
            missing: NEEDED - ours.unwrap_or(NEEDED),
            release: uname().release().to_string_lossy().into_owned(),
        }
    }

    fn is_too_old(&self) -> bool {
        let mut numbers = self.release.split(|it: char| !it.is_ascii_digit());
        let mut number = || {
            numbers
                .next()
                .and_then(|it| it.parse().ok())
                .unwrap_or(0_u32)
        };
        (number(), number()) < RELEASE_MIN
    }
}

const NEEDED: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::NET_ADMIN);

/// Programs where frames go out that end with the process (tcx).
const RELEASE_MIN: (u32, u32) = (6, 6);

/// What to do about it.
pub(super) fn cure(error: &OpenError, nics: &[Nic], host: &Host) -> String {
    match error {
        OpenError::Table(source) | OpenError::Load { source, .. } => refused(source, host),
        OpenError::Attach {
            source, interface, ..
        }
        | OpenError::NotEthernet { source, interface } => {
            let nic = nics.iter().find(|it| it.index == *interface);
            let name = nic.map_or("this interface", |it| it.name.as_str());
            not_attached(source, name, host)
        }
        OpenError::TooManyInterfaces(_) => {
            "Name those that calls come by in relay.kernel_table_interfaces".to_owned()
        }
        _ => "Please report it".to_owned(),
    }
}

fn refused(error: &io::Error, host: &Host) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) if !host.missing.is_empty() => format!(
            "It needs the capabilities CAP_BPF and CAP_NET_ADMIN, and does not have {}; the unit of \
             the relay says how",
            names(host.missing)
        ),
        Some(libc::EPERM) => "The capabilities are there, so that something else forbids bpf(2): \
             seccomp (SystemCallFilter=bpf in the unit of the relay), a container with users of its \
             own, where capabilities count for nothing, or a security module (dmesg)"
            .to_owned(),
        Some(libc::ENOSYS) => "This kernel is built without bpf(2)".to_owned(),
        Some(libc::ENOMEM) => "There is no memory for it: configure fewer relay.ports".to_owned(),
        _ if host.is_too_old() => {
            format!("Linux 6.6 is needed, and this is {}", host.release)
        }
        _ => "Please report it, with the kernel's version".to_owned(),
    }
}

fn not_attached(error: &io::Error, name: &str, host: &Host) -> String {
    let otherwise = "or leave it out of relay.kernel_table_interfaces";
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS | libc::ENOMEM) => refused(error, host),
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "Another XDP program runs on {name}, and there can be one: take it away \
             (ip link set dev {name} xdp off, or end who has put it there), {otherwise}"
        ),
        Some(libc::EOPNOTSUPP) => {
            format!(
                "The driver of {name} runs no programs; relay.kernel_table_xdp = \"generic\" needs no \
                 driver. Or use another interface, {otherwise}"
            )
        }
        Some(libc::EAFNOSUPPORT) => {
            format!("{name} is no Ethernet: use another interface, {otherwise}")
        }
        Some(libc::ENODEV | libc::ENXIO) => format!("{name} is gone: see relay.interfaces"),
        _ if host.is_too_old() => refused(error, host),
        _ => format!(
            "The driver of {name} says why in the log of the kernel (dmesg): the MTU may be too large \
             (ip link set dev {name} mtu 1500), LRO may be on (ethtool -K {name} lro off), or queues \
             too few (ethtool -l {name}); {otherwise}"
        ),
    }
}

fn names(missing: CapabilitySet) -> String {
    let names = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    ];
    let names = names.iter().filter(|(it, _)| missing.contains(*it));
    names.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVILEGED: CapabilitySet = CapabilitySet::empty();

    fn host(missing: CapabilitySet, release: &str) -> Host {
        Host {
            missing,
            release: release.to_owned(),
        }
    }

    fn attach(errno: i32) -> OpenError {
        OpenError::Attach {
            name: "tandem_forward",
            interface: 4,
            source: io::Error::from_raw_os_error(errno),
        }
    }

    fn table(errno: i32) -> OpenError {
        OpenError::Table(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn each_refusal_has_its_cure() {
        let nics = [Nic {
            name: "eth7".to_owned(),
            index: 4,
            is_virtual: false,
            vlan: crate::kernel_table::Vlan::None,
        }];
        let (new, old) = ("6.12.1-amd64", "6.1.0-18-amd64");
        let cases = [
            (
                table(libc::EPERM),
                CapabilitySet::BPF,
                new,
                "not have CAP_BPF;",
            ),
            (table(libc::EPERM), NEEDED, new, "CAP_BPF, CAP_NET_ADMIN;"),
            (table(libc::EPERM), PRIVILEGED, new, "seccomp"),
            (table(libc::ENOSYS), PRIVILEGED, new, "without bpf(2)"),
            (table(libc::ENOMEM), PRIVILEGED, new, "relay.ports"),
            (attach(libc::EPERM), NEEDED, new, "CAP_NET_ADMIN"),
            (attach(libc::EBUSY), PRIVILEGED, new, "dev eth7 xdp off"),
            (
                attach(libc::EOPNOTSUPP),
                PRIVILEGED,
                new,
                "driver of eth7 runs no",
            ),
            (
                attach(libc::EINVAL),
                PRIVILEGED,
                old,
                "Linux 6.6 is needed, and this is 6.1",
            ),
            (attach(libc::EINVAL), PRIVILEGED, new, "-K eth7 lro off"),
            (attach(libc::ERANGE), PRIVILEGED, new, "dev eth7 mtu"),
            (attach(libc::ENODEV), PRIVILEGED, new, "eth7 is gone"),
            (
                OpenError::TooManyInterfaces(17),
                PRIVILEGED,
                new,
                "relay.kernel_table_interfaces",
            ),
        ];
        for (error, missing, release, expected) in cases {
            let cure = cure(&error, &nics, &host(missing, release));
            assert!(cure.contains(expected), "{error}: {cure}");
        }
    }

    #[test]
    fn releases_compare_as_numbers() {
        for (release, is_too_old) in [
            ("6.6.0", false),
            ("6.18.44-fc-v669", false),
            ("7.0-rc1", false),
            ("6.5.13", true),
            ("5.15.0-91-generic", true),
        ] {
            assert_eq!(
                host(PRIVILEGED, release).is_too_old(),
                is_too_old,
                "{release}"
            );
        }
    }
}
