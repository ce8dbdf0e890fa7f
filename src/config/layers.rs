//! Reading the layers: files, then the environment, then `--set`.

use std::{ffi::OsString, fmt::Write as _, path::PathBuf};

use toml::{Table, Value};

use super::{Config, Leaf, Node, Problems};

/// The prefix of variables that set keys.
const PREFIX: &str = "POSTRIDER_";

/// Where a configuration comes from, lowest layer first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// TOML files; later ones win.
    pub files: Vec<PathBuf>,
    /// The environment; only names that begin with `POSTRIDER_` are looked at.
    pub env: Vec<(OsString, OsString)>,
    /// `key=value` pairs of the command line; later ones win.
    pub sets: Vec<String>,
}

impl Layers {
    /// These files and `--set` pairs over the environment of the process.
    #[must_use]
    pub fn of_process(files: Vec<PathBuf>, sets: Vec<String>) -> Self {
        Self { files, env: std::env::vars_os().collect(), sets }
    }

    /// Reads all layers; says every problem at once, each with its key and its source.
    ///
    /// # Errors
    /// Files that cannot be read or are no TOML, unknown keys, values of a wrong kind. Whether the values fit together
    /// is for [`Config::validate`].
    pub fn read(&self) -> Result<Config, Problems> {
        let mut config = Config::default();
        let mut problems = Problems::default();
        for file in &self.files {
            let source = file.display().to_string();
            match std::fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|text| parse(&text)) {
                Ok(table) => set_table(&mut config, "", &table, &source, &mut problems),
                Err(why) => problems.push(format!("{source}: {why}")),
            }
        }
        for (name, value) in &self.env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && !is_foreign(name)) else {
                continue;
            };
            let key = name.get(PREFIX.len()..).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
            match value.to_str() {
                Some(text) => set(&mut config, &key, name, &mut problems, |leaf| leaf.set_text(text)),
                None => problems.push(format!("{name}: the value is not UTF-8")),
            }
        }
        for pair in &self.sets {
            match pair.split_once('=') {
                Some((key, text)) => set(&mut config, key.trim(), "--set", &mut problems, |leaf| leaf.set_text(text)),
                None => problems.push(format!("--set {pair}: expected key=value")),
            }
        }
        problems.none_or(config)
    }
}

/// Kubernetes sets these for a Service that is called postrider.
fn is_foreign(name: &str) -> bool {
    !name.contains("__") && (name.starts_with("POSTRIDER_SERVICE_") || name.starts_with("POSTRIDER_PORT"))
}

fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())
}

fn set_table(config: &mut Config, prefix: &str, table: &Table, source: &str, problems: &mut Problems) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if !is_key(config, &key) => set_table(config, &key, inner, source, problems),
            value => set(config, &key, source, problems, |leaf| leaf.set_value(value)),
        }
    }
}

/// Whether there is a key called `key`: its value may be a table.
fn is_key(config: &mut Config, key: &str) -> bool {
    let mut found = false;
    config.walk("", &[], &mut |name, _, _| found |= name == key);
    found
}

/// Sets the one key called `key`, or says what is wrong with it.
fn set(
    config: &mut Config,
    key: &str,
    source: &str,
    problems: &mut Problems,
    mut apply: impl FnMut(&mut dyn Leaf) -> Result<(), String>,
) {
    let mut outcome = None;
    config.walk("", &[], &mut |name, _, leaf| {
        if name == key {
            outcome = Some(apply(leaf));
        }
    });
    match outcome {
        Some(Ok(())) => {}
        Some(Err(why)) => problems.push(format!("{source}: {key}: {why}")),
        None => problems.push(format!("{source}: unknown key {key:?}; did you mean {:?}?", nearest(key))),
    }
}

/// The known key with the fewest differences.
fn nearest(key: &str) -> String {
    let mut best = (usize::MAX, String::new());
    Config::default().walk("", &[], &mut |name, _, _| {
        let far = distance(key, name);
        if far < best.0 {
            best = (far, name.to_owned());
        }
    });
    best.1
}

/// Insertions, deletions and replacements that make `a` into `b`; `.` and `_` count as the same.
fn distance(a: &str, b: &str) -> usize {
    let fold = |byte: u8| if byte == b'_' { b'.' } else { byte.to_ascii_lowercase() };
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(fold(x) != fold(y));
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Every key with its default, as a TOML file that can be edited.
#[must_use]
pub fn default_toml() -> String {
    Config::default().to_toml()
}

impl Config {
    /// It as TOML, each key with its document.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = String::new();
        for row in rows(self.clone()) {
            let (table, name) = row.name.rsplit_once('.').unwrap_or(("", &row.name));
            if table != section {
                let _ = writeln!(out, "{}[{table}]", if out.is_empty() { "" } else { "\n" });
                table.clone_into(&mut section);
            }
            let _ = writeln!(out, "# {}\n{name} = {}", row.doc, row.value);
        }
        out
    }
}

/// A page about every key: name, kind, default, meaning.
#[must_use]
pub fn docs() -> String {
    let mut out = String::from(
        "Defaults, then each -c FILE (TOML), then the environment (POSTRIDER_LISTENERS__TCP__ADDR), then --set\n\
         (listeners.tcp.addr=127.0.0.1:8790); later wins, and an unknown key is an error.\n",
    );
    for row in rows(Config::default()) {
        let env = row.name.to_ascii_uppercase().replace('.', "__");
        let _ =
            write!(out, "\n{}\n    {}\n    {}; default {}; {PREFIX}{env}\n", row.name, row.doc, row.kind, row.value);
    }
    out
}

struct Row {
    name: String,
    doc: String,
    kind: &'static str,
    value: String,
}

/// Every key, those of one table beside each other.
fn rows(mut config: Config) -> Vec<Row> {
    let mut rows = Vec::new();
    config.walk("", &[], &mut |name, doc, leaf| {
        let doc = doc.concat().trim().to_owned();
        rows.push(Row { name: name.to_owned(), doc, kind: leaf.kind(), value: leaf.show() });
    });
    // TOML wants the keys of a table together, before the tables inside it.
    let mut order: Vec<String> = Vec::new();
    for row in &rows {
        let table = row.name.rsplit_once('.').map_or("", |(table, _)| table);
        if !order.iter().any(|known| known == table) {
            order.push(table.to_owned());
        }
    }
    rows.sort_by_key(|row| {
        let table = row.name.rsplit_once('.').map_or("", |(table, _)| table);
        order.iter().position(|known| known == table)
    });
    rows
}
