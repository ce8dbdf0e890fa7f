//! LIST and SYNC: what was missed is pulled.

use alloc::{collections::VecDeque, vec::Vec};

use bytes::Bytes;

use super::{
    channels::{Channels, Cursor, HOLE_MS, Outlet},
    event::{ClientEvent, Failure},
};
use crate::{
    Channel, Image,
    packet::{Conversation, Gap, ListedPacket, SyncItem, SyncedPacket},
};

/// Where listing stands.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What the next LIST starts from; empty for everything.
    pub token: Bytes,
    /// A LIST has to begin.
    pub wanted: bool,
    /// How many have begun.
    pub begun: u32,
    /// The page to ask for, of the one that has begun.
    page: Option<Bytes>,
    /// The one that has begun lists everything.
    full: bool,
    /// It has more than one page, and may leave out what changed meanwhile.
    paged: bool,
    /// Channels that it told of, when it lists everything.
    told: Vec<Channel>,
    /// A page was asked for.
    asked: bool,
}

impl Listing {
    pub(super) fn restart(&mut self) {
        self.page = None;
        self.asked = false;
        self.told.clear();
        self.wanted = true;
    }

    /// The token and the page to ask for now, if any.
    pub(super) fn poll(&mut self) -> Option<(Bytes, Bytes)> {
        if self.asked {
            return None;
        }
        if self.page.is_none() {
            if !core::mem::take(&mut self.wanted) {
                return None;
            }
            self.begun = self.begun.saturating_add(1);
            self.full = self.token.is_empty();
            self.paged = false;
            self.told.clear();
            self.page = Some(Bytes::new());
        }
        self.asked = true;
        Some((self.token.clone(), self.page.clone().unwrap_or_default()))
    }

    /// The page that was asked for has to be asked for again.
    pub(super) const fn repeat(&mut self) {
        self.asked = false;
    }

    /// Begins again with everything.
    pub(super) fn start_over(&mut self) {
        self.restart();
        self.token = Bytes::new();
    }

    /// Whether nothing is listed and nothing has to be.
    pub(super) const fn is_idle(&self) -> bool {
        !self.wanted && self.page.is_none()
    }
}

impl Channels {
    /// Takes one page of conversations.
    pub(super) fn listed(&mut self, now_ms: u64, listed: ListedPacket, out: &mut Outlet<'_>) {
        for conversation in listed.conversations {
            if self.listing.full {
                self.listing.told.push(conversation.channel.detached());
            }
            self.conversation(now_ms, conversation, out);
        }
        self.listing.asked = false;
        if !listed.next.is_empty() {
            self.listing.page = Some(listed.next);
            self.listing.paged = true;
            return;
        }
        self.listing.page = None;
        self.listing.token = Bytes::copy_from_slice(&listed.token);
        self.settled = true;
        self.forget_unlisted();
        let begun = self.listing.begun;
        self.listing.wanted |= self.map.values().any(|cursor| cursor.epoch.is_none() && cursor.met == begun);
        self.review_all(now_ms, out);
    }

    fn conversation(&mut self, now_ms: u64, conversation: Conversation, out: &mut Outlet<'_>) {
        let Conversation { ref channel, epoch, head, sync_from, .. } = conversation;
        let begun = self.listing.begun;
        let new = || Cursor { met: begun, ..Cursor::default() };
        let cursor = self.map.entry(channel.detached()).or_insert_with(new);
        let other_epoch = cursor.epoch.is_some_and(|held| held != epoch);
        let reset = cursor.reset || (cursor.known && (other_epoch || cursor.resumed > head));
        if reset || !cursor.known {
            cursor.start(sync_from);
            cursor.head = 0;
        }
        cursor.reset = false;
        cursor.doubted = false;
        cursor.epoch = Some(epoch);
        cursor.head = cursor.head.max(head);
        let channel = channel.clone();
        out.events.push_back(ClientEvent::Conversation { conversation, reset });
        self.review(now_ms, &channel, out);
    }

    /// Drops channels that a LIST of everything did not tell of, and those met before a LIST that did not tell either. A
    /// LIST of several pages may have left out what changed between them: then the next one, or a live image, decides.
    fn forget_unlisted(&mut self) {
        let Listing { begun, full, paged, .. } = self.listing;
        let mut told = core::mem::take(&mut self.listing.told);
        told.sort_unstable();
        for (channel, cursor) in &mut self.map {
            cursor.doubted |= full && !cursor.live && told.binary_search(channel).is_err();
        }
        let is_gone = |(channel, cursor): (&Channel, &Cursor)| {
            let unexplained = !cursor.known && cursor.met < begun;
            (unexplained || cursor.doubted && !paged).then(|| channel.clone())
        };
        let gone: Vec<Channel> = self.map.iter().filter_map(is_gone).collect();
        for channel in gone {
            self.forget(&channel);
        }
        self.listing.wanted |= self.map.values().any(|cursor| cursor.doubted);
    }

