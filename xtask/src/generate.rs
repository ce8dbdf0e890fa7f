//! `cargo xtask generate`: what repeats protocol/registry.toml is made from it.
//!
//! protocol/src/registry.rs and clients/js/registry.js are made whole; SPEC.md's tables between
//! `<!-- generated: NAME -->` and `<!-- end -->`. With `--check` nothing is written, and what is stale is named.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    version: u8,
    limit: Vec<Limit>,
    kind: Vec<Row>,
    reason: Vec<Row>,
    method: Vec<Row>,
    image_kind: Vec<Row>,
    image_flag: Vec<Flag>,
    gap: Vec<Row>,
    notice: Vec<Row>,
    tlv: Vec<Tlv>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    name: String,
    value: u32,
    doc: String,
}

/// One row of a numbered table; which of the optional columns it has depends on the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    number: u16,
    name: String,
    doc: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    fault: String,
    #[serde(default)]
    retry: String,
    #[serde(default)]
    changes: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flag {
    bit: u8,
    name: String,
    doc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tlv {
    tag: u16,
    name: String,
    form: Form,
    on: Vec<String>,
    doc: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Form {
    Text,
    Ids,
    U32,
    U64,
}

impl Form {
    const ALL: [Self; 4] = [Self::Text, Self::Ids, Self::U32, Self::U64];

    const fn variant(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Ids => "Ids",
            Self::U32 => "U32",
            Self::U64 => "U64",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ids => "ids",
            Self::U32 => "u32",
            Self::U64 => "u64",
        }
    }

    const fn doc(self) -> &'static str {
        match self {
            Self::Text => "UTF-8 text.",
            Self::Ids => "Ids, each with its length, ascending.",
            Self::U32 => "A number of four bytes.",
            Self::U64 => "A number of eight bytes.",
        }
    }
}

/// Makes, or with `check` compares, everything that is made from the registry.
///
/// # Errors
/// With `check`, the names of the files that are stale; else what could not be read, made or written.
pub fn run(check: bool) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let registry: Registry = toml::from_str(&read(&root.join("protocol/registry.toml"))?)
        .map_err(|error| format!("registry.toml: {error}"))?;
    distinct(&registry)?;
    let spec = root.join("SPEC.md");
    let made = [
        (root.join("protocol/src/registry.rs"), rustfmt(&rust(&registry))?),
        (root.join("clients/js/registry.js"), javascript(&registry)),
        (spec.clone(), tables(&read(&spec)?, &registry)?),
    ];
    let stale: Vec<(PathBuf, String)> =
        made.into_iter().filter(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text)).collect();
    if check && !stale.is_empty() {
        let names: Vec<String> = stale.iter().map(|(path, _)| name(path, &root)).collect();
        return Err(format!("stale, run `cargo xtask generate`: {}", names.join(", ")));
    }
    for (path, text) in stale {
        fs::write(&path, text).map_err(|error| format!("{}: {error}", name(&path, &root)))?;
        println!("{}", name(&path, &root));
    }
    Ok(())
}

fn name(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// No two rows of a table have the same number.
fn distinct(registry: &Registry) -> Result<(), String> {
    for (table, rows) in registry.numbered() {
        let mut numbers: Vec<u16> = rows.iter().map(|row| row.number).collect();
        numbers.sort_unstable();
        if numbers.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(format!("registry.toml: a number of {table} twice"));
        }
    }
    if registry.tlv.is_sorted_by(|a, b| a.tag < b.tag) {
        Ok(())
    } else {
        Err("registry.toml: tags of TLVs do not ascend".into())
    }
}

