//! The reference manual of the settings, made from the comments in `file.rs`.

use std::fmt::Write;

use serde_json::Value;

use crate::file::File;

/// One key of `tandem.toml`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key {
    /// The table, as `relay`.
    pub table: String,
    /// The key in it, as `ports`.
    pub name: String,
    /// What kind of value it takes, for people.
    pub kind: String,
    /// Its default as TOML; `None` if it has none.
    pub default: Option<String>,
    /// What it does. Paragraphs are separated by an empty line.
    pub text: String,
}

impl Key {
    /// As errors and arguments name it: `relay.ports`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }
}

/// One table of `tandem.toml`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// Its name, as `relay`.
    pub name: String,
    /// What it is about.
    pub text: String,
    /// Its keys, in the order of the file.
    pub keys: Vec<Key>,
}

/// Every table, in the order of the file.
#[must_use]
pub fn tables() -> Vec<Table> {
    let schema = schemars::schema_for!(File).to_value();
    let defaults = defaults();
    properties(&schema)
        .map(|(name, property)| {
            let definition = resolve(&schema, property);
            Table {
                name: name.clone(),
                text: description(property).unwrap_or_else(|| text_of(definition)),
                keys: properties(definition)
                    .map(|(key, property)| Key {
                        table: name.clone(),
                        name: key.clone(),
                        kind: kind(&schema, property),
                        default: default_in(&defaults, &[name, key]),
                        text: text_of(property),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// The default of `relay.ports` and the like, as TOML.
#[must_use]
pub fn default_of(key: &str) -> Option<String> {
    let key = key.split('[').next().unwrap_or(key);
    let path: Vec<&str> = key.split('.').collect();
    default_in(&defaults(), &path)
}

fn defaults() -> toml::Table {
    toml::Table::try_from(File::default()).unwrap_or_default()
}

fn default_in(defaults: &toml::Table, path: &[&str]) -> Option<String> {
    let (table, key) = match path {
        [table, key] => (defaults.get(*table)?, *key),
        _ => return None,
    };
    table.get(key).map(ToString::to_string)
}

/// The key or table that was probably meant.
#[must_use]
pub fn nearest_key(name: &str) -> Option<String> {
    let paths = tables().into_iter().flat_map(|table| {
        let keys: Vec<String> = table.keys.iter().map(Key::path).collect();
        std::iter::once(table.name).chain(keys)
    });
    let paths: Vec<String> = paths.collect();
    crate::load::nearest(name, paths.iter().map(String::as_str)).map(ToOwned::to_owned)
}

/// A settings file that says what holds anyway: every key with its meaning, commented out.
#[must_use]
pub fn example_file() -> String {
    let mut file = String::from(EXAMPLE_PREFACE);
    for table in tables() {
        let _ = write!(file, "\n{}[{}]\n", comment(&table.text), table.name);
        for key in table.keys {
            let default = key.default.unwrap_or_else(|| "…".to_owned());
            let text = comment(&key.text);
            let _ = write!(
                file,
                "\n{text}# ({})\n#{} = {default}\n",
                key.kind.replace('`', ""),
                key.name
            );
        }
    }
    file
}

fn comment(text: &str) -> String {
    text.lines()
        .map(|line| format!("# {line}\n").replace(" \n", "\n"))
        .collect()
}

const EXAMPLE_PREFACE: &str = "\
# The settings of Tandem. What is commented out is the default.
# `tandem config check` says whether the file is right.
";

/// The manual as a Markdown page: `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(PREFACE);
    for table in tables() {
        let _ = write!(page, "\n## `[{}]`\n\n{}\n", table.name, table.text);
        for key in table.keys {
            let default = key
                .default
                .map_or_else(|| "none".to_owned(), |it| format!("`{it}`"));
            let _ = write!(
                page,
                "\n### `{}.{}`\n\n{} · default: {default}\n\n{}\n",
                key.table, key.name, key.kind, key.text
            );
        }
    }
    page
}

const PREFACE: &str = "\
# Configuration

<!-- Made by `cargo xtask docs` from the comments in tools/settings/src/file.rs. Edit those. -->

One file, `tandem.toml`, is read by all three daemons and by `tandem`. It is looked for in this
order: `--config FILE`, `$TANDEM_CONFIG`, `./tandem.toml`, `/etc/tandem/tandem.toml`. If none is
there the defaults below hold; a key that is left out has its default, too. Unknown keys are
errors.

`tandem config check` says where the file is wrong, `tandem config explain KEY` prints what is
written here, `tandem config default` prints a whole file to start from.
";

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn description(schema: &Value) -> Option<String> {
    schema["description"].as_str().map(ToOwned::to_owned)
}

fn text_of(schema: &Value) -> String {
    description(schema).unwrap_or_default()
}

/// Follows `$ref`, also behind `anyOf` and `allOf`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().or_else(|| {
        let alternatives = schema["anyOf"]
            .as_array()
            .or_else(|| schema["allOf"].as_array())?;
        alternatives.iter().find_map(|it| it["$ref"].as_str())
    });
    reference
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?))
        .unwrap_or(schema)
}

/// Words for a JSON schema type.
fn kind(root: &Value, property: &Value) -> String {
    let property = resolve(root, property);
    if let Some(choices) = choices(property) {
        return format!("one of {}", choices.join(", "));
    }
    let name = match &property["type"] {
        Value::Array(alternatives) => alternatives[0].as_str(),
        other => other.as_str(),
    };
    match (name, property["format"].as_str()) {
        (Some("array"), _) => array_kind(root, property),
        (Some("integer"), Some(format)) => format!("whole number{}", range_of(format)),
        (Some("string"), Some("ip")) => "IP address".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some(name), _) => name.to_owned(),
        (None, _) => "text".to_owned(),
    }
}

fn array_kind(root: &Value, property: &Value) -> String {
    let element = kind(root, &property["items"]);
    match property["minItems"].as_u64() {
        Some(count) => format!("list of {count}: {element}"),
        None => format!("list: {element}"),
    }
}

fn range_of(format: &str) -> &'static str {
    match format {
        "uint8" => " up to 255",
        "uint16" => " up to 65535",
        _ => "",
    }
}

/// The names of an enum's variants, if it is one.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let name = |value: &Value| value.as_str().map(|name| format!("`\"{name}\"`"));
    if let Some(variants) = schema["enum"].as_array() {
        return variants.iter().map(name).collect();
    }
    let variants = schema["oneOf"].as_array()?;
    variants.iter().map(|it| name(&it["const"])).collect()
}
