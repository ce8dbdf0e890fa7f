//! Where the client stands in each of its channels, and what came out of order.
//!
//! `at` moves one seq at a time, with an image, a gap, or a command of its own; it never moves over a hole. Until the
//! first LIST of a connection is complete nothing is handed out: only then is it sure that seqs still mean what they
//! meant. What cannot be handed out yet is held within a bound, and beyond that pulled later.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    string::String,
};

use bytes::Bytes;

use super::{commands::Commands, event::ClientEvent, pull::Listing};
use crate::{Channel, From, Image, Tlvs};

/// Most events that wait to be polled before no more images are handed out.
const EVENTS: usize = 1_024;
/// Most bytes held above holes, all channels together.
const HELD_BYTES: usize = 1 << 20;
/// What one held seq counts beside its message.
const HELD_OVERHEAD: usize = 256;
/// How long a hole may stay before it is pulled: an own command's answer and a live image may pass each other.
pub(super) const HOLE_MS: u64 = 200;
/// RECVACK waits so long for more to acknowledge.
const ACK_MS: u64 = 200;
/// RECVACK waits for no more than so many acknowledgements.
const ACK_COUNT: u32 = 64;

/// What is held of a seq above a hole.
#[derive(Debug)]
pub(super) enum Held {
    /// A command of this client: its answer is all there is to tell.
    Own,
    Image(Image),
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Own => HELD_OVERHEAD,
            Self::Image(image) => HELD_OVERHEAD + image.tlvs.as_bytes().len() + image.body.len(),
        }
    }
}

/// Where the client stands in one channel.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The epoch of the channel's slot, when it was told.
    pub epoch: Option<u32>,
    /// Whether `at` counts: it was told by LIST, or the channel was followed from its first image.
    pub known: bool,
    /// The app has to forget what it holds.
    pub reset: bool,
    /// Every seq up to here was handed out or need not be.
    pub at: u64,
    /// `at` when this connection began.
    pub resumed: u64,
    /// The last seq that was handed out as an image.
    pub last: u64,
    /// The app holds everything up to here.
    pub acked: u64,
    /// There is something up to here.
    pub head: u64,
    pub above: BTreeMap<u64, Held>,
    /// When the hole above `at` was first seen.
    pub hole_ms: u64,
    /// A SYNC of this channel is under way.
    pub syncing: bool,
    /// How many LISTs had begun when something of it last came live before it was told.
    pub met: u32,
    /// Something of it came on this connection.
    pub live: bool,
    /// A LIST of everything did not tell of it, perhaps because it changed between two pages.
    pub doubted: bool,
}

impl Cursor {
    /// Starts anew above `from`.
    pub(super) const fn start(&mut self, from: u64) {
        self.known = true;
        self.at = from;
        self.last = from;
        self.acked = from;
        self.resumed = 0;
    }

    /// The last seq that is missing below what is held, or up to the head; none when nothing is.
    pub(super) fn missing_to(&self) -> Option<u64> {
        let to = self.above.first_key_value().map_or(self.head, |(&first, _)| first.saturating_sub(1));
        (to > self.at).then_some(to)
    }

    fn is_behind(&self) -> bool {
        self.at < self.head || !self.above.is_empty()
    }

    /// Hands out what is held and next. Returns how many held bytes that freed.
    fn advance(&mut self, out: &mut Outlet<'_>) -> usize {
        let mut freed = 0;
        while let Some(entry) = self.above.first_entry() {
            let seq = *entry.key();
            let is_next = seq == self.at + 1 && out.has_room();
            if seq > self.at && !is_next {
                break;
            }
            let held = entry.remove();
            freed += held.bytes();
            if is_next {
                self.at = seq;
                if let Held::Image(image) = held
                    && out.hand_out(image)
                {
                    self.last = seq;
                }
            }
        }
        freed
    }

    /// The app has nothing to acknowledge for what was not handed out as an image.
    const fn acknowledge_silently(&mut self) -> bool {
        let moves = self.acked >= self.last && self.acked < self.at;
        if moves {
            self.acked = self.at;
        }
        moves
    }
}

/// Where what was put in order goes.
pub(super) struct Outlet<'a> {
    pub events: &'a mut VecDeque<ClientEvent>,
    pub answers: &'a mut VecDeque<ClientEvent>,
    pub commands: &'a mut Commands,
}