impl Registry {
    fn numbered(&self) -> [(&'static str, &[Row]); 6] {
        [
            ("kind", &self.kind),
            ("reason", &self.reason),
            ("method", &self.method),
            ("image_kind", &self.image_kind),
            ("gap", &self.gap),
            ("notice", &self.notice),
        ]
    }
}

// ---- Rust ----

fn rust(registry: &Registry) -> String {
    let mut out = String::from(
        "//! Generated from `protocol/registry.toml` by `cargo xtask generate`; do not edit.\n\n\
         /// The only wire version this build speaks.\n",
    );
    _ = writeln!(out, "pub const VERSION: u8 = {};\n", registry.version);
    for limit in &registry.limit {
        let value = grouped(limit.value);
        _ = writeln!(out, "/// {}\npub const {}: usize = {value};", limit.doc, limit.name.to_uppercase());
    }
    rust_enum(&mut out, "Kinds of frames.", "Kind", "u8", &registry.kind);
    rust_enum(&mut out, "Why something was refused or ended.", "Reason", "u16", &registry.reason);
    rust_enum(&mut out, "Methods of CALL.", "Method", "u16", &registry.method);
    rust_changes(&mut out, &registry.method);
    rust_enum(&mut out, "What an image tells.", "ImageKind", "u8", &registry.image_kind);
    rust_enum(&mut out, "Why seqs of an interval have no image.", "GapReason", "u8", &registry.gap);
    rust_enum(&mut out, "What a NOTICE tells.", "NoticeKind", "u8", &registry.notice);
    out.push_str("\n/// Bits of an image's flags.\npub mod image_flag {\n");
    for flag in &registry.image_flag {
        _ = writeln!(out, "/// {}\npub const {}: u16 = 1 << {};", flag.doc, flag.name, flag.bit);
    }
    out.push_str("}\n\n/// Tags of TLVs.\npub mod tag {\n");
    for tlv in &registry.tlv {
        _ = writeln!(out, "/// {}\npub const {}: u16 = {:#06x};", tlv.doc, tlv.name, tlv.tag);
    }
    out.push_str("}\n");
    rust_forms(&mut out, &registry.tlv);
    out
}

fn rust_enum(out: &mut String, doc: &str, name: &str, repr: &str, rows: &[Row]) {
    let derives = "Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord";
    _ = writeln!(out, "\n/// {doc}\n#[derive({derives})]\n#[repr({repr})]\npub enum {name} {{");
    for row in rows {
        _ = writeln!(out, "/// {}\n{} = {},", row.doc, camel(&row.name), row.number);
    }
    let (mut all, mut from, mut names) = (String::new(), String::new(), String::new());
    for row in rows {
        let variant = camel(&row.name);
        _ = write!(all, "Self::{variant}, ");
        _ = writeln!(from, "{} => Some(Self::{variant}),", row.number);
        _ = writeln!(names, "Self::{variant} => {:?},", row.name);
    }
    _ = writeln!(
        out,
        "}}\n\nimpl {name} {{\n\
         /// Every row, by number.\npub const ALL: [Self; {}] = [{all}];\n\n\
         /// The row with this number.\n#[must_use]\npub const fn from_number(number: {repr}) -> Option<Self> {{\n\
         match number {{ {from} _ => None, }}\n}}\n\n\
         /// Its number.\n#[must_use]\npub const fn number(self) -> {repr} {{ self as {repr} }}\n\n\
         /// Its name in the registry.\n#[must_use]\npub const fn name(self) -> &'static str {{\n\
         match self {{ {names} }}\n}}\n}}",
        rows.len()
    );
}

fn rust_changes(out: &mut String, rows: &[Row]) {
    let variants = |changes: bool| {
        let of = rows.iter().filter(|row| row.changes == changes).map(|row| format!("Self::{}", camel(&row.name)));
        of.collect::<Vec<_>>().join(" | ")
    };
    _ = writeln!(
        out,
        "\nimpl Method {{\n/// Whether it makes an entry, and so needs a number.\n#[must_use]\n\
         pub const fn changes(self) -> bool {{\nmatch self {{ {} => true, {} => false, }}\n}}\n}}",
        variants(true),
        variants(false)
    );
}

fn rust_forms(out: &mut String, tlvs: &[Tlv]) {
    out.push_str(
        "\n/// What the bytes of a TLV are.\n#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum TlvForm {\n",
    );
    for form in Form::ALL {
        _ = writeln!(out, "/// {}\n{},", form.doc(), form.variant());
    }
    out.push_str("}\n\nimpl TlvForm {\n/// The form of a known tag.\n#[must_use]\n");
    out.push_str("pub const fn of(tag: u16) -> Option<Self> {\nmatch tag {\n");
    for form in Form::ALL {
        let tags: Vec<String> =
            tlvs.iter().filter(|tlv| tlv.form == form).map(|tlv| format!("tag::{}", tlv.name)).collect();
        if !tags.is_empty() {
            _ = writeln!(out, "{} => Some(Self::{}),", tags.join(" | "), form.variant());
        }
    }
    out.push_str("_ => None,\n}\n}\n}\n");
}

/// `FRAME_TOO_LARGE` as `FrameTooLarge`.
fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| word.chars().take(1).chain(word.to_lowercase().chars().skip(1)).collect::<String>())
        .collect()
}

