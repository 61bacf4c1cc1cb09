//! Arguments → settings → serve until a signal; nothing else.

use std::process::ExitCode;

use clap::Parser;
use sip_proxy::{Settings, StartError};
use tandem_settings::{DaemonArgs, EXIT_CODE_USAGE, SettingsError, end_on_panic};

/// Registrar and SIP proxy: registers phones, routes calls between them, has their media relayed.
///
/// Runs in the foreground and logs to standard error. SIGINT and SIGTERM stop it cleanly.
#[derive(Debug, Parser)]
#[command(name = "tandem-sip-proxy", version, max_term_width = 100)]
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
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem-sip-proxy: {failure}");
            failure.exit_code()
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = arguments.daemon.load()?;
    let settings = Settings::check(&loaded)?;
    if arguments.daemon.check_config {
        loaded.print_is_fine();
        return Ok(());
    }
    loaded.init_logging()?;
    loaded.create_data_dir()?;
    loaded.create_runtime_dir()?;
    tracing::info!(?settings, "starting");
    Ok(sip_proxy::run(&settings)?)
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        let is_configuration = match self {
            Self::Settings(_) => true,
            Self::Start(error) => error.is_configuration(),
        };
        if is_configuration {
            ExitCode::from(EXIT_CODE_USAGE)
        } else {
            ExitCode::FAILURE
        }
    }
}
