//! One command before the owner of its slot: what it is decided on, looked up once, and what it comes to.

use std::sync::{Arc, atomic::Ordering};

use postrider_protocol::{Id, Reason};
use postrider_storage::{ConversationRow, Store, StoreError};

use super::{
    answer::{Outcome, Refusal},
    command::Origin,
    decide::{Now, Rules},
    decided::{Accepted, Audience, Decided, Members, Shared},
    dedup::{Known, look_up},
    draft::Draft,
    state::Parts,
};

/// A connection whose user sends more than they may is not read for so long: refusing costs nearly as much as
/// storing. No longer than an honest client is told to wait.
const PAUSE_MS: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub store: &'a Store,
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
            origin.stuck.refuse(draft.number, refusal.reason);
            if refusal.reason == Reason::RateLimited {
                origin.paused_until_ms.store(self.now.mono_ms + PAUSE_MS, Ordering::Release);
            }
        }
        refusal
    }

    /// A user's row of the channel, if they have one.
    pub(super) fn conversation(&self, user: &Id) -> Result<Option<ConversationRow>, StoreError> {
        let (tenant, channel) = (self.origin.tenant, &self.parts.channel.channel);
        match self.parts.conversations.get(tenant, user, channel) {
            Some(row) => Ok(Some(row.clone())),
            None => self.store.conversation(tenant, user, channel),
        }
    }

    /// Its user's row of the channel and the last seq that they may see.
    pub(super) fn visible(&self) -> Result<Option<(ConversationRow, u64)>, StoreError> {
        let row = self.conversation(&self.origin.user)?;
        Ok(row.map(|row| {
            let last = row.visible_to.unwrap_or(self.parts.channel.head);
            (row, last)
        }))
    }

    /// Gives the next seq and position, writes the frame, and applies the entry to the slot. `rows` are folded with
    /// the entry; `members` replaces the group's.
    pub(super) fn accept(
        self,
        draft: &Draft<'_>,
        audience: Audience,
        rows: Vec<(Id, Option<ConversationRow>)>,
        members: Option<Arc<Members>>,
    ) -> Outcome {
        let Self { origin, now, decided, slot, parts, .. } = self;
        let Parts { end, channel, senders, conversations } = parts;
        // Never before its sender was issued, also when the clock went back since: so the newest time in the log is
        // above every sender that it knows, and senders issued after a start are too.
        let place = end.place(channel, draft.is_sequenced(), now.wall_ms.max(origin.issued_ms()));
        if let Some(members) = &members {
            channel.members = Some(Arc::clone(members));
        }
        let start = decided.frames.len();
        let head_len = draft.write(&mut decided.frames, origin, place);
        let rows = if rows.is_empty() {
            Vec::new()
        } else {
            let image = draft.image(origin, place);
            conversations.fold((origin.tenant, &channel.channel), place.position, &image, draft.read, rows)
        };
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
        let shared = Shared {
            slot,
            tenant: origin.tenant,
            channel: &channel.channel,
            audience,
            except: origin.session,
            members,
            conversations: rows,
        };
        decided.push(entry, shared);
        Outcome::Stored { seq: place.seq, time_ms: place.time_ms }
    }
}
