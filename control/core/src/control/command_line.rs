//! The peer's command line, as far as operators' scripts use it over ng (`cli`): what there is,
//! limits, and ending calls. What else it knows is answered as it answers what it does not know;
//! `tandem` is our own.

use std::fmt::Write as _;
use std::net::SocketAddr;

use control_ng::reply;
use relay_wire::CallKey;

use crate::call::{CallState, Carrier, Client};
use crate::limits::Limits;
use crate::output::Notice;

use super::jobs::Call;
use super::{Control, Now};

/// Bytes of a response at most, so that it fits in a datagram.
const DATAGRAM_RESPONSE_BYTES_MAX: usize = 60_000;

/// The same where nothing has to fit: some thirty thousand calls.
const STREAM_RESPONSE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Bytes of the line that says what was left out.
const LEFT_OUT_BYTES_MAX: usize = 100;

/// A limit of bandwidth is counted in bytes there.
const BYTES_PER_MBIT: u64 = 125_000;

/// As much of a line goes into the log.
const LINE_TOLD_CHARS: usize = 200;

const MORE_WANTED: &str = "More parameters required.\n";

/// What is said to `help` and `usage`.
const HELP: &str = "\
    Supported commands are:\n\n\
    list numsessions\n\
    list sessions <callid> | all | own\n\
    list maxsessions | maxcpu | maxload | maxbw\n\
    list timeout | silenttimeout | offertimeout | finaltimeout | deletedelay\n\
    set maxsessions <int>\n\
    set maxcpu <float>\n\
    set maxload <float>\n\
    set maxbw <uint>\n\
    terminate <callid> | all | own\n\
    call <callid> info | terminate\n";

impl Control {
    /// Answers `cli`.
    pub(super) fn command_line(&mut self, now: Now, client: Client, cookie: &[u8], line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if is_order(line.as_bytes()) {
            let line = line.chars().take(LINE_TOLD_CHARS).collect();
            self.notice(Notice::Commanded { client, line });
        }
        let bytes_max = match client.carrier {
            Carrier::Datagram => DATAGRAM_RESPONSE_BYTES_MAX,
            Carrier::Stream => STREAM_RESPONSE_BYTES_MAX,
        };
        let mut response = self.run_line(now, line, bytes_max);
        let mut ends = (0..=bytes_max.min(response.len())).rev();
        let end = ends.find(|at| response.is_char_boundary(*at));
        response.truncate(end.unwrap_or_default());
        let reply = reply::ok().with("response", response);
        self.send(client, reply.encode(cookie));
    }

    fn run_line(&mut self, now: Now, line: &str, bytes_max: usize) -> String {
        let (command, rest) = split(line);
        match command {
            "call" => self.run_call(now, rest),
            "get" | "list" => self.run_list(rest, bytes_max),
            "help" | "usage" => HELP.to_owned(),
            "set" => self.run_set(rest),
            "terminate" => self.run_terminate(now, rest),
            "" => format!("Incomplete command: {line}\n"),
            _ => unknown(command),
        }
    }

    fn run_list(&self, line: &str, bytes_max: usize) -> String {
        let (what, rest) = split(line);
        let limits = self.limits();
        let config = &self.config;
        match what {
            "numsessions" => self.count_calls(),
            "sessions" => self.list_calls(rest, bytes_max),
            "maxsessions" => {
                let calls = sessions(limits.calls_max);
                format!("Maximum sessions configured on rtpengine: {calls}\n")
            }
            "maxcpu" => {
                let percent = f64::from(limits.cpu_percent_max);
                format!("Maximum CPU usage configured on rtpengine: {percent:.1}\n")
            }
            "maxload" => {
                let load = f64::from(limits.load_max_hundredths) / 100.0;
                format!("Maximum load average configured on rtpengine: {load:.2}\n")
            }
            "maxbw" => {
                let bytes = u64::from(limits.bandwidth_mbit_max) * BYTES_PER_MBIT;
                format!("Maximum bandwidth configured on rtpengine: {bytes}\n")
            }
            "timeout" => format!("TIMEOUT={}\n", config.media_timeout_s),
            "silenttimeout" => format!("SILENT_TIMEOUT={}\n", config.silent_timeout_s),
            "offertimeout" => format!("OFFER_TIMEOUT={}\n", config.offer_timeout_s),
            "finaltimeout" => format!("FINAL_TIMEOUT={}\n", config.final_timeout_s),
            "deletedelay" => format!("{}\n", config.delete_delay_s),
            "" => format!("Incomplete command: {line}\n"),
            _ => unknown(what),
        }
    }

