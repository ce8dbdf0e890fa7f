//! Decide: the owner of some slots turns commands into entries or refusals. Pure apart from reading the store: time
//! comes with the batch, and what it decides leaves as a value. Nothing here is visible to anyone before it is
//! committed; every answer, also a refusal, leaves with the batch in which it was decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, HEADER_BYTES, Id, ImageKind, Kind, Reason, Tlvs, frame, packet::SendPacket, tag,
};
use postrider_storage::{ConversationRow, Entry, MemberRow, Placed, SlotState, Store, StoreError, fold};

use super::{
    answer::{Outcome, Refusal},
    command::{Answers, Command, Origin, Submission},
    dedup::{Known, look_up},
    draft::{Draft, check_packet, first_rows, write_image},
    state::Slot,
    worker_of,
};
use crate::{metrics::Metrics, rate::Rates};

/// A connection whose user sends more than they may is not read for so long: refusing costs nearly as much as
/// storing. No longer than an honest client is told to wait.
const PAUSE_MS: u64 = 100;

/// Two clocks, read once for each batch.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970; may jump.
    pub wall_ms: u64,
    /// Milliseconds since the process began; never goes back.
    pub mono_ms: u64,
}

/// What is allowed.
#[derive(Debug)]
pub struct Rules {
    /// Most members of a group.
    pub max_members: usize,
    /// What waited longer than this, milliseconds, is refused with `BUSY`.
    pub busy_after_ms: u64,
    /// How much each user may send.
    pub rates: Rates,
    /// Set while there is too little space to store anything.
    pub full: AtomicBool,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The members of a group, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(pub BTreeMap<Id, MemberRow>);

/// Who is told of an entry.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Both users of the person channel.
    Person,
    /// These members.
    Members(Arc<Members>),
    /// The members before and after a change.
    Change(Arc<Members>, Arc<Members>),
    /// Nobody.
    Nobody,
}

/// One entry, decided: what the log stores, what readers will see once it is durable, and whom to tell.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// For the log.
    pub placed: Placed,
    /// Its channel.
    pub channel: Channel,
    /// Its seq; 0 for a control entry.
    pub seq: u64,
    /// Its time.
    pub time_ms: u64,
    /// The whole RECV frame; the entry's image is a slice of it.
    pub frame: Bytes,
    /// Whom to tell.
    pub audience: Audience,
    /// The connection that is not told, because its answer says it.
    pub except: u64,
    /// The members of a group from this entry on, when it changed them.
    pub members: Option<Arc<Members>>,
    /// Rows that it changed.
    pub conversations: Vec<(Id, ConversationRow)>,
}

/// What one call of [`Decider::decide`] decided.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// New entries, per slot in the order of their positions.
    pub accepted: Vec<Accepted>,
    /// The answers, to be sent when the entries are durable.
    pub answers: Vec<Answers>,
}

/// See the module.
#[derive(Debug)]
pub struct Decider {
    pub(super) store: Arc<Store>,
    pub(super) rules: Arc<Rules>,
    slots: HashMap<u8, Slot>,
    now: Now,
    /// The frames of the batch being decided.
    frames: Vec<u8>,
    /// Its entries, whose frames lie there until the batch is sealed.
    unsealed: Vec<Unsealed>,
}

/// An accepted entry without its bytes.
#[derive(Debug)]
struct Unsealed {
    accepted: Accepted,
    frame: Range<usize>,
    head_len: u32,
    oldest: u64,
    read: u64,
}

impl Decider {
    /// The owner of the slots that [`worker_of`] gives to `worker` of `workers`; `slots` as the store was opened.
    #[must_use]
    pub fn new(store: Arc<Store>, rules: Arc<Rules>, slots: &[SlotState], worker: usize, workers: usize) -> Self {
        let slots = (0..=u8::MAX)
            .zip(slots)
            .filter(|(slot, _)| worker_of(*slot, workers) == worker)
            .map(|(slot, state)| (slot, Slot::new(slot, state)))
            .collect();
        let now = Now { wall_ms: 0, mono_ms: 0 };
        Self { store, rules, slots, now, frames: Vec::new(), unsealed: Vec::new() }
    }

