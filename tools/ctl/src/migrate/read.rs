//! What rtpengine was told: its settings file (the form of GLib's key files) and its command line.

use super::options;

/// An option as it was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Given {
    /// The long name, without dashes.
    pub(super) name: String,
    /// Empty: a switch.
    pub(super) value: String,
}

impl Given {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Reads one section of a settings file, and the sections that describe interfaces.
pub(super) fn file(text: &str, section: &str) -> Result<Vec<Given>, String> {
    let sections = sections(text)?;
    let found = sections.iter().find(|it| it.name == section);
    let mut given = match found {
        Some(found) => found.given.clone(),
        None => return Err(format!("the file has no section [{section}]")),
    };
    let prefix = given.iter().find(|it| it.name == "interfaces-config");
    let prefix = prefix.map_or("interface", |it| &it.value).to_owned() + "-";
    for section in &sections {
        if let Some(name) = section.name.strip_prefix(&prefix) {
            given.extend(section.interface(name));
        }
    }
    let rules = given
        .iter()
        .position(|it| it.name == options::TRANSCODE_CONFIG);
    if let Some(prefix) = rules.map(|at| given.remove(at).value + "-") {
        let rules = sections.iter().filter(|it| it.name.starts_with(&prefix));
        given.extend(rules.filter_map(Section::transcode_rule));
    }
    Ok(expand(given))
}

#[derive(Debug)]
struct Section {
    name: String,
    given: Vec<Given>,
}

impl Section {
    fn find(&self, key: &str) -> Option<&str> {
        let found = self.given.iter().find(|it| it.name == key);
        found.map(|it| it.value.as_str())
    }

    /// `[interface-NAME]`, as the option `interface` would say it.
    fn interface(&self, name: &str) -> Option<Given> {
        let find = |key| self.find(key);
        if let Some(alias) = find("alias") {
            return Some(Given::new("interface", format!("{name}={alias}")));
        }
        // What follows the colon only tells sections apart.
        let name = find("name").unwrap_or(name).split(':').next()?;
        let mut value = format!("{name}/{}", find("address")?);
        if let Some(advertised) = find("advertised") {
            value = format!("{value}!{advertised}");
        }
        if let (Some(first), Some(last)) = (find("port-min"), find("port-max")) {
            value = format!("{value};ports={first}-{last}");
        }
        Some(Given::new("interface", value))
    }

    /// What is said of two codecs.
    fn transcode_rule(&self) -> Option<Given> {
        let (from, to) = (self.find("source")?, self.find("destination")?);
        if let Some(host) = self.find("transform") {
            return Some(Given::new(options::TRANSFORM, host));
        }
        let points = self.find("preference")?;
        let rule = format!("{from}>{to}={points}");
        Some(Given::new(options::TRANSCODE_CONFIG, rule))
    }
}

fn sections(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').unwrap_or(name).to_owned();
            let given = Vec::new();
            sections.push(Section { name, given });
            continue;
        }
        let wrong = || format!("line {}: {line:?} is no setting", number + 1);
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        let section = sections.last_mut().ok_or_else(wrong)?;
        section.given.push(Given::new(name.trim(), value.trim()));
    }
    Ok(sections)
}

/// A list in the file is several options on the command line; a switch may be set to false.
fn expand(given: Vec<Given>) -> Vec<Given> {
    let mut all = Vec::new();
    for Given { name, value } in given {
        if name == "interface" && value.contains(";ports=") {
            all.push(Given { name, value });
        } else if options::is_list(&name) {
            let values = value.split(';').map(str::trim).filter(|it| !it.is_empty());
            all.extend(values.map(|value| Given::new(name.clone(), value)));
        } else if options::is_switch(&name) {
            if !matches!(value.as_str(), "false" | "0" | "no" | "off") {
                all.push(Given::new(name, ""));
            }
        } else {
            all.push(Given { name, value });
        }
    }
    all
}

/// Reads a command line: `--name=value`, `--name value`, `-n value`, `-nvalue`, `-fE`.
pub(super) fn command_line(arguments: &[String]) -> Vec<Given> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if options::is_switch(long) || options::fate(long).is_none() => {
                    (long, String::new())
                }
                None => (long, rest.next().cloned().unwrap_or_default()),
            };
            given.push(Given::new(name, value));
            continue;
        }
        let Some(letters) = argument.strip_prefix('-').filter(|it| !it.is_empty()) else {
            given.push(Given::new(argument.clone(), ""));
            continue;
        };
        for (at, letter) in letters.char_indices() {
            let name = options::long_name(letter);
            let after = &letters[at + letter.len_utf8()..];
            match name {
                Some(name) if options::is_switch(name) => given.push(Given::new(name, "")),
                Some(name) => {
                    let value = match after {
                        "" => rest.next().cloned().unwrap_or_default(),
                        after => after.to_owned(),
                    };
                    given.push(Given::new(name, value));
                    break;
                }
                None => given.push(Given::new(format!("-{letter}"), "")),
            }
        }
    }
    given
}

/// The command line has precedence over the file.
pub(super) fn merge(file: Vec<Given>, command_line: Vec<Given>) -> Vec<Given> {
    let is_said_again = |it: &Given| command_line.iter().any(|other| other.name == it.name);
    let mut all: Vec<_> = file.into_iter().filter(|it| !is_said_again(it)).collect();
    all.extend(command_line);
    all
}
