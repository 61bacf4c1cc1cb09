//! Where packets are lost or delayed between the wire and the daemons.

use std::fmt::Write;

use super::super::facts::{Device, Facts};
use super::{Draft, Severity, is_permille, ranges};

/// What the sockets of control and the SIP proxy ask for.
const SIGNALLING_BUFFER_BYTES: u64 = 4 << 20;

/// What each socket of the relay asks for.
const MEDIA_BUFFER_BYTES: u64 = 128 << 10;

/// A table of connections this full, in tenths, is about to drop packets.
const CONNTRACK_FULL_TENTHS: u64 = 8;

/// Sockets that overflowed.
pub(super) fn udp_drops(facts: &Facts) -> Option<Draft> {
    let counts = facts.network.udp?;
    let lost = counts.receive_buffer_errors + counts.memory_errors;
    let ours: u64 = facts.network.socket_drops.values().sum();
    if lost == 0 && ours == 0 {
        return None;
    }
    let mut read = format!(
        "RcvbufErrors {}, MemErrors {}, InDatagrams {} in /proc/net/snmp, since boot",
        counts.receive_buffer_errors, counts.memory_errors, counts.received
    );
    for (owner, drops) in &facts.network.socket_drops {
        // Writing to a string cannot fail.
        let _ = write!(read, "; open {owner} sockets dropped {drops}");
    }
    // What others have lost, or sockets of calls that are over, may be long ago.
    let is_much = ours > 0 && is_permille(lost.max(ours), counts.received + lost);
    Some(Draft {
        severity: if is_much { Severity::Critical } else { Severity::Warning },
        finding: match ours {
            0 => format!("sockets of this host have dropped {lost} datagrams"),
            ours => format!("our sockets have dropped {ours} datagrams"),
        },
        read,
        why: "A socket that is not read in time throws away what arrives: the worker's core is too busy, or somebody floods a port.",
        cure: match counts.memory_errors {
            0 => "nstat -az UdpRcvbufErrors twice: if it grows, more workers (relay.workers) or what is named below".to_owned(),
            _ => "sysctl net.ipv4.udp_mem: its last number, in pages, is too small".to_owned(),
        },
    })
}

/// Packets that the kernel had no time for.
pub(super) fn backlog_drops(facts: &Facts) -> Option<Draft> {
    let softnet = &facts.network.softnet;
    let dropped: u64 = softnet.iter().map(|it| it.dropped).sum();
    let squeezed: u64 = softnet.iter().map(|it| it.squeezed).sum();
    let processed: u64 = softnet.iter().map(|it| it.processed).sum();
    let is_squeezed = is_permille(squeezed, processed);
    if dropped == 0 && !is_squeezed {
        return None;
    }
    let is_affected = |it: &&super::super::facts::Softnet| it.dropped + it.squeezed > 0;
    let cores: Vec<usize> = softnet
        .iter()
        .filter(is_affected)
        .map(|it| it.cpu)
        .collect();
    Some(Draft {
        severity: match dropped {
            0 => Severity::Note,
            _ if is_permille(dropped, processed) => Severity::Critical,
            _ => Severity::Warning,
        },
        finding: match dropped {
            0 => format!("the kernel ran out of its share of time {squeezed} times"),
            _ => format!("the kernel dropped {dropped} packets before any socket saw them"),
        },
        read: format!(
            "{dropped} dropped, {squeezed} squeezed of {processed} on cores {} in /proc/net/softnet_stat, since boot",
            ranges(&cores)
        ),
        why: "What is dropped in the backlog is lost for good, and no counter of the relay shows it.",
        cure:
            "kernel-tuning/apply --only sysctl,queues (net.core.netdev_max_backlog, netdev_budget)"
                .to_owned(),
    })
}

