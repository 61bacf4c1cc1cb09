//! `tandem trace`: what happened to a call.

use clap::Args;
use serde_json::{Value, json};
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{Grid, print_json, remark};
use crate::time::date_and_time;
use crate::{Context, admin, examples};

/// `tandem trace`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem trace a84b4c76e66710@192.0.2.1" => "from the first offer to the end, with times in UTC",
    "tandem trace --json ID | jq .events" => "the same for programs"
))]
pub(crate) struct TraceArgs {
    /// Call-ID, as the proxy has it
    #[arg(value_name = "CALL-ID")]
    call_id: String,
}

/// Prints the events.
pub(crate) fn run(context: &Context, args: &TraceArgs) -> Result<(), Failure> {
    let socket = load(context.config.as_deref())?.control_socket();
    let request = json!({ "command": "trace", "call_id": args.call_id });
    let trace = admin::ask_control(&socket, &request)?;
    let events = trace["events"].as_array().map_or(&[][..], |it| &it[..]);
    if context.json {
        print_json(&trace)?;
    } else if !events.is_empty() {
        let mut grid = Grid::new(&["TIME (UTC)", ">SECONDS", "EVENT"]);
        for row in rows(events) {
            grid.row(row);
        }
        grid.print("")?;
        if let Some(left_out @ 1..) = trace["left_out"].as_u64() {
            remark(&format!(
                "{left_out} events after the first are not remembered"
            ));
        }
    }
    match events.is_empty() {
        false => Ok(()),
        true => Err(Failure::failed(format!(
            "control remembers nothing of a call {}",
            crate::output::clean(&args.call_id)
        ))),
    }
}

fn rows(events: &[Value]) -> Vec<[String; 3]> {
    let time = |event: &Value| event["unix_ms"].as_u64().unwrap_or_default();
    let first = events.first().map_or(0, time);
    let rows = events.iter().map(|event| {
        let at = time(event);
        let since = at.saturating_sub(first);
        [
            format!("{}.{:03}", date_and_time(at), at % 1_000),
            format!("{}.{:03}", since / 1_000, since % 1_000),
            event["what"].as_str().unwrap_or_default().to_owned(),
        ]
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_time_and_the_time_since_the_first() {
        let events = [
            json!({"unix_ms": 951_782_400_007_u64, "what": "offer from 192.0.2.1:5060"}),
            json!({"unix_ms": 951_782_401_010_u64, "what": "over: deleted"}),
        ];
        let rows = rows(&events);
        assert_eq!(
            rows[0],
            [
                "2000-02-29 00:00:00.007",
                "0.000",
                "offer from 192.0.2.1:5060"
            ]
        );
        assert_eq!(rows[1][1..], ["1.003", "over: deleted"]);
    }
}
