//! What a session reads: one request in service at a time.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use postrider_protocol::{
    Method, Reason, Tlvs,
    packet::{ListedPacket, Packet, ReplyPacket, SyncedPacket},
    session::server::ServerEvent,
};

use super::{Effect, Session};
use crate::{
    reader::{Asker, Reader},
    slot::{Now, Origin},
};

/// What a read is charged beside the time it takes to read: its way there and back, microseconds.
const READ_US: u64 = 100;

/// LIST, SYNC or a CALL that changes nothing, on its way to the reader.
#[derive(Debug)]
pub struct ReadRequest {
    origin: Arc<Origin>,
    event: Box<ServerEvent>,
}

impl ReadRequest {
    /// Who asks.
    #[must_use]
    pub const fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Reads at `now` and puts the answer into the outbox. May block on the disk.
    pub fn run(self, reader: &Reader, now: Now) {
        let Origin { tenant, user, device, is_system, .. } = &*self.origin;
        let asker = Asker { tenant: *tenant, user: user.clone(), device: device.clone(), is_system: *is_system };
        let answer = match &*self.event {
            ServerEvent::List(ask) => reader.list(&asker, ask, now.wall_ms),
            ServerEvent::Sync(ask) => reader.sync(&asker, ask, now.wall_ms),
            ServerEvent::Call(call) if call.method == Method::Presence.number() => {
                match reader.presence(&asker, &self.origin, call, now) {
                    Ok(None) => return,
                    Ok(Some(refusal)) => Ok(refusal),
                    Err(error) => Err(error),
                }
            }
            ServerEvent::Call(call) if call.method == Method::Watch.number() => {
                reader.watch(&asker, &self.origin, call)
            }
            ServerEvent::Call(call) => reader.call(&asker, call, self.origin.usage.as_deref(), now.wall_ms),
            _ => return,
        };
        let answer = answer.unwrap_or_else(|error| {
            tracing::error!(%error, "reading failed");
            self.failed()
        });
        self.origin.answer_read(&answer);
    }

    fn failed(&self) -> Packet {
        let (reason, tlvs, none) = (Reason::Internal, Tlvs::new(), Bytes::new());
        match &*self.event {
            ServerEvent::List(ask) => Packet::Listed(ListedPacket {
                request: ask.request,
                reason,
                token: none.clone(),
                next: none,
                conversations: Vec::new(),
                tlvs,
            }),
            ServerEvent::Sync(ask) => Packet::Synced(SyncedPacket {
                request: ask.request,
                reason,
                epoch: 0,
                head: 0,
                from: 0,
                to: 0,
                items: Vec::new(),
                tlvs,
            }),
            ServerEvent::Call(call) => {
                let request = call.request;
                Packet::Reply(ReplyPacket { request, reason, seq: 0, time_ms: 0, fields: none, tlvs })
            }
            _ => Packet::Pong(tlvs),
        }
    }
}

impl Session {
    /// Puts a read into service, or holds it until the one in service is answered and the user may have it.
    pub(super) fn read(&mut self, now: Now, event: ServerEvent, effects: &mut Vec<Effect>) {
        let Some(origin) = self.origin.clone() else { return };
        if self.keep_pace(now) || origin.reading.swap(true, Ordering::AcqRel) {
            self.held = Some(Box::new(event));
            return;
        }
        self.charge(READ_US, now);
        effects.push(Effect::Read(ReadRequest { origin, event: Box::new(event) }));
    }

    /// Charges its user with so many microseconds of a core.
    pub(super) fn charge(&self, used_us: u64, now: Now) {
        if let Some(origin) = &self.origin {
            self.shared.pace.charge(origin.tenant, &origin.user, used_us, now.mono_ms);
        }
    }

    /// Holds the connection up for as long as its user has to wait; whether they have to.
    pub(super) fn keep_pace(&mut self, now: Now) -> bool {
        let Some(origin) = &self.origin else { return false };
        let wait_ms = self.shared.pace.wait_ms(origin.tenant, &origin.user, now.mono_ms);
        if wait_ms > 0 {
            self.paused_until = self.paused_until.max(now.mono_ms + wait_ms);
            origin.pause.lengthen(self.paused_until);
        }
        wait_ms > 0
    }
}
