//! What stands in Redis and how it is read and written: each exchange has a deadline, and a connection that failed is
//! made again.
//!
//! No id of a tenant, user or session has a `/`, so that no key of one kind is one of another.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use postrider_protocol::{Id, packet::presence::PresenceState};
use redis::{Client, IntoConnectionInfo as _, Pipeline, RedisError, TlsCertificates, aio::MultiplexedConnection};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::Entry;
use crate::{
    auth, config,
    presence::{Status, subscribers::Of},
};

/// No exchange takes longer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// A session that nobody renews is over then.
const LIFE_MS: u64 = 90_000;
/// So long absence means nothing after Redis was empty or out of reach: every server has found out and written by then.
const SETTLING_MS: u64 = 10_000;
/// How long it is remembered when somebody went.
const SEEN_MS: u64 = 90 * 86_400_000;
/// A session that is not in the index anew for so long leaves it; more than the clocks of servers may differ.
const INDEX_MS: u64 = 600_000;
/// Sessions written, users read at a time.
pub(super) const CHUNK: usize = 256;
/// Sessions of one user that are looked at: the newest.
const SESSIONS: isize = 64;

const KNOWN: &str = "postrider/known";
const SETTLING: &str = "postrider/settling";

/// It did not answer, or not in time, or not as Redis does.
#[derive(Debug)]
pub(super) struct Lost(pub String);

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// Tells the sessions of this process from those of others.
    node: String,
    grace_ms: u64,
}

/// How Redis is reached; nothing is said to it yet.
fn open(config: &config::Redis) -> Result<Client, String> {
    let bad = |error| format!("redis.url: {error}");
    let mut info = config.url.as_deref().unwrap_or_default().into_connection_info().map_err(bad)?;
    if let Some(file) = &config.password_file {
        let password = auth::read_private(file).map_err(|why| format!("redis.password_file: {why}"))?;
        let password =
            String::from_utf8(password).map_err(|_| format!("redis.password_file: {}: not UTF-8", file.display()))?;
        let settings = info.redis_settings().clone().set_password(password);
        info = info.set_redis_settings(settings);
    }
    let Some(file) = &config.ca_file else { return Client::open(info).map_err(bad) };
    let read = std::fs::read(file);
    let root_cert = Some(read.map_err(|error| format!("redis.ca_file: {}: {error}", file.display()))?);
    let certificates = TlsCertificates { client_tls: None, root_cert };
    Client::build_with_tls(info, certificates).map_err(|error| format!("redis.ca_file: {}: {error}", file.display()))
}

/// What Redis says of itself.
#[derive(Debug)]
pub(super) struct Known {
    /// Another one each time that it was found empty; none when it is.
    pub mark: Option<String>,
    /// Absence means nothing.
    pub is_settling: bool,
}

impl Store {
    pub(super) fn new(config: &config::Redis, grace_ms: u64) -> Result<Self, String> {
        Ok(Self { client: open(config)?, connection: None, node: random_name()?, grace_ms })
    }

    /// Whether Redis is empty, and whether all servers have written since.
    pub(super) async fn known(&mut self) -> Result<Known, Lost> {
        let mut pipe = redis::pipe();
        pipe.get(KNOWN).exists(SETTLING);
        let (mark, is_settling): (Option<String>, bool) = self.exchange(&pipe).await?;
        Ok(Known { mark, is_settling })
    }

