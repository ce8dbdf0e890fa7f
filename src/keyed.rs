//! Values by tenant and the bytes of an id or a channel: what decide, the view, the hub and the rates keep by name.
//!
//! A look-up borrows the bytes it is given; they are copied once, when a value is put in. The hash is seeded for each
//! map, so that nobody outside can choose names that collide.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _},
};

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

/// See the module.
pub struct Keyed<V> {
    /// Boxed: of a table's places up to half are empty, and each would be as large as a row.
    rows: HashTable<Box<Row<V>>>,
    hasher: DefaultHashBuilder,
}

struct Row<V> {
    tenant: u32,
    key: Bytes,
    value: V,
}

impl<V> Row<V> {
    fn is(&self, tenant: u32, key: &[u8]) -> bool {
        self.tenant == tenant && self.key == key
    }
}

impl<V> Default for Keyed<V> {
    fn default() -> Self {
        Self { rows: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<V> fmt::Debug for Keyed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("len", &self.rows.len()).finish_non_exhaustive()
    }
}

fn hash(hasher: &DefaultHashBuilder, tenant: u32, key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u32(tenant);
    state.write(key);
    state.finish()
}

impl<V> Keyed<V> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, tenant: u32, key: &[u8]) -> Option<&V> {
        let hash = hash(&self.hasher, tenant, key);
        self.rows.find(hash, |row| row.is(tenant, key)).map(|row| &row.value)
    }

    /// As [`Keyed::get`], to change it.
    pub fn get_mut(&mut self, tenant: u32, key: &[u8]) -> Option<&mut V> {
        let hash = hash(&self.hasher, tenant, key);
        self.rows.find_mut(hash, |row| row.is(tenant, key)).map(|row| &mut row.value)
    }

    /// The value of `key`; the default one is put in when there is none.
    pub fn get_or_default(&mut self, tenant: u32, key: &[u8]) -> &mut V
    where
        V: Default,
    {
        let hasher = &self.hasher;
        let entry = self.rows.entry(
            hash(hasher, tenant, key),
            |row| row.is(tenant, key),
            |row| hash(hasher, row.tenant, &row.key),
        );
        let make = || Box::new(Row { tenant, key: Bytes::copy_from_slice(key), value: V::default() });
        let row = entry.or_insert_with(make);
        &mut row.into_mut().value
    }

    /// The value of `key`; what `make` returns is put in when there is none.
    ///
    /// # Errors
    /// Those of `make`; then nothing is put in.
    pub fn get_or_try_make<E>(
        &mut self,
        tenant: u32,
        key: &[u8],
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<&mut V, E> {
        let hasher = &self.hasher;
        let entry = self.rows.entry(
            hash(hasher, tenant, key),
            |row| row.is(tenant, key),
            |row| hash(hasher, row.tenant, &row.key),
        );
        let row = match entry {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Box::new(Row { tenant, key: Bytes::copy_from_slice(key), value: make()? })).into_mut()
            }
        };
        Ok(&mut row.value)
    }

    /// Takes the value of `key` out.
    pub fn remove(&mut self, tenant: u32, key: &[u8]) -> Option<V> {
        let hash = hash(&self.hasher, tenant, key);
        let row = self.rows.find_entry(hash, |row| row.is(tenant, key)).ok()?;
        Some(row.remove().0.value)
    }

    /// Keeps the values that `keep` says; it is asked in no particular order.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, &mut V) -> bool) {
        self.rows.retain(|row| keep(row.tenant, &mut row.value));
        let hasher = &self.hasher;
        if self.rows.len() < self.rows.capacity() / 4 {
            self.rows.shrink_to_fit(|row| hash(hasher, row.tenant, &row.key));
        }
    }

    /// Calls `each` with every value, in no particular order.
    pub fn for_each(&self, mut each: impl FnMut(u32, &[u8], &V)) {
        self.rows.iter().for_each(|row| each(row.tenant, &row.key, &row.value));
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_another_value_in_another_tenant() {
        let mut map = Keyed::default();
        *map.get_or_default(1, b"alice") = 1;
        *map.get_or_default(2, b"alice") = 2;
        assert_eq!((map.get(1, b"alice"), map.get(2, b"alice"), map.get(3, b"alice")), (Some(&1), Some(&2), None));
        assert_eq!(map.remove(1, b"alice"), Some(1));
        assert_eq!((map.get(1, b"alice"), map.get(2, b"alice")), (None, Some(&2)));
    }

    #[test]
    fn what_could_not_be_made_is_not_put_in() {
        let mut map = Keyed::<u8>::default();
        assert_eq!(map.get_or_try_make(0, b"x", || Err("no")), Err("no"));
        assert!(map.is_empty());
        assert_eq!(map.get_or_try_make(0, b"x", || Ok::<_, ()>(7)), Ok(&mut 7));
        assert_eq!(map.get_or_try_make(0, b"x", || Err("not asked")), Ok(&mut 7));
    }

    #[test]
    fn what_is_let_go_of_gives_its_room_back() {
        let mut map = Keyed::default();
        for number in 0..10_000_u32 {
            *map.get_or_default(0, &number.to_be_bytes()) = number;
        }
        map.retain(|_, number| *number < 10);
        assert_eq!(map.len(), 10);
        assert!(map.rows.capacity() < 100, "{}", map.rows.capacity());
        assert_eq!(map.get(0, &9_u32.to_be_bytes()), Some(&9));
    }
}
