//! The kernel's text formats. What is malformed is `None` or left out: the kernel has changed
//! its formats before, and a doctor that stops at that helps nobody.

use super::facts::{Softnet, UdpCounts};

/// Cores or ports in one list at most: no machine has more, and a file that says so is not one.
const LIST_LEN_MAX: usize = 1 << 16;

/// Reads `0-3,8`, as the kernel writes lists of cores and ports.
pub(crate) fn ranges(text: &str) -> Vec<[usize; 2]> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = [first.trim().parse().ok()?, last.trim().parse().ok()?];
        (range[0] <= range[1]).then_some(range)
    };
    text.trim().split(',').filter_map(range).collect()
}

/// The same, one by one.
pub(crate) fn list(text: &str) -> Vec<usize> {
    let each = ranges(text)
        .into_iter()
        .flat_map(|[first, last]| first..=last);
    each.take(LIST_LEN_MAX).collect()
}

/// Reads a mask of cores, `00000000,00000003`.
pub(crate) fn mask(text: &str) -> Vec<usize> {
    let digits = text.trim().chars().rev().filter(|it| *it != ',');
    let mut cores = Vec::new();
    for (index, digit) in digits.take(LIST_LEN_MAX / 4).enumerate() {
        let bits = digit.to_digit(16).unwrap_or(0);
        cores.extend(
            (0..4)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| index * 4 + bit),
        );
    }
    cores
}

/// Major and minor of `6.12.4-amd64`.
pub(crate) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

/// A line such as `VmSwap:  12 kB` or `Cpus_allowed_list: 0-3`: what follows the name.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let after = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    text.lines().find_map(after).map(str::trim)
}

/// A field in KiB.
pub(crate) fn field_kib(text: &str, name: &str) -> Option<u64> {
    let value = field(text, name)?;
    value.trim_end_matches("kB").trim().parse().ok()
}

/// The soft limit of a line of `/proc/PID/limits`. No limit is `u64::MAX`.
pub(crate) fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    limit(line.split_whitespace().next()?)
}

fn limit(text: &str) -> Option<u64> {
    match text {
        "unlimited" | "infinity" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A size as systemd writes it: `524288`, `64M`, `infinity`; of `soft:hard`, the soft one.
pub(crate) fn unit_size(text: &str) -> Option<u64> {
    let soft = text.trim().split(':').next()?;
    let (number, shift) = match soft.char_indices().next_back()? {
        (at, 'K') => (&soft[..at], 10),
        (at, 'M') => (&soft[..at], 20),
        (at, 'G') => (&soft[..at], 30),
        _ => (soft, 0),
    };
    limit(number)?.checked_mul(1 << shift).or(Some(u64::MAX))
}

/// The UDP counters of `/proc/net/snmp`: a line of names, then a line of numbers.
pub(crate) fn udp_counts(snmp: &str) -> Option<UdpCounts> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let names = lines.next()?.split_whitespace();
    let numbers: Vec<u64> = lines
        .next()?
        .split_whitespace()
        .map(|it| it.parse().unwrap_or(0))
        .collect();
    let mut counts = UdpCounts::default();
    for (name, number) in names.zip(numbers) {
        match name {
            "InDatagrams" => counts.received = number,
            "InErrors" => counts.errors = number,
            "RcvbufErrors" => counts.receive_buffer_errors = number,
            "MemErrors" => counts.memory_errors = number,
            _ => {}
        }
    }
    Some(counts)
}

/// The lines of `/proc/net/softnet_stat`: hexadecimal columns, the core in the thirteenth.
pub(crate) fn softnet(text: &str) -> Vec<Softnet> {
    let line = |(index, line): (usize, &str)| {
        let hex = |column: &str| u64::from_str_radix(column, 16).ok();
        let columns: Vec<u64> = line.split_whitespace().map_while(hex).collect();
        let cpu = columns.get(12).and_then(|it| usize::try_from(*it).ok());
        Some(Softnet {
            // Kernels before 5.10 do not say which core it is.
            cpu: cpu.unwrap_or(index),
            processed: *columns.first()?,
            dropped: *columns.get(1)?,
            squeezed: *columns.get(2)?,
        })
    };
    text.lines().enumerate().filter_map(line).collect()
}

/// Port and drops of each line of `/proc/net/udp` or `udp6`.
pub(crate) fn udp_sockets(text: &str) -> impl Iterator<Item = (u16, u64)> {
    text.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (_, port) = columns.nth(1)?.rsplit_once(':')?;
        let drops = columns.next_back()?.parse().ok()?;
        Some((u16::from_str_radix(port, 16).ok()?, drops))
    })
}