    fn run_set(&mut self, line: &str) -> String {
        let (what, value) = split(line);
        if !matches!(what, "maxsessions" | "maxcpu" | "maxload" | "maxbw") {
            return unknown(what);
        }
        if value.is_empty() {
            return MORE_WANTED.to_owned();
        }
        match changed(self.limits(), what, value) {
            Some(limits) => {
                self.set_limits(limits);
                format!("Success setting {what} to {value}\n")
            }
            None => format!("Fail setting {what} to {value}; no such number\n"),
        }
    }

    fn run_terminate(&mut self, now: Now, name: &str) -> String {
        match name {
            "" => MORE_WANTED.to_owned(),
            "all" | "own" => {
                let keys: Vec<_> = self.calls.keys().copied().collect();
                for key in keys {
                    self.doom(now, key);
                }
                let own = if name == "own" { "own " } else { "" };
                format!("All {own}calls terminated by operator.\n")
            }
            "foreign" => "All foreign calls terminated by operator.\n".to_owned(),
            _ => match self.find_call(name) {
                Some((key, _)) => {
                    self.doom(now, key);
                    format!("\nCall Id ({name}) successfully terminated by operator.\n\n")
                }
                None => format!("\nCall Id not found ({name}).\n\n"),
            },
        }
    }

    fn run_call(&mut self, now: Now, line: &str) -> String {
        let (name, rest) = split(line);
        if name.is_empty() {
            return MORE_WANTED.to_owned();
        }
        let Some((key, call)) = self.find_call(name) else {
            return format!("No such call '{name}'\n");
        };
        match rest {
            "info" => self.describe(&call.state),
            "terminate" => {
                self.doom(now, key);
                format!("\nCall '{name}' terminated.\n\n")
            }
            "" => format!("Incomplete command: {rest}\n"),
            _ => unknown(split(rest).0),
        }
    }

