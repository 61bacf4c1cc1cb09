//! `tandem-relay`: arguments, settings, threads, and then a signal.

use std::process::ExitCode;
use std::sync::mpsc::channel;

use anyhow::{anyhow, bail};
use clap::Parser;
use relay::{Config, Notice, Service, privileges};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tandem_settings::{DaemonArgs, EXIT_CODE_USAGE, Loaded, SettingsError, end_on_panic_unless};
use tracing::{info, warn};

/// Forwards media between the ends of calls, as tandem-control says.
///
/// Runs in the foreground, logs to standard error, and stops at SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "tandem-relay", version)]
struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[cfg(not(panic = "unwind"))]
compile_error!("what breaks one handshake would end all calls");

fn main() -> ExitCode {
    end_on_panic_unless(relay::catches_panics);
    let args = Args::parse().daemon;
    let (loaded, config) = match settings(&args) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CODE_USAGE);
        }
    };
    if args.check_config {
        loaded.print_is_fine();
        return ExitCode::SUCCESS;
    }
    match run(&loaded, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Our errors name their causes themselves.
            eprintln!("tandem-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn settings(args: &DaemonArgs) -> Result<(Loaded, Config), SettingsError> {
    let loaded = args.load()?;
    let config = Config::check(&loaded)?;
    Ok((loaded, config))
}

fn run(loaded: &Loaded, config: &Config) -> anyhow::Result<()> {
    privileges::gain_none().map_err(|error| anyhow!("cannot forgo new privileges: {error}"))?;
    // The log has a thread.
    privileges::without(|| loaded.init_logging())?;
    loaded.create_runtime_dir()?;
    let (notices, received) = channel();
    // Before the threads start, so that no signal finds us unprepared.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| anyhow!("cannot watch for signals: {error}"))?;
    let service = Service::start(config, &notices)?;
    // All is open that needed some; its threads have given up theirs.
    if let Err(error) = privileges::give_up() {
        warn!(%error, "keeps the privileges that it was started with");
    }
    info!(
        socket = %config.socket_path.display(),
        interfaces = ?config.interfaces,
        partition = ?config.partition,
        cores = ?config.cores,
        "the relay runs"
    );
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // Fails only when the relay is stopping already.
            let _ = notices.send(Notice::Signal(signal));
        }
    });
    let notice = received.recv()?;
    service.stop();
    match notice {
        Notice::Signal(signal) => {
            info!(signal, "stopped");
            Ok(())
        }
        _ => bail!("a part of the relay has broken; its last words are above"),
    }
}
