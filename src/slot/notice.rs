//! What decide has to tell that is no RECV: what a client says and is not stored, and what an entry means to others
//! than those who get its image. It leaves with the batch in which it was decided, after its deliveries.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, Id, Image, ImageKind, Tlvs,
    packet::notice::{Receipt, Told, ViewNotice},
    tag,
};
use postrider_storage::{ConversationRow, OfState, RequestRow, StateKey, StateRow, StoreError, UserRow, fold};

use super::{
    case::Case,
    command::Origin,
    decide::Decider,
    decided::{Audience, Group},
};
use crate::lookup::Lookup;

/// A notice of a client.
#[derive(Clone, Debug)]
pub enum Spoken {
    /// The user writes, or has stopped.
    Typing(bool),
    /// A message that is not stored.
    Signal {
        /// Its body.
        body: Bytes,
        /// What comes with it.
        tlvs: Tlvs,
    },
}

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Tell {
    /// The tenant.
    pub tenant: u32,
    /// Whose doing it is, or whose view of a channel it is about.
    pub user: Id,
    /// The connection by which it came.
    pub except: u64,
    /// What.
    pub news: News,
}

/// What there is to tell, and to whom.
#[derive(Clone, Debug)]
pub enum News {
    /// The user is writing, or has stopped: for the others.
    Typing(Channel, Told, Audience),
    /// A message that is not stored: for whom a RECV would be for.
    Signal(Channel, (Told, Tlvs), Audience),
    /// The user has got or read more.
    Receipt(Channel, Receipt, Audience),
    /// The user's own view changed: for their other connections.
    View(Told, Tlvs),
    /// The requests that wait in a group changed: for its owner and admins.
    Requests(Id, Arc<Group>),
    /// One of the two blocks the other.
    Parted(Id),
    /// The user lets nobody know any more whether they are online.
    Hidden,
}

/// What a row was, as far as others are told of it.
pub(super) enum Before {
    View(ConversationRow),
    Marks { delivered: u64, read: u64 },
    Waits(bool),
    Shown(bool),
    Nothing,
}

impl Before {
    /// Of the row `key`.
    pub(super) fn of(key: &StateKey, row: Option<&StateRow>) -> Self {
        match (key, row) {
            (StateKey::Conversation(_), row) => {
                Self::View(row.and_then(ConversationRow::of).cloned().unwrap_or_default())
            }
            (StateKey::Member(_), Some(StateRow::Member(row))) => {
                Self::Marks { delivered: row.delivered, read: row.read }
            }
            (StateKey::Request(_), row) => Self::Waits(is_asked(row)),
            (StateKey::User, row) => Self::Shown(row.and_then(UserRow::of).is_none_or(|row| !row.presence_private)),
            _ => Self::Nothing,
        }
    }
}

/// Whether a request to join waits.
fn is_asked(row: Option<&StateRow>) -> bool {
    row.and_then(RequestRow::of).is_some_and(|row| !row.is_invitation)
}

/// An entry that was folded: what it means is asked row by row.
pub(super) struct Folded<'a> {
    pub origin: &'a Origin,
    /// What is committed, also of other slots.
    pub lookup: &'a Lookup,
    pub channel: &'a Channel,
    /// The group after it.
    pub group: Option<&'a Arc<Group>>,
    pub image: &'a Image,
    pub read: u64,
}

impl Folded<'_> {
    /// Adds what it means that a row is something else now.
    pub(super) fn tell(
        &self,
        key: &StateKey,
        before: &Before,
        row: Option<&StateRow>,
        tells: &mut Vec<Tell>,
    ) -> Result<(), StoreError> {
        let (tenant, except) = (self.origin.tenant, self.origin.session);
        let mut add = |user: &Id, news| tells.push(Tell { tenant, user: user.clone(), except, news });
        match (key, before, row) {
            (StateKey::Conversation(user), Before::View(before), Some(StateRow::Conversation(row))) => {
                if let Some((told, tlvs)) = self.view(before, row) {
                    add(user, News::View(told, tlvs));
                }
                if row.blocks
                    && !before.blocks
                    && let Some(other) = other_of(self.channel, user)
                {
                    add(user, News::Parted(other));
                }
                if let Some(mark) = self.moved(user, before, row)? {
                    add(user, News::Receipt(self.channel.clone(), mark, Audience::Person));
                }
            }
            (StateKey::Member(user), Before::Marks { delivered, read }, Some(StateRow::Member(row))) => {
                if (row.delivered, row.read) != (*delivered, *read)
                    && let Some(group) = self.group
                {
                    let mark = Receipt { user: user.clone(), delivered: row.delivered, read: row.read };
                    add(user, News::Receipt(self.channel.clone(), mark, Audience::Members(Arc::clone(group))));
                }
            }
            (StateKey::Request(user), Before::Waits(before), row) => {
                if let Some(group) = self.group.filter(|_| is_asked(row) != *before) {
                    add(user, News::Requests(self.channel.ids().0.detached(), Arc::clone(group)));
                }
            }
            (StateKey::User, Before::Shown(true), Some(StateRow::User(row))) if row.presence_private => {
                add(&self.channel.ids().0.detached(), News::Hidden);
            }
            _ => {}
        }
        Ok(())
    }

    /// What the user's other connections are told of a changed view; none when their RECV says it, and for cursors.
    fn view(&self, before: &ConversationRow, row: &ConversationRow) -> Option<(Told, Tlvs)> {
        let is_silent = self.image.kind == fold::CURSOR_KIND
            || self.image.seq > 0 && self.image.kind != ImageKind::Message.number();
        let state = |row: &ConversationRow| {
            let flags = (row.is_pinned, row.is_marked_unread, row.blocks, row.contact as u8, row.waiting as u8);
            (row.read, row.muted_until_ms, row.hidden_at, row.cleared, flags, row.note.clone())
        };
        let hides = self.image.kind == fold::HIDE_KIND;
        if is_silent || !hides && state(before) == state(row) {
            return None;
        }
        let hidden = if hides { span_in_body(self.image) } else { (0, 0) };
        let view = ViewNotice {
            channel: self.channel.clone(),
            read: row.read,
            hidden,
            blocks: row.blocks,
            contact: row.contact as u8,
            waiting: row.waiting as u8,
        };
        Some((Told::Conversation(view), settings(before, row)))
    }

    /// How far the user of a person channel has it now, for the other one; none when nothing moved that may be known.
    fn moved(&self, user: &Id, before: &ConversationRow, row: &ConversationRow) -> Result<Option<Receipt>, StoreError> {
        let Some(other) = other_of(self.channel, user).filter(|_| !row.blocks) else { return Ok(None) };
        let delivered = |row: &ConversationRow| row.cursors.iter().map(|cursor| cursor.seq).max().unwrap_or_default();
        let risen = |before: u64, now: u64| if now > before { now } else { 0 };
        let mut read = if self.read & fold::PRIVATE == 0 { risen(before.read, row.read) } else { 0 };
        // Who keeps their own private does not learn those of others.
        if read > 0 {
            let key = (Channel::user(&other), StateKey::User);
            let other = self.lookup.row::<UserRow>(self.origin.tenant, &key.0, &key.1)?;
            if other.is_some_and(|other| other.receipts_private) {
                read = 0;
            }
        }
        let mark = Receipt { user: user.clone(), delivered: risen(delivered(before), delivered(row)), read };
        Ok((mark.delivered > 0 || mark.read > 0).then_some(mark))
    }
}

