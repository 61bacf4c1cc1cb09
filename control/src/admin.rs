//! The admin socket: one JSON request a line, one JSON reply a line.
//!
//! | request | reply |
//! | --- | --- |
//! | `{"command":"status"}` | calls, limits, how busy the host is, who was turned away, whether it drains |
//! | `{"command":"limits","set":{"calls_max":N, …}}` | `limits`, as they are from now on, `limits_configured`, as `tandem.toml` has them, and `limits_kept`, whether the next control will have them (the reply waits until that is known); nothing is changed without `set` |
//! | `{"command":"drain","on":true}` | as `status`; new calls are turned away from now on, or taken again |
//! | `{"command":"stop"}` | as `status`, and control stops; refused unless it drains and has no calls |
//! | `{"command":"trace","call_id":ID}` | `events`: what happened to the calls of that name |
//! | `{"command":"calls","limit":N,"sort":KEY}` | `calls`: what is known of each by looking; see below |
//! | `{"command":"metrics"}` | `text`: all numbers, as Prometheus reads them |
//! | anything else | `error`: why not |
//!
//! Calls are looked at, some at a time, while somebody asks for them again and again: the first
//! reply may have none, and `seen` says of how many something is known. They are sorted by `mos`,
//! `loss`, `jitter`, `packets` or `time`, and the worst (or the most) come first.
//!
//! Only the user that the daemon runs as may connect: the folder has mode 0700, the socket 0600.

use std::cmp::Reverse;

use control_core::{CallSummary, Control, Limits, Now, Overload, Side, WatchedCall};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kept_limits::{Change, KeptLimits, load};
use crate::metrics;

mod socket;

pub(crate) use socket::AdminSocket;

/// Calls of one reply at most.
const CALLS_MAX: usize = 1_000;

/// What may be asked.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Calls {
        #[serde(default = "limit_default")]
        limit: usize,
        #[serde(default)]
        sort: Sort,
    },
    Drain {
        on: bool,
    },
    Limits {
        #[serde(default)]
        set: Change,
    },
    Metrics {},
    Status {},
    Stop {},
    Trace {
        call_id: String,
    },
}

/// Which calls come first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Jitter,
    Loss,
    #[default]
    Mos,
    Packets,
    Time,
}

fn limit_default() -> usize {
    100
}

/// What a request came to.
#[derive(Debug, PartialEq)]
struct Answered {
    /// `None`: what limits are, once it is known whether they are kept.
    reply: Option<Value>,
    must_stop: bool,
}

/// Answers one line.
fn answer(control: &mut Control, kept: &mut KeptLimits, now: Now, line: &[u8]) -> Answered {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(reason) => return error(&format!("not understood: {reason}")),
    };
    let reply = match request {
        Request::Calls { limit, sort } => {
            control.watch_calls(now);
            calls(control, limit, sort)
        }
        Request::Drain { on } => {
            tracing::info!(on, "draining: asked for by the operator");
            control.drain(on);
            status(control, kept, now)
        }
        Request::Limits { set } => match set.apply(control.limits()) {
            Ok(limits) => {
                if limits != control.limits() {
                    tracing::info!(?limits, "limits: changed by the operator");
                    control.set_limits(limits);
                }
                kept.keep_now(now.instant, limits);
                return Answered {
                    reply: limits_if_known(control, kept),
                    must_stop: false,
                };
            }
            Err(reason) => return error(&reason),
        },
        Request::Metrics {} => json!({ "text": metrics::text(control, now) }),
        Request::Status {} => status(control, kept, now),
        Request::Stop {} if control.is_draining() && control.call_count() == 0 => {
            return Answered {
                reply: Some(status(control, kept, now)),
                must_stop: true,
            };
        }
        Request::Stop {} => return error("it does not drain, or there are calls"),
        Request::Trace { call_id } => trace(control, &call_id),
    };
    Answered {
        reply: Some(reply),
        must_stop: false,
    }
}

fn error(reason: &str) -> Answered {
    Answered {
        reply: Some(json!({ "error": reason })),
        must_stop: false,
    }
}

fn limits_to_json(limits: Limits) -> Value {
    json!({
        "calls_max": limits.calls_max,
        "load_max": load(limits.load_max_hundredths),
        "cpu_percent_max": limits.cpu_percent_max,
        "bandwidth_mbit_max": limits.bandwidth_mbit_max,
    })
}

