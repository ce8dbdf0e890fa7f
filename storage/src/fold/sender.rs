//! What the senders of a user had accepted in a slot.

use std::collections::VecDeque;

use postrider_protocol::{SEND_WINDOW, Sender, SenderKind};

use super::{Numbered, SENDERS};
use crate::{Answer, SenderRow, SenderTable};

impl SenderTable {
    /// Folds the entry at `position`, made by a command of the table's user, into the table.
    pub fn apply(&mut self, position: u64, entry: &Numbered) {
        let known = self.senders.iter().position(|row| row.sender == entry.sender);
        if known.is_none() {
            let answers = VecDeque::new();
            let row = SenderRow { sender: entry.sender, floor: 0, since: position, used: position, answers };
            self.senders.push(row);
        }
        let at = known.unwrap_or(self.senders.len().saturating_sub(1));
        let Some(row) = self.senders.get_mut(at) else { return };
        row.accept(position, entry);
        if row.since == position {
            self.forget(entry.sender.kind(), position);
        }
    }

    /// The row of `sender`.
    #[must_use]
    pub fn get(&self, sender: &Sender) -> Option<&SenderRow> {
        self.senders.iter().find(|row| row.sender == *sender)
    }

    /// Whether `sender`, when it is not in the table, may have been in it once.
    #[must_use]
    pub fn may_be_forgotten(&self, sender: &Sender) -> bool {
        let [kept, one_shot] = self.forgotten_through;
        sender.stamp() <= if sender.kind() == SenderKind::Kept { kept } else { one_shot }
    }

    /// Drops the least recently used senders of `kind` over the limit. Those that came after `position` do not count:
    /// a row of a later state must not push out one that is still to be used.
    fn forget(&mut self, kind: SenderKind, position: u64) {
        let here = |row: &SenderRow| row.sender.kind() == kind && row.since <= position;
        while self.senders.iter().filter(|row| here(row)).count() > SENDERS {
            let oldest = self.senders.iter().enumerate().filter(|(_, row)| here(row)).min_by_key(|(_, row)| row.used);
            let Some((at, _)) = oldest else { return };
            let gone = self.senders.remove(at);
            let [kept, one_shot] = &mut self.forgotten_through;
            let through = if kind == SenderKind::Kept { kept } else { one_shot };
            *through = (*through).max(gone.sender.stamp());
        }
    }
}

impl SenderRow {
    /// The answer to `number`.
    #[must_use]
    pub fn answer(&self, number: u64) -> Option<&Answer> {
        let last = self.answers.back().filter(|last| last.number >= number)?;
        // Most numbers follow each other without a hole.
        let back = usize::try_from(last.number - number).ok()?;
        let guess = self.answers.len().checked_sub(back + 1).and_then(|at| self.answers.get(at));
        guess.filter(|answer| answer.number == number).or_else(|| {
            let at = self.answers.binary_search_by_key(&number, |answer| answer.number).ok()?;
            self.answers.get(at)
        })
    }

    /// Adds an answer, unless it is there or stale; folding one again changes nothing.
    fn accept(&mut self, position: u64, entry: &Numbered) {
        let &Numbered { number, oldest, seq, time_ms, crc, .. } = entry;
        self.used = self.used.max(position);
        self.since = self.since.min(position);
        // Numbers are in a window that the protocol keeps to, so that a row has a bound.
        self.floor = self.floor.max(oldest).max(number.saturating_sub(SEND_WINDOW as u64 - 1));
        let answer = Answer { number, seq, time_ms, crc };
        if self.answers.back().is_none_or(|last| last.number < number) {
            self.answers.push_back(answer);
        } else if let Err(at) = self.answers.binary_search_by_key(&number, |answer| answer.number) {
            self.answers.insert(at, answer);
        }
        while self.answers.front().is_some_and(|first| first.number < self.floor) {
            self.answers.pop_front();
        }
    }
}
