//! Control's reply as lines of a table.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::Sort;
use super::screen::Size;
use crate::output::clean;
use crate::time::clock;

/// Titles, and how wide columns are. Those of numbers are to the right.
const COLUMNS: [(&str, usize, Align); 11] = [
    ("STATE", 5, Align::Left),
    ("TIME", 8, Align::Right),
    ("MOS", 4, Align::Right),
    ("LOSS", 6, Align::Right),
    ("JITTER", 7, Align::Right),
    ("RTT", 7, Align::Right),
    ("RATE", 7, Align::Right),
    ("PACKETS", 15, Align::Right),
    ("SILENT", 7, Align::Right),
    ("CODEC", 11, Align::Left),
    ("CALL-ID", 0, Align::Left),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Align {
    Left,
    Right,
}

/// Lines above the calls.
const HEAD_LINES: usize = 3;

/// How many packets each call had, and how fast they came, by what was seen before.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seen: HashMap<String, (u64, u64)>,
    per_second: HashMap<String, u64>,
}

impl Rates {
    /// Something new was seen.
    pub(super) fn note(&mut self, reply: &Value) {
        let mut seen = HashMap::new();
        let mut per_second = HashMap::new();
        for call in calls(reply) {
            let id = text(&call["call_id"]);
            let (at, packets) = (number(&call["seen_unix_ms"]), sum(call, "packets"));
            if let Some((at_before, before)) = self.seen.get(&id).copied() {
                let elapsed_ms = at.saturating_sub(at_before);
                let new = packets.saturating_sub(before);
                match (new * 1_000).checked_div(elapsed_ms) {
                    Some(rate) => per_second.insert(id.clone(), rate),
                    // It was not looked at again.
                    None => self
                        .per_second
                        .get(&id)
                        .and_then(|it| per_second.insert(id.clone(), *it)),
                };
            }
            seen.insert(id, (at, packets));
        }
        *self = Self { seen, per_second };
    }
}

/// The lines that fit.
pub(super) fn render(reply: &Value, rates: &Rates, sort: Sort, size: Size) -> Vec<String> {
    let (total, seen) = (number(&reply["total"]), number(&reply["seen"]));
    let looked_at = match seen < total {
        true => format!(", {seen} of them looked at so far"),
        false => String::new(),
    };
    let by = sort.name();
    let mut lines = vec![format!("{total} calls{looked_at}; sorted by {by}")];
    lines.push(match reply["failure"].as_str() {
        Some(failure) => clean(failure),
        None if size == Size::UNLIMITED => String::new(),
        None => "keys: q end, m MOS, l loss, j jitter, p packets, t time".to_owned(),
    });
    lines.push(line(&COLUMNS.map(|(title, _, _)| title.to_owned())));
    let room = size.rows.saturating_sub(HEAD_LINES);
    lines.extend(
        calls(reply)
            .take(room)
            .map(|call| line(&cells(call, rates))),
    );
    lines.truncate(size.rows);
    lines.iter().map(|line| fit(line, size.columns)).collect()
}

fn cells(call: &Value, rates: &Rates) -> [String; COLUMNS.len()] {
    let greatest = |key: &str| sides(call).filter_map(|side| side[key].as_u64()).max();
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let ms = |us: u64| format!("{}.{} ms", us / 1_000, us / 100 % 10);
    let state = match (call["is_held"] == true, call["is_answered"] == true) {
        (true, _) => "held",
        (false, true) => "up",
        (false, false) => "early",
    };
    let call_id = text(&call["call_id"]);
    let idle_ms = sides(call)
        .filter_map(|side| side["idle_ms"].as_u64())
        .min();
    let loss = sides(call).filter_map(lost_per_mille).max();
    let packets: Vec<_> = sides(call)
        .map(|side| number(&side["packets"]).to_string())
        .collect();
    let mut codecs: Vec<_> = sides(call)
        .filter_map(|side| side["codec"].as_str())
        .collect();
    codecs.dedup();
    [
        state.to_owned(),
        clock(Duration::from_millis(number(&call["duration_ms"]))),
        dash(
            call["mos_tenths"]
                .as_u64()
                .map(|it| format!("{}.{}", it / 10, it % 10)),
        ),
        dash(loss.map(|it| format!("{}.{}%", it / 10, it % 10))),
        dash(greatest("jitter_us").map(ms)),
        dash(greatest("round_trip_us").map(ms)),
        dash(rates.per_second.get(&call_id).map(|it| format!("{it}/s"))),
        packets.join("/"),
        dash(idle_ms.map(|ms| clock(Duration::from_millis(ms)))),
        codecs.join("/"),
        call_id,
    ]
}

