//! How a command fails: an exit code that scripts can tell apart, and words that name the cure.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tandem_settings::{EXIT_CODE_USAGE, SettingsError};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
}

/// Each kind is one exit code. The list in `tandem --help` says the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Failed,
    /// Nobody reads the output any more, which is how `tandem cdr | head` ends.
    OutputClosed,
    Unreachable,
    Usage,
}

impl Failure {
    /// It was tried and did not work.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Kind::Failed, text)
    }

    /// The daemon that would have to do it does not answer.
    pub(crate) fn unreachable(text: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, text)
    }

    /// Arguments or settings are wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// Whether a daemon did not answer, as opposed to answering something unwelcome.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Whether there is something to tell the operator.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.kind != Kind::OutputClosed
    }

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::OutputClosed => 0,
            Kind::Failed => 1,
            Kind::Usage => EXIT_CODE_USAGE,
            Kind::Unreachable => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Folder { .. } => Self::failed(error.to_string()),
            _ => Self::usage(error.to_string()),
        }
    }
}

impl From<sip_proxy_store::Error> for Failure {
    fn from(error: sip_proxy_store::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// Only output is written with `?`; everything else says what it was doing.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::OutputClosed, ""),
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}
