//! `tandem top`: calls and how they sound, the worst first.
//!
//! ```text
//! control ─► reply ─► table (table.rs) ─► screen (screen.rs), until a key ends it
//! ```

mod screen;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tandem_settings::load;

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::{Context, admin, examples};
use screen::{Input, Screen, Size};
use table::{Rates, render};

/// `tandem top`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem top" => "the calls that sound worst, until q",
    "tandem top --sort time" => "those that have been there for longest",
    "tandem top --once --json | jq '.calls[] | select(.mos_tenths < 35)'" => "the bad ones, for a script"
))]
pub(crate) struct TopArgs {
    /// What comes first
    #[arg(long, value_enum, default_value_t = Sort::Mos)]
    sort: Sort,

    /// Print once and end. So it is, too, where the output is no terminal, except with --json: then
    /// one document a line, for ever
    #[arg(long)]
    once: bool,

    /// Seconds from one look to the next
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,

    /// Calls at most; the terminal's height without it
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sort {
    /// The lowest mean opinion score
    Mos,
    /// The greatest share of lost packets
    Loss,
    /// The greatest jitter
    Jitter,
    /// The most packets
    Packets,
    /// The longest call
    Time,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Mos => "mos",
            Self::Loss => "loss",
            Self::Jitter => "jitter",
            Self::Packets => "packets",
            Self::Time => "time",
        }
    }

    fn of_key(key: u8) -> Option<Self> {
        match key {
            b'm' => Some(Self::Mos),
            b'l' => Some(Self::Loss),
            b'j' => Some(Self::Jitter),
            b'p' => Some(Self::Packets),
            b't' => Some(Self::Time),
            _ => None,
        }
    }
}

/// Calls asked for where no terminal bounds them.
const LIMIT_DEFAULT: usize = 100;

/// Time that control may take to have looked at all calls for `--once`.
const ONCE_LIMIT: Duration = Duration::from_secs(10);

/// How often it is asked meanwhile.
const ONCE_INTERVAL: Duration = Duration::from_millis(50);

/// Watches.
pub(crate) fn run(context: &Context, args: &TopArgs) -> Result<(), Failure> {
    let socket = load(context.config.as_deref())?.control_socket();
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    match (args.once, context.json) {
        (true, _) => print_once(context, args, &socket),
        (false, true) => print_for_ever(args, &socket),
        (false, false) if !is_terminal => print_once(context, args, &socket),
        (false, false) => watch(args, &socket),
    }
}

fn print_once(context: &Context, args: &TopArgs, socket: &Path) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(LIMIT_DEFAULT);
    let deadline = Instant::now() + ONCE_LIMIT;
    let reply = loop {
        let reply = ask(socket, limit, args.sort)?;
        let is_whole = reply["seen"].as_u64() >= reply["total"].as_u64();
        if is_whole || Instant::now() >= deadline {
            break reply;
        }
        thread::sleep(ONCE_INTERVAL);
    };
    if context.json {
        return print_json(&reply);
    }
    let lines = render(&reply, &Rates::default(), args.sort, Size::UNLIMITED);
    print(&lines.join("\n"))
}

fn print_for_ever(args: &TopArgs, socket: &Path) -> Result<(), Failure> {
    loop {
        let reply = ask(socket, args.limit.unwrap_or(LIMIT_DEFAULT), args.sort)?;
        print(&reply.to_string())?;
        thread::sleep(Duration::from_secs(args.interval));
    }
}

fn watch(args: &TopArgs, socket: &Path) -> Result<(), Failure> {
    // Asked before the screen is taken, so that a refusal is read where it belongs.
    let mut reply = ask(socket, 1, args.sort)?;
    let screen = Screen::open()?;
    let (mut sort, mut rates) = (args.sort, Rates::default());
    loop {
        let size = screen.size();
        reply = match ask(socket, args.limit.unwrap_or(size.rows), sort) {
            Ok(reply) => {
                rates.note(&reply);
                reply
            }
            // What was last seen stays, with the reason why nothing new comes.
            Err(failure) => {
                reply["failure"] = json!(failure.to_string());
                reply
            }
        };
        screen.draw(&render(&reply, &rates, sort, size))?;
        let until = Instant::now() + Duration::from_secs(args.interval);
        loop {
            match screen.wait(until)? {
                Input::Key(b'q' | b'Q' | 0x1b) | Input::Stop => return Ok(()),
                Input::Key(key) => {
                    if let Some(wanted) = Sort::of_key(key) {
                        sort = wanted;
                        break;
                    }
                }
                Input::Nothing => break,
            }
        }
    }
}

fn ask(socket: &Path, limit: usize, sort: Sort) -> Result<Value, Failure> {
    let request = json!({ "command": "calls", "limit": limit, "sort": sort.name() });
    admin::ask_control(socket, &request)
}

/// Writes all of it at once, so that a slow terminal shows no halves.
fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