/// A firewall that remembers each stream.
pub(super) fn conntrack(facts: &Facts) -> Option<Draft> {
    let table = facts.network.conntrack.filter(|it| it.count > 0)?;
    let is_full = table.count.saturating_mul(10) >= table.max.saturating_mul(CONNTRACK_FULL_TENTHS);
    let [first, last] = facts.settings.ports;
    Some(Draft {
        severity: if is_full {
            Severity::Critical
        } else {
            Severity::Warning
        },
        finding: match is_full {
            true => "the firewall's table of connections is almost full".to_owned(),
            false => "the firewall follows connections".to_owned(),
        },
        read: format!(
            "{} of {} in /proc/sys/net/netfilter/nf_conntrack_count, _max",
            table.count, table.max
        ),
        why: "Each packet is looked up in a table that media fills, and when it is full new streams are dropped.",
        cure: format!(
            "exempt UDP {first}-{last}: kernel-tuning/probe --only conntrack prints the rules"
        ),
    })
}

/// One queue for several workers.
pub(super) fn queues(facts: &Facts) -> Option<Draft> {
    let workers = facts.settings.workers;
    let cores = facts.settings.worker_cores();
    // Loopback has no queues worth the name, and veth is somebody's test.
    let is_short =
        |it: &&Device| it.driver.is_some() && it.receive_queues < workers.min(cores.len());
    let has_rps = |it: &Device| cores.iter().all(|core| it.rps_cores.contains(core));
    let device = facts
        .network
        .devices
        .iter()
        .filter(is_short)
        .find(|it| !has_rps(it))?;
    Some(Draft {
        severity: Severity::Warning,
        finding: format!(
            "{} receives by {} queue{} for {workers} workers",
            device.name,
            device.receive_queues,
            if device.receive_queues == 1 { "" } else { "s" }
        ),
        read: format!(
            "/sys/class/net/{}/queues, rps_cpus {}",
            device.name,
            or_none(&device.rps_cores)
        ),
        why: "One core then does the kernel's share of the work, most of a packet's cost, for all workers.",
        cure: format!(
            "kernel-tuning/apply --device {} --only queues,steering",
            device.name
        ),
    })
}

/// Queues that interrupt the wrong cores.
pub(super) fn interrupts(facts: &Facts) -> Option<Draft> {
    let cores = facts.settings.worker_cores();
    let cores_len = cores.len();
    let serves =
        |device: &Device, core: usize| device.interrupts.iter().any(|it| it.cores.contains(&core));
    let is_wrong = |device: &&Device| {
        let interrupts = &device.interrupts;
        let pinned: Vec<&Vec<usize>> = interrupts.iter().map(|it| &it.cores).collect();
        // One that may go anywhere goes, in the end, to one core with others.
        let is_loose = pinned.iter().any(|it| it.len() > 1);
        let unserved = cores.iter().filter(|core| !serves(device, **core)).count();
        interrupts.len() >= cores_len && cores_len > 1 && (is_loose || unserved > 0)
    };
    let device = facts.network.devices.iter().find(is_wrong)?;
    let each: Vec<String> = device
        .interrupts
        .iter()
        .map(|it| format!("{} ({}) on {}", it.number, it.name, or_none(&it.cores)))
        .collect();
    let mut cure = format!(
        "kernel-tuning/apply --device {} --only irq,steering",
        device.name
    );
    if facts.network.has_irqbalance {
        cure.push_str(", and systemctl disable --now irqbalance, which would undo it");
    }
    Some(Draft {
        severity: Severity::Warning,
        finding: format!(
            "the queues of {} interrupt other cores than the workers'",
            device.name
        ),
        read: format!(
            "{}; workers on {} (/proc/irq/N/smp_affinity_list)",
            shorten(each),
            ranges(&cores)
        ),
        why: "A packet that one core receives and another forwards costs the trip between their caches, and a wake-up.",
        cure,
    })
}

