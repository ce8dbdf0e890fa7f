//! State rows of one channel that the store may not cover yet. The owner of a slot keeps them as decided, the view as
//! committed; who reads looks here first and in the store second.

use std::collections::BTreeMap;

use postrider_protocol::Id;
use postrider_storage::{DeviceRow, OfState, StateKey, StateRow, TargetRow};

/// A row as an entry left it; none when the entry removed it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which row.
    pub key: StateKey,
    /// The position of the entry.
    pub position: u64,
    /// The row.
    pub row: Option<StateRow>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Uncovered(BTreeMap<StateKey, (u64, Option<StateRow>)>);

impl Uncovered {
    /// The row, or that there is none, if it is known here; otherwise the store's is current.
    #[must_use]
    pub fn get(&self, key: &StateKey) -> Option<Option<&StateRow>> {
        self.0.get(key).map(|(_, row)| row.as_ref())
    }

    /// Keeps what a row is now.
    pub fn put(&mut self, change: Change) {
        self.0.insert(change.key, (change.position, change.row));
    }

    /// Lets go of what the store covers.
    pub fn release(&mut self, covered: u64) {
        self.0.retain(|_, (position, _)| *position > covered);
    }

    /// Whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What became of the messages `from` to `to`, both included, as far as it is known here.
    pub fn targets(&self, (from, to): (u64, u64)) -> impl Iterator<Item = (u64, &TargetRow)> {
        let range = self.0.range(StateKey::Target(from)..=StateKey::Target(to));
        range.filter_map(|(key, (_, row))| match (key, row) {
            (StateKey::Target(seq), Some(StateRow::Target(row))) => Some((*seq, row)),
            _ => None,
        })
    }

    /// Makes devices that the store knows what they are here.
    pub fn overlay_devices(&self, devices: &mut BTreeMap<Id, DeviceRow>) {
        for (key, row) in self.of::<DeviceRow>(|key| matches!(key, StateKey::Device(_))) {
            let StateKey::Device(device) = key else { continue };
            match row {
                Some(row) => _ = devices.insert(device.clone(), row.clone()),
                None => _ = devices.remove(device),
            }
        }
    }

    /// The rows here from a key on, as long as `is_it`.
    #[must_use]
    pub fn run(&self, from: &StateKey, is_it: impl Fn(&StateKey) -> bool) -> Self {
        let run = self.0.range(from..).take_while(|(key, _)| is_it(key));
        Self(run.map(|(key, row)| (key.clone(), row.clone())).collect())
    }

    /// The rows here of the kind `R`, ascending by key; none for one that was removed.
    pub fn of<R: OfState + 'static>(
        &self,
        is_it: impl Fn(&StateKey) -> bool,
    ) -> impl Iterator<Item = (&StateKey, Option<&R>)> {
        self.0.iter().filter(move |(key, _)| is_it(key)).map(|(key, (_, row))| (key, row.as_ref().and_then(R::of)))
    }
}
