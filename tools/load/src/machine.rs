//! What figures were taken on: without it they say nothing.

use std::fs;
use std::thread;

use serde::Serialize;

/// The machine, as far as it decides about speed.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the first processor.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Mitigations of processor bugs that the kernel applies.
    pub mitigations: Vec<String>,
    /// Load averages over 1, 5 and 15 minutes: who else was at work.
    pub load_average: String,
}

impl Machine {
    /// Reads `/proc` and `/sys`; what cannot be read stays empty.
    #[must_use]
    pub fn read() -> Self {
        let model = |line: &str| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == "model name").then(|| value.trim().to_owned())
        };
        let load = text("/proc/loadavg");
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        Self {
            processor: text("/proc/cpuinfo")
                .lines()
                .find_map(model)
                .unwrap_or_default(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            mitigations: mitigations(),
            load_average: load.join(" "),
        }
    }
}

fn mitigations() -> Vec<String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return Vec::new();
    };
    let applied = |entry: fs::DirEntry| {
        let state = fs::read_to_string(entry.path()).ok()?;
        let name = entry.file_name().into_string().ok()?;
        state.starts_with("Mitigation").then_some(name)
    };
    let mut names: Vec<String> = folder.flatten().filter_map(applied).collect();
    names.sort();
    names
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_machine() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && !machine.kernel.is_empty());
        assert_eq!(machine.load_average.split(' ').count(), 3);
    }
}
