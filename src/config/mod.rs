//! The configuration: one table of keys, from which the typed [`Config`], its defaults, `config docs` and the
//! reading of files, environment and `--set` all come.
//!
//! Defaults < `-c FILE` in order < `POSTRIDER_A__B` < `--set a.b=value`. An unknown key is an error.

mod check;
mod layers;
mod setting;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use check::{Problems, is_loopback};
pub use layers::{Layers, default_toml, docs};
pub use setting::{LogFormat, LogLevel, NamedKey, Platform, Schema, Setting, Size};

/// One key while the table is walked: where a value is set or shown.
trait Leaf {
    fn set_text(&mut self, text: &str) -> Result<(), String>;
    fn set_value(&mut self, value: &toml::Value) -> Result<(), String>;
    fn show(&self) -> String;
    fn kind(&self) -> &'static str;
}

impl<T: Setting> Leaf for T {
    fn set_text(&mut self, text: &str) -> Result<(), String> {
        *self = T::from_text(text)?;
        Ok(())
    }
    fn set_value(&mut self, value: &toml::Value) -> Result<(), String> {
        *self = T::from_value(value)?;
        Ok(())
    }
    fn show(&self) -> String {
        Setting::show(self)
    }
    fn kind(&self) -> &'static str {
        T::KIND
    }
}

/// What a walk is told of each key: its dotted name, its document, its value.
type Visitor<'a> = &'a mut dyn FnMut(&str, &[&str], &mut dyn Leaf);

