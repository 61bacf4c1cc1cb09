//! Whether the daemons run, and what they may have.

use tandem_settings::Driver;

use super::super::facts::{Daemon, Facts, State};
use super::{Draft, Severity};

/// Descriptors of the relay that are no media ports, as it reckons itself.
const FILES_APART: u64 = 128;

/// Bytes that a worker's ring takes of the limit on locked memory: 610 to 640 KiB were measured
/// on kernel 6.18. Older kernels charge less.
const LOCKED_BYTES_PER_WORKER: u64 = 640 << 10;

/// The kernel gives back what a ring had locked some time after the relay has ended, so the next
/// one must fit beside it.
const GENERATIONS: u64 = 2;

/// Nothing runs, or the relay or control is missing beside the other.
pub(super) fn missing(facts: &Facts) -> Option<Draft> {
    let daemons = &facts.daemons;
    let named = [
        ("tandem-relay", &daemons.relay),
        ("tandem-control", &daemons.control),
        ("tandem-sip-proxy", &daemons.sip_proxy),
    ];
    let is_down = |(_, daemon): &&(&str, &Daemon)| daemon.state == State::Down;
    let down: Vec<&str> = named
        .iter()
        .filter(is_down)
        .map(|(name, _)| *name)
        .collect();
    let (severity, finding) = match down[..] {
        [] => return None,
        // A proxy of somebody else may stand there.
        ["tandem-sip-proxy"] => (Severity::Note, "no SIP proxy of ours runs".to_owned()),
        [_, _, _] => (Severity::Note, "nothing of Tandem runs".to_owned()),
        _ => (
            Severity::Critical,
            format!("{} does not run", down.join(" and ")),
        ),
    };
    Some(Draft {
        severity,
        finding,
        read: "their sockets in the runtime folder, and a ping to control".to_owned(),
        why: "A call with media needs relay and control; what a daemon does can be judged only while it runs.",
        cure: match severity {
            Severity::Note => "tandem run, or systemctl start tandem.target; with another SIP proxy nothing is missing".to_owned(),
            _ => format!("systemctl start {}; journalctl -u {0} says why it ended", down[0]),
        },
    })
}

/// Something is there, but does not answer.
pub(super) fn unreachable(facts: &Facts) -> Option<Draft> {
    let daemons = &facts.daemons;
    let named = [
        ("relay", &daemons.relay.state),
        ("control", &daemons.control.state),
        ("the SIP proxy", &daemons.sip_proxy.state),
    ];
    let (name, reason) = named.into_iter().find_map(|(name, state)| match state {
        State::Unreachable(reason) => Some((name, reason)),
        _ => None,
    })?;
    let may_not = reason.contains("may not");
    Some(Draft {
        severity: if may_not { Severity::Note } else { Severity::Critical },
        finding: format!("{name} cannot be reached"),
        read: reason.clone(),
        why: "Whoever cannot ask a daemon cannot direct calls through it either.",
        cure: match may_not {
            true => "run this command as the daemons' user or as root".to_owned(),
            false => "see its log (journalctl -u 'tandem-*'), and that this command reads the same tandem.toml".to_owned(),
        },
    })
}

/// Each media port is an open file.
pub(super) fn open_files(facts: &Facts) -> Option<Draft> {
    let needed = facts.settings.port_count() + FILES_APART;
    let relay = facts.daemons.relay.process.as_ref();
    let (limit, place) = match (relay, &facts.daemons.relay_unit) {
        (Some(relay), _) => (relay.files_max?, format!("/proc/{}/limits", relay.pid)),
        (None, Some(unit)) => (unit.files_max?, unit.path.clone()),
        (None, None) => return None,
    };
    if limit >= needed {
        return None;
    }
    Some(Draft {
        severity: if limit < needed / 2 {
            Severity::Critical
        } else {
            Severity::Warning
        },
        finding: format!("the relay may open {limit} files, its ports take {needed}"),
        read: format!(
            "{limit} in {place}; {} ports on {} interfaces and {FILES_APART} others",
            facts.settings.port_count() / facts.settings.interfaces.max(1),
            facts.settings.interfaces
        ),
        why: "A port that cannot be opened is a call that is refused.",
        cure: format!(
            "LimitNOFILE={} in systemctl edit tandem-relay (by hand: ulimit -n), then start the relay again",
            needed.next_power_of_two()
        ),
    })
}