    /// Ends a call as soon as it can be: at once, or when the relay has done what it does with it.
    fn doom(&mut self, now: Now, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.is_doomed = true;
            self.schedule(now, key);
        }
    }

    fn find_call(&self, name: &str) -> Option<(CallKey, &Call)> {
        let key = *self.keys.get(name.as_bytes())?;
        let call = self.calls.get(&key).filter(|call| call.ended.is_none())?;
        Some((key, call))
    }

    fn running(&self) -> impl Iterator<Item = &Call> {
        let calls = self.calls.values().map(|call| &**call);
        calls.filter(|call| call.ended.is_none())
    }

    fn count_calls(&self) -> String {
        let count = self.call_count();
        let is_ip6 = |call: &Call| {
            let interfaces = call.state.legs.iter().filter_map(|leg| {
                let interface = self.link.interfaces.get(usize::from(leg.interface.0));
                interface.map(|it| it.address.is_ipv6())
            });
            let (mut any4, mut any6) = (false, false);
            for is_ip6 in interfaces {
                any4 |= !is_ip6;
                any6 |= is_ip6;
            }
            (any4, any6)
        };
        let of = |families| self.running().filter(|it| is_ip6(it) == families).count();
        let (ip4, ip6, mixed) = (of((true, false)), of((false, true)), of((true, true)));
        format!(
            "Current sessions own: {count}\n\
             Current sessions foreign: 0\n\
             Current sessions total: {count}\n\
             Current sessions ipv4 only media: {ip4}\n\
             Current sessions ipv6 only media: {ip6}\n\
             Current sessions ip mixed  media: {mixed}\n"
        )
    }

    /// Whole lines, as many as there is room for, and how many were left out.
    fn list_calls(&self, name: &str, bytes_max: usize) -> String {
        match name {
            "" => return MORE_WANTED.to_owned(),
            "all" | "own" | "foreign" | "recording" => {}
            _ => {
                return match self.find_call(name) {
                    Some((_, call)) => self.describe(&call.state),
                    None => format!("\nCall ID not found ({name}).\n\n"),
                };
            }
        }
        let mut out = String::new();
        let are_there = matches!(name, "all" | "own");
        for (listed, call) in self.running().filter(|_| are_there).enumerate() {
            let before = out.len();
            let is_deleted = yes(call.state.delete_at_unix_ms.is_some());
            let created = call.state.created_unix_ms / 1_000;
            let _ = writeln!(
                out,
                "ID: {:>60} | del:{} | creat:{created:12} | prx: | redis:-1 | frgn:n | rec:n",
                call.name(),
                &is_deleted[..1],
            );
            if out.len() + LEFT_OUT_BYTES_MAX > bytes_max {
                out.truncate(before);
                let left = self.call_count() - listed;
                let _ = writeln!(
                    out,
                    "... and {left} more; tandem calls, or ng over TCP, has room"
                );
                break;
            }
        }
        match (out.is_empty(), name) {
            (false, _) => out,
            (true, "all") => "No sessions on this media relay.\n".to_owned(),
            (true, _) => format!("No {name} sessions on this media relay.\n"),
        }
    }

    /// What is known of a call without asking the relay.
    fn describe(&self, state: &CallState) -> String {
        let mut out = format!(
            "\ncallid: {}\ndeletionmark: {}\ncreated: {}\nlast_signal: {}\nforeign: no\nrecording: no\n\n",
            String::from_utf8_lossy(&state.call_id),
            yes(state.delete_at_unix_ms.is_some()),
            state.created_unix_ms / 1_000,
            state.last_signal_unix_ms / 1_000,
        );
        for leg in &state.legs {
            let text = |name: Option<&[u8]>| {
                let name = name.map(|it| String::from_utf8_lossy(it).into_owned());
                name.unwrap_or_default()
            };
            let interface = self.link.interfaces.get(usize::from(leg.interface.0));
            let address = interface
                .map(|it| it.address.to_string())
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "--- Tag '{}', type: {}, label '{}', branch '{}'",
                text(leg.tags.first()),
                if leg.tags.is_empty() {
                    "waits for an answer"
                } else {
                    "party"
                },
                text(leg.label.as_deref()),
                text(leg.via_branch.as_deref()),
            );
            for (index, stream) in leg.streams.iter().enumerate() {
                let remote = stream.remote.map(|it| SocketAddr::from(it).to_string());
                let remote = remote.unwrap_or_default();
                let _ = writeln!(
                    out,
                    "------ Media #{} ({} over {}): {address}:{} <> {remote}",
                    index + 1,
                    String::from_utf8_lossy(&stream.kind),
                    String::from_utf8_lossy(&stream.protocol),
                    stream.port.unwrap_or_default(),
                );
            }
        }
        out.push('\n');
        out
    }
}

/// Whether a line of `cli` may change anything, so that the log is to tell who said it, and nobody
/// may be made to say it unawares: whatever is not known to be a question, read as it will be run.
#[must_use]
pub fn is_order(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    match split(line).0 {
        "" | "get" | "help" | "list" | "usage" => false,
        "call" => !line.ends_with("info"),
        _ => true,
    }
}

/// The first word, and what follows it.
fn split(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    (word, rest.trim())
}