/// A section or a key.
trait Node {
    fn walk(&mut self, name: &str, doc: &[&str], visit: Visitor<'_>);
}

impl<T: Setting> Node for T {
    fn walk(&mut self, name: &str, doc: &[&str], visit: Visitor<'_>) {
        visit(name, doc, self);
    }
}

/// Whether the server is run by `postrider dev`, whose pages are handed tokens. Only that command sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dev(pub bool);

impl Node for Dev {
    fn walk(&mut self, _: &str, _: &[&str], _: Visitor<'_>) {}
}

macro_rules! sections {
    ($($(#[doc = $about:literal])* $section:ident {
        $($(#[doc = $doc:literal])* $field:ident: $ty:ty = $default:expr,)*
    })*) => {$(
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section { $($(#[doc = $doc])* pub $field: $ty),* }
        impl Default for $section {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }
        impl Node for $section {
            fn walk(&mut self, name: &str, _: &[&str], visit: Visitor<'_>) {
                $(
                    let key = if name.is_empty() {
                        stringify!($field).to_owned()
                    } else {
                        format!("{name}.{}", stringify!($field))
                    };
                    self.$field.walk(&key, &[$($doc),*], visit);
                )*
            }
        }
    )*};
}

sections! {
    /// Everything that can be configured.
    Config {
        /// Where clients connect.
        listeners: Listeners = Listeners::default(),
        /// The certificate of the TLS and WSS listeners.
        tls: Tls = Tls::default(),
        /// Health, metrics and pages.
        http: Http = Http::default(),
        /// What is kept on disk.
        storage: Storage = Storage::default(),
        /// Who may connect.
        auth: Auth = Auth::default(),
        /// What a user may do.
        limits: Limits = Limits::default(),
        /// The devices of a user.
        devices: Devices = Devices::default(),
        /// One connection.
        session: Session = Session::default(),
        /// Catching up.
        sync: Sync = Sync::default(),
        /// What may be done with messages that are there already.
        messages: Messages = Messages::default(),
        /// Groups.
        groups: Groups = Groups::default(),
        /// Who is online.
        presence: Presence = Presence::default(),
        /// Where several servers share who is online.
        redis: Redis = Redis::default(),
        /// The workers that own the slots.
        slots: Slots = Slots::default(),
        /// The batches that are made durable together.
        commit: Commit = Commit::default(),
        /// The way down.
        drain: Drain = Drain::default(),
        /// What is logged, to stderr.
        log: Log = Log::default(),
        /// Whether this is `postrider dev`; no key sets it.
        dev: Dev = Dev(false),
    }
    /// Where clients connect.
    Listeners {
        /// The binary protocol over TCP.
        tcp: Listener = Listener::default(),
        /// The binary protocol over TLS.
        tls: Listener = Listener::default(),
        /// The same frames over WebSocket, at `/ws`.
        ws: WsListener = WsListener::default(),
        /// The same over TLS.
        wss: Listener = Listener::default(),
        /// Let `tcp` and `ws` listen on an address that is not loopback: tokens and messages are then readable on the way.
        allow_plaintext: bool = false,
        /// Most connections of one listener; the next one is told BUSY.
        max_connections: u32 = 20_000,
    }
    /// One listener.
    Listener {
        /// The address to listen on; without one it does not run.
        addr: Option<SocketAddr> = None,
    }
    /// The WebSocket listener; `origins` holds for `wss` too.
    WsListener {
        /// The address to listen on; without one it does not run.
        addr: Option<SocketAddr> = None,
        /// Origins of pages that may connect, like `https://chat.example.org`; none means the listener's own. `wss` too.
        origins: Vec<String> = Vec::new(),
    }
    /// The certificate of the TLS and WSS listeners; read again at SIGHUP.
    Tls {
        /// PEM file with the certificate chain, the server's own first.
        cert_file: Option<PathBuf> = None,
        /// PEM file with its private key.
        key_file: Option<PathBuf> = None,
    }
    /// Health, metrics and pages.
    Http {
        /// The address of /livez, /readyz, /metrics and the pages. They have no login: keep it on loopback.
        addr: Option<SocketAddr> = Some(SocketAddr::from(([127, 0, 0, 1], 8793))),
    }
    /// What is kept on disk.
    Storage {
        /// The data directory; made when it does not exist.
        path: PathBuf = PathBuf::from("postrider-data"),
        /// Length of one segment of the log.
        segment_bytes: Size = Size::mib(64),
        /// So much new log is written to the store at a time; once five seconds have gone by, a quarter of it.
        checkpoint_bytes: Size = Size::mib(16),
        /// So much of the newest messages is kept in the store for devices that come back.
        window_bytes: Size = Size::mib(256),
        /// Rows of the store that are kept in memory; the others are read through the cache of the system.
        cache_bytes: Size = Size::mib(16),
        /// With less free space than this and twice the pending checkpoint, commands are refused with STORAGE_FULL.
        reserve_bytes: Size = Size::mib(256),
        /// A file that is given up when a start finds too little space.
        ballast_bytes: Size = Size::mib(64),
        /// What was taken back or has gone away leaves the disk with the next checkpoint, and no later than this.
        erase_within: Duration = Duration::from_secs(24 * 3_600),
        /// How long messages are kept. By default, for ever.
        retention: Retention = Retention::default(),
    }
    /// How long messages are kept. By default, for ever.
    Retention {
        /// Messages older than this are dropped, a segment at a time, like `90d`; `0ms` keeps them for ever.
        max_age: Duration = Duration::ZERO,
        /// The oldest messages are dropped while the log is longer than this, like `20GiB`; `0B` sets no bound.
        max_bytes: Size = Size(0),
        /// Snapshots are written every so many segments; the log keeps at least what came after the older of two.
        snapshot_segments: u32 = 4,
    }
    /// Who may connect.
    Auth {
        /// Signed tokens, HS256.
        jwt: Jwt = Jwt::default(),
    }
    /// Signed tokens, HS256.
    Jwt {
        /// The file with the secret of tokens without `kid`: at least 32 bytes, trailing white space cut, readable by its owner only.
        secret_file: Option<PathBuf> = None,
        /// Secrets of tokens with `kid`.
        keys: Vec<NamedKey> = Vec::new(),
        /// A token that lives longer than this from its `iat` is refused.
        max_ttl: Duration = Duration::from_secs(90 * 86_400),
        /// So far the clock of who issues tokens may be off; at most 60s.
        leeway: Duration = Duration::from_secs(30),
    }
    /// What a user may do.
    Limits {
        /// Messages a second of one user; 0 switches the limit off.
        user_rate: u32 = 10,
        /// So many more at once.
        user_burst: u32 = 20,
        /// What may be used in a time.
        quota: Quotas = Quotas::default(),
    }
    /// What may be used in a time, by UTC: a command is charged to all of them or refused with QUOTA_EXCEEDED.
    Quotas {
        /// By a user, over all devices.
        user: Quota = Quota::default(),
        /// In a channel, by all of its users.
        channel: Quota = Quota::default(),
        /// By a connection.
        connection: Quota = Quota::default(),
        /// By all users of a tenant.
        tenant: Quota = Quota::default(),
    }
    /// What may be used in a time.
    Quota {
        /// Messages and changes a minute; 0 is any number.
        requests_per_minute: u32 = 0,
        /// Their bytes a day, like `100MiB`; `0B` is any number.
        bytes_per_day: Size = Size(0),
        /// Their bytes a month, like `1GiB`; `0B` is any number.
        bytes_per_month: Size = Size(0),
    }
    /// The devices of a user.
    Devices {
        /// Most devices of one user; the one not used for longest makes room for a new one.
        max: u16 = 10,
        /// Platforms of which so many devices of a user may be connected at once; a further one replaces the earliest.
        connected: Vec<Platform> = Vec::new(),
    }
    /// One connection.
    Session {
        /// A client is asked to send something at least this often.
        heartbeat: Duration = Duration::from_secs(30),
        /// Without a frame for so long a connection is closed.
        dead: Duration = Duration::from_secs(90),
        /// From accept to a whole CONNECT, handshakes included.
        connect_timeout: Duration = Duration::from_secs(10),
        /// From the first byte of a frame to its last.
        frame_timeout: Duration = Duration::from_secs(10),
        /// Most bytes that wait for one connection; beyond that messages are dropped and LAG is told.
        queue_bytes: Size = Size::kib(256),
        /// Most frames that wait for one connection.
        queue_frames: u32 = 1_000,
        /// Most bytes that wait for all connections together; beyond that the largest queue goes first.
        queue_total_bytes: Size = Size::mib(256),
        /// A connection that has bytes waiting and took none for so long is closed with SLOW_CONSUMER.
        slow_after: Duration = Duration::from_secs(30),
        /// A session that owes so many replies is not read.
        owed_replies: u32 = 64,
    }
    /// Catching up.
    Sync {
        /// Messages of one SYNCED when the client names no number.
        page: u16 = 50,
        /// Most messages of one SYNCED.
        page_max: u16 = 100,
        /// A device without a cursor starts so many messages before the head…
        window: u32 = 1_000,
        /// …and no earlier than this; older history can still be asked for.
        age: Duration = Duration::from_secs(7 * 86_400),
        /// Most LIST and SYNC in service at once; 0 is one for every two cores, so that writing keeps the others.
        concurrent: u32 = 0,
    }
    /// What may be done with messages that are there already.
    Messages {
        /// Users take their own messages back up to this age.
        revoke_within: Duration = Duration::from_secs(120),
        /// Users edit their own messages up to this age; `0ms` sets no bound.
        edit_within: Duration = Duration::ZERO,
        /// JSON Schemas that bodies follow, by tenant and content type; others are not looked at.
        schemas: Vec<Schema> = Vec::new(),
    }
    /// Groups.
    Groups {
        /// Most members of one group.
        max_members: u32 = 500,
    }
    /// Who is online.
    Presence {
        /// A user whose last device went is told to be offline after this.
        grace: Duration = Duration::from_secs(10),
    }
    /// Where several servers share who is online.
    Redis {
        /// The address, like `rediss://user@redis.example:6380/0`, with `rediss` for TLS; without one each server knows its own users only.
        url: Option<String> = None,
        /// The file with the password, trailing white space cut, readable by its owner only.
        password_file: Option<PathBuf> = None,
        /// The certificates, PEM, that sign that of Redis; without it, those that the machine trusts.
        ca_file: Option<PathBuf> = None,
    }
    /// The workers that own the slots.
    Slots {
        /// Threads; 0 is one for every two cores, at most 8.
        workers: u16 = 0,
        /// Batches that may wait for one worker; a session waits when it is full.
        queue: u32 = 1_024,
    }
    /// The batches that are made durable together.
    Commit {
        /// Most bytes of one batch.
        batch_bytes: Size = Size::mib(1),
        /// Most entries of one batch.
        batch_entries: u32 = 8_192,
    }
    /// The way down.
    Drain {
        /// After SIGTERM what was accepted is finished within this time.
        timeout: Duration = Duration::from_secs(30),
    }
    /// What is logged, to stderr.
    Log {
        /// How much is logged.
        level: LogLevel = LogLevel::Info,
        /// How lines look: text on a terminal and JSON otherwise, or always the same.
        format: LogFormat = LogFormat::Auto,
    }
}

#[cfg(test)]
mod tests;