/// Sockets that get less than they ask for.
pub(super) fn receive_buffers(facts: &Facts) -> Option<Draft> {
    let max = facts.network.receive_buffer_max?;
    let (severity, finding, why) = if max < MEDIA_BUFFER_BYTES {
        (
            Severity::Warning,
            format!("media sockets queue {max} bytes, {MEDIA_BUFFER_BYTES} are asked for"),
            "A worker that is away for a moment then loses packets of busy streams.",
        )
    } else if max < SIGNALLING_BUFFER_BYTES {
        (
            Severity::Note,
            format!(
                "ng and SIP sockets queue {} KiB, {} are asked for",
                max >> 10,
                SIGNALLING_BUFFER_BYTES >> 10
            ),
            "When all phones register at once, after a power cut, more of them have to send again.",
        )
    } else {
        return None;
    };
    Some(Draft {
        severity,
        finding,
        read: format!("{max} in /proc/sys/net/core/rmem_max"),
        why,
        cure: format!(
            "sysctl -w net.core.rmem_max={SIGNALLING_BUFFER_BYTES}, or kernel-tuning/apply --only sysctl"
        ),
    })
}

/// Media ports that any program may be given.
pub(super) fn port_range(facts: &Facts) -> Option<Draft> {
    let [low, high] = facts.network.ephemeral_ports?;
    let [first, last] = facts.settings.ports;
    let overlap = first.max(low)..=last.min(high);
    let reserved = &facts.network.reserved_ports;
    let is_reserved = |port: u16| reserved.iter().any(|it| (it[0]..=it[1]).contains(&port));
    let free = overlap.filter(|port| !is_reserved(*port)).count();
    if free == 0 {
        return None;
    }
    Some(Draft {
        severity: Severity::Warning,
        finding: format!("{free} media ports may be given to other programs"),
        read: format!("{low}-{high} in /proc/sys/net/ipv4/ip_local_port_range, {first}-{last} in relay.ports"),
        why: "A port that somebody's outgoing socket holds costs an offer another attempt, and after 16 the call.",
        cure: "kernel-tuning/apply --only ports (net.ipv4.ip_local_reserved_ports, beside what is there)".to_owned(),
    })
}

fn or_none(cores: &[usize]) -> String {
    match cores {
        [] => "none".to_owned(),
        cores => ranges(cores),
    }
}

