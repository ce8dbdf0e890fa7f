//! LIST: the conversations that changed since a token, newest first, a page at a time.
//!
//! A token tells, for each slot in which the user has conversations, its epoch and position at a moment; a slot that it
//! does not name, or whose epoch is another now, lists all its conversations. `page` is the token to give at the end
//! and the place (time, channel) after which the next page begins; what changes while a client pages moves before
//! that place and is above that token, so it comes live or with the next LIST.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use postrider_protocol::{
    ANSWER_BYTES, Channel, ChannelKind, ID_BYTES, Image, LIST_BODY_BYTES, Reader as Fields, Reason, Tlvs, Writer,
    packet::{Conversation, ListPacket, ListedPacket, Packet, conversation_flag},
    tag,
};
use postrider_storage::{ConversationRow, Found, GroupRow, RequestRow, StateKey, StoreError, Waiting};

use super::{
    Asker, End, Reader, step_aside,
    targets::{Reading, Shown},
    unread::Unread,
};
use crate::view::Committed;

/// Most bytes of a LISTED besides its conversations and the token, which is told twice: again within `next`.
const LISTED_HEAD: usize = 12 + 2 + CHANNEL_BYTES + 8;
/// The longest channel.
const CHANNEL_BYTES: usize = 1 + 2 * (1 + ID_BYTES);
/// Of so many conversations it is looked up in one go whether they changed.
const CHANGED: usize = 64;
/// Which tokens this build makes.
const FORMAT: u8 = 0;

/// Epoch and position of slots at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Token(BTreeMap<u8, Committed>);

/// The conversation after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    time_ms: u64,
    channel: Channel,
}

/// A conversation that is to be listed.
struct Listed {
    place: Place,
    row: ConversationRow,
    head: u64,
    /// The user has hidden it, and nothing new came since.
    is_left_out: bool,
}

