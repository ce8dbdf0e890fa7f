//! SYNC: a closed interval of seqs, answered completely with images and gaps, up to a size.

use postrider_protocol::{
    ANSWER_BYTES, Channel, GapReason, Reason, Tlvs,
    packet::{Gap, Packet, SyncItem, SyncPacket, SyncedPacket},
    tag,
};
use postrider_storage::{Found, StoreError};

use super::{Asker, Reader};

/// Bytes of a SYNCED without elements.
const SYNCED_HEAD: usize = 36;

impl Reader {
    /// The answer to SYNC.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sync(&self, asker: &Asker, ask: &SyncPacket) -> Result<Packet, StoreError> {
        let epoch = self.view.committed(ask.channel.slot(asker.tenant)).epoch;
        let mut answer = SyncedPacket {
            request: ask.request,
            reason: Reason::Ok,
            epoch,
            head: 0,
            from: ask.from,
            to: ask.from,
            items: Vec::new(),
            tlvs: Tlvs::new(),
        };
        let refused = |mut answer: SyncedPacket, reason, detail: &str| {
            answer.reason = reason;
            (answer.from, answer.to) = (0, 0);
            answer.tlvs = Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]);
            Ok(Packet::Synced(answer))
        };
        if ask.from == 0 || ask.to < ask.from {
            return refused(answer, Reason::Malformed, "an interval begins at 1 or above and does not end before it");
        }
        let Some(row) = self.row(asker, &ask.channel)? else {
            return refused(answer, Reason::NoChannel, "no such channel for this user");
        };
        let head = self.end(asker.tenant, &ask.channel)?.map_or(0, |end| end.head);
        answer.head = row.last_visible(head);
        if ask.epoch != epoch {
            return refused(answer, Reason::EpochMismatch, "the slot has another epoch");
        }
        if ask.from > answer.head + 1 {
            return refused(answer, Reason::EpochMismatch, "the interval lies above the head");
        }
        let to = ask.to.min(answer.head);
        let limit = if ask.limit == 0 { self.limits.page } else { usize::from(ask.limit).min(self.limits.page_max) };
        let mut page = Page { items: Vec::new(), next: ask.from, room: limit, bytes: SYNCED_HEAD };
        while page.next <= to && page.room > 0 {
            let (why, through) = row.stretch(page.next);
            match why {
                Some(why) => page.gap(through.min(to), why),
                None => self.fill(asker, &ask.channel, through.min(to), &mut page)?,
            }
        }
        let missing =
            page.items.iter().filter(|item| matches!(item, SyncItem::Gap(gap) if gap.why == GapReason::Quarantined));
        self.metrics.quarantined.inc_by(missing.count() as u64);
        answer.to = page.next - 1;
        answer.items = page.items;
        Ok(Packet::Synced(answer))
    }
}

impl Reader {
    /// Answers up to `to`, all of which the user may see, or until the answer is full.
    fn fill(&self, asker: &Asker, channel: &Channel, to: u64, page: &mut Page) -> Result<(), StoreError> {
        let trimmed = self.store.trimmed_through(asker.tenant, channel, page.next)?;
        if page.next <= trimmed {
            page.gap(trimmed.min(to), GapReason::Trimmed);
        }
        if page.next <= to {
            let found = self.images(asker.tenant, channel, (page.next, to), page.room)?;
            page.fill(found);
        }
        Ok(())
    }
}

/// An answer that grows.
struct Page {
    items: Vec<SyncItem>,
    /// The first seq that is not answered yet.
    next: u64,
    /// How many more elements it takes.
    room: usize,
    bytes: usize,
}

impl Page {
    /// Nothing up to `to`; joined with a gap before it for the same reason.
    fn gap(&mut self, to: u64, why: GapReason) {
        match self.items.last_mut() {
            Some(SyncItem::Gap(gap)) if gap.why == why => gap.to = to,
            _ => {
                self.items.push(SyncItem::Gap(Gap { from: self.next, to, why }));
                self.bytes += 18;
            }
        }
        self.next = to + 1;
    }

    /// Takes elements until the answer is full; the first image always fits.
    fn fill(&mut self, found: Vec<Found>) {
        self.room = if found.is_empty() { 0 } else { self.room.saturating_sub(found.len()) };
        for found in found {
            match found {
                Found::Missing => self.gap(self.next, GapReason::Quarantined),
                Found::Trimmed => self.gap(self.next, GapReason::Trimmed),
                Found::Image(image) => {
                    let is_first = !self.items.iter().any(|item| matches!(item, SyncItem::Image(_)));
                    if !is_first && self.bytes + image.len() + 5 > ANSWER_BYTES {
                        self.room = 0;
                        return;
                    }
                    self.bytes += image.len() + 5;
                    self.items.push(SyncItem::Image(image));
                    self.next += 1;
                }
            }
        }
    }
}
