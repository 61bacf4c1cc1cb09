//! Results as JSON, as Markdown and as curves.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tandem_load::plot::{Curve, Plot};

use crate::pace::Pace;
use crate::plan::RATE_OF_STREAMS;
use crate::ratios::Ratio;
use crate::results::{Latency, Results, SipWork, median};

/// Writes all files; returns the Markdown, which is also printed.
pub(crate) fn write(results: &Results, ratios: &[Ratio], folder: &Path) -> Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let json = serde_json::json!({ "results": results, "ratios": ratios });
    let markdown = markdown(results, ratios);
    for (name, text) in [
        ("results.json", format!("{json:#}\n")),
        ("results.md", markdown.clone()),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    curves(results, folder)?;
    Ok(markdown)
}

fn curves(results: &Results, folder: &Path) -> Result<()> {
    let pictures = [
        (
            "cost-by-rate.svg",
            "CPU per packet, 1,000 streams, sink method",
            "packets/s",
            false,
            by_rate(results, 1_000),
        ),
        (
            "cost-by-streams.svg",
            "CPU per packet, 50,000 packets/s, sink method",
            "streams",
            true,
            by_streams(results, RATE_OF_STREAMS),
        ),
        (
            "latency.svg",
            "Latency between two hosts, at 60 % of the peer's capacity",
            "one packet in … takes longer",
            true,
            latency(results),
        ),
    ];
    for (name, title, x, is_x_logarithmic, curves) in pictures {
        if !curves.is_empty() {
            let y = if name == "latency.svg" {
                "µs"
            } else {
                "µs a packet"
            };
            let plot = Plot {
                title,
                x,
                y,
                is_x_logarithmic,
                curves: &curves,
            };
            plot.write(&folder.join(name))?;
        }
    }
    Ok(())
}

fn relays(results: &Results) -> Vec<&str> {
    let names = results.contestants.iter();
    names.map(|(name, _)| name.as_str()).collect()
}

fn cost(results: &Results, relay: &str, streams: u32, rate: u64) -> Option<f64> {
    median(results.costs_at(relay, streams, rate).into_values())
}

fn by_rate(results: &Results, streams: u32) -> Vec<Curve> {
    let rates: BTreeSet<u64> = results
        .costs
        .iter()
        .map(|it| it.packets_per_second)
        .collect();
    let curve = |relay: &str| {
        let point = |rate: &u64| {
            let x = f64::from(u32::try_from(*rate).ok()?);
            Some((x, cost(results, relay, streams, *rate)?))
        };
        (relay.to_owned(), rates.iter().filter_map(point).collect())
    };
    some(relays(results).into_iter().map(curve))
}

fn by_streams(results: &Results, rate: u64) -> Vec<Curve> {
    let streams: BTreeSet<u32> = results.costs.iter().map(|it| it.streams).collect();
    let curve = |relay: &str| {
        let point =
            |streams: &u32| Some((f64::from(*streams), cost(results, relay, *streams, rate)?));
        (relay.to_owned(), streams.iter().filter_map(point).collect())
    };
    some(relays(results).into_iter().map(curve))
}

/// Of the last round of each: percentiles of several have no mean.
fn latency(results: &Results) -> Vec<Curve> {
    let curve = |relay: &str| {
        let last = results.latencies.iter().rfind(|it| it.relay == relay);
        let points = last.map(|it| it.curve.clone()).unwrap_or_default();
        (relay.to_owned(), points)
    };
    some(relays(results).into_iter().map(curve))
}

fn some(curves: impl Iterator<Item = Curve>) -> Vec<Curve> {
    curves.filter(|(_, points)| !points.is_empty()).collect()
}

