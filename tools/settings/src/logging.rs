//! Logs to standard error, as text or JSON, at a bounded rate, without raw control characters.
//!
//! ```text
//! event ─► filter (log.level) ─► limit (lines a second per callsite) ─► escape ─► stderr
//! ```

mod escape;
mod limit;

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::file::{Log, LogFormat};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// `log.level` is neither a level nor a filter.
    #[error("{0}")]
    Level(String),
    /// A subscriber is installed already.
    #[error("logging is set up twice in one process")]
    Twice,
}

/// Sets logging up for the whole process. Call once, before anything is logged.
pub fn init(log: &Log) -> Result<(), LogError> {
    let filter = parse_level(&log.level).and_then(silence);
    let filter = filter.map_err(LogError::Level)?;
    let lines: Box<dyn Layer<_> + Send + Sync> = match log.format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .boxed(),
        LogFormat::Text => fmt::layer()
            .fmt_fields(escape::fields())
            .with_ansi(wants_colour())
            .with_writer(io::stderr)
            // Reported with eprintln, which panics when standard error is gone.
            .log_internal_errors(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(limit::layer(log.lines_per_second_max))
        .with(filter)
        .try_init()
        .map_err(|_already| LogError::Twice)
}

/// The library of DTLS writes what strangers have sent into the log, as often as they send it.
fn silence(filter: EnvFilter) -> Result<EnvFilter, String> {
    let off = "dimpl=off".parse();
    off.map(|off| filter.add_directive(off))
        .map_err(|error: ParseError| error.to_string())
}

fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// Reads `log.level`.
///
/// The filter takes any word for the name of a module, so that a slip of the pen in a level
/// would silence everything; a bare word must be a level here.
pub(crate) fn parse_level(level: &str) -> Result<EnvFilter, String> {
    for directive in level.split(',') {
        let bare = !directive.contains(['=', '[']);
        if bare && directive.trim().parse::<LevelFilter>().is_err() {
            return Err(format!("{directive:?} is not a level"));
        }
    }
    EnvFilter::builder()
        .parse(level)
        .map_err(|error| error.to_string())
}
