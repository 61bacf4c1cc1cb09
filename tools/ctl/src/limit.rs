//! `tandem limit`: what may be reached before new calls are turned away.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{Grid, or_dash, print_json};
use crate::{Context, admin, examples};

/// `tandem limit`
#[derive(Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// Show the limits, and how near they are
    #[command(after_help = examples!(
        "tandem limit show" => "what holds now, what is reached, and who was turned away",
        "tandem limit show --json" => "the same for programs"
    ))]
    Show,
    /// Change limits; those that are not named stay
    #[command(after_help = examples!(
        "tandem limit set --calls 5000" => "no more than that from now on",
        "tandem limit set --cpu 85 --load 0" => "by how busy the processors are, and not by the load"
    ))]
    Set(SetArgs),
}

/// `tandem limit set`
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct SetArgs {
    /// Calls at most; 0 takes no new ones
    #[arg(long, value_name = "N")]
    calls: Option<u32>,

    /// Load average of the last minute; 0 is no limit
    #[arg(long, value_name = "LOAD")]
    load: Option<f64>,

    /// Work of all processors together, in percent; 0 is no limit
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    cpu: Option<u8>,

    /// Media that leaves, in Mbit/s of UDP payload; 0 is no limit
    #[arg(long, value_name = "MBIT")]
    bandwidth: Option<u32>,
}

/// Shows or changes.
pub(crate) fn run(context: &Context, command: &LimitCommand) -> Result<(), Failure> {
    let socket = load(context.config.as_deref())?.control_socket();
    if let LimitCommand::Set(args) = command {
        let request = json!({ "command": "limits", "set": args.change() });
        admin::ask_control(&socket, &request)?;
    }
    let status = admin::ask_control(&socket, &json!({ "command": "status" }))?;
    if context.json {
        return print_json(&status);
    }
    let mut grid = Grid::new(&["LIMIT", ">NOW", ">AT MOST", ">TURNED AWAY"]);
    for row in rows(&status) {
        grid.row(row);
    }
    grid.print("")
}

impl SetArgs {
    fn change(&self) -> Value {
        let entries = [
            ("calls_max", self.calls.map(Value::from)),
            ("load_max", self.load.map(Value::from)),
            ("cpu_percent_max", self.cpu.map(Value::from)),
            ("bandwidth_mbit_max", self.bandwidth.map(Value::from)),
        ];
        let named = entries.into_iter();
        let named = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(named.collect())
    }
}

fn rows(status: &Value) -> Vec<[String; 4]> {
    let limits = &status["limits"];
    let rejected = |reason: &str| status["rejected"][reason].to_string();
    let known =
        |value: &Value, unit: &str| or_dash((!value.is_null()).then(|| format!("{value}{unit}")));
    let at_most = |value: &Value, unit: &str| match value.as_f64() {
        Some(limit) if limit > 0.0 => format!("{limit}{unit}"),
        _ => "-".to_owned(),
    };
    let mbit = status["bits_per_s"].as_u64();
    let mbit = mbit.map(|bits| format!("{}.{} Mbit/s", bits / 1_000_000, bits / 100_000 % 10));
    let draining = match status["is_draining"] == true {
        true => "draining: no new calls",
        false => "calls",
    };
    let turned_away = ["draining", "calls"].map(|reason| status["rejected"][reason].as_u64());
    let turned_away: u64 = turned_away.into_iter().flatten().sum();
    vec![
        [
            draining.to_owned(),
            status["calls"].to_string(),
            limits["calls_max"].to_string(),
            turned_away.to_string(),
        ],
        [
            "load average".to_owned(),
            known(&status["load"], ""),
            at_most(&limits["load_max"], ""),
            rejected("load"),
        ],
        [
            "processors".to_owned(),
            known(&status["cpu_percent"], " %"),
            at_most(&limits["cpu_percent_max"], " %"),
            rejected("cpu"),
        ],
        [
            "bandwidth".to_owned(),
            or_dash(mbit),
            at_most(&limits["bandwidth_mbit_max"], " Mbit/s"),
            rejected("bandwidth"),
        ],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_beside_what_is_reached() {
        let status = json!({
            "calls": 17, "is_draining": true, "load": 0.5, "cpu_percent": null,
            "bits_per_s": 12_340_000,
            "limits": {"calls_max": 20, "load_max": 2.5, "cpu_percent_max": 0, "bandwidth_mbit_max": 100},
            "rejected": {"draining": 2, "calls": 3, "cpu": 0, "load": 1, "bandwidth": 0},
        });
        let expected = [
            ["draining: no new calls", "17", "20", "5"],
            ["load average", "0.5", "2.5", "1"],
            ["processors", "-", "-", "0"],
            ["bandwidth", "12.3 Mbit/s", "100 Mbit/s", "0"],
        ];
        assert_eq!(rows(&status), expected.map(|row| row.map(str::to_owned)));
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let args = SetArgs {
            calls: Some(0),
            load: None,
            cpu: Some(85),
            bandwidth: None,
        };
        assert_eq!(
            args.change(),
            json!({"calls_max": 0, "cpu_percent_max": 85})
        );
    }
}
