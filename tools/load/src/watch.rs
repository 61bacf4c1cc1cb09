//! CPU time of processes (`/proc/PID/task/*/schedstat`, nanoseconds) and of whole cores
//! (`/proc/stat`, ticks), which includes what interrupts cost.
//!
//! The kernel measures how long a core was idle, but guesses what it did otherwise from what runs
//! when its clock ticks; work that each tick finds done does not show there. So what a core was
//! busy is the time that it was not idle, and only the parts of it are guessed.

use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::LoadError;

/// Processes that are watched at most.
const PROCESSES_MAX: usize = 64;

/// Ticks of `/proc/stat` in a second (`USER_HZ`): the same wherever we run.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to watch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// By its number.
    Pid(u32),
    /// All whose program is called so (`/proc/PID/comm`, 15 bytes at most).
    Name(String),
}

impl From<&str> for Which {
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Pid)
    }
}

/// Processes and cores whose use is read at the beginning and at the end.
#[derive(Debug, Default)]
pub struct Watch {
    processes: Vec<(u32, String)>,
    cores: Vec<usize>,
}

/// What had been used at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    at: Instant,
    processes_ns: Vec<u64>,
    cores: Vec<CoreTicks>,
}

/// What a process used between two samples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessUse {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub name: String,
    /// Seconds of CPU.
    pub cpu_s: f64,
    /// Microseconds of CPU for each packet, once it is known how many there were.
    pub per_packet_us: Option<f64>,
    /// Resident memory at the end, in KiB.
    pub resident_kib: u64,
}

/// What a core did between two samples, in parts of one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CoreUse {
    /// Its number.
    pub core: usize,
    /// All but idling.
    pub busy: f64,
    /// In programs.
    pub user: f64,
    /// In the kernel, on behalf of programs.
    pub system: f64,
    /// In interrupts, soft ones included.
    pub interrupts: f64,
    /// Taken away by the hypervisor; part of busy.
    pub steal: f64,
    /// Microseconds of it for each packet, once it is known how many there were.
    pub per_packet_us: Option<f64>,
}

/// Columns of a line of `/proc/stat`, summed as [`CoreUse`] wants them.
#[derive(Clone, Copy, Debug, Default)]
struct CoreTicks {
    user: u64,
    system: u64,
    idle: u64,
    interrupts: u64,
    steal: u64,
}

impl Watch {
    /// Finds the processes.
    ///
    /// # Errors
    ///
    /// When one is not there: figures without it would mislead.
    pub fn new(which: &[Which], cores: &[usize]) -> Result<Self, LoadError> {
        let mut processes = Vec::new();
        for it in which {
            let found = find(it);
            if found.is_empty() {
                return Err(LoadError::Option(match it {
                    Which::Pid(pid) => format!("there is no process {pid} to watch"),
                    Which::Name(name) => format!("no process called {name} runs"),
                }));
            }
            processes.extend(found);
        }
        processes.truncate(PROCESSES_MAX);
        let cores = cores.to_vec();
        Ok(Self { processes, cores })
    }

    /// Reads what was used until now.
    #[must_use]
    pub fn sample(&self) -> Sample {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Sample {
            at: Instant::now(),
            processes_ns: self.processes.iter().map(|(pid, _)| cpu_ns(*pid)).collect(),
            cores: self.cores.iter().map(|it| ticks(&stat, *it)).collect(),
        }
    }

    /// What the processes used between two samples.
    #[must_use]
    pub fn processes(&self, from: &Sample, to: &Sample) -> Vec<ProcessUse> {
        let used = from.processes_ns.iter().zip(&to.processes_ns);
        let uses = self.processes.iter().zip(used);
        uses.map(|((pid, name), (from, to))| ProcessUse {
            pid: *pid,
            name: name.clone(),
            cpu_s: seconds(to.saturating_sub(*from)),
            per_packet_us: None,
            resident_kib: resident_kib(*pid),
        })
        .collect()
    }

    /// What the cores did between two samples.
    #[must_use]
    pub fn cores(&self, from: &Sample, to: &Sample) -> Vec<CoreUse> {
        let elapsed_s = to.at.saturating_duration_since(from.at).as_secs_f64();
        let pairs = from.cores.iter().zip(&to.cores);
        let uses = self.cores.iter().zip(pairs);
        uses.map(|(core, (from, to))| to.since(from).share(*core, elapsed_s))
            .collect()
    }
}

impl ProcessUse {
    /// Divides the use by a number of packets.
    pub fn divide(&mut self, packets: u64) {
        self.per_packet_us = per_packet_us(self.cpu_s, packets);
    }
}

impl CoreUse {
    /// Divides the use over `elapsed_s` by a number of packets.
    pub fn divide(&mut self, elapsed_s: f64, packets: u64) {
        self.per_packet_us = per_packet_us(self.busy * elapsed_s, packets);
    }
}

impl CoreTicks {
    fn since(&self, from: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(from.user),
            system: self.system.saturating_sub(from.system),
            idle: self.idle.saturating_sub(from.idle),
            interrupts: self.interrupts.saturating_sub(from.interrupts),
            steal: self.steal.saturating_sub(from.steal),
        }
    }

    fn share(&self, core: usize, elapsed_s: f64) -> CoreUse {
        let idle = float(self.idle) / (elapsed_s * TICKS_PER_SECOND).max(1.0);
        let busy = (1.0 - idle).clamp(0.0, 1.0);
        let seen = self.user + self.system + self.interrupts + self.steal;
        let part = |ticks: u64| busy * float(ticks) / float(seen.max(1));
        CoreUse {
            core,
            busy,
            user: part(self.user),
            system: part(self.system),
            interrupts: part(self.interrupts),
            steal: part(self.steal),
            per_packet_us: None,
        }
    }
}

