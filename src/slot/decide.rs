//! Decide: the owner of some slots turns commands into entries or refusals. Pure apart from reading the store: time
//! comes with the batch, and what it decides leaves as a value. Nothing here is visible to anyone before it is
//! committed; every answer, also a refusal, leaves with the batch in which it was decided.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use postrider_protocol::{Channel, ImageKind, Kind, Tlvs, image_flag, packet::SendPacket, tag};
use postrider_storage::{SlotState, Store, StoreError};

use super::{
    answer::{ANSWER_BYTES, Outcome, Refusal},
    case::Case,
    command::{Answers, Command, Origin, Submission},
    decided::Decided,
    device::DeviceRules,
    draft::{Draft, check_message, flags_of},
    state::Slot,
    timers::{Timer, Timers},
    worker_of,
};
use crate::{
    lookup::Lookup,
    metrics::Metrics,
    outbox::{Outbox, OutboxBounds},
    quota::Quotas,
    rate::Rates,
};

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
    /// What may be done with messages.
    pub messages: MessageRules,
    /// How much each user may send.
    pub rates: Rates,
    /// How much users, channels, connections and tenants may use.
    pub quotas: Arc<Quotas>,
    /// What holds for the devices of each user.
    pub devices: DeviceRules,
    /// Set while there is too little space to store anything.
    pub full: AtomicBool,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What may be done with messages that are there already.
#[derive(Clone, Copy, Debug)]
pub struct MessageRules {
    /// A user takes an own message back up to so many milliseconds after its time.
    pub revoke_within_ms: u64,
    /// A user edits an own message up to so many milliseconds after its time; 0 for any time.
    pub edit_within_ms: u64,
}

