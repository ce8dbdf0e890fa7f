//! LIST, then SYNC of what is missed, one request at a time.

use bytes::Bytes;
use postrider_protocol::{
    Channel, GapReason, ImageKind, Reason, Tlvs,
    packet::{ListPacket, ListedPacket, Packet, SyncItem, SyncPacket, SyncedPacket},
};

use crate::{
    holds::Holds,
    postrider::Parts,
    sink::{How, Sink},
};

/// Seqs of one channel that are missed.
#[derive(Debug)]
struct Missed {
    channel: Channel,
    epoch: u32,
    from: u64,
    to: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    request: u32,
    /// The token of the last listing that is done.
    token: Bytes,
    /// The token of the listing under way.
    fresh: Bytes,
    missed: Vec<Missed>,
    busy: bool,
    /// Whether to begin again once it is done.
    again: bool,
}

impl CatchUp {
    pub(crate) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// What was asked for on the connection before is not answered any more.
    pub(crate) fn reconnected(&mut self) {
        self.busy = false;
        self.again = false;
        self.missed.clear();
    }

    /// Asks what is missed; when it is asking already, it will do so again.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.busy {
            self.again = true;
            return;
        }
        self.busy = true;
        self.list(Bytes::new(), out);
    }

    fn list(&mut self, page: Bytes, out: &mut Vec<u8>) {
        self.request += 1;
        let list = ListPacket { request: self.request, token: self.token.clone(), page, limit: 100, tlvs: Tlvs::new() };
        Packet::List(list).encode(out);
    }

    /// A page of conversations.
    ///
    /// # Errors
    /// It is a refusal.
    pub(crate) fn listed(
        &mut self,
        listed: ListedPacket,
        holds: &mut Holds,
        sink: &mut Sink<'_>,
    ) -> Result<(), String> {
        if listed.reason != Reason::Ok {
            return Err(format!("LISTED refuses: {}", listed.reason.name()));
        }
        for conversation in listed.conversations {
            let hold = holds.of(conversation.channel.as_bytes());
            if hold.held == 0 {
                hold.held = conversation.sync_from;
            }
            if conversation.head > hold.held {
                self.missed.push(Missed {
                    channel: conversation.channel.detached(),
                    epoch: conversation.epoch,
                    from: hold.held + 1,
                    to: conversation.head,
                });
            }
        }
        self.fresh = Bytes::copy_from_slice(&listed.token);
        if listed.next.is_empty() {
            self.sync(holds, sink);
        } else {
            self.list(listed.next, sink.out);
        }
        Ok(())
    }

    /// Asks for the next interval, or is done.
    fn sync(&mut self, holds: &mut Holds, sink: &mut Sink<'_>) {
        if let Some(missed) = self.missed.last() {
            self.request += 1;
            let sync = SyncPacket {
                request: self.request,
                channel: missed.channel.clone(),
                epoch: missed.epoch,
                from: missed.from,
                to: missed.to,
                limit: 100,
                tlvs: Tlvs::new(),
            };
            Packet::Sync(sync).encode(sink.out);
            return;
        }
        if !holds.caught_up() {
            return self.list(Bytes::new(), sink.out);
        }
        self.token = std::mem::take(&mut self.fresh);
        self.busy = false;
        sink.caught_up = true;
        if std::mem::take(&mut self.again) {
            self.begin(sink.out);
        }
    }

    /// A page of images.
    ///
    /// # Errors
    /// It is a refusal, or its images are none.
    pub(crate) fn synced(
        &mut self,
        synced: SyncedPacket,
        holds: &mut Holds,
        sink: &mut Sink<'_>,
    ) -> Result<(), String> {
        if synced.reason != Reason::Ok {
            return Err(format!("SYNCED refuses: {}", synced.reason.name()));
        }
        for item in &synced.items {
            let bytes = match item {
                SyncItem::Image(bytes) => bytes,
                // What was before joining is nobody's loss; anything else is.
                SyncItem::Made(_) => continue,
                SyncItem::Gap(gap) if gap.why == GapReason::NotVisible => continue,
                SyncItem::Gap(gap) => return Err(format!("a gap instead of messages: {}", gap.why.name())),
            };
            let image = Parts::of(bytes).ok_or("a SYNCED with what is no image")?;
            if image.kind == ImageKind::Message.number() {
                sink.delivered(image.body, How::Pulled);
            }
        }
        if let Some(missed) = self.missed.last_mut() {
            let hold = holds.of(missed.channel.as_bytes());
            hold.held = hold.held.max(synced.to);
            missed.from = synced.to + 1;
            if missed.from > missed.to {
                self.missed.pop();
            }
        }
        self.sync(holds, sink);
        Ok(())
    }
}