fn unknown(word: &str) -> String {
    format!("Unknown command: {word}\n")
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// No limit is -1 there.
fn sessions(calls_max: u32) -> i64 {
    match calls_max {
        u32::MAX => -1,
        calls => calls.into(),
    }
}

/// The limits with one changed; `None` if the value is none.
fn changed(limits: Limits, what: &str, value: &str) -> Option<Limits> {
    let number = |max: f64| {
        let number: f64 = value.parse().ok()?;
        (0.0..=max).contains(&number).then_some(number)
    };
    let mut limits = limits;
    match what {
        "maxsessions" if value == "-1" => limits.calls_max = u32::MAX,
        "maxsessions" => limits.calls_max = value.parse().ok()?,
        "maxcpu" => limits.cpu_percent_max = whole(number(100.0)?)?.try_into().ok()?,
        "maxload" => limits.load_max_hundredths = whole(number(1e5)? * 100.0)?,
        _ => {
            let bytes: u64 = value.parse().ok()?;
            let mbit = bytes.div_ceil(BYTES_PER_MBIT);
            limits.bandwidth_mbit_max = mbit.try_into().ok()?;
        }
    }
    Some(limits)
}

/// The nearest whole number.
fn whole(number: f64) -> Option<u32> {
    format!("{number:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use control_ng::{Command, Query};

    use crate::Notice;
    use crate::tests::{Sim, sdp};

    fn line(sim: &mut Sim, line: &str) -> String {
        sim.ask(&Command::Cli(line.as_bytes()), |reply| {
            assert!(reply.is_ok());
            let response = reply.dictionary().get("response").unwrap();
            String::from_utf8(response.as_bytes().unwrap().to_vec()).unwrap()
        })
    }

    #[test]
    fn calls_are_counted_listed_and_described() {
        let mut sim = Sim::new();
        assert_eq!(
            line(&mut sim, "list sessions all"),
            "No sessions on this media relay.\n"
        );
        sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
        let count = line(&mut sim, "list numsessions");
        assert!(count.contains("Current sessions total: 1\n"), "{count}");
        assert!(count.contains("ipv4 only media: 1\n"), "{count}");
        let all = line(&mut sim, "list sessions all");
        assert!(
            all.starts_with("ID:") && all.contains(" c1 | del:n |"),
            "{all}"
        );
        for about in ["list sessions c1", "call c1 info"] {
            let info = line(&mut sim, about);
            assert!(info.contains("callid: c1\n"), "{info}");
            assert!(info.contains("Tag 'alice'"), "{info}");
            assert!(info.contains("192.0.2.10:4000"), "{info}");
        }
        let missing = line(&mut sim, "list sessions c2");
        assert_eq!(missing, "\nCall ID not found (c2).\n\n");
    }

    #[test]
    fn a_list_that_fits_no_datagram_ends_with_a_whole_line_and_says_so() {
        let mut sim = Sim::new();
        let count = 40;
        for n in 0..count {
            let call_id = format!("{n:02}{}", "x".repeat(1_900));
            sim.offer(&call_id, "alice", &sdp("192.0.2.10", 4_000));
        }
        let all = line(&mut sim, "list sessions all");
        assert!(all.len() <= super::DATAGRAM_RESPONSE_BYTES_MAX);
        let listed = all.lines().filter(|it| it.ends_with("| rec:n")).count();
        let left = all.lines().last().unwrap();
        assert!(listed > 20 && listed < count, "{listed}");
        assert!(
            left.starts_with(&format!("... and {} more", count - listed)),
            "{left}"
        );
        assert_eq!(all.lines().count(), listed + 1);
        // A stream has room for all of them.
        let client = crate::Client {
            carrier: crate::Carrier::Stream,
            ..crate::tests::client(1)
        };
        let now = sim.now();
        let request = Command::Cli(b"list sessions all").encode(b"c");
        sim.control.handle_request(now, client, &request);
        let datagram = loop {
            match sim.control.poll_output() {
                Some(crate::Output::Send { datagram, .. }) => break datagram,
                Some(_) => {}
                None => panic!("no reply"),
            }
        };
        let lines = datagram.split(|byte| *byte == b'\n');
        assert_eq!(lines.filter(|it| it.ends_with(b"rec:n")).count(), count);
    }

    #[test]
    fn limits_are_told_and_set_in_the_peers_units() {
        let mut sim = Sim::new();
        let told = "Maximum sessions configured on rtpengine: ";
        assert_eq!(line(&mut sim, "list maxsessions"), format!("{told}50\n"));
        assert_eq!(
            line(&mut sim, "set maxsessions 0"),
            "Success setting maxsessions to 0\n"
        );
        let text = sdp("192.0.2.10", 4_000);
        let offer = control_ng::Negotiation::new(b"c1", b"a", text.as_bytes());
        let refusal = sim.refusal(&Command::Offer(offer));
        assert_eq!(refusal, "Parallel session limit reached");
        line(&mut sim, "set maxsessions -1");
        assert_eq!(line(&mut sim, "get maxsessions"), format!("{told}-1\n"));
        for (set, list, number) in [
            ("set maxcpu 80.4", "list maxcpu", "80.0\n"),
            ("set maxload 2.5", "list maxload", "2.50\n"),
            ("set maxbw 125000", "list maxbw", "125000\n"),
        ] {
            assert!(line(&mut sim, set).starts_with("Success"), "{set}");
            assert!(line(&mut sim, list).ends_with(number), "{list}");
        }
        for wrong in ["set maxcpu 101", "set maxload x", "set maxsessions -2"] {
            assert!(line(&mut sim, wrong).starts_with("Fail"), "{wrong}");
        }
        assert_eq!(line(&mut sim, "set maxbw"), "More parameters required.\n");
        assert_eq!(line(&mut sim, "list timeout"), "TIMEOUT=60\n");
    }

    #[test]
    fn calls_end_when_the_operator_says_so_whatever_is_under_way() {
        let mut sim = Sim::new();
        for call in ["c1", "c2", "c3"] {
            sim.offer(call, "alice", &sdp("192.0.2.10", 4_000));
        }
        let done = line(&mut sim, "terminate c1");
        let expected = "\nCall Id (c1) successfully terminated by operator.\n\n";
        assert_eq!(done, expected);
        sim.sleep(std::time::Duration::ZERO);
        assert_eq!(sim.relay.calls.len(), 2);
        assert_eq!(
            line(&mut sim, "terminate c1"),
            "\nCall Id not found (c1).\n\n"
        );
        // One is being asked about.
        sim.is_slow = true;
        sim.request(&Command::Query(Query {
            call_id: b"c2",
            ..Query::default()
        }));
        let done = line(&mut sim, "terminate all");
        assert_eq!(done, "All calls terminated by operator.\n");
        sim.sleep(std::time::Duration::ZERO);
        sim.deliver_all();
        sim.sleep(std::time::Duration::ZERO);
        sim.deliver_all();
        assert_eq!(sim.relay.calls.len(), 0);
        assert_eq!(sim.control.call_count(), 0);
        assert_eq!(sim.pairs_open(), 0);
    }

    /// The log says who did it; whoever only looks is not worth a line.
    #[test]
    fn who_changes_something_is_told() {
        let mut sim = Sim::new();
        for quiet in ["list sessions all", "help", "call c9 info"] {
            line(&mut sim, quiet);
        }
        let long = format!("set maxsessions {}", "9".repeat(500));
        for order in ["set maxload 4", "terminate all", "call c9 terminate", &long] {
            line(&mut sim, order);
        }
        let told = sim.notices.iter().filter_map(|notice| match notice {
            Notice::Commanded { line, .. } => Some(line.as_str()),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        let expected = [
            "set maxload 4",
            "terminate all",
            "call c9 terminate",
            &long[..200],
        ];
        assert_eq!(told, expected);
    }

    /// What the core takes for white space is more than ASCII's.
    #[test]
    fn an_order_is_one_however_it_is_padded() {
        let mut sim = Sim::new();
        let paddings = [
            "", " ", "\t", "\n", "\x0b", "\x0c", "\u{85}", "\u{a0}", "\u{2003}",
        ];
        for padding in paddings {
            for order in ["terminate all", "set maxsessions 0", "call c1 terminate"] {
                for text in [format!("{padding}{order}"), format!("{order}{padding}")] {
                    assert!(super::is_order(text.as_bytes()), "{text:?}");
                }
            }
            let inner = format!("call c1 {padding}terminate");
            assert!(super::is_order(inner.as_bytes()), "{inner:?}");
            for question in ["list sessions all", "get maxcpu", "help", "call c1 info"] {
                let text = format!("{padding}{question}{padding}");
                assert!(!super::is_order(text.as_bytes()), "{text:?}");
            }
            let padded = format!("{padding}set maxsessions 7{padding}");
            assert!(line(&mut sim, &padded).starts_with("Success"), "{padded:?}");
        }
        let told = sim.notices.iter();
        let told = told.filter(|it| matches!(it, Notice::Commanded { .. }));
        assert_eq!(told.count(), paddings.len(), "each is told");
        assert!(
            super::is_order(b"dance"),
            "what nobody knows may be anything"
        );
        assert!(super::is_order(b"\xfflist"));
        assert!(!super::is_order(b" "));
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        let mut sim = Sim::new();
        for (text, response) in [
            ("dance", "Unknown command: dance\n"),
            ("list dances", "Unknown command: dances\n"),
            ("set loglevel 7", "Unknown command: loglevel\n"),
            ("call c1 info", "No such call 'c1'\n"),
            ("list", "Incomplete command: \n"),
        ] {
            assert_eq!(line(&mut sim, text), response);
        }
        assert!(line(&mut sim, "usage").contains("list numsessions"));
    }
}
