//! Whether the workers have cores of their own.

use super::super::facts::Facts;
use super::{Draft, Severity, ranges};

/// Thousandths of stolen time above which a call can be heard to suffer, and above which it is
/// worth a word.
const STEAL_PERMILLE: [u64; 2] = [50, 5];

/// More workers than cores, or cores that are not there.
pub(super) fn cores(facts: &Facts) -> Option<Draft> {
    let cores = facts.settings.worker_cores();
    let online = &facts.cpu.online;
    if online.is_empty() || cores.is_empty() {
        return None;
    }
    let absent: Vec<usize> = cores
        .iter()
        .copied()
        .filter(|it| !online.contains(it))
        .collect();
    let workers = facts.settings.workers;
    let read = format!(
        "workers on {}, online {} (/sys/devices/system/cpu/online)",
        ranges(&cores),
        ranges(online)
    );
    if !absent.is_empty() {
        return Some(Draft {
            severity: Severity::Critical,
            finding: format!("cores {} of relay.cores are not there", ranges(&absent)),
            read,
            why: "The relay does not start with a core that it may not use.",
            cure: format!("relay.cores = [{}] or fewer in tandem.toml", comma(online)),
        });
    }
    if workers > cores.len() {
        return Some(Draft {
            severity: Severity::Warning,
            finding: format!("{workers} workers share {} cores", cores.len()),
            read,
            why: "Two workers on a core take turns, and each turn of one is a delay of the other's packets.",
            cure: format!("relay.workers = {} in tandem.toml", cores.len()),
        });
    }
    // One core alone has no choice.
    if cores.len() == online.len() && online.len() > 1 {
        return Some(Draft {
            severity: Severity::Note,
            finding: "the workers occupy every core".to_owned(),
            read,
            why: "Control, the SIP proxy and interrupts then run where packets are forwarded.",
            cure: format!(
                "relay.cores = [{}] in tandem.toml, if signalling is much",
                comma(&online[1..])
            ),
        });
    }
    None
}

/// The hypervisor gives our time to others.
pub(super) fn steal(facts: &Facts) -> Option<Draft> {
    let steal = facts.cpu.steal_permille?;
    let severity = match steal {
        it if it >= STEAL_PERMILLE[0] => Severity::Critical,
        it if it >= STEAL_PERMILLE[1] => Severity::Warning,
        _ => return None,
    };
    Some(Draft {
        severity,
        finding: format!(
            "{}.{} % of the time was taken by other machines",
            steal / 10,
            steal % 10
        ),
        read: "steal in /proc/stat, since boot".to_owned(),
        why: "A worker whose processor is away forwards nothing, and its sockets overflow.",
        cure: "ask for dedicated processors; nothing on this host helps".to_owned(),
    })
}

/// The host is a virtual machine.
pub(super) fn is_virtual(facts: &Facts) -> Option<Draft> {
    let steal = facts.cpu.steal_permille.unwrap_or(0);
    facts.cpu.is_virtual.then(|| Draft {
        severity: Severity::Note,
        finding: "this is a virtual machine".to_owned(),
        read: format!(
            "hypervisor among the flags in /proc/cpuinfo; {}.{} % steal in /proc/stat",
            steal / 10,
            steal % 10
        ),
        why: "Waking another core leaves the machine, and its packets take a turn in the host, too.",
        cure: "nothing must be done; ask for dedicated processors and a device with several queues"
            .to_owned(),
    })
}

/// The processor is slow when a burst comes.
pub(super) fn governor(facts: &Facts) -> Option<Draft> {
    let cores = facts.settings.worker_cores();
    let is_slow = |core: &&usize| {
        let governor = facts.cpu.governors.get(core);
        governor.is_some_and(|it| it != "performance")
    };
    let slow: Vec<usize> = cores.iter().filter(is_slow).copied().collect();
    let governor = facts.cpu.governors.get(slow.first()?)?;
    Some(Draft {
        severity: Severity::Warning,
        finding: format!("cores {} have the governor {governor}", ranges(&slow)),
        read: "scaling_governor in /sys/devices/system/cpu/cpuN/cpufreq".to_owned(),
        why: "A worker sleeps between packets, so a governor that looks at load keeps its core slow.",
        cure: "kernel-tuning/apply --only cpu".to_owned(),
    })
}

