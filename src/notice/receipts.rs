//! Receipts of groups on their way to those who watch: gathered, so that a group is told at most once a tick however
//! many members read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use postrider_protocol::{CALL_IDS, Channel, Id, packet::notice::Receipt};

use crate::slot::Group;

/// What moved in one group since the last tick.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The group when the last of them was decided.
    pub group: Arc<Group>,
    /// Delivered and read, by user; no more than are told.
    marks: BTreeMap<Id, (u64, u64)>,
    /// More moved than are told.
    is_over: bool,
}

impl Gathered {
    /// What is told: none when too many moved.
    pub(super) fn marks(&self) -> Vec<Receipt> {
        if self.is_over {
            return Vec::new();
        }
        let one = |(user, &(delivered, read)): (&Id, &(u64, u64))| Receipt { user: user.clone(), delivered, read };
        self.marks.iter().map(one).collect()
    }
}

/// By tenant and channel.
type Channels = BTreeMap<(u32, Channel), Gathered>;

/// See the module. Bounded by the channels that somebody watches.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Channels>);

impl Receipts {
    /// Keeps a mark for the next tick.
    pub(super) fn gather(&self, tenant: u32, channel: &Channel, mark: &Receipt, group: &Arc<Group>) {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Gathered { group: Arc::clone(group), marks: BTreeMap::new(), is_over: false };
        let gathered = channels.entry((tenant, channel.clone())).or_insert_with(new);
        gathered.group = Arc::clone(group);
        if gathered.marks.len() >= CALL_IDS && !gathered.marks.contains_key(&mark.user) {
            gathered.is_over = true;
            return;
        }
        let (delivered, read) = gathered.marks.entry(mark.user.clone()).or_default();
        *delivered = mark.delivered.max(*delivered);
        *read = mark.read.max(*read);
    }

    /// Takes everything that was gathered.
    pub(super) fn take(&self) -> Channels {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize, read: u64) -> Receipt {
        Receipt { user: format!("user-{number}").parse().unwrap(), delivered: 0, read }
    }

    #[test]
    fn many_marks_of_a_group_become_one_list_and_too_many_an_empty_one() {
        let (receipts, group) = (Receipts::default(), Arc::default());
        let channel = Channel::group(&"team".parse().unwrap());
        for read in [3, 5, 4] {
            receipts.gather(0, &channel, &mark(0, read), &group);
        }
        receipts.gather(1, &channel, &mark(1, 9), &group);
        let taken = receipts.take();
        assert_eq!(taken.len(), 2, "each tenant has its own");
        assert_eq!(taken[&(0, channel.clone())].marks(), [mark(0, 5)]);
        assert!(receipts.take().is_empty());
        for number in 0..100 {
            receipts.gather(0, &channel, &mark(number, 1), &group);
        }
        receipts.gather(0, &channel, &mark(7, 2), &group);
        assert_eq!(receipts.take()[&(0, channel.clone())].marks().len(), 100);
        for number in 0..101 {
            receipts.gather(0, &channel, &mark(number, 1), &group);
        }
        assert!(receipts.take()[&(0, channel)].marks().is_empty());
    }
}
