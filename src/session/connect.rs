//! CONNECT: who the client is, and under which sender it numbers its commands.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use postrider_protocol::{
    Reason, Sender, Tlvs, VERSION,
    packet::{ConnackPacket, ConnectPacket, Limits, Packet},
    tag,
};

use super::Session;
use crate::{
    auth::{Identity, Verifier},
    outbox::Farewell,
    presence::platform,
    slot::{Now, Origin, Stuck},
};

/// What CONNACK tells, and who may come.
#[derive(Debug)]
pub struct Welcome {
    /// Knows good tokens.
    pub verifier: Verifier,
    /// Limits and timers.
    pub limits: Limits,
    /// Makes senders.
    pub issuer: Issuer,
}

/// Makes senders whose stamps rise strictly: 44 bits of milliseconds, 6 bits of the start of the server, 6 bits that
/// tell senders of one millisecond apart. The bits of the start keep two processes apart when the clock was set back
/// between them: nothing tells the second which senders the first has given and nobody has used.
#[derive(Debug)]
pub struct Issuer {
    /// The last stamp without the bits of the start.
    last: AtomicU64,
    start: u64,
}

impl Issuer {
    /// Stamps after `newest_ms`, the newest committed time, wherever the clock stands; `start` is another number at
    /// each start of the server.
    #[must_use]
    pub const fn new(newest_ms: u64, start: u64) -> Self {
        Self { last: AtomicU64::new((newest_ms + 1) << 6), start: start % 64 }
    }

    /// Whether a sender with this stamp may have been made at this server by `now_ms`.
    fn may_have_given(&self, stamp: u64, now_ms: u64) -> bool {
        stamp >> 12 <= now_ms.max(self.last.load(Ordering::Acquire) >> 6)
    }

    /// A stamp above all before it.
    fn stamp(&self, now_ms: u64) -> u64 {
        let mut stamp = 0;
        let _ = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
            stamp = (last + 1).max(now_ms << 6);
            Some(stamp)
        });
        (stamp >> 6) << 12 | self.start << 6 | (stamp & 63)
    }
}

impl Session {
    pub(super) fn connect(&mut self, now: Now, packet: &ConnectPacket) {
        match self.authenticate(now, packet) {
            Ok(identity) => self.welcome(now, packet, identity),
            Err((reason, detail)) => {
                self.shared.metrics.auth_failure(reason);
                let tlvs = Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]);
                self.answer(&Packet::Connack(ConnackPacket {
                    reason,
                    version: 0,
                    version_min: VERSION,
                    version_max: VERSION,
                    user: None,
                    sender: Sender::from_bytes([0; 8]),
                    server_time_ms: 0,
                    limits: Limits::default(),
                    tlvs,
                }));
                self.over = true;
                self.outbox.close(Farewell { silent: true, ..reason.into() });
            }
        }
    }

    fn authenticate(&self, now: Now, packet: &ConnectPacket) -> Result<Identity, (Reason, String)> {
        if !(packet.version_min..=packet.version_max).contains(&VERSION) {
            return Err((Reason::VersionUnsupported, format!("this server speaks version {VERSION}")));
        }
        let verifier = &self.shared.welcome.verifier;
        let identity =
            verifier.verify(&packet.token, now.wall_ms / 1_000).map_err(|error| (error.reason(), error.to_string()))?;
        if let (Some(device), Some(bound)) = (&packet.device, &identity.device)
            && device != bound
        {
            return Err((Reason::Unauthenticated, "the token is for another device".to_owned()));
        }
        // A sender from the future, once it is forgotten, would take all those of its user with it that come before.
        if !self.shared.welcome.issuer.may_have_given(packet.sender.stamp(), now.wall_ms) {
            return Err((Reason::SenderExpired, "the sender is not one that this server gave".to_owned()));
        }
        Ok(identity)
    }

    fn welcome(&mut self, now: Now, packet: &ConnectPacket, identity: Identity) {
        let welcome = &self.shared.welcome;
        let sender = if packet.sender.is_request() {
            Sender::issue(packet.sender.kind(), welcome.issuer.stamp(now.wall_ms))
        } else {
            packet.sender
        };
        let origin = Arc::new(Origin {
            session: self.number,
            tenant: identity.tenant,
            user: identity.user.detached(),
            device: packet.device.as_ref().map(postrider_protocol::Id::detached),
            runs_on: platform(packet.tlvs.get_text(tag::PLATFORM).unwrap_or_default()),
            sender,
            outbox: Arc::clone(&self.outbox),
            stuck: Stuck::default(),
            reading: AtomicBool::new(false),
            paused_until_ms: AtomicU64::new(0),
        });
        // In the hub before CONNACK leaves: nothing that is committed from here on is missed by both LIST and RECV.
        self.shared.hub.register(&origin);
        self.shared.notices.come(&origin);
        self.shared.metrics.sessions.inc();
        self.answer(&Packet::Connack(ConnackPacket {
            reason: Reason::Ok,
            version: VERSION,
            version_min: VERSION,
            version_max: VERSION,
            user: Some(origin.user.clone()),
            sender,
            server_time_ms: now.wall_ms,
            limits: welcome.limits,
            tlvs: Tlvs::new(),
        }));
        self.origin = Some(origin);
        self.machine.accepted(now.mono_ms);
    }
}