/// `131072` as `131_072`.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

fn rustfmt(code: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("rustfmt: {error}");
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=120,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Written whole before anything is read: rustfmt reads its input to the end first.
    child.stdin.take().ok_or("rustfmt: no stdin")?.write_all(code.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err("rustfmt refused the generated registry.rs".into());
    }
    String::from_utf8(output.stdout).map_err(|error| format!("rustfmt: {error}"))
}

// ---- JavaScript ----

fn javascript(registry: &Registry) -> String {
    let mut out = String::from("// Generated from protocol/registry.toml by `cargo xtask generate`; do not edit.\n");
    _ = writeln!(
        out,
        "\n/** The only wire version this client speaks. */\nexport const VERSION = {};",
        registry.version
    );
    let limits = registry.limit.iter().map(|row| (row.doc.as_str(), row.name.to_uppercase(), row.value.to_string()));
    js_object(&mut out, "Limits of the wire.", "Limits", limits);
    let numbers = |rows: &'_ [Row]| {
        rows.iter().map(|row| (row.doc.clone(), row.name.clone(), row.number.to_string())).collect::<Vec<_>>()
    };
    js_object(&mut out, "Kinds of frames.", "Kind", numbers(&registry.kind));
    js_object(&mut out, "Reasons of answers and disconnects.", "Reason", numbers(&registry.reason));
    out.push_str("\n/** What each reason means, by number. */\nexport const ReasonInfo = Object.freeze({\n");
    for row in &registry.reason {
        _ = writeln!(
            out,
            "  {}: Object.freeze({{ name: {}, fault: {}, retry: {}, doc: {} }}),",
            row.number,
            quoted(&row.name),
            quoted(&row.fault),
            quoted(&row.retry),
            quoted(&row.doc)
        );
    }
    out.push_str("});\n");
    js_object(&mut out, "Methods of CALL.", "Method", numbers(&registry.method));
    js_object(&mut out, "Kinds of images.", "ImageKind", numbers(&registry.image_kind));
    let flags = registry.image_flag.iter();
    let flags = flags.map(|flag| (flag.doc.as_str(), flag.name.clone(), (1u32 << flag.bit).to_string()));
    js_object(&mut out, "Flags of images, as masks.", "ImageFlag", flags);
    js_object(&mut out, "Why seqs of an interval have no image.", "GapReason", numbers(&registry.gap));
    js_object(&mut out, "What a NOTICE tells.", "NoticeKind", numbers(&registry.notice));
    let tags = registry.tlv.iter().map(|tlv| (tlv.doc.as_str(), tlv.name.clone(), format!("{:#06x}", tlv.tag)));
    js_object(&mut out, "Tags of TLVs.", "Tlv", tags);
    out.push_str(
        "\n/** What the bytes of a known TLV are, by tag: 'text' (UTF-8), 'ids', 'u32', 'u64' (below 2^53). */\n",
    );
    out.push_str("export const TlvForm = Object.freeze({\n");
    for tlv in &registry.tlv {
        _ = writeln!(out, "  {:#06x}: '{}',", tlv.tag, tlv.form.word());
    }
    out.push_str("});\n");
    out
}