    /// Lets absence mean nothing for a while, and marks an empty Redis.
    pub(super) async fn settle(&mut self) -> Result<(), Lost> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("SET").arg(SETTLING).arg(1).arg("PX").arg(SETTLING_MS).ignore();
        pipe.cmd("SET").arg(KNOWN).arg(random_name().map_err(Lost)?).arg("NX").ignore();
        self.exchange(&pipe).await
    }

    /// Writes sessions that are there, and those that went: with when, since 1970.
    pub(super) async fn write(&mut self, entries: &[(Entry, Option<u64>)], now_ms: u64) -> Result<(), Lost> {
        for some in entries.chunks(CHUNK) {
            let mut pipe = redis::pipe();
            for (entry, went_ms) in some {
                self.write_one(&mut pipe, entry, *went_ms, now_ms);
            }
            self.exchange::<()>(&pipe).await?;
        }
        Ok(())
    }

    fn write_one(&self, pipe: &mut Pipeline, entry: &Entry, went_ms: Option<u64>, now_ms: u64) {
        let name = format!("{}/{}", self.node, entry.session);
        let key = session_key(entry.tenant, &entry.user, &name);
        let index = index_key(entry.tenant, &entry.user);
        let life_ms = if went_ms.is_some() { self.grace_ms } else { LIFE_MS };
        if life_ms == 0 {
            pipe.del(&key).ignore();
        } else {
            // The index comes second: what is found there is there.
            pipe.cmd("SET").arg(&key).arg(entry.runs_on.as_ref()).arg("PX").arg(life_ms).ignore();
            pipe.zadd(&index, &name, now_ms).ignore();
            pipe.cmd("ZREMRANGEBYSCORE").arg(&index).arg("-inf").arg(now_ms.saturating_sub(INDEX_MS)).ignore();
            pipe.cmd("PEXPIRE").arg(&index).arg(INDEX_MS).ignore();
        }
        if let Some(went_ms) = went_ms {
            pipe.cmd("SET").arg(seen_key(entry.tenant, &entry.user)).arg(went_ms).arg("PX").arg(SEEN_MS).ignore();
        }
    }

    /// How users are, at most [`CHUNK`] of them.
    pub(super) async fn read(&mut self, users: &[Of], is_settling: bool) -> Result<BTreeMap<Of, Status>, Lost> {
        let mut pipe = redis::pipe();
        for (tenant, user) in users {
            pipe.zrange(index_key(*tenant, user), -SESSIONS, -1);
            pipe.get(seen_key(*tenant, user));
        }
        let found: Vec<redis::Value> = self.exchange(&pipe).await?;
        let mut sessions = Vec::new();
        let mut seen = Vec::new();
        for ((tenant, user), pair) in users.iter().zip(found.chunks(2)) {
            let [names, when] = pair else { return Err(Lost("an answer too few".to_owned())) };
            let names: Vec<String> = redis::from_redis_value(names.clone()).map_err(|error| Lost(error.to_string()))?;
            let when: Option<u64> = redis::from_redis_value(when.clone()).map_err(|error| Lost(error.to_string()))?;
            seen.push(when.unwrap_or_default());
            sessions.push(names.iter().map(|name| session_key(*tenant, user, name)).collect::<Vec<_>>());
        }
        let keys: Vec<&String> = sessions.iter().flatten().collect();
        let mut platforms = Vec::new();
        if !keys.is_empty() {
            let mut pipe = redis::pipe();
            pipe.cmd("MGET").arg(keys);
            (platforms,) = self.exchange::<(Vec<Option<Vec<u8>>>,)>(&pipe).await?;
        }
        let mut platforms = platforms.into_iter();
        let mut read = BTreeMap::new();
        for ((key, sessions), seen_ms) in users.iter().zip(&sessions).zip(seen) {
            let of_user: Vec<Vec<u8>> = platforms.by_ref().take(sessions.len()).flatten().collect();
            read.insert(key.clone(), status(of_user, seen_ms, is_settling));
        }
        Ok(read)
    }

    async fn exchange<T: redis::FromRedisValue>(&mut self, pipe: &Pipeline) -> Result<T, Lost> {
        let done = tokio::time::timeout(TIMEOUT, self.try_exchange(pipe)).await;
        let done = done.unwrap_or_else(|_| Err(Lost("no answer in time".to_owned())));
        if done.is_err() {
            self.connection = None;
        }
        done
    }

    async fn try_exchange<T: redis::FromRedisValue>(&mut self, pipe: &Pipeline) -> Result<T, Lost> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.client.get_multiplexed_async_connection().await?),
        };
        Ok(pipe.query_async(connection).await?)
    }
}

fn status(platforms: Vec<Vec<u8>>, seen_ms: u64, is_settling: bool) -> Status {
    if platforms.is_empty() {
        return if is_settling {
            Status::default()
        } else {
            Status { state: PresenceState::Offline, last_seen_ms: seen_ms, platforms: Vec::new() }
        };
    }
    let mut platforms: Vec<Bytes> =
        platforms.into_iter().filter(|one| !one.is_empty() && one.len() <= 255).map(Bytes::from).collect();
    platforms.sort_unstable();
    platforms.dedup();
    Status { state: PresenceState::Online, last_seen_ms: 0, platforms }
}

fn session_key(tenant: u32, user: &Id, name: &str) -> String {
    format!("postrider:{tenant}:{user}:{name}")
}

fn index_key(tenant: u32, user: &Id) -> String {
    format!("postrider:{tenant}:{user}/sessions")
}

fn seen_key(tenant: u32, user: &Id) -> String {
    format!("postrider:{tenant}:{user}/seen")
}

/// 16 hex digits that nobody else has.
fn random_name() -> Result<String, String> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no randomness".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_one_kind_is_one_of_another() {
        let (user, hostile): (Id, Id) = ("a".parse().unwrap(), "a:0".parse().unwrap());
        let name = "0/1";
        let keys = [
            session_key(0, &user, name),
            session_key(0, &hostile, name),
            index_key(0, &user),
            index_key(0, &hostile),
            seen_key(0, &user),
            seen_key(1, &user),
        ];
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn absence_means_offline_only_once_all_have_written() {
        assert_eq!(status(Vec::new(), 7, true).state, PresenceState::Unknown);
        let offline = status(Vec::new(), 7, false);
        assert_eq!((offline.state, offline.last_seen_ms), (PresenceState::Offline, 7));
        let online = status(vec![b"web".to_vec(), Vec::new(), b"ios".to_vec(), b"web".to_vec()], 7, true);
        assert_eq!((online.state, online.last_seen_ms), (PresenceState::Online, 0));
        assert_eq!(online.platforms, [&b"ios"[..], b"web"]);
    }
}
