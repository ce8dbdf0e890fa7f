//! One command before the owner of its slot: what it is decided on, looked up once, and what it comes to.

use std::collections::BTreeMap;
use std::sync::{Arc, atomic::Ordering};

use postrider_protocol::{Channel, ChannelKind, Id, Image, ImageKind, Reason, Tlvs, image_flag, tag};
use postrider_storage::{
    ConversationRow, Found, OfState, RequestRow, ScheduledRow, StateKey, StateRow, Store, StoreError, UserRow, fold,
    plant,
};

use super::{
    answer::{Outcome, Refusal},
    command::Origin,
    decide::{Now, Rules},
    decided::{Accepted, Audience, Decided, Group, Shared},
    dedup::{Known, look_up},
    door::Door,
    draft::Draft,
    members::Member,
    notice::{Before, Folded},
    state::{ChannelState, Parts},
    timers::Timer,
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

    /// The answer to another form of the same command, if that is what was accepted under its number.
    pub(super) fn known(&self, draft: &Draft<'_>) -> Option<Outcome> {
        match look_up(self.parts.senders.as_deref()?, self.origin.sender, draft.number, draft.intent) {
            Known::Same { seq, time_ms } => Some(Outcome::Stored { seq, time_ms }),
            _ => None,
        }
    }

    fn refused_for_now(&self, draft: &Draft<'_>) -> Option<Refusal> {
        let origin = self.origin;
        let refusal = if let Some(reason) = origin.stuck.check(draft.number, draft.oldest) {
            Some(Refusal::later(reason, 100, "a lower number was refused for now"))
        } else if let Some(refusal) = self.unable() {
            Some(refusal)
        } else if origin.is_system {
            None
        } else {
            let wait = self.rules.rates.charge(origin.tenant, &origin.user, self.now.mono_ms).err();
            wait.map(|ms| Refusal::later(Reason::RateLimited, ms, "more than the user may send"))
        };
        if let Some(refusal) = &refusal {
            self.stick(draft, refusal.reason);
        }
        refusal
    }

    /// Why nothing can be stored for whoever asks now.
    pub(super) fn unable(&self) -> Option<Refusal> {
        if self.late {
            Some(Refusal::later(Reason::Busy, 1_000, "waited too long for its turn"))
        } else if self.rules.full.load(Ordering::Relaxed) {
            Some(Refusal::later(Reason::StorageFull, 5_000, "too little space"))
        } else {
            None
        }
    }

    /// What was refused for now keeps back what comes after it, and a connection that sends too much is not read for a
    /// while.
    fn stick(&self, draft: &Draft<'_>, reason: Reason) {
        self.origin.stuck.refuse(draft.number, reason);
        if matches!(reason, Reason::RateLimited | Reason::QuotaExceeded) {
            self.pause();
        }
    }

    /// Charges what a numbered command uses, if it may be used. Everything else was decided: what is charged becomes an
    /// entry, and what is refused is not charged.
    fn over_quota(&self, draft: &Draft<'_>) -> Option<Refusal> {
        let (quotas, origin) = (&self.rules.quotas, self.origin);
        // What comes of an earlier command was charged then.
        if !quotas.is_on() || draft.number == 0 || fold::is_of_earlier(draft.kind, draft.flags) {
            return None;
        }
        let who = Charged { tenant: origin.tenant, user: &origin.user, channel: draft.channel };
        let bytes = (draft.tlvs.as_bytes().len() + draft.body.len()) as u64;
        let over = quotas.charge(who, origin.usage.as_deref(), bytes, self.now.wall_ms).err()?;
        self.stick(draft, Reason::QuotaExceeded);
        Some(Refusal::later(Reason::QuotaExceeded, over.retry_after_ms, over.scope.detail()))
    }

    /// Lets the connection, whose user sends more than they may, not be read for a while.
    pub(super) fn pause(&self) {
        self.origin.pause.lengthen(self.now.mono_ms + PAUSE_MS);
    }

    /// Who gets what the user says in the channel, in a SEND or a signal, or why they may not speak there.
    pub(super) fn may_speak(&mut self) -> Result<Result<Audience, Refusal>, StoreError> {
        let channel = &self.parts.channel.channel;
        if self.origin.is_system {
            return Ok(self.system_speaks());
        }
        Ok(match channel.kind() {
            ChannelKind::Person => match channel.side_of(self.origin.user.as_bytes()) {
                Some(side) => self.shut(side)?.map_or(Ok(Audience::Person), Err),
                None => Err(Refusal::no_channel()),
            },
            ChannelKind::Group => self.speaks().map(|group| Audience::Members(Arc::clone(group))),
            ChannelKind::User => Err(Refusal::no_channel()),
        })
    }

    /// As [`Case::may_speak`], of a system user: blocks, contacts, mutes and memberships do not keep it from writing.
    fn system_speaks(&self) -> Result<Audience, Refusal> {
        let ChannelState { channel, group, .. } = &*self.parts.channel;
        match (channel.kind(), group) {
            (ChannelKind::Person, _) if channel.side_of(self.origin.user.as_bytes()).is_some() => Ok(Audience::Person),
            (ChannelKind::Group, Some(group)) if group.row.is_dismissed => Err(Refusal::dismissed()),
            (ChannelKind::Group, Some(group)) => Ok(Audience::Members(Arc::clone(group))),
            _ => Err(Refusal::no_channel()),
        }
    }

    /// Who gets a message with these flags and TLVs, or why the user may not say that.
    pub(super) fn may_say(&mut self, flags: u16, tlvs: &Tlvs) -> Result<Result<Audience, Refusal>, StoreError> {
        let audience = match self.may_speak()? {
            Ok(audience) => audience,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !tlvs.is_empty() && !self.answers_what_is_there(tlvs)? {
            return Ok(Err(Refusal::new(Reason::NoTarget, "it answers no message of the channel")));
        }
        if let (true, Audience::Members(group)) = (flags & image_flag::MENTION_ALL != 0, &audience)
            && !self.origin.is_system
            && group.members.get(&self.origin.user).is_none_or(|row| row.role == 0)
        {
            return Ok(Err(Refusal::new(Reason::NotAllowed, "only owner and admins mention everybody")));
        }
        Ok(Ok(audience))
    }

    /// Whether what a message answers, if it answers anything, is there for its author: any entry, and as the beginning
    /// of a thread a message that is no answer in a thread itself.
    fn answers_what_is_there(&self, tlvs: &Tlvs) -> Result<bool, StoreError> {
        for tag in [tag::REPLY_TO, tag::THREAD] {
            let Some(seq) = tlvs.get_u64(tag) else { continue };
            if !self.sees(seq)? || tag == tag::THREAD && !self.begins_threads(seq)? {
                return Ok(false);
            }
        }
        Ok(true)
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
            let last = row.last_visible(self.parts.channel.head);
            (row, last)
        }))
    }

    /// How many requests and invitations wait in the group; looked up once.
    pub(super) fn waiting(&self) -> Result<usize, StoreError> {
        let channel = &self.parts.channel;
        if let Some(waiting) = channel.waiting.get() {
            return Ok(waiting);
        }
        let mut waiting: BTreeMap<Id, RequestRow> =
            self.store.requests(self.origin.tenant, &channel.channel)?.into_iter().collect();
        channel.rows.overlay(&mut waiting, StateKey::requested);
        channel.waiting.set(Some(waiting.len()));
        Ok(waiting.len())
    }

    /// The group, for who may speak in it now.
    pub(super) fn speaks(&self) -> Result<&Arc<Group>, Refusal> {
        let known = self.parts.channel.group.as_ref();
        let own = known.and_then(|group| Some((group, group.members.get(&self.origin.user)?)));
        let (group, member) = own.ok_or_else(Refusal::no_channel)?;
        let everybody = if member.role == 0 { group.row.muted_until_ms } else { 0 };
        let until_ms = everybody.max(if member.role == fold::OWNER { 0 } else { member.muted_until_ms });
        if group.row.is_dismissed {
            return Err(Refusal::dismissed());
        }
        match until_ms.saturating_sub(self.time_ms()) {
            0 => Ok(group),
            wait_ms => Err(Refusal {
                reason: Reason::Muted,
                retry_after_ms: u32::try_from(wait_ms).ok(),
                detail: "the user may not speak in the group now".into(),
            }),
        }
    }

    /// Whether its user may see `seq`, which was given.
    pub(super) fn sees(&self, seq: u64) -> Result<bool, StoreError> {
        let is_there = seq > 0 && seq <= self.parts.channel.head;
        Ok(is_there && self.conversation(&self.origin.user)?.is_some_and(|view| view.may_see(seq)))
    }

    /// Whether `seq` is a committed message and no answer in a thread.
    pub(super) fn begins_threads(&self, seq: u64) -> Result<bool, StoreError> {
        let found = self.lookup.image(self.origin.tenant, &self.parts.channel.channel, seq)?;
        let Some(Found::Image(image) | Found::Erased(image)) = found else { return Ok(false) };
        let Ok(image) = Image::decode(image) else { return Ok(false) };
        Ok(image.kind == ImageKind::Message.number() && image.flags & image_flag::THREADED == 0)
    }

    /// The time that an entry would get now: never before that of the slot's last one, whatever the clock says.
    pub(super) fn time_ms(&self) -> u64 {
        self.parts.end.time_ms(self.now.wall_ms.max(self.origin.issued_ms()))
    }

    /// What the `read` of an entry with a read mark of its user has beside the mark: others do not learn of it when the user
    /// says so.
    pub(super) fn privacy_of_marks(&self) -> Result<u64, StoreError> {
        let user = &self.origin.user;
        let row = self.lookup.row::<UserRow>(self.origin.tenant, &Channel::user(user), &StateKey::User)?;
        Ok(if row.is_some_and(|row| row.receipts_private) { fold::PRIVATE } else { 0 })
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
        let Self { store, lookup, origin, now, decided, slot, parts, .. } = self;
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
            let befores;
            (changes, befores) = fold_rows(store, origin.tenant, channel, place.position, &image, draft.read)?;
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
            for change in &changes {
                if let StateKey::Scheduled(user, id) = &change.key {
                    let (tenant, user, id) = (origin.tenant, user.clone(), *id);
                    let timer = Timer { tenant, channel: channel.channel.clone(), user, id };
                    let row = change.row.as_ref().and_then(ScheduledRow::of).filter(|row| row.refused == 0);
                    decided.timers.push((timer, row.map(|row| row.due_ms)));
                }
            }
            let (channel, group) = (&channel.channel, channel.group.as_ref());
            let folded = Folded { origin, lookup, channel, group, image: &image, read: draft.read };
            for (change, before) in changes.iter().zip(&befores) {
                folded.tell(&change.key, before, change.row.as_ref(), &mut decided.tells)?;
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

/// Folds an entry into the rows that it changes, and tells what they are then, and what they were.
fn fold_rows(
    store: &Store,
    tenant: u32,
    channel: &mut ChannelState,
    position: u64,
    image: &Image,
    read: u64,
) -> Result<(Vec<Change>, Vec<Before>), StoreError> {
    let (mut changes, mut befores) = (Vec::new(), Vec::new());
    for key in fold::changed(image, read) {
        let mut row = match channel.rows.get(&key) {
            Some(known) => known.cloned(),
            None => store.state(tenant, &channel.channel, &key)?,
        };
        let was_there = row.is_some();
        let before = Before::of(&key, row.as_ref());
        fold::apply(&key, &mut row, position, image, read);
        if !was_there && row.is_none() {
            continue;
        }
        if let (StateKey::Request(_), Some(waiting)) = (&key, channel.waiting.get()) {
            let now = waiting.saturating_add(usize::from(row.is_some())).saturating_sub(usize::from(was_there));
            channel.waiting.set(Some(now));
        }
        let change = Change { key, position, row };
        channel.rows.put(change.clone());
        changes.push(change);
        befores.push(before);
    }
    Ok((changes, befores))
}

/// Makes the group of `channel` what `changes` say; returns what it was and what it is when that is something else.
fn regroup(channel: &mut ChannelState, changes: &[Change]) -> Option<(Arc<Group>, Arc<Group>)> {
    let is_of_group = |change: &&Change| match (&change.key, &change.row) {
        (StateKey::Group, _) => true,
        (StateKey::Member(user), Some(StateRow::Member(row))) => {
            let known = channel.group.as_ref().and_then(|group| group.members.get(user));
            known.copied() != row.is_member().then(|| Member::from(row.as_ref()))
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
                after.members.insert(user.clone(), Member::from(row.as_ref()));
            }
            (StateKey::Member(user), _) if !plant::is(plant::Fault::DeliverToRemoved) => after.members.remove(user),
            _ => {}
        }
    }
    let after = Arc::new(after);
    channel.group = Some(Arc::clone(&after));
    Some((before, after))
}
