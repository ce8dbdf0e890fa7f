//! State rows of one channel that the store may not cover yet. The owner of a slot keeps them as decided, the view as
//! committed; who reads looks here first and in the store second.

use std::collections::BTreeMap;

use postrider_storage::{OfState, StateKey, StateRow, TargetRow};

use crate::few::FewMap;

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
pub struct Uncovered(FewMap<StateKey, (u64, Option<StateRow>)>);

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
        let range = self.0.from(&StateKey::Target(from)).take_while(move |(key, _)| **key <= StateKey::Target(to));
        range.filter_map(|(key, (_, row))| match (key, row) {
            (StateKey::Target(seq), Some(StateRow::Target(row))) => Some((*seq, row.as_ref())),
            _ => None,
        })
    }

    /// Makes rows that the store has what they are here; `named` tells which rows these are, and their names.
    pub fn overlay<K: Ord, R: OfState + Clone>(
        &self,
        rows: &mut BTreeMap<K, R>,
        named: impl Fn(&StateKey) -> Option<K>,
    ) {
        for (key, (position, row)) in self.0.iter() {
            let Some(name) = named(key) else { continue };
            // What was read of the store may be newer than what was held here before.
            if rows.get(&name).is_some_and(|stored| stored.position() > *position) {
                continue;
            }
            match row.as_ref().and_then(R::of) {
                Some(row) => _ = rows.insert(name, row.clone()),
                None => _ = rows.remove(&name),
            }
        }
    }

    /// Whether there is such a row here.
    pub fn any(&self, is_it: impl Fn(&StateKey) -> bool) -> bool {
        self.0.iter().any(|(key, (_, row))| row.is_some() && is_it(key))
    }

    /// The rows here from a key on, as long as `is_it`.
    #[must_use]
    pub fn run(&self, from: &StateKey, is_it: impl Fn(&StateKey) -> bool) -> Self {
        let run = self.0.from(from).take_while(|(key, _)| is_it(key));
        Self(run.map(|(key, row)| (key.clone(), row.clone())).collect())
    }

    /// Those of the rows here that `is_it` says.
    #[must_use]
    pub fn only(&self, is_it: impl Fn(&StateKey) -> bool) -> Self {
        Self(self.0.iter().filter(|(key, _)| is_it(key)).map(|(key, row)| (key.clone(), row.clone())).collect())
    }

    /// The rows here of the kind `R`, ascending by key; none for one that was removed.
    pub fn of<R: OfState + 'static>(
        &self,
        is_it: impl Fn(&StateKey) -> bool,
    ) -> impl Iterator<Item = (&StateKey, Option<&R>)> {
        self.0.iter().filter(move |(key, _)| is_it(key)).map(|(key, (_, row))| (key, row.as_ref().and_then(R::of)))
    }
}