/// The first few; a server's device has a hundred queues.
fn shorten(mut texts: Vec<String>) -> String {
    const SHOWN_MAX: usize = 4;
    let more = texts.len().saturating_sub(SHOWN_MAX);
    texts.truncate(SHOWN_MAX);
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::{Conntrack, Interrupt, Softnet, UdpCounts};
    use super::super::tests::{find, healthy};
    use super::*;

    #[test]
    fn overflown_sockets_by_how_much_was_lost() {
        let mut facts = healthy();
        let counts = |lost| {
            Some(UdpCounts {
                received: 1_000_000,
                receive_buffer_errors: lost,
                ..UdpCounts::default()
            })
        };
        facts.network.udp = counts(10);
        assert_eq!(
            find("udp-drops", &facts).unwrap().severity,
            Severity::Warning
        );
        facts.network.udp = counts(2_000);
        assert_eq!(
            find("udp-drops", &facts).unwrap().severity,
            Severity::Warning
        );
        facts.network.socket_drops.insert("media".to_owned(), 7);
        let finding = find("udp-drops", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.finding.contains("our sockets have dropped 7"));
    }

    #[test]
    fn memory_errors_have_another_cure() {
        let mut facts = healthy();
        facts.network.udp = Some(UdpCounts {
            received: 10,
            memory_errors: 1,
            ..UdpCounts::default()
        });
        assert!(find("udp-drops", &facts).unwrap().cure.contains("udp_mem"));
    }

    #[test]
    fn drops_in_the_backlog_weigh_more_than_squeezes() {
        let mut facts = healthy();
        let line = |dropped, squeezed| {
            vec![Softnet {
                cpu: 1,
                processed: 100_000,
                dropped,
                squeezed,
            }]
        };
        facts.network.softnet = line(0, 10);
        assert!(find("backlog-drops", &facts).is_none(), "too few");
        facts.network.softnet = line(0, 200);
        assert_eq!(
            find("backlog-drops", &facts).unwrap().severity,
            Severity::Note
        );
        facts.network.softnet = line(1, 0);
        assert_eq!(
            find("backlog-drops", &facts).unwrap().severity,
            Severity::Warning
        );
        facts.network.softnet = line(100, 0);
        assert_eq!(
            find("backlog-drops", &facts).unwrap().severity,
            Severity::Critical
        );
    }

    #[test]
    fn a_loaded_firewall_that_follows_nothing_is_fine() {
        let mut facts = healthy();
        facts.network.conntrack = Some(Conntrack {
            count: 0,
            max: 1_000,
        });
        assert!(find("conntrack", &facts).is_none());
        facts.network.conntrack = Some(Conntrack {
            count: 10,
            max: 1_000,
        });
        assert_eq!(
            find("conntrack", &facts).unwrap().severity,
            Severity::Warning
        );
        facts.network.conntrack = Some(Conntrack {
            count: 800,
            max: 1_000,
        });
        let finding = find("conntrack", &facts).unwrap();
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.cure.contains("30000-39999"));
    }

    #[test]
    fn one_queue_for_two_workers_unless_software_spreads() {
        let mut facts = healthy();
        facts.network.devices[0].receive_queues = 1;
        facts.network.devices[0].interrupts.truncate(1);
        assert!(
            find("queues", &facts)
                .unwrap()
                .finding
                .contains("by 1 queue for 2 workers")
        );
        facts.network.devices[0].rps_cores = vec![1, 2];
        assert!(find("queues", &facts).is_none());
        facts.network.devices[0].rps_cores = vec![];
        facts.network.devices[0].driver = None;
        assert!(find("queues", &facts).is_none(), "no hardware");
    }

    #[test]
    fn interrupts_on_the_wrong_core_or_on_any() {
        let mut facts = healthy();
        facts.network.devices[0].interrupts[0].cores = vec![0];
        assert!(
            find("interrupts", &facts)
                .unwrap()
                .read
                .contains("25 (eth0-TxRx-0) on 0")
        );
        facts.network.devices[0].interrupts[0].cores = vec![0, 1, 2];
        facts.network.has_irqbalance = true;
        assert!(
            find("interrupts", &facts)
                .unwrap()
                .cure
                .contains("irqbalance")
        );
        facts.network.devices[0].interrupts = vec![Interrupt {
            number: 1,
            name: "x-0".to_owned(),
            cores: vec![0],
        }];
        assert!(
            find("interrupts", &facts).is_none(),
            "a matter of too few queues"
        );
    }

    #[test]
    fn small_buffers_are_worse_for_media_than_for_signalling() {
        let mut facts = healthy();
        facts.network.receive_buffer_max = Some(212_992);
        assert_eq!(
            find("receive-buffers", &facts).unwrap().severity,
            Severity::Note
        );
        facts.network.receive_buffer_max = Some(65_536);
        assert_eq!(
            find("receive-buffers", &facts).unwrap().severity,
            Severity::Warning
        );
    }

    #[test]
    fn ports_that_others_may_get_unless_they_are_reserved() {
        let mut facts = healthy();
        facts.network.reserved_ports = vec![];
        assert!(
            find("port-range", &facts)
                .unwrap()
                .finding
                .starts_with("7232 ")
        );
        facts.network.reserved_ports = vec![[30_000, 35_000], [35_001, 39_998]];
        assert!(
            find("port-range", &facts)
                .unwrap()
                .finding
                .starts_with("1 ")
        );
        facts.network.reserved_ports = vec![[30_000, 39_999]];
        assert!(find("port-range", &facts).is_none());
        facts.network.reserved_ports = vec![];
        facts.network.ephemeral_ports = Some([40_000, 60_999]);
        assert!(find("port-range", &facts).is_none());
    }
}
