//! `tandem`, the operator's command line.
//!
//! ```text
//! run ─► relay, control, sip-proxy as children          (run/)
//! status, calls, ng ─► control, by ng over UDP           (ng_client)
//! status, calls ─► sip-proxy, by its admin socket        (admin)
//! top, trace, limit, drain ─► control, by its own         (admin)
//! user, cdr, registrations ─► the database               (sip-proxy-store)
//! migrate ─► rtpengine's settings                       (migrate/)
//! doctor ─► /proc and /sys of this host                  (doctor/)
//! codec ─► files                                         (codec)
//! load ─► any relay or SIP server                        (tandem-load)
//! ```

#![forbid(unsafe_code)]

mod admin;
mod calls;
mod cdr;
mod codec;
mod config;
mod doctor;
mod drain;
mod failure;
mod limit;
mod load;
mod man;
mod migrate;
mod ng;
mod ng_client;
mod output;
mod password;
mod registrations;
mod run;
mod status;
mod time;
mod top;
mod trace;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use output::remark;

/// Turns `"command" => "what it is for"` pairs into the examples below a help text.
macro_rules! examples {
    ($($command:literal => $purpose:literal),+ $(,)?) => {
        concat!("Examples:\n", $("  ", $command, "\n      ", $purpose, "\n",)+)
    };
}
pub(crate) use examples;

/// Operate Tandem: run its three daemons, see what they do, keep the accounts.
#[derive(Debug, Parser)]
#[command(
    name = "tandem",
    version,
    propagate_version = true,
    disable_help_subcommand = false,
    max_term_width = 100,
    after_help = concat!(
        "Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 a daemon does not answer, \
         4 a load lost something.\n\n",
        examples!(
            "tandem run --demo" => "start everything, with two accounts to try",
            "tandem status" => "what runs, and what it does",
            "tandem user add carol" => "one more account",
            "tandem help ng offer" => "help on any command"
        )
    )
)]
struct Cli {
    #[command(flatten)]
    context: Context,

    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args, Debug)]
struct Context {
    /// Settings file. Without it: $TANDEM_CONFIG, ./tandem.toml, /etc/tandem/tandem.toml, and the
    /// defaults if none of these is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print JSON where there is something to print
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start relay, control and SIP proxy, and keep them running
    ///
    /// Each is started when the one before it is ready. One that dies is started again: after
    /// 0.2 s at first, up to 10 s if it keeps dying. SIGINT (Ctrl-C) and SIGTERM stop the SIP
    /// proxy, then control, then the relay; a second one stops them at once. If this process is
    /// killed they stop by themselves.
    ///
    /// The log of all three goes to standard error: as text with the daemon's name before each
    /// line, or as JSON (log.format).
    Run(run::RunArgs),
    /// Show what runs, and what it does
    ///
    /// Asks control and the SIP proxy; what the relay counts is told by control. The exit code is
    /// 3 if any of them is down.
    Status(status::StatusArgs),
    /// Show the calls in progress
    ///
    /// TIME counts from the answer, or from the beginning of a call that is not answered yet.
    /// PACKETS are the RTP packets that each party sent. SILENT is the time since the newest
    /// packet of anybody.
    Calls(calls::CallsArgs),
    /// Watch calls and how they sound, the worst first
    ///
    /// Each line is a call, as the relay hears it: MOS is the mean opinion score of its worst
    /// stream (1.0 to 4.5), LOSS and JITTER are those of the worst party, RATE is what the parties
    /// send, SILENT is the time since the newest packet of anybody. Keys: q ends, and m, l, j, p, t
    /// sort by MOS, loss, jitter, packets, time.
    Top(top::TopArgs),
    /// Tell what happened to a call
    ///
    /// Control remembers some dozens of events of each call, of thousands of calls that are over,
    /// and of offers that it turned away, until it is started again.
    Trace(trace::TraceArgs),
    /// Show or change what may be reached before new calls are turned away
    ///
    /// A change holds at once, and until control is started again: write it to the settings file,
    /// too, to keep it. Calls that are up are never touched.
    #[command(subcommand, after_help = examples!(
        "tandem limit show" => "what holds now, what is reached, and who was turned away",
        "tandem limit set --calls 5000" => "no more than that from now on"
    ))]
    Limit(limit::LimitCommand),
    /// Take no new calls, wait for the last one, and stop
    ///
    /// Proxies are told what a full relay says, so that they use another one. When the last call
    /// is over, all three daemons stop if `tandem run` supervises them, else control alone, for
    /// good. Ctrl-C leaves control draining; --cancel takes new calls again.
    Drain(drain::DrainArgs),
    /// Show which phones are registered
    ///
    /// Read from the database, so that it works while the SIP proxy is down, too.
    Registrations(registrations::RegistrationsArgs),
    /// Show the records of finished calls
    ///
    /// Newest first. PACKETS are those of the caller and of the callee that went through the
    /// relay.
    Cdr(cdr::CdrArgs),
    /// Keep the accounts
    ///
    /// What is changed here holds at once; the SIP proxy need not be restarted. Passwords are not
    /// stored, only what digest authentication makes of them for the realm, which is the first of
    /// sip_proxy.domains or "tandem".
    User(user::UserArgs),
    /// Check and explain the settings
    Config(config::ConfigArgs),
    /// Write rtpengine's settings as ours, and say what became of each
    ///
    /// The settings go to standard output, and a line about each option to standard error.
    Migrate(migrate::MigrateArgs),
    /// Say what of this host holds media back, the worst first
    ///
    /// Reads /proc, /sys and the daemons' sockets, and changes nothing. Exit code 1 if anything
    /// critical or worth a warning was found. The scripts of the folder kernel-tuning cure most
    /// of it.
    Doctor(doctor::DoctorArgs),
    /// Speak the ng protocol to control, or to any ng server
    ///
    /// ng is the protocol by which SIP proxies direct rtpengine, and Tandem's control daemon.
    Ng(ng::NgArgs),
    /// Make calls and media, and see what becomes of them
    ///
    /// For a relay or a SIP server that is one's own: nothing is sent to an address of another
    /// host unless it is named with --yes-send-to.
    Load(load::LoadArgs),
    /// Convert recordings between codecs, and measure what codecs cost
    Codec(codec::CodecArgs),
    /// Write the manual pages to a folder
    #[command(hide = true)]
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    tandem_settings::end_on_panic();
    let cli = Cli::parse();
    dispatch(&cli).unwrap_or_else(|failure| {
        if failure.is_worth_telling() {
            remark(&format!("tandem: {failure}"));
        }
        failure.exit_code()
    })
}

fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    let context = &cli.context;
    match &cli.command {
        Command::Doctor(args) => return doctor::run(context, args),
        Command::Load(args) => return load::run(context, args),
        Command::Run(args) => return run::run(context, args),
        Command::Drain(args) => drain::run(context, args),
        Command::Limit(command) => limit::run(context, command),
        Command::Top(args) => top::run(context, args),
        Command::Trace(args) => trace::run(context, args),
        Command::Status(args) => status::run(context, args),
        Command::Calls(args) => calls::run(context, args),
        Command::Registrations(args) => registrations::run(context, args),
        Command::Cdr(args) => cdr::run(context, args),
        Command::User(args) => user::run(context, args),
        Command::Config(args) => config::run(context, args),
        Command::Ng(args) => ng::run(context, args),
        Command::Codec(args) => codec::run(context, args),
        Command::Migrate(args) => migrate::run(context, args),
        Command::Man(args) => man::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}
