//! From facts to findings. Nothing here reads anything: every rule is a function of [`Facts`].

mod cpu;
mod daemons;
mod kernel;
mod network;

use serde::Serialize;

use super::facts::Facts;

/// Something that holds media back, or is worth knowing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// The rule that found it.
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    /// What is the matter.
    pub(crate) finding: String,
    /// What was read, and where.
    pub(crate) read: String,
    /// Why it matters, in one sentence.
    pub(crate) why: &'static str,
    /// A command, or what to do if no command does it.
    pub(crate) cure: String,
}

/// How bad it is; the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Calls or packets are being lost, or will be as soon as there is load.
    Critical,
    /// Capacity or latency is given away.
    Warning,
    /// Worth knowing; nothing must be done.
    Note,
}

/// A rule, and the name of what it finds.
type Rule = (&'static str, fn(&Facts) -> Option<Draft>);

/// A finding without the name of its rule.
#[derive(Clone, Debug)]
struct Draft {
    severity: Severity,
    finding: String,
    read: String,
    why: &'static str,
    cure: String,
}

/// All rules. Those whose findings weigh most stand first: that is the order of what is found,
/// within a severity.
const RULES: [Rule; 23] = [
    ("daemons", daemons::missing),
    ("reachable", daemons::unreachable),
    ("open-files", daemons::open_files),
    ("io-uring", kernel::io_uring_disabled),
    ("kernel", kernel::version),
    ("locked-memory", daemons::locked_memory),
    ("driver", daemons::driver),
    ("udp-drops", network::udp_drops),
    ("backlog-drops", network::backlog_drops),
    ("conntrack", network::conntrack),
    ("cores", cpu::cores),
    ("queues", network::queues),
    ("interrupts", network::interrupts),
    ("steal", cpu::steal),
    ("governor", cpu::governor),
    ("siblings", cpu::siblings),
    ("clocksource", kernel::clocksource),
    ("swap", daemons::swap),
    ("receive-buffers", network::receive_buffers),
    ("port-range", network::port_range),
    ("isolation", cpu::isolation),
    ("virtual", cpu::is_virtual),
    ("mitigations", kernel::mitigations),
];

/// What is the matter with a host, in order of effect.
pub(crate) fn diagnose(facts: &Facts) -> Vec<Finding> {
    let finding = |(rule, find): &Rule| {
        let draft = find(facts)?;
        Some(Finding {
            rule,
            severity: draft.severity,
            finding: draft.finding,
            read: draft.read,
            why: draft.why,
            cure: draft.cure,
        })
    };
    let mut findings: Vec<Finding> = RULES.iter().filter_map(finding).collect();
    // Stable: within a severity the order of the rules remains.
    findings.sort_by_key(|it| it.severity);
    findings
}

/// `0-1,4` of ascending numbers.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = numbers;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .zip(first..)
            .take_while(|(it, expected)| *it == expected)
            .count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&match run {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + run - 1),
        });
        rest = &rest[run..];
    }
    text
}

/// Whether there is at least one of `part` in a thousand of `whole`.
fn is_permille(part: u64, whole: u64) -> bool {
    part > 0 && part.saturating_mul(1_000) >= whole
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Softnet, State};
    use super::*;

    /// A host that nothing is the matter with: two workers, three cores.
    pub(super) fn healthy() -> Facts {
        super::super::tests::healthy()
    }

    /// What a rule finds.
    pub(super) fn find(rule: &str, facts: &Facts) -> Option<Finding> {
        assert!(
            RULES.iter().any(|(name, _)| *name == rule),
            "{rule} is no rule"
        );
        diagnose(facts).into_iter().find(|it| it.rule == rule)
    }

    #[test]
    fn a_healthy_host_has_no_findings() {
        assert!(
            diagnose(&healthy()).is_empty(),
            "{:#?}",
            diagnose(&healthy())
        );
    }

    #[test]
    fn a_host_that_tells_nothing_is_not_accused() {
        let findings = diagnose(&Facts::default());
        let rules: Vec<_> = findings.iter().map(|it| it.rule).collect();
        assert_eq!(rules, ["daemons"]);
        assert_eq!(findings[0].severity, Severity::Note);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut facts = healthy();
        facts
            .kernel
            .mitigations
            .insert("x".to_owned(), "Mitigation: y".to_owned());
        facts.daemons.relay.state = State::Down;
        facts.network.softnet = vec![Softnet {
            cpu: 0,
            processed: 1_000_000,
            dropped: 1,
            squeezed: 0,
        }];
        let findings = diagnose(&facts);
        assert!(findings.is_sorted_by_key(|it| it.severity));
        assert_eq!(findings[0].rule, "daemons");
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let mut names: Vec<_> = RULES.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn cores_are_written_as_the_kernel_writes_them() {
        assert_eq!(ranges(&[0, 1, 2, 4, 6, 7]), "0-2,4,6-7");
        assert_eq!(ranges(&[]), "");
    }
}