    /// The next interval to pull, if one is due: channel, epoch, first and last seq.
    pub(super) fn poll_sync(&mut self, now_ms: u64) -> Option<(Channel, u32, u64, u64)> {
        if !self.settled {
            return None;
        }
        for channel in &self.behind {
            let Some(cursor) = self.map.get_mut(channel) else { continue };
            let is_due = cursor.at < cursor.head || now_ms >= cursor.hole_ms.saturating_add(HOLE_MS);
            if cursor.known
                && !cursor.syncing
                && is_due
                && let (Some(to), Some(epoch)) = (cursor.missing_to(), cursor.epoch)
            {
                cursor.syncing = true;
                return Some((channel.clone(), epoch, cursor.at + 1, to));
            }
        }
        None
    }

    /// A SYNC of `channel` was answered, or has to be asked again.
    pub(super) fn sync_ended(&mut self, channel: &Channel) {
        if let Some(cursor) = self.map.get_mut(channel) {
            cursor.syncing = false;
        }
    }

    /// Whether seqs of `channel` mean in `epoch` what they mean here.
    pub(super) fn is_in_epoch(&self, channel: &Channel, epoch: u32) -> bool {
        self.map.get(channel).is_none_or(|cursor| cursor.epoch == Some(epoch))
    }

    /// What is held of `channel` is void: list everything, start there anew.
    pub(super) fn mismatch(&mut self, channel: &Channel) {
        if let Some(cursor) = self.map.get_mut(channel) {
            cursor.syncing = false;
            cursor.known = false;
            cursor.reset = true;
            cursor.epoch = None;
            cursor.met = self.listing.begun;
        }
        self.listing.start_over();
    }

    /// Takes the answer to a SYNC from `from` to `to`.
    pub(super) fn synced(
        &mut self,
        now_ms: u64,
        channel: &Channel,
        (from, to): (u64, u64),
        synced: SyncedPacket,
        out: &mut Outlet<'_>,
    ) -> Result<(), Failure> {
        self.sync_ended(channel);
        if synced.from != from || synced.to < from || synced.to > to {
            return Err(Failure::violation("SYNCED answers another interval"));
        }
        let items = covering(channel, from, synced.to, synced.items)?;
        let Some(cursor) = self.map.get_mut(channel) else { return Ok(()) };
        for item in items {
            match item {
                Item::Image(image) if image.seq == cursor.at + 1 => {
                    cursor.at = image.seq;
                    if out.hand_out(image) {
                        cursor.last = cursor.at;
                    }
                }
                Item::Gap(gap) if gap.to > cursor.at => {
                    cursor.at = gap.to;
                    out.events.push_back(ClientEvent::Gap { channel: channel.clone(), gap });
                }
                Item::Image(_) | Item::Gap(_) => {}
            }
        }
        self.review(now_ms, channel, out);
        Ok(())
    }
}

enum Item {
    Image(Image),
    Gap(Gap),
}

/// The elements, decoded, if they cover every seq of the interval once, ascending, and belong to `channel`.
fn covering(channel: &Channel, from: u64, to: u64, items: Vec<SyncItem>) -> Result<VecDeque<Item>, Failure> {
    let mut next = from;
    let mut decoded = VecDeque::new();
    let mut has_made = false;
    for item in items {
        if has_made != matches!(item, SyncItem::Made(_)) {
            if has_made {
                return Err(Failure::violation("SYNCED tells what was made before it is through"));
            }
            has_made = true;
        }
        let (first, last, item) = match item {
            // The images have it, or it comes as the images that made it.
            SyncItem::Made(_) => continue,
            SyncItem::Image(bytes) => {
                let image = Image::decode(bytes).map_err(Failure::decode)?;
                if image.channel != *channel {
                    return Err(Failure::violation("SYNCED holds an image of another channel"));
                }
                (image.seq, image.seq, Item::Image(image))
            }
            SyncItem::Gap(gap) => (gap.from, gap.to, Item::Gap(gap)),
        };
        if first != next || last < first {
            return Err(Failure::violation("SYNCED does not cover its interval"));
        }
        next = last + 1;
        decoded.push_back(item);
    }
    if next != to.saturating_add(1) {
        return Err(Failure::violation("SYNCED does not cover its interval"));
    }
    Ok(decoded)
}
