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
    /// Go back to what tandem.toml says, of all limits or of those that are named
    #[command(after_help = examples!(
        "tandem limit reset" => "as if none had been set",
        "tandem limit reset --calls" => "only how many calls there may be"
    ))]
    Reset(ResetArgs),
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

/// `tandem limit reset`
#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// Calls at most
    #[arg(long)]
    calls: bool,

    /// Load average of the last minute
    #[arg(long)]
    load: bool,

    /// Work of all processors together
    #[arg(long)]
    cpu: bool,

    /// Media that leaves
    #[arg(long)]
    bandwidth: bool,
}

/// Shows or changes.
pub(crate) fn run(context: &Context, command: &LimitCommand) -> Result<(), Failure> {
    let socket = load(context.config.as_deref())?.control_socket();
    let change = match command {
        LimitCommand::Show => None,
        LimitCommand::Set(args) => Some(args.change()),
        LimitCommand::Reset(args) => {
            let limits = admin::ask_control(&socket, &json!({ "command": "limits" }))?;
            Some(args.change(&limits["limits_configured"]))
        }
    };
    if let Some(change) = change {
        admin::ask_control(&socket, &json!({ "command": "limits", "set": change }))?;
    }
    let status = admin::ask_control(&socket, &json!({ "command": "status" }))?;
    if context.json {
        return print_json(&status);
    }
    let mut grid = Grid::new(&["LIMIT", ">NOW", ">AT MOST", "FROM", ">TURNED AWAY"]);
    for row in rows(&status) {
        grid.row(row);
    }
    grid.print("")?;
    match status["limits_kept"] == false {
        true => Err(Failure::failed(NOT_KEPT)),
        false => Ok(()),
    }
}

/// What is wrong when limits hold, but only until control ends.
const NOT_KEPT: &str = "these limits hold now, but the next control will not know them: control \
    cannot write to tandem.data_dir, and its log says why";

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

impl ResetArgs {
    /// The limits that are named, or all, as `tandem.toml` has them.
    fn change(&self, configured: &Value) -> Value {
        let named = [
            ("calls_max", self.calls),
            ("load_max", self.load),
            ("cpu_percent_max", self.cpu),
            ("bandwidth_mbit_max", self.bandwidth),
        ];
        let is_any = named.iter().any(|(_, is_named)| *is_named);
        let named = named.iter().filter(|(_, is_named)| *is_named || !is_any);
        let entry = |(name, _): &(&str, bool)| ((*name).to_owned(), configured[*name].clone());
        Value::Object(named.map(entry).collect())
    }
}

fn rows(status: &Value) -> Vec<[String; 5]> {
    let limits = &status["limits"];
    let from = |name: &str| match &status["limits_configured"][name] {
        configured if *configured == limits[name] => "tandem.toml".to_owned(),
        configured => format!("set (tandem.toml: {configured})"),
    };
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
            from("calls_max"),
            turned_away.to_string(),
        ],
        [
            "load average".to_owned(),
            known(&status["load"], ""),
            at_most(&limits["load_max"], ""),
            from("load_max"),
            rejected("load"),
        ],
        [
            "processors".to_owned(),
            known(&status["cpu_percent"], " %"),
            at_most(&limits["cpu_percent_max"], " %"),
            from("cpu_percent_max"),
            rejected("cpu"),
        ],
        [
            "bandwidth".to_owned(),
            or_dash(mbit),
            at_most(&limits["bandwidth_mbit_max"], " Mbit/s"),
            from("bandwidth_mbit_max"),
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
            "limits_configured": {"calls_max": 20000, "load_max": 2.5, "cpu_percent_max": 0, "bandwidth_mbit_max": 0},
            "rejected": {"draining": 2, "calls": 3, "cpu": 0, "load": 1, "bandwidth": 0},
        });
        let expected = [
            [
                "draining: no new calls",
                "17",
                "20",
                "set (tandem.toml: 20000)",
                "5",
            ],
            ["load average", "0.5", "2.5", "tandem.toml", "1"],
            ["processors", "-", "-", "tandem.toml", "0"],
            [
                "bandwidth",
                "12.3 Mbit/s",
                "100 Mbit/s",
                "set (tandem.toml: 0)",
                "0",
            ],
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

    #[test]
    fn one_goes_back_with_all_limits_or_with_those_that_are_named() {
        let configured = json!({
            "calls_max": 20, "load_max": 2.5, "cpu_percent_max": 0, "bandwidth_mbit_max": 100,
        });
        let mut args = ResetArgs {
            calls: false,
            load: false,
            cpu: false,
            bandwidth: false,
        };
        assert_eq!(args.change(&configured), configured);
        args.load = true;
        assert_eq!(args.change(&configured), json!({"load_max": 2.5}));
    }
}
