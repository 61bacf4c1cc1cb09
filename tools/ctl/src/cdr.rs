//! `tandem cdr`: the records of finished calls.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use sip_proxy_store::StoredCdr;
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{Grid, or_dash, print_json};
use crate::time::{clock, date_and_time};
use crate::{Context, examples, user};

/// `tandem cdr`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem cdr" => "the last calls, newest first",
    "tandem cdr --limit 1000 --json | jq '.[] | select(.cause == \"failed\")'" => "those that failed"
))]
pub(crate) struct CdrArgs {
    /// How many records at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Prints the newest records.
pub(crate) fn run(context: &Context, args: &CdrArgs) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    let records = user::open(&loaded)?.cdrs(0, args.limit)?;
    if context.json {
        return print_json(&records.iter().map(to_json).collect());
    }
    let mut grid = Grid::new(&[
        "START (UTC)",
        "CALLER",
        "CALLEE",
        ">RINGS",
        ">TALK",
        ">STATUS",
        "END",
        ">PACKETS",
    ]);
    for StoredCdr { cdr, .. } in &records {
        let rang = cdr.ring_unix_ms.map(|ring| {
            let until = cdr.answer_unix_ms.unwrap_or(cdr.end_unix_ms);
            clock(Duration::from_millis(until.saturating_sub(ring)))
        });
        let packets = cdr
            .media
            .map(|media| format!("{}/{}", media.caller_packets, media.callee_packets));
        grid.row([
            date_and_time(cdr.start_unix_ms),
            cdr.caller.clone(),
            cdr.callee.clone(),
            or_dash(rang),
            or_dash(talk(cdr.answer_unix_ms, cdr.end_unix_ms).map(clock)),
            cdr.status.to_string(),
            cdr.cause.name().to_owned(),
            or_dash(packets),
        ]);
    }
    grid.print("no call has ended yet")
}

fn talk(answer_unix_ms: Option<u64>, end_unix_ms: u64) -> Option<Duration> {
    answer_unix_ms.map(|answer| Duration::from_millis(end_unix_ms.saturating_sub(answer)))
}

fn to_json(record: &StoredCdr) -> Value {
    let cdr = &record.cdr;
    json!({
        "id": record.id,
        "call_id": cdr.call_id,
        "caller": cdr.caller,
        "callee": cdr.callee,
        "caller_address": cdr.caller_address.to_string(),
        "callee_address": cdr.callee_address.map(|address| address.to_string()),
        "start_unix_ms": cdr.start_unix_ms,
        "ring_unix_ms": cdr.ring_unix_ms,
        "answer_unix_ms": cdr.answer_unix_ms,
        "end_unix_ms": cdr.end_unix_ms,
        "status": cdr.status,
        "cause": cdr.cause.name(),
        "caller_packets": cdr.media.map(|media| media.caller_packets),
        "caller_bytes": cdr.media.map(|media| media.caller_bytes),
        "callee_packets": cdr.media.map(|media| media.callee_packets),
        "callee_bytes": cdr.media.map(|media| media.callee_bytes),
    })
}