impl Default for MessageRules {
    fn default() -> Self {
        Self { revoke_within_ms: 120_000, edit_within_ms: 0 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Decider {
    pub(super) store: Arc<Store>,
    lookup: Lookup,
    pub(super) rules: Arc<Rules>,
    /// By number; those of other workers are not here.
    slots: Vec<Option<Slot>>,
    pub(super) now: Now,
    /// What this batch has come to.
    decided: Decided,
    /// What waits for its time.
    pub(super) timers: Timers,
    /// Where the answers to the server itself go.
    pub(super) nobody: Arc<Outbox>,
}

impl Decider {
    /// The owner of the slots that [`worker_of`] gives to `worker` of `workers`; `slots` as the store was opened.
    ///
    /// # Errors
    /// When what is scheduled cannot be read.
    pub fn new(
        lookup: Lookup,
        rules: Arc<Rules>,
        slots: &[SlotState],
        worker: usize,
        workers: usize,
    ) -> Result<Self, StoreError> {
        let own = |(slot, state)| (worker_of(slot, workers) == worker).then(|| Slot::new(slot, state));
        let slots = (0..=u8::MAX).zip(slots).map(own).collect();
        let store = Arc::clone(lookup.store());
        let mut timers = Timers::default();
        store.each_scheduled(|tenant, channel, user, id, due_ms| {
            if worker_of(channel.slot(tenant), workers) == worker {
                timers.set(Timer { tenant, channel, user, id }, Some(due_ms));
            }
        })?;
        let (now, decided) = (Now { wall_ms: 0, mono_ms: 0 }, Decided::default());
        let nobody = Arc::new(Outbox::new(Arc::new(OutboxBounds::new(0, 0, 0))));
        Ok(Self { store, lookup, rules, slots, now, decided, timers, nobody })
    }

    /// Whether there is too little space to store anything.
    pub(super) fn is_full(&self) -> bool {
        self.rules.full.load(Ordering::Relaxed)
    }

    /// Decides everything in `submissions`, in order.
    ///
    /// # Errors
    /// When the store cannot be read; then the process must end, for part of the batch is decided and never stored.
    pub fn decide(&mut self, now: Now, submissions: Vec<Submission>) -> Result<Decided, StoreError> {
        self.now = now;
        let sum = |one: (usize, usize), other: (usize, usize)| (one.0 + other.0, one.1 + other.1);
        let (commands, bytes) = submissions.iter().map(Submission::size).fold((0, 0), sum);
        self.decided = Decided::sized(submissions.len(), commands, bytes);
        self.send_due()?;
        for submission in submissions {
            let frames = Vec::with_capacity(submission.commands.len() * ANSWER_BYTES);
            let mut answer = Answers { origin: submission.origin, frames, count: 0 };
            let late = now.mono_ms.saturating_sub(submission.at_ms) > self.rules.busy_after_ms;
            for command in &submission.commands {
                self.command(&answer.origin, command, late, &mut answer.frames)?;
                answer.count += 1;
            }
            self.decided.answers.push(answer);
        }
        let mut decided = std::mem::take(&mut self.decided);
        for (timer, due_ms) in decided.timers.drain(..) {
            self.timers.set(timer, due_ms);
        }
        for run in &decided.runs {
            if let Some(Some(slot)) = self.slots.get_mut(usize::from(run.slot)) {
                slot.sweep(&self.store);
            }
        }
        Ok(decided)
    }

    fn command(
        &mut self,
        origin: &Arc<Origin>,
        command: &Command,
        late: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let (command, unfit) = match command {
            Command::Unfit { command, why } => (&**command, Some(&**why)),
            command => (command, None),
        };
        match command {
            Command::Send(packet) => {
                let outcome = self.send(origin, packet, late, unfit)?;
                self.count(Kind::Send, &outcome);
                outcome.write_sendack(out, packet.number);
            }
            Command::Act { request, number, oldest, channel, act } => {
                let outcome = self.act(origin, (*number, *oldest), (channel, act), (late, unfit))?;
                self.count(Kind::Call, &outcome);
                outcome.write_reply(out, *request);
            }
            Command::Notice { channel, spoken } => self.speak(origin, channel, spoken, late)?,
            Command::Cursor { channel, seq } => self.cursor(origin, channel, *seq)?,
            Command::Came { fields, .. } => self.came(origin, fields)?,
            Command::Broadcast { request, channel, deed } => {
                self.broadcast(origin, channel, deed, late)?.write_reply(&mut *out, *request);
            }
            // It is not put around itself.
            Command::Unfit { .. } => {}
        }
        Ok(())
    }

    fn count(&self, kind: Kind, outcome: &Outcome) {
        if let Outcome::Refused(refusal) = outcome {
            self.rules.metrics.refused(kind, refusal.reason);
        }
    }

    /// `unfit` says in what way it does not follow its schema, if it does not.
    fn send(
        &mut self,
        origin: &Arc<Origin>,
        packet: &SendPacket,
        late: bool,
        unfit: Option<&str>,
    ) -> Result<Outcome, StoreError> {
        if let Some(refusal) = check_message(packet.flags, &packet.channel, &packet.tlvs, &packet.body) {
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
        let message = ImageKind::Message.number();
        let numbers = (packet.number, packet.oldest);
        let flags = packet.flags | flags_of(tlvs) | if origin.is_system { image_flag::SYSTEM } else { 0 };
        let mut draft = Draft::new(message, numbers, flags, &packet.channel, tlvs, &packet.body);
        let Some(mut case) = self.case(origin, draft.channel, true, late)? else { return Ok(Outcome::elsewhere()) };
        if let Some(outcome) = case.admit(&draft) {
            return Ok(outcome);
        }
        if let Some(why) = unfit {
            return Ok(Outcome::Refused(Refusal::unfit(why)));
        }
        let audience = match case.may_say(packet.flags, tlvs)? {
            Ok(audience) => audience,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        // The read mark never goes beyond what was there to be read.
        let head = case.parts.channel.head;
        draft.read = read.min(head);
        if draft.read > 0 {
            draft.read |= case.privacy_of_marks()?;
        }
        case.accept(&draft, audience)
    }

    /// What a command for `channel` is decided on; none when its slot is another worker's. A command that `is_numbered`
    /// passes through its sender's table.
    pub(super) fn case<'a>(
        &'a mut self,
        origin: &'a Origin,
        channel: &Channel,
        is_numbered: bool,
        late: bool,
    ) -> Result<Option<Case<'a>>, StoreError> {
        let number = channel.slot(origin.tenant);
        let Some(Some(slot)) = self.slots.get_mut(usize::from(number)) else { return Ok(None) };
        let user = is_numbered.then_some(&origin.user);
        let parts = slot.parts(&self.store, origin.tenant, channel, user)?;
        let (store, lookup, rules, decided) = (&*self.store, &self.lookup, &*self.rules, &mut self.decided);
        Ok(Some(Case { store, lookup, rules, now: self.now, decided, origin, late, slot: number, parts }))
    }
}