fn markdown(results: &Results, ratios: &[Ratio]) -> String {
    let mut out = String::from("# Comparison of relays\n\n");
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "{}: {}, {} cores, Linux {}; mitigations: {}; load average at the start: {}.\n",
        results.date,
        machine.processor,
        machine.cores,
        machine.kernel,
        if machine.mitigations.is_empty() {
            "none".to_owned()
        } else {
            machine.mitigations.join(", ")
        },
        machine.load_average
    );
    pace_line(&mut out, &results.paces);
    if results.is_stopped {
        out.push_str("Stopped before the end: what follows is not complete.\n\n");
    }
    for reason in &results.skipped {
        let _ = writeln!(out, "SKIPPED: {reason}\n");
    }
    for (name, version) in &results.contestants {
        let _ = writeln!(out, "- `{name}`: {version}");
    }
    ratio_table(&mut out, ratios);
    cost_table(&mut out, results);
    hosts_table(&mut out, results);
    endurance_table(&mut out, results);
    set_up_table(&mut out, results);
    idle_table(&mut out, results);
    sip_table(&mut out, results);
    out
}

fn pace_line(out: &mut String, paces: &[Pace]) {
    if paces.is_empty() {
        return;
    }
    let list = |of: fn(&Pace) -> f64| {
        let all: Vec<String> = paces.iter().map(|it| format!("{:.0}", of(it))).collect();
        all.join(", ")
    };
    let _ = writeln!(
        out,
        "The relay's core, at the start and after each part: a load from far memory (4 MiB in random order) takes {} ns, \
         an empty system call {} ns.\n",
        list(|it| it.load_ns),
        list(|it| it.system_call_ns)
    );
}

fn ratio_table(out: &mut String, ratios: &[Ratio]) {
    if ratios.is_empty() {
        return;
    }
    out.push_str("\n## Budgets\n\n| what | ours | against | measured | budget | verdict |\n|---|---|---|---|---|---|\n");
    // Those that something is promised of first.
    let (promised, others): (Vec<_>, Vec<_>) = ratios.iter().partition(|it| it.budget.is_some());
    for it in promised.into_iter().chain(others) {
        let peer = it.peer.as_deref().map(|it| format!("`{it}`"));
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} | {} | {} |",
            it.what,
            it.relay,
            peer.unwrap_or_default(),
            it.figure(),
            it.promise(),
            it.verdict()
        );
    }
}

fn cost_table(out: &mut String, results: &Results) {
    if results.costs.is_empty() {
        return;
    }
    out.push_str("\n## CPU per packet, sink method\n\nMicroseconds of the relay's process, median of the rounds; in brackets packets lost of all rounds, `g` where the generator was the bottleneck.\n\n| streams | packets/s |");
    let relays = relays(results);
    relays.iter().for_each(|it| {
        let _ = write!(out, " `{it}` |");
    });
    let _ = writeln!(out, "\n|---|---|{}", "---|".repeat(relays.len()));
    let points: BTreeSet<(u32, u64)> = results
        .costs
        .iter()
        .map(|it| (it.streams, it.packets_per_second))
        .collect();
    for (streams, rate) in points {
        let _ = write!(out, "| {streams} | {rate} |");
        for relay in &relays {
            let of = results.costs.iter().filter(|it| {
                it.relay == *relay && it.streams == streams && it.packets_per_second == rate
            });
            let (lost, is_limited) = of.fold((0, false), |(lost, is_limited), it| {
                (
                    lost + it.lost,
                    is_limited || !it.generator_limits.is_empty(),
                )
            });
            let _ = match cost(results, relay, streams, rate) {
                Some(us) => write!(
                    out,
                    " {us:.2} ({lost}{}) |",
                    if is_limited { " g" } else { "" }
                ),
                None => write!(out, " - |"),
            };
        }
        out.push('\n');
    }
}

