//! What can be wrong with the settings, in words that name the file, the line and the cure.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the settings cannot be used. Printed as it is, by every daemon's `--check-config`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A folder that the daemons need cannot be made or entered.
    #[error("cannot {doing} {}: {source}. {cure}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was tried, as in "cannot make".
        doing: &'static str,
        /// What the operator can do.
        cure: String,
        /// What the system said.
        source: io::Error,
    },
    /// Logging was set up before.
    #[error("logging is set up twice in one process")]
    LoggingTwice,
    /// The file that was named is not there, or cannot be read.
    #[error("cannot read the settings in {} (named by {named_by}): {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Who named it: `--config`, `$TANDEM_CONFIG`, or the search order.
        named_by: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{place}: {problem}{}{}", cure_after(.cure), excerpt_after(.excerpt))]
    Wrong {
        /// Where.
        place: Place,
        /// What, beginning with the key where it is known.
        problem: String,
        /// What to write instead; may be empty.
        cure: String,
        /// The line, with the culprit underlined; empty if there is no file.
        excerpt: String,
    },
}

fn cure_after(cure: &str) -> String {
    match cure {
        "" => String::new(),
        cure => format!("; {cure}"),
    }
}

fn excerpt_after(excerpt: &str) -> String {
    match excerpt {
        "" => String::new(),
        excerpt => format!("\n{excerpt}"),
    }
}

/// Where in a file something is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file; `None` for a default that no file overrides.
    pub path: Option<PathBuf>,
    /// Counted from 1; 0 if the file does not say it.
    pub line: usize,
    /// Counted from 1, in characters; 0 if the file does not say it.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            None => f.write_str("default settings"),
            Some(path) if self.line == 0 => write!(f, "{}", path.display()),
            Some(path) => write!(f, "{}:{}:{}", path.display(), self.line, self.column),
        }
    }
}

impl Place {
    /// The start of a file, before anything in it is known.
    pub(crate) fn of_file(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_owned),
            line: 0,
            column: 0,
        }
    }
}