impl Outlet<'_> {
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < EVENTS
    }

    /// Tells the app of an image; false when it is a command of this client, which is told by `Sent` alone.
    pub(super) fn hand_out(&mut self, image: Image) -> bool {
        if image.sender != self.commands.sender {
            self.events.push_back(ClientEvent::Message { image });
            return true;
        }
        if self.commands.settle(image.number).is_some() {
            let Image { number, channel, seq, time_ms, .. } = image;
            self.answers.push_back(ClientEvent::Sent { number, channel, seq, time_ms });
        }
        false
    }
}

/// All channels of the client.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub map: BTreeMap<Channel, Cursor>,
    /// Those with something missing or held.
    pub behind: BTreeSet<Channel>,
    /// A LIST of this connection has been complete.
    pub settled: bool,
    pub listing: Listing,
    held_bytes: usize,
    /// Those whose acknowledgement the server has not been told.
    due: BTreeSet<Channel>,
    /// Those whose acknowledgement went out on this connection.
    told: BTreeSet<Channel>,
    due_ms: Option<u64>,
    due_count: u32,
}

impl Channels {
    /// A new connection begins, or one ended: nothing that was under way goes on.
    pub(super) fn restart(&mut self) {
        self.settled = false;
        self.listing.restart();
        self.held_bytes = 0;
        for cursor in self.map.values_mut() {
            // What is held came live: pull it again, so that what is held is always of this connection.
            cursor.head = cursor.above.last_key_value().map_or(cursor.head, |(&last, _)| last.max(cursor.head));
            cursor.above.clear();
            cursor.syncing = false;
            cursor.resumed = cursor.at;
            cursor.live = false;
        }
        self.map.retain(|_, cursor| cursor.known || cursor.reset);
        let behind = |(channel, cursor): (&Channel, &Cursor)| cursor.is_behind().then(|| channel.clone());
        self.behind = self.map.iter().filter_map(behind).collect();
        self.due.append(&mut self.told);
        self.due_ms = (!self.due.is_empty()).then_some(0);
    }

    /// Takes a seq that came live: an image, or the answer to an own command.
    pub(super) fn receive(&mut self, now_ms: u64, channel: &Channel, seq: u64, held: Held, out: &mut Outlet<'_>) {
        if seq == 0 {
            return;
        }
        if !self.map.contains_key(channel) {
            let known = self.settled && seq == 1;
            self.map.insert(channel.detached(), Cursor { known, ..Cursor::default() });
        }
        let Some(cursor) = self.map.get_mut(channel) else { return };
        cursor.live = true;
        cursor.doubted = false;
        if cursor.epoch.is_none() {
            // A LIST that is under way may tell of it, or leave it out because it changed between two pages: when
            // none is under way, or that one ends without it, another one follows.
            cursor.met = self.listing.begun;
            self.listing.wanted |= self.listing.is_idle();
        }
        if self.settled && cursor.known && seq <= cursor.at {
            return;
        }
        let next = self.settled && cursor.known && seq == cursor.at + 1 && cursor.above.is_empty();
        if next && out.has_room() {
            cursor.at = seq;
            if let Held::Image(image) = held
                && out.hand_out(image)
            {
                cursor.last = seq;
            }
        } else if self.held_bytes + held.bytes() > HELD_BYTES {
            cursor.head = cursor.head.max(seq);
        } else if let Entry::Vacant(entry) = cursor.above.entry(seq) {
            self.held_bytes += held.bytes();
            entry.insert(match held {
                Held::Image(image) => Held::Image(detached(&image)),
                Held::Own => Held::Own,
            });
        }
        self.review(now_ms, channel, out);
    }

    /// Hands out what can be handed out of `channel`, and notes what is missing.
    pub(super) fn review(&mut self, now_ms: u64, channel: &Channel, out: &mut Outlet<'_>) {
        let Some(cursor) = self.map.get_mut(channel) else {
            self.behind.remove(channel);
            return;
        };
        let before = cursor.at;
        if self.settled && cursor.known {
            self.held_bytes -= cursor.advance(out).min(self.held_bytes);
            if cursor.acknowledge_silently() {
                include(&mut self.due, channel);
                self.due_ms.get_or_insert(now_ms);
            }
        }
        if !cursor.is_behind() {
            self.behind.remove(channel);
        } else if include(&mut self.behind, channel) || cursor.at != before {
            cursor.hole_ms = now_ms;
        }
    }