fn hosts_table(out: &mut String, results: &Results) {
    if results.capacities.is_empty() && results.latencies.is_empty() {
        return;
    }
    out.push_str("\n## Between two hosts\n\nThe relay's core does its interrupts, too.\n\n| relay | packets/s without loss | at packets/s | half, µs | 99 %, µs | 99.9 %, µs | core, µs a packet | lost |\n|---|---|---|---|---|---|---|---|\n");
    for relay in relays(results) {
        let capacity = results.capacities.iter().find(|it| it.relay == relay);
        let capacity = capacity.map(|it| {
            let bound = it.generator_limit.as_ref().map_or("", |_| "≥ ");
            format!("{bound}{} for {:.0} s", it.packets_per_second, it.seconds)
        });
        let of = || results.latencies.iter().filter(|it| it.relay == relay);
        let middle = |pick: fn(&Latency) -> f64| {
            median(of().map(pick)).map_or_else(|| "–".to_owned(), |it| format!("{it:.1}"))
        };
        let rate = of().next().map_or(0, |it| it.packets_per_second);
        let _ = writeln!(
            out,
            "| `{relay}` | {} | {rate} | {} | {} | {} | {} | {} |",
            capacity.unwrap_or_else(|| "–".to_owned()),
            middle(|it| it.us.p50),
            middle(|it| it.us.p99),
            middle(|it| it.us.p999),
            middle(|it| it.core_us),
            of().map(|it| it.lost).sum::<u64>()
        );
    }
    for it in &results.capacities {
        if let Some(limit) = &it.generator_limit {
            let _ = writeln!(
                out,
                "\n`{}`: the generator was the bottleneck: {limit}.",
                it.relay
            );
        }
    }
}

fn endurance_table(out: &mut String, results: &Results) {
    for it in &results.endurances {
        let how = match it.is_only_counted {
            true => "counted by the interface",
            false => "each checked",
        };
        let _ = writeln!(
            out,
            "\n## Endurance\n\n`{}`: {} streams, {} packets/s for {:.0} s, {how}: {} sent, {} lost, \
             {} otherwise odd.",
            it.relay, it.streams, it.packets_per_second, it.seconds, it.sent, it.lost, it.odd
        );
        for limit in &it.generator_limits {
            let _ = writeln!(out, "\nThe generator was the bottleneck: {limit}.");
        }
    }
}

fn idle_table(out: &mut String, results: &Results) {
    if results.idles.is_empty() {
        return;
    }
    out.push_str(
        "\n## Idle\n\nResident memory, KiB.\n\n| relay | all | of which |\n|---|---|---|\n",
    );
    for it in &results.idles {
        let each = it.resident_kib.iter();
        let each: Vec<String> = each.map(|(name, kib)| format!("{name} {kib}")).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} |",
            it.relay,
            it.all_kib(),
            each.join(", ")
        );
    }
}

fn set_up_table(out: &mut String, results: &Results) {
    if results.set_ups.is_empty() {
        return;
    }
    out.push_str("\n## Call set-up\n\nOffer, answer and delete; all processes of the relay.\n\n| relay | CPU, µs a call | memory, bytes a call |\n|---|---|---|\n");
    for relay in relays(results) {
        let cpu_us = median(results.set_up_us(relay).into_values());
        let bytes = median(results.set_up_bytes(relay).into_values());
        if let Some((cpu_us, bytes)) = cpu_us.zip(bytes) {
            let _ = writeln!(out, "| `{relay}` | {cpu_us:.0} | {bytes:.0} |");
        }
    }
}

fn sip_table(out: &mut String, results: &Results) {
    if results.sips.is_empty() {
        return;
    }
    out.push_str("\n## SIP\n\nCPU of all processes, µs, median of the rounds.\n\n| work | tandem | peer |\n|---|---|---|\n");
    let works: BTreeSet<SipWork> = results.sips.iter().map(|it| it.work).collect();
    for work in works {
        let cost = |is_ours| {
            let us = median(results.sip_us(is_ours, work).into_values());
            us.map_or_else(|| "–".to_owned(), |us| format!("{us:.1}"))
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            work.name(),
            cost(true),
            cost(false)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::ratios;
    use crate::results::tests::example;

    #[test]
    fn files_are_written_of_whatever_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = example();
        let ratios = ratios(&results, &["uring"], "rtpengine");
        let text = write(&results, &ratios, folder.path()).unwrap();
        assert!(
            text.contains("| 100 | 100000 | 2.20 (0) | 4.40 (0) |"),
            "{text}"
        );
        assert!(text.contains("| ≥ 2.00 × | ≥ 1.7 × | met |"), "{text}");
        for name in ["results.json", "results.md", "cost-by-streams.svg"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        results.costs.clear();
        results.capacities.clear();
        write(&results, &[], folder.path()).unwrap();
    }
}