impl Reader {
    /// The answer to LIST at `now_ms` (since 1970).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, asker: &Asker, ask: &ListPacket, now_ms: u64) -> Result<Packet, StoreError> {
        let mut answer = ListedPacket {
            request: ask.request,
            reason: Reason::Ok,
            token: Bytes::new(),
            next: Bytes::new(),
            conversations: Vec::new(),
            tlvs: Tlvs::new(),
        };
        let Some((since, page)) = Token::decode(&ask.token).zip(decode_page(&ask.page)) else {
            answer.reason = Reason::BadListToken;
            answer.tlvs = Tlvs::from_pairs([(tag::DETAIL, &b"token or page that this server did not make"[..])]);
            return Ok(Packet::Listed(answer));
        };
        let committed: Vec<Committed> = (0..=u8::MAX).map(|slot| self.view.committed(slot)).collect();
        let (mut listed, slots) = self.changed(asker, &since, &committed)?;
        let token = match &page {
            Some((token, _)) => token.clone(),
            None => slots,
        };
        listed.sort_by(|a, b| b.place.order(&a.place));
        if let Some((_, after)) = &page {
            listed.retain(|listed| listed.place.order(after).is_lt());
        }
        let limit = if ask.limit == 0 { self.limits.page } else { usize::from(ask.limit).min(self.limits.page_max) };
        answer.token = token.encode().into();
        let mut bytes = LISTED_HEAD + 2 * answer.token.len();
        let (mut last, mut more) = (None, false);
        for next in listed {
            step_aside();
            let conversation = self.conversation(asker, &next, now_ms)?;
            bytes += conversation.image.len() + conversation.channel.as_bytes().len();
            bytes += conversation.name.len() + conversation.avatar.len() + 57;
            if answer.conversations.len() >= limit || (bytes > ANSWER_BYTES && last.is_some()) {
                more = true;
                break;
            }
            answer.conversations.push(conversation);
            last = Some(next.place);
        }
        if let Some(last) = last.filter(|_| more) {
            answer.next = encode_page(&token, &last);
        }
        Ok(Packet::Listed(answer))
    }

    /// The conversations of the user that changed since `since`, and the token of now.
    fn changed(
        &self,
        asker: &Asker,
        since: &Token,
        committed: &[Committed],
    ) -> Result<(Vec<Listed>, Token), StoreError> {
        let (mut listed, mut slots) = (Vec::new(), Token::default());
        for (at, (channel, row)) in self.conversations(asker)?.into_iter().enumerate() {
            if at % CHANGED == 0 {
                step_aside();
            }
            let slot = channel.slot(asker.tenant);
            let now = committed.get(usize::from(slot)).copied().unwrap_or_default();
            slots.0.insert(slot, now);
            let Some(end) = self.end(asker.tenant, &channel)? else { continue };
            let seen = since.0.get(&slot).filter(|seen| seen.epoch == now.epoch).map_or(0, |seen| seen.position);
            let moved = if row.visible_to.is_some() { row.changed } else { row.changed.max(end.position) };
            if moved > seen {
                let time_ms = self.newest_of(asker, &channel, &row, &end)?;
                let is_left_out = row.is_left_out(end.position);
                let place = Place { time_ms, channel };
                listed.push(Listed { place, row, head: end.head, is_left_out });
            }
        }
        Ok((listed, slots))
    }

    /// All views of the user.
    pub(super) fn conversations(&self, asker: &Asker) -> Result<BTreeMap<Channel, ConversationRow>, StoreError> {
        let held = self.view.conversations(asker.tenant, &asker.user);
        let mut rows: BTreeMap<Channel, ConversationRow> =
            self.store.conversations(asker.tenant, &asker.user)?.into_iter().collect();
        rows.extend(held);
        Ok(rows)
    }

    /// When something last happened in a channel for the user. For who is no member, what comes later moves nothing: it
    /// would pass from one page to one before it.
    fn newest_of(&self, asker: &Asker, channel: &Channel, row: &ConversationRow, end: &End) -> Result<u64, StoreError> {
        let Some(last) = row.visible_to else { return Ok(end.time_ms) };
        let mut time_ms = if last > 0 { self.time_of(asker.tenant, channel, last)?.unwrap_or_default() } else { 0 };
        if row.waiting != Waiting::No {
            let key = StateKey::Request(asker.user.clone());
            let request = self.lookup.row::<RequestRow>(asker.tenant, channel, &key)?;
            time_ms = time_ms.max(request.map_or(0, |request| request.time_ms));
        }
        Ok(time_ms)
    }

    /// The group, for who is a member or waits to be one.
    fn group_of(&self, asker: &Asker, listed: &Listed) -> Result<Option<GroupRow>, StoreError> {
        let channel = &listed.place.channel;
        if channel.kind() != ChannelKind::Group || listed.row.visible_to.is_some() {
            return Ok(None);
        }
        self.lookup.row::<GroupRow>(asker.tenant, channel, &StateKey::Group)
    }

    fn conversation(&self, asker: &Asker, listed: &Listed, now_ms: u64) -> Result<Conversation, StoreError> {
        let (channel, row) = (&listed.place.channel, &listed.row);
        let head = row.last_visible(listed.head);
        let group = self.group_of(asker, listed)?.unwrap_or_default();
        let mut flags = flags(listed, &group);
        let expiry_ms = self.expiry_ms(now_ms, listed.place.time_ms);
        let reading = Reading { reader: self, asker, channel, view: Cow::Borrowed(row), now_ms: expiry_ms };
        let mut image = self.shown(&reading, head)?.and_then(Shown::image).unwrap_or_default();
        if let Some(cut) = cut(&image) {
            flags |= conversation_flag::CUT;
            image = cut;
        }
        let Unread { unread, mentions } = self.unread(asker, channel, (row, head), now_ms)?;
        Ok(Conversation {
            channel: channel.clone(),
            flags,
            epoch: self.view.committed(channel.slot(asker.tenant)).epoch,
            head,
            sync_from: self.sync_from(asker, channel, (row, head), now_ms)?,
            read: row.read,
            unread,
            mentions,
            muted_until_ms: row.muted_until_ms,
            cleared: row.cleared,
            name: field(&group, tag::NAME),
            avatar: field(&group, tag::AVATAR),
            image,
        })
    }

    /// The seq above which the device syncs by itself: the latest of its cursor, the window, what was trimmed, and the age.
    fn sync_from(
        &self,
        asker: &Asker,
        channel: &Channel,
        (row, head): (&ConversationRow, u64),
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        let cursor =
            asker.device.as_ref().and_then(|device| row.cursors.iter().find(|cursor| cursor.device == *device));
        let mut low = cursor
            .map_or(0, |cursor| cursor.seq)
            .max(head.saturating_sub(self.limits.window))
            .max(row.visible_from)
            .min(head);
        low = self.store.trimmed_through(asker.tenant, channel, low + 1)?.max(low).min(head);
        let since_ms = now_ms.saturating_sub(self.limits.age_ms);
        let mut high = head;
        // Times of a channel never go back, so what is too old is a prefix; most often an empty one.
        if low < high && self.time_of(asker.tenant, channel, low + 1)?.is_none_or(|time_ms| time_ms >= since_ms) {
            return Ok(low);
        }
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.time_of(asker.tenant, channel, middle)? {
                Some(time_ms) if time_ms >= since_ms => high = middle - 1,
                _ => low = middle,
            }
        }
        Ok(low)
    }

    fn time_of(&self, tenant: u32, channel: &Channel, seq: u64) -> Result<Option<u64>, StoreError> {
        match self.images(tenant, channel, (seq, seq), 1)?.pop() {
            Some(Found::Image(image) | Found::Erased(image)) => {
                Ok(Image::decode(image).ok().map(|image| image.time_ms))
            }
            _ => Ok(None),
        }
    }
}

