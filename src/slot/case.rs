//! One command before the owner of its slot: what it is decided on, looked up once, and what it comes to.

use std::sync::{Arc, atomic::Ordering};

use postrider_protocol::{Id, Image, Reason};
use postrider_storage::{ConversationRow, MemberRow, OfState, StateKey, StateRow, Store, StoreError, fold};

use super::{
    answer::{Outcome, Refusal},
    command::Origin,
    decide::{Now, Rules},
    decided::{Accepted, Audience, Decided, Group, Shared},
    dedup::{Known, look_up},
    door::Door,
    draft::Draft,
    state::{ChannelState, Parts},
};
use crate::{lookup::Lookup, quota::Charged, uncovered::Change};

/// A connection whose user sends more than they may is not read for so long: refusing costs nearly as much as
/// storing. No longer than an honest client is told to wait.
const PAUSE_MS: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub store: &'a Store,
    /// What is committed, also of other slots.
    pub lookup: &'a Lookup,
    pub rules: &'a Rules,
    pub now: Now,
    pub decided: &'a mut Decided,
    pub origin: &'a Origin,
    /// It waited too long.
    pub late: bool,
    /// The slot's number.
    pub slot: u8,
    pub parts: Parts<'a>,
}

impl Case<'_> {
    /// The checks that every numbered command passes: the table of senders first, then what refuses for now. None
    /// when it is to be decided.
    pub(super) fn admit(&self, draft: &Draft<'_>) -> Option<Outcome> {
        let table = self.parts.senders.as_deref()?;
        let refusal = match look_up(table, self.origin.sender, draft.number, draft.intent) {
            Known::Same { seq, time_ms } => return Some(Outcome::Stored { seq, time_ms }),
            Known::Conflict => Some(Refusal::new(Reason::DedupConflict, "the number is bound to other content")),
            Known::Stale => Some(Refusal::new(Reason::Stale, "the number is below the sender's floor")),
            Known::Expired => Some(Refusal::new(Reason::SenderExpired, "the sender may be forgotten")),
            Known::New => self.refused_for_now(draft),
        };
        refusal.map(Outcome::Refused)
    }

    fn refused_for_now(&self, draft: &Draft<'_>) -> Option<Refusal> {
        let origin = self.origin;
        let refusal = if let Some(reason) = origin.stuck.check(draft.number, draft.oldest) {
            Some(Refusal::later(reason, 100, "a lower number was refused for now"))
        } else if self.late {
            Some(Refusal::later(Reason::Busy, 1_000, "waited too long for its turn"))
        } else if self.rules.full.load(Ordering::Relaxed) {
            Some(Refusal::later(Reason::StorageFull, 5_000, "too little space"))
        } else {
            let wait = self.rules.rates.charge(origin.tenant, &origin.user, self.now.mono_ms).err();
            wait.map(|ms| Refusal::later(Reason::RateLimited, ms, "more than the user may send"))
        };
        if let Some(refusal) = &refusal {
            self.stick(draft, refusal.reason);
        }
        refusal
    }

    /// What was refused for now keeps back what comes after it, and a connection that sends too much is not read for a
    /// while.
    fn stick(&self, draft: &Draft<'_>, reason: Reason) {
        self.origin.stuck.refuse(draft.number, reason);
        if matches!(reason, Reason::RateLimited | Reason::QuotaExceeded) {
            self.origin.paused_until_ms.store(self.now.mono_ms + PAUSE_MS, Ordering::Release);
        }
    }

    /// Charges what a numbered command uses, if it may be used. Everything else was decided: what is charged becomes an
    /// entry, and what is refused is not charged.
    fn over_quota(&self, draft: &Draft<'_>) -> Option<Refusal> {
        let (quotas, origin) = (&self.rules.quotas, self.origin);
        if !quotas.is_on() || draft.number == 0 {
            return None;
        }
        let who = Charged { tenant: origin.tenant, user: &origin.user, channel: draft.channel };
        let bytes = (draft.tlvs.as_bytes().len() + draft.body.len()) as u64;
        let over = quotas.charge(who, origin.usage.as_deref(), bytes, self.now.wall_ms).err()?;
        self.stick(draft, Reason::QuotaExceeded);
        Some(Refusal::later(Reason::QuotaExceeded, over.retry_after_ms, over.scope.detail()))
    }

    /// A state row of the channel as it is decided.
    pub(super) fn row<R: OfState + Clone>(&self, key: &StateKey) -> Result<Option<R>, StoreError> {
        let channel = &self.parts.channel;
        if let Some(known) = channel.rows.get(key) {
            return Ok(known.and_then(R::of).cloned());
        }
        let stored = self.store.state(self.origin.tenant, &channel.channel, key)?;
        Ok(stored.as_ref().and_then(R::of).cloned())
    }

    /// A user's view of the channel, if they have one.
    pub(super) fn conversation(&self, user: &Id) -> Result<Option<ConversationRow>, StoreError> {
        self.row(&StateKey::Conversation(user.clone()))
    }

    /// Its user's view of the channel and the last seq that they may see.
    pub(super) fn visible(&self) -> Result<Option<(ConversationRow, u64)>, StoreError> {
        let row = self.conversation(&self.origin.user)?;
        Ok(row.map(|row| {
            let last = row.visible_to.unwrap_or(self.parts.channel.head);
            (row, last)
        }))
    }

    /// The group, for who is a member of it.
    pub(super) fn group(&self) -> Option<&Arc<Group>> {
        let group = self.parts.channel.group.as_ref()?;
        group.members.contains_key(&self.origin.user).then_some(group)
    }

    /// Charges the quotas, gives the next seq and position, writes the frame, and folds the entry into the rows of its channel. An audience
    /// of members becomes that of before and after when members come or go.
    ///
    /// # Errors
    /// When a row cannot be read; then the process must end.
    pub(super) fn accept(self, draft: &Draft<'_>, mut audience: Audience) -> Result<Outcome, StoreError> {
        if let Some(refusal) = self.over_quota(draft) {
            return Ok(Outcome::Refused(refusal));
        }
        let Self { store, origin, now, decided, slot, parts, .. } = self;
        let Parts { end, channel, senders } = parts;
        let is_plain = draft.is_plain(channel.head);
        // Never before its sender was issued, also when the clock went back since: so the newest time in the log is
        // above every sender that it knows, and senders issued after a start are too.
        let place = end.place(channel, draft.is_sequenced(), now.wall_ms.max(origin.issued_ms()));
        let start = decided.frames.len();
        let head_len = draft.write(&mut decided.frames, origin, place);
        let mut changes = Vec::new();
        if !is_plain {
            let image = draft.image(origin, place);
            changes = fold_rows(store, origin.tenant, channel, place.position, &image, draft.read)?;
            if matches!(draft.kind, fold::BLOCK_KIND | fold::CONTACT_KIND) {
                channel.door = Door::default();
            }
            if let Some((before, after)) = regroup(channel, &changes) {
                audience = match audience {
                    Audience::Members(_) if before.members.len() != after.members.len() => {
                        Audience::Change(before, after)
                    }
                    audience => audience,
                };
            }
        }
        if draft.number > 0
            && let Some(table) = senders
        {
            table.apply(place.position, &draft.numbered(origin, place));
        }
        let place_of = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let entry = Accepted {
            position: place.position,
            seq: place.seq,
            time_ms: place.time_ms,
            oldest: draft.oldest,
            read: draft.read,
            frame: (place_of(start), place_of(decided.frames.len() - start)),
            head_len: place_of(head_len),
            crc: draft.tail,
        };
        let (tenant, except, channel) = (origin.tenant, origin.session, &channel.channel);
        decided.push(entry, Shared { slot, tenant, channel, audience, except, changes });
        Ok(Outcome::Stored { seq: place.seq, time_ms: place.time_ms })
    }
}