/// Two workers, one physical core.
pub(super) fn siblings(facts: &Facts) -> Option<Draft> {
    let cores = facts.settings.worker_cores();
    let shared = facts
        .cpu
        .siblings
        .iter()
        .find(|threads| threads.iter().filter(|it| cores.contains(it)).count() > 1)?;
    let one_each: Vec<usize> = cores
        .iter()
        .copied()
        .filter(|core| {
            let threads = facts.cpu.siblings.iter().find(|it| it.contains(core));
            threads.is_none_or(|threads| threads.iter().find(|it| cores.contains(it)) == Some(core))
        })
        .collect();
    Some(Draft {
        severity: Severity::Warning,
        finding: format!("workers share a physical core: {}", ranges(shared)),
        read: "topology/thread_siblings_list in /sys/devices/system/cpu/cpuN".to_owned(),
        why: "The threads of one core share its units and caches, so the second one adds far less than a core.",
        cure: format!("relay.cores = [{}] in tandem.toml", comma(&one_each)),
    })
}

/// Others run on the workers' cores.
pub(super) fn isolation(facts: &Facts) -> Option<Draft> {
    let cores = facts.settings.worker_cores();
    let isolated = &facts.cpu.isolated;
    // Who leaves no core to others cannot isolate any, and one that is chosen may be isolated.
    if cores.is_empty() || isolated.is_empty() || cores.iter().all(|it| isolated.contains(it)) {
        return None;
    }
    Some(Draft {
        severity: Severity::Warning,
        finding: format!(
            "cores {} are isolated, the workers run on {}",
            ranges(isolated),
            ranges(&cores)
        ),
        read: "/sys/devices/system/cpu/isolated".to_owned(),
        why: "Isolated cores stand idle, while the workers share theirs with everybody.",
        cure: format!("relay.cores = [{}] in tandem.toml", comma(isolated)),
    })
}

fn comma(cores: &[usize]) -> String {
    let texts: Vec<String> = cores.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{find, healthy};
    use super::*;

    #[test]
    fn workers_that_share_or_miss_cores() {
        let mut facts = healthy();
        facts.settings.workers = 3;
        facts.settings.cores = vec![1, 2, 1];
        assert!(
            find("cores", &facts)
                .unwrap()
                .cure
                .contains("relay.workers = 2")
        );
        facts.settings.cores = vec![1, 2, 9];
        assert_eq!(find("cores", &facts).unwrap().severity, Severity::Critical);
        facts.settings.cores = vec![0, 1, 2];
        assert_eq!(find("cores", &facts).unwrap().severity, Severity::Note);
    }

    #[test]
    fn stolen_time_by_how_much() {
        let mut facts = healthy();
        for (permille, severity) in [(5, Severity::Warning), (50, Severity::Critical)] {
            facts.cpu.steal_permille = Some(permille);
            assert_eq!(find("steal", &facts).unwrap().severity, severity);
        }
        facts.cpu.steal_permille = Some(4);
        assert!(find("steal", &facts).is_none());
    }

    #[test]
    fn a_virtual_machine_is_worth_a_note() {
        let mut facts = healthy();
        facts.cpu.is_virtual = true;
        assert_eq!(find("virtual", &facts).unwrap().severity, Severity::Note);
    }

    #[test]
    fn only_the_workers_cores_need_the_governor() {
        let mut facts = healthy();
        facts.cpu.governors.insert(0, "powersave".to_owned());
        assert!(find("governor", &facts).is_none());
        facts.cpu.governors.insert(2, "powersave".to_owned());
        assert!(
            find("governor", &facts)
                .unwrap()
                .finding
                .contains("cores 2")
        );
    }

    #[test]
    fn two_workers_on_one_physical_core() {
        let mut facts = healthy();
        facts.cpu.siblings = vec![vec![0, 3], vec![1, 2]];
        assert!(
            find("siblings", &facts)
                .unwrap()
                .cure
                .contains("relay.cores = [1]")
        );
        facts.cpu.siblings = vec![vec![0, 1], vec![2, 3]];
        assert!(find("siblings", &facts).is_none());
    }

    #[test]
    fn isolated_cores_that_nobody_uses() {
        let mut facts = healthy();
        facts.cpu.isolated = vec![2];
        assert!(find("isolation", &facts).unwrap().cure.contains("[2]"));
        facts.cpu.isolated = vec![1, 2];
        assert!(find("isolation", &facts).is_none());
    }
}