fn line(cells: &[String; COLUMNS.len()]) -> String {
    let cells = cells.iter().zip(COLUMNS).map(|(cell, (_, width, align))| {
        let cell = clean(cell);
        match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        }
    });
    cells.collect::<Vec<_>>().join("  ")
}

/// As much of a line as there are columns.
fn fit(line: &str, columns: usize) -> String {
    line.chars()
        .take(columns)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn lost_per_mille(side: &Value) -> Option<u64> {
    let (packets, lost) = (number(&side["packets"]), number(&side["lost"]));
    lost.saturating_mul(1_000)
        .checked_div(packets.saturating_add(lost))
}

fn calls(reply: &Value) -> impl Iterator<Item = &Value> {
    reply["calls"].as_array().into_iter().flatten()
}

fn sides(call: &Value) -> impl Iterator<Item = &Value> {
    call["sides"].as_array().into_iter().flatten()
}

fn sum(call: &Value, key: &str) -> u64 {
    sides(call).map(|side| number(&side[key])).sum()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(seen_unix_ms: u64, packets: u64) -> Value {
        let side = |packets: u64, lost: u64| {
            json!({
                "packets": packets, "lost": lost, "jitter_us": 2_540, "round_trip_us": null,
                "idle_ms": 61_000, "codec": "PCMA", "mos_tenths": 42,
            })
        };
        let call = json!({
            "call_id": "a\u{1b}[2J@host", "seen_unix_ms": seen_unix_ms, "duration_ms": 3_723_000,
            "is_answered": true, "is_held": false, "mos_tenths": 42,
            "sides": [side(packets, 0), side(90, 10)],
        });
        json!({"total": 3, "seen": 2, "calls": [call, call, call]})
    }

    #[test]
    fn a_call_is_one_line_without_anything_that_steers_the_terminal() {
        let lines = render(
            &reply(0, 100),
            &Rates::default(),
            Sort::Mos,
            Size::UNLIMITED,
        );
        assert_eq!(lines.len(), HEAD_LINES + 3);
        assert_eq!(
            lines[0],
            "3 calls, 2 of them looked at so far; sorted by mos"
        );
        let words: Vec<_> = lines[3].split_whitespace().collect();
        let expected = [
            "up",
            "1:02:03",
            "4.2",
            "10.0%",
            "2.5",
            "ms",
            "-",
            "-",
            "100/90",
            "1:01",
            "PCMA",
            "a·[2J@host",
        ];
        assert_eq!(words, expected);
        assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        for (rows, columns) in [(0, 0), (1, 1), (4, 20), (5, 80)] {
            let size = Size { rows, columns };
            let lines = render(&reply(0, 100), &Rates::default(), Sort::Mos, size);
            assert!(lines.len() <= rows);
            assert!(lines.iter().all(|line| line.chars().count() <= columns));
        }
    }

    #[test]
    fn a_rate_is_what_came_since_it_was_last_seen() {
        let mut rates = Rates::default();
        rates.note(&reply(1_000, 100));
        assert!(rates.per_second.is_empty());
        rates.note(&reply(3_000, 200));
        let line = &render(&reply(3_000, 200), &rates, Sort::Mos, Size::UNLIMITED)[3];
        assert!(line.contains("50/s"), "{line}");
    }

    #[test]
    fn a_control_that_is_gone_is_told_above_what_was_last_seen() {
        let mut reply = reply(0, 100);
        reply["failure"] = json!("control is not running");
        let size = Size {
            rows: 24,
            columns: 80,
        };
        let lines = render(&reply, &Rates::default(), Sort::Loss, size);
        assert_eq!(lines[1], "control is not running");
        assert_eq!(lines.len(), HEAD_LINES + 3);
    }
}