/// A JavaScript string.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn js_object<D: AsRef<str>>(
    out: &mut String,
    doc: &str,
    name: &str,
    rows: impl IntoIterator<Item = (D, String, String)>,
) {
    _ = writeln!(out, "\n/** {doc} */\nexport const {name} = Object.freeze({{");
    for (doc, name, value) in rows {
        _ = writeln!(out, "  /** {} */\n  {name}: {value},", doc.as_ref());
    }
    out.push_str("});\n");
}

// ---- SPEC.md ----

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// `spec` with its tables made anew.
fn tables(spec: &str, registry: &Registry) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), spec);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->\n").ok_or("SPEC.md: a marker that does not end")?;
        let (_, after) = after.split_once(END).ok_or_else(|| format!("SPEC.md: {name} has no {END}"))?;
        _ = write!(out, "{before}{BEGIN}{name} -->\n{}{END}", table(name, registry)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn table(name: &str, registry: &Registry) -> Result<String, String> {
    let rows = |rows: &[Row], cells: fn(&Row) -> Vec<String>| rows.iter().map(cells).collect::<Vec<_>>();
    let code = |text: &str| format!("`{text}`");
    let numbered: fn(&Row) -> Vec<String> =
        |row| vec![row.number.to_string(), format!("`{}`", row.name), row.doc.clone()];
    Ok(match name {
        "limits" => {
            let cells = |row: &Limit| vec![code(&row.name), row.value.to_string(), row.doc.clone()];
            markdown(&["limit", "value", "what"], registry.limit.iter().map(cells).collect())
        }
        "kinds" => markdown(
            &["kind", "name", "sent by", "what"],
            rows(&registry.kind, |row| {
                vec![row.number.to_string(), format!("`{}`", row.name), row.from.clone(), row.doc.clone()]
            }),
        ),
        "reasons" => markdown(
            &["reason", "name", "WebSocket", "fault of", "try again", "meaning"],
            rows(&registry.reason, |row| {
                let close = (4000 + u32::from(row.number)).to_string();
                let name = format!("`{}`", row.name);
                vec![row.number.to_string(), name, close, row.fault.clone(), row.retry.clone(), row.doc.clone()]
            }),
        ),
        "methods" => markdown(
            &["method", "name", "changes something", "what"],
            rows(&registry.method, |row| {
                let changes = if row.changes { "yes" } else { "no" };
                vec![row.number.to_string(), format!("`{}`", row.name), changes.into(), row.doc.clone()]
            }),
        ),
        "image kinds" => markdown(&["kind", "name", "what"], rows(&registry.image_kind, numbered)),
        "notices" => markdown(
            &["what", "name", "sent by", "meaning"],
            rows(&registry.notice, |row| {
                vec![row.number.to_string(), format!("`{}`", row.name), row.from.clone(), row.doc.clone()]
            }),
        ),
        "gaps" => markdown(&["why", "name", "what"], rows(&registry.gap, numbered)),
        "image flags" => {
            let cells = |flag: &Flag| vec![flag.bit.to_string(), code(&flag.name), flag.doc.clone()];
            markdown(&["bit", "name", "what"], registry.image_flag.iter().map(cells).collect())
        }
        "tlvs" => {
            let cells = |tlv: &Tlv| {
                let tag = format!("`{:#06x}`", tlv.tag);
                vec![tag, code(&tlv.name), tlv.form.word().into(), tlv.on.join(", "), tlv.doc.clone()]
            };
            markdown(&["tag", "name", "form", "on", "what"], registry.tlv.iter().map(cells).collect())
        }
        _ => return Err(format!("SPEC.md: there is no table {name:?}")),
    })
}

fn markdown(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_written_as_rust_writes_them() {
        assert_eq!(camel("FRAME_TOO_LARGE"), "FrameTooLarge");
        assert_eq!(camel("OK"), "Ok");
        assert_eq!(
            (grouped(64), grouped(131_072), grouped(1_000_000)),
            ("64".into(), "131_072".into(), "1_000_000".into())
        );
    }

    #[test]
    fn nothing_that_is_made_from_the_registry_is_stale() {
        run(true).unwrap();
    }
}
