//! Presence: who is online, and who is told. Where it is known differs: on a server alone the hub knows; several servers
//! share it in Redis. Nothing of it is stored as a message, and no send waits for it.

mod local;
mod redis;
mod subscribers;

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Id, Reason, Tlvs,
    packet::{
        Packet, ReplyPacket,
        presence::{self, PresenceState},
    },
};

pub use self::redis::Keeper;
use self::{local::Local, redis::Redis, subscribers::Subscribers};
use crate::{
    config,
    health::Health,
    hub::Hub,
    metrics::Metrics,
    outbox::Outbox,
    slot::{Now, Origin},
};

/// A platform is told with so many bytes at most.
const PLATFORM_BYTES: usize = 64;

/// How a user is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether they are online.
    pub state: PresenceState,
    /// When the last device of who is offline went, milliseconds since 1970; 0 when it is not known.
    pub last_seen_ms: u64,
    /// The platforms of the connected devices, ascending, each once.
    pub platforms: Vec<Bytes>,
}

impl Status {
    fn of(&self, user: &Id) -> presence::Presence {
        let (state, last_seen_ms, platforms) = (self.state, self.last_seen_ms, self.platforms.clone());
        presence::Presence { user: user.clone(), state, last_seen_ms, platforms }
    }
}

/// The platform as it is told: what CONNECT says, cut between two characters.
#[must_use]
pub fn platform(text: &str) -> Bytes {
    let end = (0..=text.len().min(PLATFORM_BYTES)).rev().find(|at| text.is_char_boundary(*at));
    Bytes::copy_from_slice(text.get(..end.unwrap_or_default()).unwrap_or_default().as_bytes())
}

/// A PRESENCE on its way to its answer.
#[derive(Debug)]
pub struct Ask {
    /// Who asks.
    pub origin: Arc<Origin>,
    /// The request id.
    pub request: u32,
    /// The users asked for, each once, ascending, and whether the one who asks may know.
    pub users: Vec<(Id, bool)>,
}

impl Ask {
    /// The answer, with what `status` says of who may be known.
    fn answer(&self, mut status: impl FnMut(&Id) -> Status) -> Packet {
        let mut told = |(user, may): &(Id, bool)| if *may { status(user) } else { Status::default() }.of(user);
        let list: Vec<_> = self.users.iter().map(&mut told).collect();
        let mut fields = Vec::new();
        presence::write_list(&mut fields, &list);
        self.reply(Reason::Ok, fields.into())
    }

    fn reply(&self, reason: Reason, fields: Bytes) -> Packet {
        Packet::Reply(ReplyPacket { request: self.request, reason, seq: 0, time_ms: 0, fields, tlvs: Tlvs::new() })
    }

    /// Puts the answer into the outbox; another read may begin.
    fn send(&self, answer: &Packet) {
        self.origin.answer_read(answer);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Presence {
    subscribers: Arc<Subscribers>,
    source: Source,
}

/// Where it is known.
#[derive(Debug)]
enum Source {
    Local(Local),
    Redis(Redis),
}

impl Presence {
    /// Of a server alone: who is offline for `grace_ms` is told to be.
    #[must_use]
    pub fn local(hub: Arc<Hub>, grace_ms: u64) -> Self {
        let subscribers = Arc::new(Subscribers::new(Arc::clone(&hub)));
        Self { subscribers, source: Source::Local(Local::new(hub, grace_ms)) }
    }

    /// Shared with other servers in the Redis at `url`, once the keeper runs.
    ///
    /// # Errors
    /// When the address is none.
    pub fn redis(
        hub: Arc<Hub>,
        config: &config::Redis,
        grace_ms: u64,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<(Self, Keeper), String> {
        let subscribers = Arc::new(Subscribers::new(Arc::clone(&hub)));
        let (redis, keeper) = Redis::new(config, grace_ms, hub, Arc::clone(&subscribers), metrics, health)?;
        Ok((Self { subscribers, source: Source::Redis(redis) }, keeper))
    }

    /// A session is in the hub.
    pub fn come(&self, origin: &Origin) {
        match &self.source {
            Source::Local(local) => local.come(origin),
            Source::Redis(redis) => redis.come(origin),
        }
        self.subscribers.look_at(origin.tenant, &origin.user);
    }

    /// A session has left the hub.
    pub fn go(&self, origin: &Origin, now: Now) {
        self.subscribers.leave(origin.session);
        match &self.source {
            Source::Local(local) => local.go(origin, now),
            Source::Redis(redis) => redis.go(origin, now),
        }
        self.subscribers.look_at(origin.tenant, &origin.user);
    }

    /// Answers PRESENCE, at once or later; from now on the session is told of the users that it may know of.
    pub fn ask(&self, ask: Ask, now: Now) {
        if ask.users.is_empty() {
            self.subscribers.leave(ask.origin.session);
        }
        let known = ask.users.iter().filter(|(_, may)| *may).map(|(user, _)| user);
        if ask.origin.device.is_some() && !self.subscribers.subscribe(&ask.origin, known) {
            return ask.send(&ask.reply(Reason::TooMany, Bytes::new()));
        }
        match &self.source {
            Source::Local(local) => {
                let tenant = ask.origin.tenant;
                let answer = ask.answer(|user| {
                    let (status, is_settled) = local.status(tenant, user, now);
                    self.subscribers.answered(tenant, user, &status, is_settled);
                    status
                });
                ask.send(&answer);
            }
            Source::Redis(redis) => redis.ask(ask),
        }
    }

    /// Tells what changed since the last tick; `push` puts a frame into an outbox.
    pub fn tick(&self, now: Now, push: impl FnMut(&Outbox, &[u8])) {
        if let Source::Local(local) = &self.source {
            let changed = self.subscribers.take_changed();
            let changed = changed.into_iter().map(|(tenant, user)| {
                let (status, is_settled) = local.status(tenant, &user, now);
                if !is_settled {
                    self.subscribers.look_at(tenant, &user);
                }
                ((tenant, user), status)
            });
            self.subscribers.tell(changed.collect(), push);
        }
    }

    /// One of two users blocks the other: neither is told of the other any more.
    pub fn part(&self, tenant: u32, one: &Id, other: &Id, push: impl FnMut(&Outbox, &[u8])) {
        self.subscribers.part(tenant, one, other, push);
    }

    /// The user makes their presence private: nobody is told of them, nor they of others.
    pub fn hide(&self, tenant: u32, user: &Id, push: impl FnMut(&Outbox, &[u8])) {
        self.subscribers.hide(tenant, user, push);
    }
}
