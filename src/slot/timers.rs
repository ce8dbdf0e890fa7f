//! Which scheduled messages are due when, and what is done when their time has come: the rules hold as they do for a SEND
//! now. It is sent by one entry that also takes it off the list, so it is sent once, whenever the server ends.

use std::collections::{BTreeMap, BTreeSet};

use postrider_protocol::{Channel, CommandId, Id, ImageKind, Reason, Tlvs, image_flag};
use postrider_storage::{
    ScheduledRow, StateKey, StoreError,
    fold::{
        self,
        schedule::{Order, Ordered},
    },
};

use super::{
    answer::Refusal,
    case::Case,
    command::Origin,
    decide::Decider,
    decided::Audience,
    draft::{Draft, flags_of},
};

/// So many are sent in one batch: what clients ask for meanwhile has its turn between.
const AT_ONCE: usize = 256;

/// A message that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The tenant.
    pub tenant: u32,
    /// Where it will be sent.
    pub channel: Channel,
    /// Who scheduled it.
    pub user: Id,
    /// Which of theirs.
    pub id: CommandId,
}

/// What waits in the slots of one owner, by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, Timer)>,
    known: BTreeMap<Timer, u64>,
}

impl Timers {
    /// It is due then, or waits no more.
    pub(super) fn set(&mut self, timer: Timer, due_ms: Option<u64>) {
        let before = match due_ms {
            Some(due_ms) => self.known.insert(timer.clone(), due_ms),
            None => self.known.remove(&timer),
        };
        if let Some(before) = before {
            self.due.remove(&(before, timer.clone()));
        }
        if let Some(due_ms) = due_ms {
            self.due.insert((due_ms, timer));
        }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.due.first().is_some_and(|(due_ms, _)| *due_ms <= now_ms)
    }

    /// What is due, the longest due first, as much as is sent at once.
    fn due(&self, now_ms: u64) -> Vec<Timer> {
        let due = self.due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(AT_ONCE);
        due.map(|(_, timer)| timer.clone()).collect()
    }
}

impl Decider {
    /// Whether a message waits whose time has come by `wall_ms` (since 1970): a batch is due, also an empty one.
    #[must_use]
    pub fn is_due(&self, wall_ms: u64) -> bool {
        self.timers.is_due(wall_ms) && !self.is_full()
    }

    /// Sends what is due, or says why it is not sent.
    pub(super) fn send_due(&mut self) -> Result<(), StoreError> {
        if self.is_full() {
            return Ok(());
        }
        for timer in self.timers.due(self.now.wall_ms) {
            if !self.send_one(&timer)? {
                self.timers.set(timer, None);
            }
        }
        Ok(())
    }

    /// False when there is no such message.
    fn send_one(&mut self, timer: &Timer) -> Result<bool, StoreError> {
        let Timer { tenant, channel, user, id } = timer;
        let origin = Origin::of_server(*tenant, user.clone(), id.sender, std::sync::Arc::clone(&self.nobody));
        let Some(mut case) = self.case(&origin, channel, false, false)? else { return Ok(false) };
        let key = StateKey::Scheduled(user.clone(), *id);
        let Some(row) = case.row::<ScheduledRow>(&key)? else { return Ok(false) };
        let content = case.content(*id, row.parts)?;
        let spoken = match &content {
            Some((tlvs, _)) => case.may_say(row.flags, tlvs)?,
            None => Err(Refusal::new(Reason::Internal, "its content is damaged")),
        };
        match (spoken, content) {
            (Ok(audience), Some((tlvs, body))) => {
                let flags = row.flags | image_flag::SCHEDULED | flags_of(&tlvs);
                let message = ImageKind::Message.number();
                case.accept(&Draft::new(message, (id.number, 0), flags, channel, &tlvs, &body), audience)?;
            }
            (Err(refusal), _) => {
                let refused = refusal.reason.number();
                let ordered = Ordered { refused, ..Ordered::about(Order::Refuse, *id) };
                let tlvs = ordered.with(&Tlvs::new());
                case.accept(&Draft::new(fold::SCHEDULE_KIND, (0, 0), 0, channel, &tlvs, &[]), Audience::Nobody)?;
            }
            (Ok(_), None) => return Ok(false),
        }
        Ok(true)
    }
}

impl Case<'_> {
    /// What the user has scheduled under `id` in the channel.
    pub(super) fn scheduled(&self, id: CommandId) -> Result<Option<ScheduledRow>, StoreError> {
        self.row(&StateKey::Scheduled(self.origin.user.clone(), id))
    }

    /// How many messages the user has scheduled in the channel.
    pub(super) fn count_scheduled(&self) -> Result<usize, StoreError> {
        let (user, channel) = (&self.origin.user, &self.parts.channel);
        let stored = self.store.scheduled(self.origin.tenant, &channel.channel, user, CommandId::FIRST)?;
        let mut scheduled: BTreeMap<CommandId, ScheduledRow> = stored.into_iter().collect();
        channel.rows.overlay(&mut scheduled, |key| key.scheduled_by(user));
        Ok(scheduled.len())
    }

    /// TLVs and body of what the user has scheduled; none when they are damaged.
    fn content(&self, id: CommandId, parts: u8) -> Result<Option<(Tlvs, bytes::Bytes)>, StoreError> {
        fold::parts::content(&self.origin.user, (id, parts), |key| self.row(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(user: &str) -> Timer {
        let user: Id = user.parse().unwrap();
        Timer { tenant: 0, channel: Channel::person(&user, &user), user, id: CommandId::FIRST }
    }

    #[test]
    fn what_is_due_comes_by_time_and_only_once_its_time_has_come() {
        let mut timers = Timers::default();
        for (user, due_ms) in [("late", 30), ("first", 10), ("second", 20)] {
            timers.set(timer(user), Some(due_ms));
        }
        assert!(!timers.is_due(9) && timers.is_due(10));
        assert_eq!(timers.due(20), [timer("first"), timer("second")]);
        timers.set(timer("first"), Some(40));
        timers.set(timer("second"), None);
        assert_eq!(timers.due(39), [timer("late")]);
        assert_eq!(timers.due(40), [timer("late"), timer("first")]);
    }
}
