//! Whether the values of a configuration fit together.

use std::{fmt, net::IpAddr, net::SocketAddr, time::Duration};

use super::Config;

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    pub(super) fn push(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// `value` when there is no problem.
    pub(super) fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// One line for each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Whether only this machine can reach `addr`.
#[must_use]
pub fn is_loopback(addr: &SocketAddr) -> bool {
    match addr.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(|| ip.is_loopback(), |ip| ip.is_loopback()),
    }
}

impl Config {
    /// Checks what one value alone cannot show; returns what an operator should be warned of. Reads no file.
    ///
    /// # Errors
    /// Every rule that is broken, each with the key to change.
    pub fn validate(&self) -> Result<Vec<String>, Problems> {
        let mut problems = Problems::default();
        self.check_listeners(&mut problems);
        self.check_auth(&mut problems);
        self.check_times(&mut problems);
        self.check_sizes(&mut problems);
        self.check_redis(&mut problems);
        problems.none_or(self.warnings())
    }

    fn check_listeners(&self, problems: &mut Problems) {
        let listeners = &self.listeners;
        for (name, addr) in [("tcp", &listeners.tcp.addr), ("ws", &listeners.ws.addr)] {
            if let Some(addr) = addr.as_ref().filter(|addr| !is_loopback(addr) && !listeners.allow_plaintext) {
                problems.push(format!(
                    "listeners.{name}.addr: {addr} is not loopback and not encrypted; use listeners.{} or set listeners.allow_plaintext=true",
                    if name == "tcp" { "tls" } else { "wss" },
                ));
            }
        }
        let encrypted = listeners.tls.addr.is_some() || listeners.wss.addr.is_some();
        for (name, file) in [("cert_file", &self.tls.cert_file), ("key_file", &self.tls.key_file)] {
            if encrypted && file.is_none() {
                problems.push(format!("tls.{name}: needed by listeners.tls and listeners.wss"));
            }
        }
        for origin in &listeners.ws.origins {
            let host = origin.split_once("://").map(|(_, host)| host);
            if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                problems.push(format!("listeners.ws.origins: {origin:?} is not like https://chat.example.org"));
            }
        }
        if listeners.max_connections == 0 {
            problems.push("listeners.max_connections: must be at least 1".to_owned());
        }
    }

    fn check_auth(&self, problems: &mut Problems) {
        let jwt = &self.auth.jwt;
        if jwt.secret_file.is_none() && jwt.keys.is_empty() {
            problems.push(
                "auth.jwt.secret_file: nobody could connect; name a file with at least 32 random bytes, mode 0600"
                    .to_owned(),
            );
        }
        for (i, key) in jwt.keys.iter().enumerate() {
            if jwt.keys.iter().take(i).any(|earlier| earlier.kid == key.kid) {
                problems.push(format!("auth.jwt.keys: kid {:?} is there twice", key.kid));
            }
        }
        if jwt.leeway > Duration::from_secs(60) {
            problems.push("auth.jwt.leeway: at most 60s".to_owned());
        }
        if jwt.max_ttl.as_secs() == 0 {
            problems.push("auth.jwt.max_ttl: must be at least 1s".to_owned());
        }
    }

    fn check_times(&self, problems: &mut Problems) {
        let session = &self.session;
        let longer_than_nothing = [
            ("session.heartbeat", session.heartbeat),
            ("session.connect_timeout", session.connect_timeout),
            ("session.frame_timeout", session.frame_timeout),
            ("session.slow_after", session.slow_after),
            ("drain.timeout", self.drain.timeout),
        ];
        for (key, time) in longer_than_nothing {
            if time.is_zero() {
                problems.push(format!("{key}: must be longer than nothing"));
            }
        }
        if session.dead <= session.heartbeat {
            problems.push("session.dead: must be longer than session.heartbeat".to_owned());
        }
    }

    fn check_redis(&self, problems: &mut Problems) {
        let redis = &self.redis;
        let is = |schemes: &[&str]| {
            redis.url.as_ref().is_some_and(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
        };
        if redis.url.is_some() && !is(&["redis://", "rediss://", "unix://"]) {
            problems.push(
                "redis.url: expected an address like redis://127.0.0.1:6379/0 or unix:///run/redis.sock".to_owned(),
            );
        }
        // It would make TLS that believes everybody.
        if redis.url.as_ref().is_some_and(|url| url.contains('#')) {
            problems.push("redis.url: nothing may follow a #".to_owned());
        }
        if redis.ca_file.is_some() && !is(&["rediss://"]) {
            problems.push("redis.ca_file: only for an address with rediss://".to_owned());
        }
        if redis.password_file.is_some() && redis.url.is_none() {
            problems.push("redis.password_file: needs redis.url".to_owned());
        }
        if self.presence.grace > Duration::from_secs(60) {
            problems.push("presence.grace: at most 60s".to_owned());
        }
    }

    fn check_sizes(&self, problems: &mut Problems) {
        const FRAME: u64 = (postrider_protocol::FRAME_PAYLOAD_BYTES + postrider_protocol::HEADER_BYTES) as u64;
        let at_least = [
            ("session.queue_bytes", self.session.queue_bytes.0, FRAME),
            ("session.queue_total_bytes", self.session.queue_total_bytes.0, self.session.queue_bytes.0),
            ("session.queue_frames", self.session.queue_frames.into(), 1),
            ("session.owed_replies", self.session.owed_replies.into(), 1),
            ("sync.page", self.sync.page.into(), 1),
            ("sync.page_max", self.sync.page_max.into(), self.sync.page.into()),
            ("groups.max_members", self.groups.max_members.into(), 1),
            ("devices.max", self.devices.max.into(), 1),
            ("slots.queue", self.slots.queue.into(), 1),
            ("commit.batch_bytes", self.commit.batch_bytes.0, FRAME),
            ("commit.batch_entries", self.commit.batch_entries.into(), 1),
            ("storage.segment_bytes", self.storage.segment_bytes.0, 2 * (self.commit.batch_bytes.0 + FRAME)),
            ("storage.retention.snapshot_segments", self.storage.retention.snapshot_segments.into(), 1),
            ("storage.checkpoint_bytes", self.storage.checkpoint_bytes.0, 64 << 10),
        ];
        for (key, value, least) in at_least {
            if value < least {
                problems.push(format!("{key}: {value} is too little, at least {least}"));
            }
        }
        let (kept, segment) = (self.storage.retention.max_bytes, self.storage.segment_bytes);
        if kept.0 > 0 && kept < segment {
            problems.push(format!("storage.retention.max_bytes: {kept} is less than one segment, {segment}"));
        }
        if self.slots.workers > 256 {
            problems.push("slots.workers: at most 256, the number of slots".to_owned());
        }
        if let Some(platform) = self.devices.connected.iter().find(|platform| platform.most == 0) {
            problems.push(format!("devices.connected: at least 1 {}", platform.name));
        }
        if self.limits.user_rate > 0 && self.limits.user_burst == 0 {
            problems.push("limits.user_burst: must be at least 1 when limits.user_rate is set".to_owned());
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(addr) = self.http.addr.filter(|addr| !is_loopback(addr)) {
            warnings.push(format!("http.addr: {addr} is not loopback, and metrics and health have no login"));
        }
        let listeners = &self.listeners;
        if [&listeners.tcp.addr, &listeners.tls.addr, &listeners.ws.addr, &listeners.wss.addr]
            .iter()
            .all(|a| a.is_none())
        {
            warnings.push("no listener has an addr: nobody can connect".to_owned());
        }
        let open = |addr: &Option<SocketAddr>| addr.as_ref().is_some_and(|addr| !is_loopback(addr));
        if listeners.allow_plaintext && (open(&listeners.tcp.addr) || open(&listeners.ws.addr)) {
            warnings.push("listeners.allow_plaintext: tokens and messages are readable on the way".to_owned());
        }
        warnings
    }
}