/// What an operator is told who has set limits: `None` as long as they are being written.
fn limits_if_known(control: &Control, kept: &KeptLimits) -> Option<Value> {
    (!kept.is_busy()).then(|| limits_all(control.limits(), kept))
}

/// The limits, and where they are from. While they are written it is not known whether they last.
fn limits_all(limits: Limits, kept: &KeptLimits) -> Value {
    let are_kept = (!kept.is_busy()).then(|| limits == kept.limits());
    json!({
        "limits": limits_to_json(limits),
        "limits_configured": limits_to_json(kept.configured()),
        "limits_kept": are_kept,
    })
}

fn status(control: &mut Control, kept: &KeptLimits, now: Now) -> Value {
    let host = control.host_load();
    let (used, all) = control.port_usage(now);
    let rejected = Overload::ALL.map(|it| (it.name().to_owned(), control.rejected(it).into()));
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "relay": control.is_ready(),
        "calls": control.call_count(),
        "is_draining": control.is_draining(),
        "refuses": control.overload().map(Overload::text),
        "load": host.load_hundredths.map(load),
        "cpu_percent": host.cpu_percent,
        "bits_per_s": control.bits_per_s(),
        "ports": { "used": 2 * used, "free": 2 * (all - used) },
        "rejected": Value::Object(rejected.into_iter().collect()),
    });
    if let (Value::Object(all), Value::Object(limits)) =
        (&mut status, limits_all(control.limits(), kept))
    {
        all.extend(limits);
    }
    status
}

fn trace(control: &Control, call_id: &str) -> Value {
    let trace = control.trace_of(call_id.as_bytes());
    let event = |event: &control_core::TraceEvent| json!({ "unix_ms": event.unix_ms, "what": event.what.to_string() });
    let events: Vec<_> = trace.events.iter().map(event).collect();
    json!({
        "call_id": call_id,
        "is_here": trace.is_here,
        "left_out": trace.gone,
        "events": events,
    })
}

fn calls(control: &Control, limit: usize, sort: Sort) -> Value {
    let mut seen: Vec<&WatchedCall> = control.watched_calls().collect();
    let count = seen.len();
    let limit = limit.min(CALLS_MAX);
    if limit < count {
        // Ten thousand of them are not sorted for the sake of forty.
        seen.select_nth_unstable_by_key(limit, |call| sort.key(&call.summary));
        seen.truncate(limit);
    }
    seen.sort_by_key(|call| (sort.key(&call.summary), call.summary.created_unix_ms));
    let calls: Vec<_> = seen.into_iter().map(call_to_json).collect();
    json!({ "total": control.call_count(), "seen": count, "calls": calls })
}

impl Sort {
    /// The least comes first.
    fn key(self, call: &CallSummary) -> Reverse<u64> {
        let sides = || call.sides.iter();
        Reverse(match self {
            Self::Jitter => sides()
                .filter_map(|it| it.jitter_us)
                .max()
                .unwrap_or(0)
                .into(),
            Self::Loss => sides().map(lost_per_million).max().unwrap_or(0),
            Self::Mos => call.mos_tenths().map_or(0, |tenths| 100 - tenths.min(100)),
            Self::Packets => call.packets(),
            Self::Time => call.duration_ms,
        })
    }
}

fn lost_per_million(side: &Side) -> u64 {
    let expected = side.packets.saturating_add(side.lost);
    side.lost.saturating_mul(1_000_000) / expected.max(1)
}

fn call_to_json(call: &WatchedCall) -> Value {
    let summary = &call.summary;
    let side = |side: &Side| {
        json!({
            "tag": side.tag,
            "interface": side.interface,
            "remote": side.remote.map(|it| it.to_string()),
            "codec": side.codec,
            "packets": side.packets,
            "bytes": side.bytes,
            "lost": side.lost,
            "dropped": side.dropped,
            "jitter_us": side.jitter_us,
            "round_trip_us": side.round_trip_us,
            "mos_tenths": side.mos_tenths,
            "idle_ms": side.idle_ms,
        })
    };
    let sides: Vec<_> = summary.sides.iter().map(side).collect();
    json!({
        "call_id": summary.call_id,
        "seen_unix_ms": call.unix_ms,
        "created_unix_ms": summary.created_unix_ms,
        "duration_ms": summary.duration_ms,
        "is_answered": summary.is_answered,
        "is_held": summary.is_held,
        "worker": summary.worker,
        "mos_tenths": summary.mos_tenths(),
        "sides": sides,
    })
}

#[cfg(test)]
mod tests;