/// Nanoseconds of CPU that the threads of a process used which are there now.
#[must_use]
pub fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    let used = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(used).sum()
}

/// Resident memory of a process in KiB; 0 if it is gone.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|it| it.trim().split(' ').next()?.parse().ok());
    number.unwrap_or(0)
}

/// Datagrams that found the queue full in which the network waits for one of these cores
/// (`net.core.netdev_max_backlog`), since the system started.
pub(crate) fn backlog_drops(cores: &[usize]) -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    cores
        .iter()
        .map(|core| backlog_drops_of(&text, *core))
        .sum()
}

/// A line for each core that is up: processed, dropped … time, all in hex; the core's number is
/// the 13th (kernel 5.10).
fn backlog_drops_of(text: &str, core: usize) -> u64 {
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let of = |(place, line): (usize, &str)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = words.get(12).and_then(|word| hex(word));
        let number = number.map_or(Some(place), |it| usize::try_from(it).ok())?;
        (number == core).then(|| hex(words.get(1)?))?
    };
    text.lines().enumerate().find_map(of).unwrap_or(0)
}

fn find(which: &Which) -> Vec<(u32, String)> {
    match which {
        Which::Pid(pid) => name(*pid).map(|name| (*pid, name)).into_iter().collect(),
        Which::Name(wanted) => {
            let Ok(folder) = fs::read_dir("/proc") else {
                return Vec::new();
            };
            let pids = folder
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let named = pids.filter_map(|pid| Some((pid, name(pid)?)));
            // The kernel keeps 15 bytes of a name.
            let wanted = wanted.get(..15).unwrap_or(wanted);
            named.filter(|(_, name)| name == wanted).collect()
        }
    }
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn ticks(stat: &str, core: usize) -> CoreTicks {
    let label = format!("cpu{core} ");
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&label)) else {
        return CoreTicks::default();
    };
    let columns: Vec<u64> = line
        .split_whitespace()
        .map(|column| column.parse().unwrap_or(0))
        .collect();
    let column = |index: usize| columns.get(index).copied().unwrap_or(0);
    // proc_stat(5): user nice system idle iowait irq softirq steal. Guests are part of user.
    CoreTicks {
        user: column(0) + column(1),
        system: column(2),
        idle: column(3) + column(4),
        interrupts: column(5) + column(6),
        steal: column(7),
    }
}

fn per_packet_us(cpu_s: f64, packets: u64) -> Option<f64> {
    (packets > 0).then(|| cpu_s * 1e6 / float(packets))
}

fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

/// Counts stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_the_manual_says() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n";
        let it = ticks(stat, 0);
        assert_eq!(
            (it.user, it.system, it.idle, it.interrupts, it.steal),
            (3, 3, 9, 13, 8)
        );
        assert_eq!(ticks(stat, 7).idle, 0);
    }

    #[test]
    fn a_core_is_busy_when_it_is_not_idle() {
        let it = CoreTicks {
            user: 1,
            system: 3,
            idle: 120,
            interrupts: 0,
            steal: 0,
        };
        // Two seconds, of which 1.2 were idle; the clock saw little of the rest.
        let it = it.share(7, 2.0);
        assert!(
            (it.busy - 0.4).abs() < 1e-9 && (it.system - 0.3).abs() < 1e-9,
            "{it:?}"
        );
        let nothing = CoreTicks::default().share(7, 0.0);
        assert!(nothing.busy <= 1.0 && nothing.user <= 0.0, "{nothing:?}");
    }

    #[test]
    fn backlogs_are_those_of_the_cores_named() {
        let line = |dropped: &str, core: &str| {
            format!("0000aa {dropped} 0 0 0 0 0 0 0 0 0 0 {core} 0 0\n")
        };
        let text = line("0000001f", "00000000") + &line("00000002", "00000003");
        assert_eq!(backlog_drops_of(&text, 0), 31);
        assert_eq!(backlog_drops_of(&text, 3), 2);
        assert_eq!(backlog_drops_of(&text, 1), 0);
        // Before there was a number of the core.
        assert_eq!(backlog_drops_of("1 2 3\n4 5 6\n", 1), 5);
        assert_eq!(backlog_drops(&[]), 0);
    }

    #[test]
    fn work_shows() {
        let pid = std::process::id();
        let watch = Watch::new(&[Which::Pid(pid)], &[0]).unwrap();
        let from = watch.sample();
        let mut sum = 0_u64;
        // schedstat is brought up to date at ticks and switches.
        while watch.sample().processes_ns <= from.processes_ns {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let mut uses = watch.processes(&from, &watch.sample());
        assert!(uses[0].cpu_s > 0.0 && uses[0].resident_kib > 0);
        uses[0].divide(10);
        assert!(uses[0].per_packet_us.is_some());
        assert_eq!(watch.cores(&from, &watch.sample()).len(), 1);
    }

    #[test]
    fn who_is_not_there_is_an_error() {
        assert!(Watch::new(&["no such program".into()], &[]).is_err());
        assert!(Watch::new(&[Which::Pid(u32::MAX)], &[]).is_err());
        assert_eq!(Which::from("12"), Which::Pid(12));
    }
}
