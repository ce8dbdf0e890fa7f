//! The values a configuration key can have: how each is read from TOML and from text, and how it is shown.
//!
//! Text is what `--set` and the environment give; in a file a number stays a number, without quotes.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use toml::{Table, Value};

/// One value of the configuration.
pub trait Setting: Sized {
    /// What it is, for documents and errors, with an example.
    const KIND: &'static str;

    /// Reads it from text.
    ///
    /// # Errors
    /// What was expected.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads it from a value of a file; a string unless a type says otherwise.
    ///
    /// # Errors
    /// What was expected.
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(expected(Self::KIND, other)),
        }
    }

    /// It as TOML.
    fn show(&self) -> String;
}

fn expected(kind: &str, found: &Value) -> String {
    format!("expected {kind}, found {}", found.type_str())
}

macro_rules! number {
    ($($ty:ty),*) => {$(
        impl Setting for $ty {
            const KIND: &'static str = "a number like 10";
            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("expected a number from 0 to {}, found {text:?}", <$ty>::MAX))
            }
            fn from_value(value: &Value) -> Result<Self, String> {
                match value {
                    Value::Integer(n) => <$ty>::try_from(*n)
                        .map_err(|_| format!("expected a number from 0 to {}, found {n}", <$ty>::MAX)),
                    other => Err(expected(Self::KIND, other)),
                }
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number!(u16, u32);

impl Setting for bool {
    const KIND: &'static str = "true or false";
    fn from_text(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected true or false, found {text:?}"))
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| expected(Self::KIND, value))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A number of bytes: `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// It as a number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// It as a length in memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Setting for Size {
    const KIND: &'static str = "a size like \"64KiB\" (B, KiB, MiB, GiB)";
    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(format!("expected {}, found {text:?}", Self::KIND)),
        };
        let bytes = number.and_then(|n| n.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| format!("expected {}, found {text:?}", Self::KIND))
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// The number and the unit of a text like `64KiB`.
fn split_unit(text: &str) -> (Option<u64>, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.parse().ok(), unit.trim_start())
}

impl Setting for Duration {
    const KIND: &'static str = "a duration like \"30s\" (ms, s, m, h, d)";
    fn from_text(text: &str) -> Result<Self, String> {
        crate::duration::parse(text.trim())
    }
    fn show(&self) -> String {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        match units.iter().find(|(_, factor)| ms != 0 && ms.is_multiple_of(*factor)) {
            Some((name, factor)) => format!("\"{}{name}\"", ms / factor),
            None => format!("\"{ms}ms\""),
        }
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

impl Setting for PathBuf {
    const KIND: &'static str = "a path";
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path, found nothing".to_owned()) } else { Ok(text.into()) }
    }
    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for Option<PathBuf> {
    const KIND: &'static str = "a path, or \"\" for none";
    fn from_text(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.into()))
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Setting::show)
    }
}

impl Setting for Option<String> {
    const KIND: &'static str = "a text, or \"\" for none";
    fn from_text(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
    fn show(&self) -> String {
        quoted(self.as_deref().unwrap_or_default())
    }
}

impl Setting for Option<SocketAddr> {
    const KIND: &'static str = "an address like \"127.0.0.1:8790\", or \"\" for none";
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(addr) = text.parse() {
            return Ok(Some(addr));
        }
        let found = text.to_socket_addrs().ok().and_then(|mut addrs| addrs.next());
        found.map(Some).ok_or_else(|| format!("expected HOST:PORT with a host that resolves, found {text:?}"))
    }
    fn show(&self) -> String {
        self.map_or_else(|| quoted(""), |addr| quoted(&addr.to_string()))
    }
}

impl Setting for Vec<String> {
    const KIND: &'static str = "a list like [\"a\", \"b\"]; in text a,b";
    fn from_text(text: &str) -> Result<Self, String> {
        from_parts(text, |part| Ok(part.to_owned()))
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        from_list(value, Self::KIND, |value| {
            value.as_str().map(str::to_owned).ok_or_else(|| expected("a string", value))
        })
    }
    fn show(&self) -> String {
        show_list(self, |part| quoted(part))
    }
}

/// What the parts of a list in text come to, which commas part; those without anything are passed over.
fn from_parts<T, All: FromIterator<T>>(text: &str, one: impl FnMut(&str) -> Result<T, String>) -> Result<All, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

/// What the elements of a list come to.
fn from_list<T>(value: &Value, kind: &str, one: impl FnMut(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.as_array().ok_or_else(|| expected(kind, value))?.iter().map(one).collect()
}

fn show_list<T>(all: &[T], one: impl FnMut(&T) -> String) -> String {
    format!("[{}]", all.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// A table with no keys but `known`; `what` is for the error.
fn table_of<'a>(value: &'a Value, kind: &str, what: &str, known: &[&str]) -> Result<&'a Table, String> {
    let table = value.as_table().ok_or_else(|| expected(kind, value))?;
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("{what} has {}, not {unknown:?}", known.join(", "))),
        None => Ok(table),
    }
}

/// The text of a key, which may not be empty.
fn text_of<'a>(table: &'a Table, key: &str, what: &str) -> Result<&'a str, String> {
    let text = table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("{what} needs the string {key}"))
}

/// A key of tokens by its `kid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    /// What tokens call it.
    pub kid: String,
    /// The file that holds its secret.
    pub secret_file: PathBuf,
}

impl NamedKey {
    fn from_table(value: &Value) -> Result<Self, String> {
        let table = table_of(value, Vec::<Self>::KIND, "a key", &["kid", "secret_file"])?;
        let text = |key| text_of(table, key, "a key");
        Ok(Self { kid: text("kid")?.to_owned(), secret_file: text("secret_file")?.into() })
    }
}

impl Setting for Vec<NamedKey> {
    const KIND: &'static str = "a list like [{ kid = \"k1\", secret_file = \"k1.secret\" }]; in text k1=k1.secret,…";
    fn from_text(text: &str) -> Result<Self, String> {
        from_parts(text, |part| match part.split_once('=') {
            Some((kid, file)) if !kid.is_empty() && !file.is_empty() => {
                Ok(NamedKey { kid: kid.to_owned(), secret_file: file.into() })
            }
            _ => Err(format!("expected KID=FILE, found {part:?}")),
        })
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        from_list(value, Self::KIND, NamedKey::from_table)
    }
    fn show(&self) -> String {
        show_list(self, |key| format!("{{ kid = {}, secret_file = {} }}", quoted(&key.kid), key.secret_file.show()))
    }
}

/// A JSON Schema that bodies of one content type of one tenant follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The tenant.
    pub tenant: u32,
    /// What their TLV `CONTENT_TYPE` is, exactly.
    pub content_type: String,
    /// The file that has it.
    pub file: PathBuf,
}

impl Schema {
    fn from_table(value: &Value) -> Result<Self, String> {
        let table = table_of(value, Vec::<Self>::KIND, "a schema", &["tenant", "content_type", "file"])?;
        let text = |key| text_of(table, key, "a schema");
        let tenant = table.get("tenant").map_or(Ok(0), u32::from_value)?;
        Ok(Self { tenant, content_type: text("content_type")?.to_owned(), file: text("file")?.into() })
    }
}

impl Setting for Vec<Schema> {
    const KIND: &'static str = "a list like [{ tenant = 0, content_type = \"app/order\", file = \"order.json\" }]; in text 0:app/order=order.json,…";
    fn from_text(text: &str) -> Result<Self, String> {
        from_parts(text, |part| {
            let parts = part.split_once('=').and_then(|(of, file)| Some((of.split_once(':')?, file)));
            match parts {
                Some(((tenant, content_type), file)) if !content_type.is_empty() && !file.is_empty() => {
                    let (tenant, content_type) = (u32::from_text(tenant)?, content_type.to_owned());
                    Ok(Schema { tenant, content_type, file: file.into() })
                }
                _ => Err(format!("expected TENANT:TYPE=FILE, found {part:?}")),
            }
        })
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        from_list(value, Self::KIND, Schema::from_table)
    }
    fn show(&self) -> String {
        show_list(self, |it| {
            let (of, file) = (quoted(&it.content_type), it.file.show());
            format!("{{ tenant = {}, content_type = {of}, file = {file} }}", it.tenant)
        })
    }
}

/// A platform of which so many devices of a user may be connected at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// What its devices tell in the TLV `PLATFORM`.
    pub name: String,
    /// So many, at least one.
    pub most: u32,
}

impl Setting for Vec<Platform> {
    const KIND: &'static str = "a table like { ios = 1, web = 3 }; in text ios=1,web=3";
    fn from_text(text: &str) -> Result<Self, String> {
        // As a table has them: each once, ascending.
        let table: BTreeMap<_, _> = from_parts(text, |part| match part.split_once('=') {
            Some((name, most)) if !name.is_empty() => Ok((name.trim().to_owned(), u32::from_text(most)?)),
            _ => Err(format!("expected PLATFORM=NUMBER, found {part:?}")),
        })?;
        Ok(table.into_iter().map(|(name, most)| Platform { name, most }).collect())
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| expected(Self::KIND, value))?;
        let platform =
            |(name, most): (&String, &Value)| Ok(Platform { name: name.clone(), most: u32::from_value(most)? });
        table.iter().map(platform).collect()
    }
    fn show(&self) -> String {
        let parts: Vec<String> =
            self.iter().map(|platform| format!("{} = {}", quoted(&platform.name), platform.most)).collect();
        if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
    }
}

/// Defines an enum whose variants are words of the configuration.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $($(#[$doc:meta])* $variant:ident = $word:literal),*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant),* }
        impl $name {
            /// Its word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl Setting for $name {
            const KIND: &'static str = $kind;
            fn from_text(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("expected {}, found {text:?}", $kind)),
                }
            }
            fn show(&self) -> String {
                format!("\"{}\"", self.word())
            }
        }
    };
}

words!(
    /// How much is logged.
    LogLevel, "one of error, warn, info, debug, trace",
    /// Failures only.
    Error = "error",
    /// And what an operator should look at.
    Warn = "warn",
    /// And what the server does.
    Info = "info",
    /// And each connection.
    Debug = "debug",
    /// Everything.
    Trace = "trace"
);

words!(
    /// How log lines look.
    LogFormat, "one of auto, text, json",
    /// Text on a terminal, JSON otherwise.
    Auto = "auto",
    /// For people.
    Text = "text",
    /// For machines.
    Json = "json"
);
