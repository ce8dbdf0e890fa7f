//! CONNECT: who the client is, and under which sender it numbers its commands.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use postrider_protocol::{
    Channel, Id, Reason, Sender, Tlvs, VERSION,
    packet::{ConnackPacket, ConnectPacket, Limits, Packet},
    tag,
};
use postrider_storage::{DeviceRow, StateKey, StoreError, fold};

use super::{Session, Work};
use crate::{
    auth::{Identity, Verifier},
    outbox::Farewell,
    presence::platform,
    slot::{Command, Now, Origin, Pause, Stuck, is_news},
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
    pub(super) fn connect(&mut self, now: Now, packet: &ConnectPacket, work: &mut Work) {
        let welcomed = self.authenticate(now, packet).and_then(|identity| {
            self.check_removed(packet, &identity)?;
            self.welcome(now, packet, &identity)
        });
        match welcomed {
            Ok(()) => self.note_device(now, &packet.tlvs, work),
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

    fn authenticate(&self, now: Now, packet: &ConnectPacket) -> Result<Identity, Refused> {
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

    /// Refuses a token that was issued before its device was removed.
    fn check_removed(&self, packet: &ConnectPacket, identity: &Identity) -> Result<(), Refused> {
        let device = packet.device.as_ref().or(identity.device.as_ref());
        match self.shared.lookup.removed_ms(identity.tenant, &identity.user, device) {
            Ok(removed_ms) if removed_ms == 0 || token_ms(identity) > removed_ms => Ok(()),
            Ok(_) => Err((Reason::DeviceRemoved, "the device was removed after the token was issued".to_owned())),
            Err(error) => {
                tracing::error!(%error, "reading failed");
                Err((Reason::Internal, "reading failed".to_owned()))
            }
        }
    }

    fn welcome(&mut self, now: Now, packet: &ConnectPacket, identity: &Identity) -> Result<(), Refused> {
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
            device: packet.device.as_ref().map(Id::detached),
            is_system: identity.is_system,
            bound: identity.device.as_ref().filter(|_| packet.device.is_none()).map(|id| Box::new(id.detached())),
            token_ms: token_ms(identity),
            platform: packet.device.as_ref().and_then(|_| self.shared.hub.platform(&packet.tlvs)),
            usage: self.shared.quotas.connection(),
            runs_on: platform(packet.tlvs.get_text(tag::PLATFORM).unwrap_or_default()),
            sender,
            outbox: Arc::clone(&self.outbox),
            stuck: Stuck::default(),
            reading: AtomicBool::new(false),
            pause: Pause::default(),
        });
        // In the hub before CONNACK leaves: nothing that is committed from here on is missed by both LIST and RECV.
        self.shared.hub.register(&origin);
        // A removal since the first look would not have found it there.
        if let Err(refused) = self.check_removed(packet, identity) {
            self.shared.hub.unregister(&origin);
            return Err(refused);
        }
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
        Ok(())
    }

    /// Tells the user's own slot that the device came, when that is news. Nobody waits for it.
    fn note_device(&self, now: Now, told: &Tlvs, work: &mut Work) {
        let Some(origin) = &self.origin else { return };
        let Some(device) = &origin.device else { return };
        let (channel, fields, lookup) = (Channel::user(&origin.user), fold::of_device(told), &self.shared.lookup);
        let look = || -> Result<bool, StoreError> {
            let known: Option<DeviceRow> = lookup.row(origin.tenant, &channel, &StateKey::Device(device.clone()))?;
            let all_ms = lookup.user(origin.tenant, &origin.user)?.removed_of(Some(device));
            Ok(is_news(known.as_ref(), all_ms, &fields, now.wall_ms))
        };
        // What cannot be read now is noted the next time.
        if look().unwrap_or(false) {
            self.command(Command::Came { channel, fields }, work);
        }
    }
}

/// Why a CONNECT is refused: the reason, and the detail.
type Refused = (Reason, String);

const fn token_ms(identity: &Identity) -> u64 {
    identity.issued_s.saturating_mul(1_000)
}