/// What rings lock is charged to the user.
pub(super) fn locked_memory(facts: &Facts) -> Option<Draft> {
    let workers = u64::try_from(facts.settings.workers).unwrap_or(u64::MAX);
    let needed = workers.saturating_mul(LOCKED_BYTES_PER_WORKER * GENERATIONS);
    let relay = facts.daemons.relay.process.as_ref();
    if facts.settings.driver == Driver::Poll || relay.is_some_and(|it| it.is_privileged) {
        return None;
    }
    let (limit, place) = match (relay, &facts.daemons.relay_unit) {
        (Some(relay), _) => (
            relay.locked_bytes_max?,
            format!("/proc/{}/limits", relay.pid),
        ),
        (None, Some(unit)) => (unit.locked_bytes_max?, unit.path.clone()),
        (None, None) => return None,
    };
    if limit >= needed {
        return None;
    }
    let is_fatal = facts.settings.driver == Driver::Uring && limit < needed / GENERATIONS;
    Some(Draft {
        severity: if is_fatal {
            Severity::Critical
        } else {
            Severity::Warning
        },
        finding: format!(
            "the relay may lock {} KiB, its {workers} rings take {}",
            limit >> 10,
            needed >> 10
        ),
        read: format!(
            "{limit} bytes in {place}; {} KiB for each worker, twice: a relay that has just ended still counts",
            LOCKED_BYTES_PER_WORKER >> 10
        ),
        why: "A worker without a ring falls back to recvmmsg, or with driver = \"uring\" the relay does not start.",
        cure: format!(
            "LimitMEMLOCK={}M in systemctl edit tandem-relay (by hand: ulimit -l), then start the relay again",
            needed.next_power_of_two() >> 20
        ),
    })
}

/// The relay runs, but not by io_uring.
pub(super) fn driver(facts: &Facts) -> Option<Draft> {
    let relay = facts.daemons.relay.process.as_ref()?;
    let rings = relay.rings?;
    let workers = facts.settings.workers;
    if facts.settings.driver == Driver::Poll || rings >= workers {
        return None;
    }
    Some(Draft {
        severity: Severity::Warning,
        finding: format!(
            "{} of {workers} workers forward without io_uring",
            workers - rings
        ),
        read: format!("{rings} rings in /proc/{}/fd", relay.pid),
        why: "recvmmsg took half as much again of the processor for a packet where both were measured.",
        cure: "the relay's log says why (\"the workers run without io_uring\")".to_owned(),
    })
}