/// Bits of [`conversation_flag`].
fn flags(listed: &Listed, group: &GroupRow) -> u16 {
    let row = &listed.row;
    let flags = [
        (row.visible_to.is_some(), conversation_flag::LEFT),
        (row.is_pinned, conversation_flag::PINNED),
        (listed.is_left_out, conversation_flag::HIDDEN),
        (row.is_marked_unread, conversation_flag::MARKED_UNREAD),
        (row.waiting == Waiting::Invited, conversation_flag::INVITED),
        (row.waiting == Waiting::Asked, conversation_flag::ASKED),
        (row.blocks, conversation_flag::BLOCKED),
        (group.is_dismissed, conversation_flag::DISMISSED),
    ];
    flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum()
}

/// A field of the group; empty when it has none.
fn field(group: &GroupRow, tag: u16) -> Bytes {
    group.fields.get(tag).map(Bytes::copy_from_slice).unwrap_or_default()
}

/// The image with its body cut, if that is longer than a preview.
fn cut(image: &Bytes) -> Option<Bytes> {
    if image.len() <= LIST_BODY_BYTES {
        return None;
    }
    let mut image = Image::decode(image.clone()).ok()?;
    if image.body.len() <= LIST_BODY_BYTES {
        return None;
    }
    image.body.truncate(LIST_BODY_BYTES);
    let mut bytes = Vec::new();
    image.write(&mut bytes);
    Some(bytes.into())
}

impl Place {
    /// Older is less; equal times are told apart by channel.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.time_ms.cmp(&other.time_ms).then_with(|| self.channel.cmp(&other.channel))
    }
}

impl Token {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for (slot, at) in &self.0 {
            out.u8(*slot);
            out.u32(at.epoch);
            out.u64(at.position);
        }
        out
    }

    /// None when the bytes are not a token; the empty one stands for the beginning.
    fn decode(bytes: &Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut fields = Fields::new(bytes.clone());
        if fields.u8("format").ok()? != FORMAT {
            return None;
        }
        let mut slots = BTreeMap::new();
        while fields.remaining() > 0 {
            let slot = fields.u8("slot").ok()?;
            let epoch = fields.u32("epoch").ok()?;
            let position = fields.u64("position").ok()?;
            slots.insert(slot, Committed { epoch, position });
        }
        Some(Self(slots))
    }
}

fn encode_page(token: &Token, after: &Place) -> Bytes {
    let mut out = Vec::new();
    out.bytes16(after.channel.as_bytes());
    out.u64(after.time_ms);
    out.raw(&token.encode());
    out.into()
}

/// None when the bytes are not a page; Some(None) for the first.
#[allow(clippy::option_option, reason = "absent and wrong are different answers")]
fn decode_page(bytes: &Bytes) -> Option<Option<(Token, Place)>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let mut fields = Fields::new(bytes.clone());
    let channel = fields.u16("channel length").ok()?;
    let channel = Channel::new(fields.bytes(usize::from(channel), "channel").ok()?)?;
    let time_ms = fields.u64("time").ok()?;
    let token = Token::decode(&fields.bytes(fields.remaining(), "token").ok()?)?;
    Some(Some((token, Place { time_ms, channel })))
}
