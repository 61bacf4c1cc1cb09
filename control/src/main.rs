//! Arguments → settings → serve until a signal; nothing else.

use std::process::ExitCode;

use clap::Parser;
use control::{Config, Ending, Inherited, StartError};
use tandem_settings::{
    DaemonArgs, EXIT_CODE_DRAINED, EXIT_CODE_USAGE, SettingsError, end_on_panic,
};

/// Answers SIP proxies that speak ng, and tells the relay which media goes where.
///
/// Runs in the foreground and logs to standard error. SIGINT and SIGTERM stop it cleanly; calls
/// that are up keep their media, and the next control takes them over.
#[derive(Debug, Parser)]
#[command(name = "tandem-control", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Start(#[from] StartError),
}

fn main() -> ExitCode {
    end_on_panic();
    match start(&Arguments::parse()) {
        Ok(Ending::Drained) => ExitCode::from(EXIT_CODE_DRAINED),
        Ok(Ending::Signal(_)) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem-control: {failure}");
            match failure {
                Failure::Settings(_) => ExitCode::from(EXIT_CODE_USAGE),
                Failure::Start(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn start(arguments: &Arguments) -> Result<Ending, Failure> {
    // First of all: it goes by the numbers of descriptors.
    let inherited = Inherited::from_environment();
    let loaded = arguments.daemon.load()?;
    let config = Config::check(&loaded)?;
    if arguments.daemon.check_config {
        config.check_files(&loaded)?;
        loaded.print_is_fine();
        return Ok(Ending::Signal("none"));
    }
    loaded.init_logging()?;
    loaded.create_runtime_dir()?;
    Ok(control::run(&config, inherited)?)
}