/// Memory of a daemon that is on disk.
pub(super) fn swap(facts: &Facts) -> Option<Draft> {
    let daemons = &facts.daemons;
    let all = [&daemons.relay, &daemons.control, &daemons.sip_proxy];
    let swapped: u64 = all
        .iter()
        .filter_map(|it| it.process.as_ref())
        .map(|it| it.swapped_kib)
        .sum();
    let used = facts.memory.swap_used_kib.unwrap_or(0);
    let (severity, finding) = match (swapped, used) {
        (0, 0) => return None,
        (0, used) => (
            Severity::Note,
            format!("{} MiB of other programs are swapped out", used >> 10),
        ),
        (ours, _) => (
            Severity::Warning,
            format!("{ours} KiB of the daemons are swapped out"),
        ),
    };
    Some(Draft {
        severity,
        finding,
        read: "VmSwap in /proc/PID/status, SwapTotal and SwapFree in /proc/meminfo".to_owned(),
        why: "A packet that waits for a disk is late by more than a jitter buffer holds.",
        cure: "give the host more memory; sysctl -w vm.swappiness=1; MemorySwapMax=0 in the units"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::Unit;
    use super::super::tests::{find, healthy};
    use super::*;

    #[test]
    fn one_of_relay_and_control_without_the_other_is_critical() {
        let mut facts = healthy();
        facts.daemons.control.state = State::Down;
        let finding = find("daemons", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.cure.contains("systemctl start tandem-control"));
    }

    #[test]
    fn a_missing_sip_proxy_is_a_note() {
        let mut facts = healthy();
        facts.daemons.sip_proxy.state = State::Down;
        assert_eq!(find("daemons", &facts).unwrap().severity, Severity::Note);
    }

    #[test]
    fn a_control_that_hangs_is_told_from_one_that_may_not_be_asked() {
        let mut facts = healthy();
        facts.daemons.control.state = State::Unreachable("no answer in 1 s".to_owned());
        assert_eq!(
            find("reachable", &facts).unwrap().severity,
            Severity::Critical
        );
        facts.daemons.control.state = State::Unreachable("this user may not look".to_owned());
        assert_eq!(find("reachable", &facts).unwrap().severity, Severity::Note);
    }

    #[test]
    fn every_port_of_every_interface_needs_a_file() {
        let mut facts = healthy();
        let relay = facts.daemons.relay.process.as_mut().unwrap();
        relay.files_max = Some(10_128);
        assert!(find("open-files", &facts).is_none());
        facts.settings.interfaces = 2;
        let finding = find("open-files", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.cure.contains("LimitNOFILE=32768"), "{finding:?}");
        facts.daemons.relay.process.as_mut().unwrap().files_max = Some(1_024);
        assert_eq!(
            find("open-files", &facts).unwrap().severity,
            Severity::Critical
        );
    }

    #[test]
    fn the_unit_is_judged_while_the_relay_does_not_run() {
        let mut facts = healthy();
        facts.daemons.relay.process = None;
        facts.daemons.relay_unit = Some(Unit {
            path: "/etc/systemd/system/tandem-relay.service".to_owned(),
            files_max: Some(1_024),
            locked_bytes_max: Some(64 << 10),
        });
        assert!(
            find("open-files", &facts)
                .unwrap()
                .read
                .contains("/etc/systemd")
        );
        assert!(
            find("locked-memory", &facts)
                .unwrap()
                .read
                .contains("/etc/systemd")
        );
    }

    #[test]
    fn rings_must_fit_twice_unless_the_relay_is_privileged_or_has_none() {
        let mut facts = healthy();
        facts
            .daemons
            .relay
            .process
            .as_mut()
            .unwrap()
            .locked_bytes_max = Some(2 << 20);
        let finding = find("locked-memory", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.cure.contains("LimitMEMLOCK=4M"), "{finding:?}");
        facts.settings.driver = Driver::Poll;
        assert!(find("locked-memory", &facts).is_none());
        facts.settings.driver = Driver::Uring;
        facts
            .daemons
            .relay
            .process
            .as_mut()
            .unwrap()
            .locked_bytes_max = Some(1 << 20);
        assert_eq!(
            find("locked-memory", &facts).unwrap().severity,
            Severity::Critical
        );
        facts.daemons.relay.process.as_mut().unwrap().is_privileged = true;
        assert!(find("locked-memory", &facts).is_none());
    }

    #[test]
    fn a_relay_that_fell_back_is_noticed_by_its_descriptors() {
        let mut facts = healthy();
        facts.daemons.relay.process.as_mut().unwrap().rings = Some(0);
        assert!(find("driver", &facts).unwrap().finding.contains("2 of 2"));
        facts.daemons.relay.process.as_mut().unwrap().rings = None;
        assert!(find("driver", &facts).is_none(), "not allowed to look");
    }

    #[test]
    fn swapped_daemons_weigh_more_than_swapped_others() {
        let mut facts = healthy();
        facts.memory.swap_used_kib = Some(10 << 10);
        assert_eq!(find("swap", &facts).unwrap().severity, Severity::Note);
        facts.daemons.control.process = Some(Default::default());
        facts.daemons.control.process.as_mut().unwrap().swapped_kib = 4;
        assert_eq!(find("swap", &facts).unwrap().severity, Severity::Warning);
    }
}
