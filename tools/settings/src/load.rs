//! Finds `tandem.toml`, reads it, and says where it is wrong.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Place, SettingsError};
use crate::file::File;
use crate::locate::{Spans, excerpt, line_and_column};
use crate::logging;

/// Names the settings file when no argument does.
const PATH_VARIABLE: &str = "TANDEM_CONFIG";

/// Where the file is looked for when nothing names it, in this order.
const SEARCH_PATHS: [&str; 2] = ["tandem.toml", "/etc/tandem/tandem.toml"];

/// Largest settings file that is read, in bytes: a guard against being pointed at a device.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// Reads the settings: `path` if given, else `$TANDEM_CONFIG`, else `./tandem.toml`, else
/// `/etc/tandem/tandem.toml`, else the defaults.
///
/// A file that is named must exist; one that is searched for need not.
pub fn load(path: Option<&Path>) -> Result<Loaded, SettingsError> {
    if let Some(path) = path {
        return Loaded::read(path, "--config");
    }
    if let Some(path) = env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()) {
        return Loaded::read(Path::new(&path), "$TANDEM_CONFIG");
    }
    for path in SEARCH_PATHS.map(Path::new) {
        // A file that is there but may not be read is an error: silently using another would
        // start something that the operator did not describe.
        if path.exists() {
            return Loaded::read(path, "the search order");
        }
    }
    Ok(Loaded::defaults())
}

/// The settings as written, and where they are written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the file says, defaults filled in.
    pub file: File,
    source: Option<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
    spans: Spans,
}

impl Loaded {
    /// The defaults, as if there were no file.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            file: File::default(),
            source: None,
        }
    }

    /// Parses `text` as if it stood in `path`; nothing is read.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
            spans: Spans::parse(text),
        };
        let file = toml::from_str(text).map_err(|error| source.explain(&error))?;
        let loaded = Self {
            file,
            source: Some(source),
        };
        loaded.check_log_level()?;
        Ok(loaded)
    }

    fn read(path: &Path, named_by: &'static str) -> Result<Self, SettingsError> {
        let text = read_bounded(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            named_by,
            source,
        })?;
        Self::parse(path, &text)
    }

    fn check_log_level(&self) -> Result<(), SettingsError> {
        logging::parse_level(&self.file.log.level)
            .map(drop)
            .map_err(|problem| {
                self.wrong(
                    "log.level",
                    problem,
                    "write error, warn, info, debug, trace, or a filter such as info,control=debug",
                )
            })
    }

    /// The file that was read; `None` if there is none and the defaults hold.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.source.as_ref().map(|source| source.path.as_path())
    }

    /// The line of a key such as `relay.ports` or `sip_proxy.listen[1]`, counted from 1. If the
    /// file does not have it, the line of the table around it; `None` if that is not there
    /// either.
    #[must_use]
    pub fn locate(&self, key: &str) -> Option<usize> {
        let source = self.source.as_ref()?;
        let span = source.spans.find(key)?;
        Some(line_and_column(&source.text, span.start).0)
    }

    /// A mistake that only the daemon can see: the value of `key` is well-formed but wrong.
    ///
    /// `problem` continues "relay.ports: "; `cure` says what to write instead and may be empty.
    #[must_use]
    pub fn wrong(&self, key: &str, problem: impl Into<String>, cure: &str) -> SettingsError {
        let problem = format!("{key}: {}", problem.into());
        let span = self
            .source
            .as_ref()
            .and_then(|source| Some((source, source.spans.find(key)?)));
        match span {
            Some((source, span)) => source.wrong(&span, problem, cure.to_owned()),
            None => SettingsError::Wrong {
                place: Place::of_file(self.path()),
                problem,
                cure: cure.to_owned(),
                excerpt: String::new(),
            },
        }
    }

    /// Says on standard output that the settings are fine, and which they are.
    pub fn print_is_fine(&self) {
        let text = match self.path() {
            Some(path) => format!("{}: fine", path.display()),
            None => "there is no settings file; the defaults hold".to_owned(),
        };
        // Not println, which panics when nobody reads.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Sets logging up as the file says. Call once, before anything is logged.
    pub fn init_logging(&self) -> Result<(), SettingsError> {
        logging::init(&self.file.log).map_err(|error| match error {
            logging::LogError::Level(problem) => self.wrong("log.level", problem, ""),
            logging::LogError::Twice => SettingsError::LoggingTwice,
        })
    }
}

impl Source {
    fn wrong(&self, span: &Range<usize>, problem: String, cure: String) -> SettingsError {
        let (line, column) = line_and_column(&self.text, span.start);
        SettingsError::Wrong {
            place: Place {
                path: Some(self.path.clone()),
                line,
                column,
            },
            problem,
            cure,
            excerpt: excerpt(&self.text, span),
        }
    }

    /// Turns what the parser says into what the operator needs.
    fn explain(&self, error: &toml::de::Error) -> SettingsError {
        let span = error.span().unwrap_or(0..0);
        if let Some((name, known)) = unknown_word(error.message(), "unknown field `") {
            let key = self.spans.key_at(&span).unwrap_or(name);
            let problem = format!("{key}: unknown key");
            return self.wrong(&span, problem, suggestion(name, &known));
        }
        if let Some((name, known)) = unknown_word(error.message(), "unknown variant `") {
            let key = self.spans.key_at(&span).unwrap_or_default();
            let problem = format!("{key}: unknown value {name:?}");
            return self.wrong(&span, problem, suggestion(name, &known));
        }
        let message = error.message().replace('\n', ", ");
        let Some(key) = self.spans.key_at(&span) else {
            return self.wrong(&span, message, String::new());
        };
        let cure = crate::manual::default_of(key)
            .map(|default| format!("the default is {default}"))
            .unwrap_or_default();
        self.wrong(&span, format!("{key}: {message}"), cure)
    }
}

/// Takes "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown_word<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(prefix)?;
    let mut quoted = rest.split('`').step_by(2);
    let name = quoted.next()?;
    Some((name, quoted.filter(|name| !name.is_empty()).collect()))
}

/// What to write instead of `name`.
fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The word that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// Below this a suggestion confuses more than it helps. Found by trial with slips of the pen.
const SIMILARITY_MIN: f64 = 0.75;

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = fs::File::open(path)?.take(FILE_SIZE_MAX + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(io::Error::other("larger than 1 MiB: not a settings file"));
    }
    Ok(text)
}