    /// Decides everything in `submissions`, in order.
    ///
    /// # Errors
    /// When the store cannot be read; then the process must end, for part of the batch is decided and never stored.
    pub fn decide(&mut self, now: Now, submissions: Vec<Submission>) -> Result<Decided, StoreError> {
        self.now = now;
        let mut answers = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let mut answer = Answers { origin: submission.origin, frames: Vec::new(), count: 0 };
            let late = now.mono_ms.saturating_sub(submission.at_ms) > self.rules.busy_after_ms;
            for command in submission.commands {
                self.command(&answer.origin, &command, late, &mut answer.frames)?;
                answer.count += 1;
            }
            answers.push(answer);
        }
        Ok(Decided { accepted: self.seal(), answers })
    }

    /// Turns the drafts of this batch into entries over one shared buffer.
    fn seal(&mut self) -> Vec<Accepted> {
        let frames = Bytes::from(std::mem::take(&mut self.frames));
        let mut touched = BTreeSet::new();
        let mut sealed = Vec::with_capacity(self.unsealed.len());
        for Unsealed { mut accepted, frame, head_len, oldest, read } in std::mem::take(&mut self.unsealed) {
            accepted.frame = frames.slice(frame);
            let image = accepted.frame.slice(HEADER_BYTES..);
            accepted.placed.entry = Entry::new(accepted.placed.entry.tenant, oldest, read, image, head_len);
            touched.insert(accepted.placed.slot);
            sealed.push(accepted);
        }
        for slot in touched {
            if let Some(slot) = self.slots.get_mut(&slot) {
                slot.sweep(&self.store);
            }
        }
        sealed
    }

    fn command(
        &mut self,
        origin: &Arc<Origin>,
        command: &Command,
        late: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        match command {
            Command::Send(packet) => {
                let outcome = self.send(origin, packet, late)?;
                self.count(Kind::Send, &outcome);
                outcome.write_sendack(out, packet.number);
            }
            Command::Group { request, number, oldest, change, channel, users } => {
                let outcome = self.group(origin, (*number, *oldest), *change, channel, users, late)?;
                self.count(Kind::Call, &outcome);
                outcome.write_reply(out, *request);
            }
            Command::Read { request, number, oldest, channel, seq } => {
                let outcome = self.read_mark(origin, (*number, *oldest), channel, *seq, late)?;
                self.count(Kind::Call, &outcome);
                outcome.write_reply(out, *request);
            }
            Command::Cursor { channel, seq } => self.cursor(origin, channel, *seq)?,
        }
        Ok(())
    }

    fn count(&self, kind: Kind, outcome: &Outcome) {
        if let Outcome::Refused(refusal) = outcome {
            self.rules.metrics.refused(kind, refusal.reason);
        }
    }

    fn send(&mut self, origin: &Arc<Origin>, packet: &SendPacket, late: bool) -> Result<Outcome, StoreError> {
        if let Some(refusal) = check_packet(packet) {
            return Ok(Outcome::Refused(refusal));
        }
        let read = packet.tlvs.get_u64(tag::READ).unwrap_or_default();
        let kept;
        let tlvs = if packet.tlvs.get(tag::READ).is_some() {
            kept = Tlvs::from_pairs(packet.tlvs.iter().filter(|&(tag, _)| tag != tag::READ));
            &kept
        } else {
            &packet.tlvs
        };
        let mut draft = Draft {
            kind: ImageKind::Message.number(),
            flags: packet.flags,
            channel: &packet.channel,
            number: packet.number,
            oldest: packet.oldest,
            read: 0,
            tlvs,
            body: &packet.body,
            crc: fold::intent(ImageKind::Message.number(), packet.flags, &packet.channel, tlvs, &packet.body),
        };
        if let Some(outcome) = self.admit(origin, &draft, late)? {
            return Ok(outcome);
        }
        let Some(slot) = self.slots.get_mut(&draft.channel.slot(origin.tenant)) else {
            return Ok(Outcome::Refused(Refusal::new(Reason::Internal, "slot of another worker")));
        };
        let channel = slot.channel(&self.store, origin.tenant, draft.channel)?;
        let audience = match draft.channel.kind() {
            ChannelKind::Person if draft.channel.side_of(origin.user.as_bytes()).is_some() => Some(Audience::Person),
            ChannelKind::Group => channel
                .members
                .as_ref()
                .filter(|members| members.0.contains_key(&origin.user))
                .map(|members| Audience::Members(Arc::clone(members))),
            _ => None,
        };
        let Some(audience) = audience else {
            return Ok(Outcome::Refused(Refusal::new(Reason::NoChannel, "no such channel for this user")));
        };
        // The read mark never goes beyond what was there to be read.
        draft.read = read.min(channel.head);
        let mut rows = if channel.head == 0 { first_rows(draft.channel) } else { Vec::new() };
        if draft.read > 0 && rows.is_empty() {
            let row = self.conversation(origin.tenant, &origin.user, draft.channel)?;
            rows.push((origin.user.clone(), row));
        }
        self.accept(origin, &draft, audience, rows, None)
    }

    /// The checks that every numbered command passes: the table of senders first, then what refuses for now. None
    /// when it is to be decided.
    pub(super) fn admit(
        &mut self,
        origin: &Origin,
        draft: &Draft<'_>,
        late: bool,
    ) -> Result<Option<Outcome>, StoreError> {
        let Some(slot) = self.slots.get_mut(&draft.channel.slot(origin.tenant)) else {
            return Ok(Some(Outcome::Refused(Refusal::new(Reason::Internal, "slot of another worker"))));
        };
        let table = slot.senders(&self.store, origin.tenant, &origin.user)?;
        let refusal = match look_up(table, origin.sender, draft.number, draft.crc) {
            Known::Same { seq, time_ms } => return Ok(Some(Outcome::Stored { seq, time_ms })),
            Known::Conflict => Some(Refusal::new(Reason::DedupConflict, "the number is bound to other content")),
            Known::Stale => Some(Refusal::new(Reason::Stale, "the number is below the sender's floor")),
            Known::Expired => Some(Refusal::new(Reason::SenderExpired, "the sender may be forgotten")),
            Known::New => self.refused_for_now(origin, draft, late),
        };
        Ok(refusal.map(Outcome::Refused))
    }

    fn refused_for_now(&self, origin: &Origin, draft: &Draft<'_>, late: bool) -> Option<Refusal> {
        let refusal = if let Some(reason) = origin.stuck.check(draft.number, draft.oldest) {
            Some(Refusal::later(reason, 100, "a lower number was refused for now"))
        } else if late {
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

    pub(super) fn slot(&mut self, tenant: u32, channel: &Channel) -> Option<&mut Slot> {
        self.slots.get_mut(&channel.slot(tenant))
    }

    pub(super) fn conversation(
        &mut self,
        tenant: u32,
        user: &Id,
        channel: &Channel,
    ) -> Result<Option<ConversationRow>, StoreError> {
        match self.slots.get_mut(&channel.slot(tenant)) {
            Some(slot) => slot.conversation(&self.store, tenant, user, channel),
            None => Ok(None),
        }
    }

    /// Gives the next seq and position, writes the frame, and applies the entry to the slot. `rows` are folded with
    /// the entry; `members` replaces the group's.
    pub(super) fn accept(
        &mut self,
        origin: &Origin,
        draft: &Draft<'_>,
        audience: Audience,
        rows: Vec<(Id, Option<ConversationRow>)>,
        members: Option<Arc<Members>>,
    ) -> Result<Outcome, StoreError> {
        let number = draft.channel.slot(origin.tenant);
        let Some(slot) = self.slots.get_mut(&number) else {
            return Ok(Outcome::Refused(Refusal::new(Reason::Internal, "slot of another worker")));
        };
        let channel = (origin.tenant, draft.channel);
        let is_sequenced = draft.kind < fold::CURSOR_KIND;
        // Never before its sender was issued, also when the clock went back since: so the newest time in the log is
        // above every sender that it knows, and senders issued after a start are too.
        let time_ms = self.now.wall_ms.max(origin.issued_ms());
        let place = slot.place(&self.store, channel, is_sequenced, members.as_ref(), time_ms)?;
        let image = draft.image(origin, place);
        let start = self.frames.len();
        let head_len = frame::append(&mut self.frames, Kind::Recv, |out| write_image(out, &image, draft.body));
        let conversations = slot.fold_conversations(channel, place.position, &image, draft.read, rows);
        if draft.number > 0 {
            let table = slot.senders(&self.store, origin.tenant, &origin.user)?;
            let (sender, number, oldest, crc) = (origin.sender, draft.number, draft.oldest, draft.crc);
            table.apply(
                place.position,
                &fold::Numbered { sender, number, oldest, seq: place.seq, time_ms: place.time_ms, crc },
            );
        }
        let entry = Entry::new(origin.tenant, draft.oldest, draft.read, Bytes::new(), 0);
        let accepted = Accepted {
            placed: Placed { slot: number, position: place.position, entry },
            channel: image.channel,
            seq: place.seq,
            time_ms: place.time_ms,
            frame: Bytes::new(),
            audience,
            except: origin.session,
            members,
            conversations,
        };
        self.unsealed.push(Unsealed {
            accepted,
            frame: start..self.frames.len(),
            head_len: u32::try_from(head_len).unwrap_or(u32::MAX),
            oldest: draft.oldest,
            read: draft.read,
        });
        Ok(Outcome::Stored { seq: place.seq, time_ms: place.time_ms })
    }
}
