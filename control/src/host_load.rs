//! How busy the host is, by `/proc`.

use std::fs;

use control_core::HostLoad;

/// The load average and the processors' work since the last look.
#[derive(Debug, Default)]
pub(crate) struct HostWatch {
    before: Option<CpuTimes>,
}

/// Ticks of all processors since the host began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl HostWatch {
    /// Looks. What cannot be read is not known, and so limits nothing.
    pub(crate) fn look(&mut self) -> HostLoad {
        let read = |path| fs::read_to_string(path).ok();
        let times = read("/proc/stat").and_then(|text| read_cpu_times(&text));
        HostLoad {
            load_hundredths: read("/proc/loadavg").and_then(|text| read_load(&text)),
            cpu_percent: self.note(times),
        }
    }

    fn note(&mut self, times: Option<CpuTimes>) -> Option<u8> {
        let before = std::mem::replace(&mut self.before, times)?;
        let now = times?;
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = now.busy.saturating_sub(before.busy).min(all);
        u8::try_from(busy * 100 / all).ok()
    }
}

/// The first of three numbers, such as `0.18`.
fn read_load(text: &str) -> Option<u32> {
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    crate::config::hundredths(load)
}

/// The line of all processors: user, nice, system, idle, iowait, irq, softirq, steal, and guests
/// that user and nice count already (proc(5)).
fn read_cpu_times(text: &str) -> Option<CpuTimes> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line.split_whitespace().take(8);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = ticks.get(3)?.checked_add(*ticks.get(4)?)?;
    let all = ticks
        .iter()
        .try_fold(0_u64, |sum, it| sum.checked_add(*it))?;
    let busy = all - idle;
    Some(CpuTimes { busy, all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 2 3 4 5 6 7 8 9 9\nintr 1\n";
        let times = read_cpu_times(stat).unwrap();
        assert_eq!(times, CpuTimes { busy: 81, all: 531 });
        assert_eq!(read_load("1.25 0.59 0.70 2/192 19369\n"), Some(125));
        for nonsense in [
            "",
            "cpu",
            "cpu \n",
            "cpu 1 2 3\n",
            "cpu a b c d e\n",
            "x y z",
        ] {
            assert_eq!(read_cpu_times(nonsense), None, "{nonsense}");
            assert_eq!(read_load(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_share_is_of_the_time_between_two_looks() {
        let mut watch = HostWatch::default();
        assert_eq!(watch.note(Some(CpuTimes { busy: 10, all: 100 })), None);
        assert_eq!(watch.note(Some(CpuTimes { busy: 85, all: 200 })), Some(75));
        assert_eq!(watch.note(Some(CpuTimes { busy: 85, all: 200 })), None);
        assert_eq!(watch.note(None), None);
        assert_eq!(watch.note(Some(CpuTimes { busy: 90, all: 300 })), None);
    }

    #[test]
    fn this_host_tells_something() {
        let load = HostWatch::default().look();
        assert!(load.load_hundredths.is_some());
    }
}
