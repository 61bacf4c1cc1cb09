//! What the kernel can do, and at which price.

use tandem_settings::Driver;

use super::super::facts::Facts;
use super::super::parse;
use super::{Draft, Severity};

/// The oldest kernel with all that the relay asks of io_uring.
const URING: (u32, u32) = (6, 1);

/// The oldest kernel that can wait for a batch.
const MIN_WAIT: (u32, u32) = (6, 12);

/// Clocks that are read without entering the kernel.
const CLOCKS_FAST: [&str; 5] = [
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
    "kvm-clock",
    "riscv_clocksource",
    "tsc",
];

/// io_uring is forbidden.
pub(super) fn io_uring_disabled(facts: &Facts) -> Option<Draft> {
    let disabled = facts.kernel.io_uring_disabled.filter(|it| *it > 0)?;
    if facts.settings.driver == Driver::Poll {
        return None;
    }
    let is_fatal = facts.settings.driver == Driver::Uring && disabled > 1;
    Some(Draft {
        severity: if is_fatal {
            Severity::Critical
        } else {
            Severity::Warning
        },
        finding: match disabled {
            1 => "only one group of users may use io_uring".to_owned(),
            _ => "io_uring is switched off".to_owned(),
        },
        read: format!("{disabled} in /proc/sys/kernel/io_uring_disabled"),
        why: "Without it the relay falls back to recvmmsg, or with driver = \"uring\" does not start.",
        cure: match disabled {
            1 => "sysctl -w kernel.io_uring_group=$(id -g tandem)".to_owned(),
            _ => "sysctl -w kernel.io_uring_disabled=1 kernel.io_uring_group=$(id -g tandem)"
                .to_owned(),
        },
    })
}

/// Too old for io_uring as we use it, or for waiting.
pub(super) fn version(facts: &Facts) -> Option<Draft> {
    let release = facts.kernel.release.as_deref()?;
    let version = parse::version(release)?;
    let settings = &facts.settings;
    if settings.driver == Driver::Poll {
        return None;
    }
    let (severity, finding, why) = if version < URING {
        (
            match settings.driver {
                Driver::Uring => Severity::Critical,
                _ => Severity::Warning,
            },
            "the kernel is too old for the relay's io_uring driver",
            "Before 6.1 the relay falls back to recvmmsg, or with driver = \"uring\" does not start.",
        )
    } else if version < MIN_WAIT && settings.batch_wait_us > 0 {
        (
            Severity::Warning,
            "the kernel is too old to wait for a batch of packets",
            "Waiting for company halved the cost of a packet at 100,000 a second (docs/data-plane.md).",
        )
    } else {
        return None;
    };
    Some(Draft {
        severity,
        finding: finding.to_owned(),
        read: format!("{release} in /proc/sys/kernel/osrelease"),
        why,
        cure: "a kernel of 6.12 or newer (Debian 12: apt install -t bookworm-backports linux-image-amd64)".to_owned(),
    })
}

/// A clock that each reader enters the kernel for.
pub(super) fn clocksource(facts: &Facts) -> Option<Draft> {
    let clock = facts.kernel.clocksource.as_deref()?;
    if CLOCKS_FAST.contains(&clock) {
        return None;
    }
    Some(Draft {
        severity: Severity::Warning,
        finding: format!("the clock is {clock}"),
        read: "/sys/devices/system/clocksource/clocksource0/current_clocksource".to_owned(),
        why: "Every turn of a worker reads the clock, and this one costs a system call or a slow device.",
        cure: "see dmesg for why tsc was given up; if it is sound: tsc=reliable on the kernel's command line".to_owned(),
    })
}

/// What it costs that the processor has weaknesses.
pub(super) fn mitigations(facts: &Facts) -> Option<Draft> {
    let names: Vec<&str> = facts
        .kernel
        .mitigations
        .keys()
        .map(String::as_str)
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(Draft {
        severity: Severity::Note,
        finding: format!(
            "the kernel works around {} weaknesses of the processor",
            names.len()
        ),
        read: format!(
            "{} in /sys/devices/system/cpu/vulnerabilities",
            names.join(", ")
        ),
        why: "Most of them make each entry into the kernel slower, which batches make rarer.",
        cure: "leave them on, unless nothing but trusted code runs on this host".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{find, healthy};
    use super::*;

    #[test]
    fn io_uring_may_be_forbidden_for_all_or_for_most() {
        let mut facts = healthy();
        facts.kernel.io_uring_disabled = Some(2);
        assert_eq!(
            find("io-uring", &facts).unwrap().severity,
            Severity::Warning
        );
        facts.settings.driver = Driver::Uring;
        assert_eq!(
            find("io-uring", &facts).unwrap().severity,
            Severity::Critical
        );
        facts.kernel.io_uring_disabled = Some(1);
        assert!(
            find("io-uring", &facts)
                .unwrap()
                .cure
                .contains("io_uring_group")
        );
        facts.settings.driver = Driver::Poll;
        assert!(find("io-uring", &facts).is_none());
    }

    #[test]
    fn old_kernels_by_what_they_lack() {
        let mut facts = healthy();
        facts.kernel.release = Some("5.10.0-30-amd64".to_owned());
        assert!(find("kernel", &facts).unwrap().finding.contains("io_uring"));
        facts.kernel.release = Some("6.1.0-40-amd64".to_owned());
        assert!(find("kernel", &facts).unwrap().finding.contains("batch"));
        facts.settings.batch_wait_us = 0;
        assert!(find("kernel", &facts).is_none());
        facts.settings.driver = Driver::Poll;
        facts.kernel.release = Some("5.10.0".to_owned());
        assert!(find("kernel", &facts).is_none());
    }

    #[test]
    fn slow_clocks_and_only_those() {
        let mut facts = healthy();
        for clock in CLOCKS_FAST {
            facts.kernel.clocksource = Some(clock.to_owned());
            assert!(find("clocksource", &facts).is_none());
        }
        facts.kernel.clocksource = Some("hpet".to_owned());
        assert!(
            find("clocksource", &facts)
                .unwrap()
                .finding
                .contains("hpet")
        );
    }

    #[test]
    fn mitigations_are_no_more_than_a_note() {
        let mut facts = healthy();
        facts
            .kernel
            .mitigations
            .insert("meltdown".to_owned(), "Mitigation: PTI".to_owned());
        let finding = find("mitigations", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Note);
        assert!(finding.read.contains("meltdown"));
    }
}
