//! SYNC: a closed interval of seqs, answered completely with images and gaps, up to a size.

use std::borrow::Cow;

use postrider_protocol::{
    ANSWER_BYTES, GapReason, Reason, Tlvs,
    packet::{Gap, Packet, SyncItem, SyncPacket, SyncedPacket},
    tag,
};
use postrider_storage::{Found, StoreError, plant};

use super::{
    Asker, Reader,
    targets::{Reading, Shown, element_bytes},
};

/// Bytes of a SYNCED without elements.
const SYNCED_HEAD: usize = 36;

impl Reader {
    /// The answer to SYNC at `now_ms` (since 1970).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sync(&self, asker: &Asker, ask: &SyncPacket, now_ms: u64) -> Result<Packet, StoreError> {
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
        let (head, end_ms) = self.end(asker.tenant, &ask.channel)?.map_or((0, 0), |end| (end.head, end.time_ms));
        answer.head = row.last_visible(head);
        if ask.epoch != epoch {
            return refused(answer, Reason::EpochMismatch, "the slot has another epoch");
        }
        if ask.from > answer.head + 1 {
            return refused(answer, Reason::EpochMismatch, "the interval lies above the head");
        }
        let to = ask.to.min(answer.head);
        let limit = if ask.limit == 0 { self.limits.page } else { usize::from(ask.limit).min(self.limits.page_max) };
        let now_ms = self.expiry_ms(now_ms, end_ms);
        let reading = Reading { reader: self, asker, channel: &ask.channel, view: Cow::Borrowed(&row), now_ms };
        let mut page = Page { items: Vec::new(), made: Vec::new(), next: ask.from, bytes: SYNCED_HEAD, images: 0 };
        while page.next <= to && page.items.len() < limit {
            let (end, why) = reading.stretch(page.next, to);
            if let Some(why) = why {
                page.gap(end, why);
                continue;
            }
            let trimmed = self.store.trimmed_through(asker.tenant, &ask.channel, page.next)?;
            if page.next <= trimmed {
                page.gap(trimmed.min(end), GapReason::Trimmed);
                continue;
            }
            let found = self.images(asker.tenant, &ask.channel, (page.next, end), limit - page.items.len())?;
            if found.is_empty() || !page.fill(&reading, found)? {
                break;
            }
        }
        let missing =
            page.items.iter().filter(|item| matches!(item, SyncItem::Gap(gap) if gap.why == GapReason::Quarantined));
        self.metrics.quarantined.inc_by(missing.count() as u64);
        answer.to = page.next - 1;
        if plant::is(plant::Fault::SkipLastSyncItem) {
            page.items.pop();
        }
        answer.items = page.items;
        answer.items.append(&mut page.made);
        Ok(Packet::Synced(answer))
    }
}

/// An answer that grows.
struct Page {
    items: Vec<SyncItem>,
    /// What follows them.
    made: Vec<SyncItem>,
    /// The first seq that is not answered yet.
    next: u64,
    bytes: usize,
    images: usize,
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

    /// Takes elements until the answer is full, and then tells false; the first image always fits.
    fn fill(&mut self, reading: &Reading<'_>, found: Vec<Found>) -> Result<bool, StoreError> {
        let targets = reading.targets((self.next, self.next + found.len() as u64 - 1))?;
        for found in found {
            let (image, made) = match reading.show(self.next, found, &targets)? {
                Shown::Gap(why) => {
                    self.gap(self.next, why);
                    continue;
                }
                Shown::Image(image, made) => (image, made),
            };
            let bytes = self.bytes + element_bytes(&image, made.as_ref());
            if self.images > 0 && bytes > ANSWER_BYTES {
                return Ok(false);
            }
            self.images += 1;
            self.bytes = bytes;
            self.items.push(SyncItem::Image(image));
            self.made.extend(made.map(SyncItem::Made));
            self.next += 1;
        }
        Ok(true)
    }
}