/// The settings that changed, as TLVs.
fn settings(before: &ConversationRow, row: &ConversationRow) -> Tlvs {
    let flag = |is_on: bool| u32::from(is_on).to_be_bytes().to_vec();
    let hidden = (before.hidden_at != row.hidden_at, row.hidden_at > 0);
    let all = [
        (tag::MUTED_UNTIL_MS, before.muted_until_ms != row.muted_until_ms, row.muted_until_ms.to_be_bytes().to_vec()),
        (tag::PINNED, before.is_pinned != row.is_pinned, flag(row.is_pinned)),
        (tag::HIDDEN, hidden.0, flag(hidden.1)),
        (tag::MARKED_UNREAD, before.is_marked_unread != row.is_marked_unread, flag(row.is_marked_unread)),
        (tag::CLEARED, before.cleared != row.cleared, row.cleared.to_be_bytes().to_vec()),
    ];
    Tlvs::from_pairs(all.iter().filter(|(_, changed, _)| *changed).map(|(tag, _, value)| (*tag, value.as_slice())))
}

/// The interval that a deletion names.
fn span_in_body(image: &Image) -> (u64, u64) {
    let mut reader = postrider_protocol::Reader::new(image.body.clone());
    match (reader.u64("from"), reader.u64("to")) {
        (Ok(from), Ok(to)) => (from, to),
        _ => (0, 0),
    }
}

/// The other user of a person channel; none of notes to self, and in a group.
#[must_use]
pub fn other_of(channel: &Channel, user: &Id) -> Option<Id> {
    let (low, high) = channel.ids();
    let high = high.filter(|high| channel.kind() == ChannelKind::Person && *high != low)?;
    Some(if low == *user { high } else { low }.detached())
}

impl Decider {
    /// A notice of a client: passed on to whom a message would go to, or dropped without a word.
    pub(super) fn speak(
        &mut self,
        origin: &Origin,
        channel: &Channel,
        spoken: &Spoken,
        late: bool,
    ) -> Result<(), StoreError> {
        let Some(mut case) = self.case(origin, channel, false, late)? else { return Ok(()) };
        let Ok(audience) = case.may_speak()? else { return Ok(()) };
        let user = origin.user.clone();
        let news = match spoken {
            // To somebody who was never written to, typing would be the first they hear.
            Spoken::Typing(_) if case.parts.channel.head == 0 => return Ok(()),
            Spoken::Typing(is_writing) => {
                let told = Told::Typing { channel: channel.clone(), user: user.clone(), is_writing: *is_writing };
                News::Typing(channel.clone(), told, audience)
            }
            Spoken::Signal { body, tlvs } => {
                if late || !case.may_signal() {
                    return Ok(());
                }
                let (body, time_ms) = (body.clone(), case.now.wall_ms);
                let told = Told::Signal { channel: channel.clone(), user: user.clone(), time_ms, body };
                News::Signal(channel.clone(), (told, tlvs.clone()), audience)
            }
        };
        case.decided.tells.push(Tell { tenant: origin.tenant, user, except: origin.session, news });
        Ok(())
    }
}

impl Case<'_> {
    /// Charges the user for a signal; false when they may not send more now.
    fn may_signal(&self) -> bool {
        let origin = self.origin;
        let is_free = self.rules.rates.charge(origin.tenant, &origin.user, self.now.mono_ms).is_ok();
        if !is_free {
            self.pause();
        }
        is_free
    }
}