/// Folds an entry into the rows that it changes, and tells what they are then.
fn fold_rows(
    store: &Store,
    tenant: u32,
    channel: &mut ChannelState,
    position: u64,
    image: &Image,
    read: u64,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for key in fold::changed(image, read) {
        let mut row = match channel.rows.get(&key) {
            Some(known) => known.cloned(),
            None => store.state(tenant, &channel.channel, &key)?,
        };
        fold::apply(&key, &mut row, position, image, read);
        let change = Change { key, position, row };
        channel.rows.put(change.clone());
        changes.push(change);
    }
    Ok(changes)
}

/// Makes the group of `channel` what `changes` say; returns what it was and what it is when that is something else.
fn regroup(channel: &mut ChannelState, changes: &[Change]) -> Option<(Arc<Group>, Arc<Group>)> {
    let is_of_group = |change: &&Change| match (&change.key, &change.row) {
        (StateKey::Group, _) => true,
        (StateKey::Member(user), Some(StateRow::Member(row))) => {
            let known = channel.group.as_ref().and_then(|group| group.members.get(user));
            // Marks alone are not worth a copy of the group.
            let is_same = |known: &MemberRow| {
                let (read, delivered, position) = (known.read, known.delivered, known.position);
                MemberRow { read, delivered, position, ..row.clone() } == *known
            };
            known.map_or(row.is_member(), |known| !is_same(known))
        }
        _ => false,
    };
    if !changes.iter().any(|change| is_of_group(&change)) {
        return None;
    }
    let before = channel.group.clone().unwrap_or_default();
    let mut after = Group::clone(&before);
    for change in changes {
        match (&change.key, &change.row) {
            (StateKey::Group, Some(StateRow::Group(row))) => after.row = row.clone(),
            (StateKey::Member(user), Some(StateRow::Member(row))) if row.is_member() => {
                _ = after.members.insert(user.clone(), row.clone());
            }
            (StateKey::Member(user), _) => _ = after.members.remove(user),
            _ => {}
        }
    }
    let after = Arc::new(after);
    channel.group = Some(Arc::clone(&after));
    Some((before, after))
}