    /// Reviews every channel that has something missing or held.
    pub(super) fn review_all(&mut self, now_ms: u64, out: &mut Outlet<'_>) {
        for channel in self.behind.clone() {
            self.review(now_ms, &channel, out);
        }
    }

    /// Nothing more of `channel` will be asked for or handed out.
    pub(super) fn forget(&mut self, channel: &Channel) {
        if let Some(cursor) = self.map.remove(channel) {
            self.held_bytes -= cursor.above.values().map(Held::bytes).sum::<usize>().min(self.held_bytes);
        }
        self.behind.remove(channel);
        self.due.remove(channel);
        self.told.remove(channel);
    }

    /// The app holds everything of `channel` up to `seq`.
    pub(super) fn acknowledge(&mut self, now_ms: u64, channel: &Channel, seq: u64) {
        let Some(cursor) = self.map.get_mut(channel) else { return };
        let seq = if seq >= cursor.last { cursor.at } else { seq };
        if seq > cursor.acked && cursor.known {
            cursor.acked = seq;
            include(&mut self.due, channel);
            self.due_ms.get_or_insert(now_ms);
            self.due_count = self.due_count.saturating_add(1);
        }
    }

    /// The next acknowledgement to tell the server; with `flush` without waiting for more.
    pub(super) fn poll_ack(&mut self, now_ms: u64, flush: bool) -> Option<(Channel, u64)> {
        let due = flush || self.due_count >= ACK_COUNT || now_ms >= self.ack_at()?;
        while self.settled && due {
            let Some(channel) = self.due.pop_first() else {
                self.due_ms = None;
                self.due_count = 0;
                return None;
            };
            if let Some(cursor) = self.map.get(&channel).filter(|cursor| cursor.known && cursor.acked > 0) {
                self.told.insert(channel.clone());
                return Some((channel, cursor.acked));
            }
        }
        None
    }

    /// Whether the server may not know of the acknowledgement: it was not told yet, or on this connection.
    pub(super) fn may_owe(&self, channel: &Channel) -> bool {
        self.due.contains(channel) || self.told.contains(channel)
    }

    /// The server is told of the acknowledgement again.
    pub(super) fn owe(&mut self, channel: &Channel) {
        include(&mut self.due, channel);
        self.due_ms = Some(0);
    }

    /// Whether an acknowledgement waits to be told.
    pub(super) fn owes_ack(&self) -> bool {
        !self.due.is_empty()
    }

    fn ack_at(&self) -> Option<u64> {
        self.due_ms.map(|since| since.saturating_add(ACK_MS))
    }

    /// When an acknowledgement becomes due if nothing else happens before.
    pub(super) fn ack_timeout(&self) -> Option<u64> {
        self.ack_at().filter(|_| self.settled && self.owes_ack())
    }

    /// When a SYNC becomes due if nothing else happens before.
    pub(super) fn hole_timeout(&self) -> Option<u64> {
        let hole = |cursor: &Cursor| {
            let waits = cursor.known && cursor.epoch.is_some() && !cursor.syncing && cursor.missing_to().is_some();
            waits.then(|| cursor.hole_ms.saturating_add(HOLE_MS))
        };
        let holes = self.behind.iter().filter_map(|channel| self.map.get(channel).and_then(hole));
        holes.min().filter(|_| self.settled)
    }
}

/// Puts `channel` into `set`, in memory of its own; whether it was new.
fn include(set: &mut BTreeSet<Channel>, channel: &Channel) -> bool {
    !set.contains(channel) && set.insert(channel.detached())
}

/// A copy that shares no memory with the read buffer it came in.
fn detached(image: &Image) -> Image {
    let from = match &image.from {
        From::Side(side) => From::Side(*side),
        From::User(user) => From::User(user.detached()),
    };
    let tlvs = Tlvs::parse(Bytes::copy_from_slice(image.tlvs.as_bytes()), 0).unwrap_or_default();
    let body = Bytes::copy_from_slice(&image.body);
    Image { channel: image.channel.detached(), from, tlvs, body, ..*image }
}

/// What a refusal says for the developer.
pub(super) fn detail(tlvs: &Tlvs) -> String {
    tlvs.get(crate::tag::DETAIL).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}