/// Number and name of each line of `/proc/interrupts` that is a device's.
pub(crate) fn interrupts(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.lines().filter_map(|line| {
        let (number, rest) = line.trim_start().split_once(':')?;
        Some((number.parse().ok()?, rest.split_whitespace().next_back()?))
    })
}

/// Thousandths of the time that was stolen, by the first line of `/proc/stat`.
pub(crate) fn steal_permille(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
    let times: Vec<u64> = line
        .split_whitespace()
        .map_while(|it| it.parse().ok())
        .take(8)
        .collect();
    let total: u64 = times.iter().sum();
    (times.get(7)? * 1_000).checked_div(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_masks_of_cores() {
        assert_eq!(list("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(list("\n"), [0; 0]);
        assert_eq!(mask("00000001,00000005\n"), [0, 2, 32]);
        assert_eq!(mask("0"), [0; 0]);
        assert_eq!(ranges("5000-5999,7,9-8,x"), [[5000, 5999], [7, 7]]);
    }

    #[test]
    fn versions_with_every_kind_of_tail() {
        assert_eq!(version("6.12.4-amd64\n"), Some((6, 12)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert_eq!(version("linux"), None);
    }

    #[test]
    fn limits_of_the_kernel_and_of_systemd() {
        let limits = "Limit   Soft  Hard  Units\nMax open files            1024   524288  files\n\
                      Max locked memory         unlimited  unlimited  bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024));
        assert_eq!(soft_limit(limits, "Max locked memory"), Some(u64::MAX));
        assert_eq!(soft_limit(limits, "Max nothing"), None);
        assert_eq!(unit_size("64M"), Some(64 << 20));
        assert_eq!(unit_size("1024:4096"), Some(1024));
        assert_eq!(unit_size("infinity"), Some(u64::MAX));
        assert_eq!(unit_size(""), None);
    }

    #[test]
    fn counters_by_name_not_by_place() {
        let snmp = "Ip: a b\nIp: 1 2\nUdp: InDatagrams New InErrors RcvbufErrors MemErrors\n\
                    Udp: 10 99 3 2 1\nUdpLite: InDatagrams\nUdpLite: 7\n";
        let counts = udp_counts(snmp).unwrap();
        assert_eq!((counts.received, counts.errors), (10, 3));
        assert_eq!((counts.receive_buffer_errors, counts.memory_errors), (2, 1));
    }

    #[test]
    fn softnet_knows_its_core_when_the_kernel_says_so() {
        let new = "0a 01 02 0 0 0 0 0 0 0 0 0 00000003 0 0\n";
        let old = "0a 00 00\n0b 00 00\n";
        assert_eq!(softnet(new)[0].cpu, 3);
        assert_eq!((softnet(new)[0].dropped, softnet(new)[0].squeezed), (1, 2));
        assert_eq!(softnet(old)[1].cpu, 1);
    }

    #[test]
    fn sockets_interrupts_and_stolen_time() {
        let udp = "  sl  local_address rem_address st\n   12: 0100007F:7530 00000000:0000 07 \
                   00000000:00000000 00:00000000 00000000 0 0 123 2 0000 17\n";
        assert_eq!(udp_sockets(udp).collect::<Vec<_>>(), [(30_000, 17)]);
        let text = "     CPU0 CPU1\n 25:  1 2 PCI-MSI 1-edge eth0-TxRx-0\nNMI: 0 0 Non-maskable interrupts\n";
        assert_eq!(interrupts(text).collect::<Vec<_>>(), [(25, "eth0-TxRx-0")]);
        assert_eq!(steal_permille("cpu  50 0 40 0 0 0 0 10 0 0\n"), Some(100));
        assert_eq!(steal_permille("cpu  0 0 0 0 0 0 0 0\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_the_kernel_might_write_is_a_panic(text in "[ -~\n]{0,200}") {
            list(&text);
            mask(&text);
            version(&text);
            soft_limit(&text, "Max open files");
            unit_size(&text);
            udp_counts(&text);
            softnet(&text);
            udp_sockets(&text).for_each(drop);
            interrupts(&text).for_each(drop);
            steal_permille(&text);
        }
    }
}
