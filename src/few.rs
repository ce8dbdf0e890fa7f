//! A map in the order of its keys that takes no more room than its values while they are few: a B-tree's node has room
//! for eleven, and nearly all of the thousands of maps that are kept by channel or by user have one value or two.

use std::collections::{BTreeMap, btree_map};
use std::slice;

/// So many lie side by side; with more of them it becomes a tree.
const FEW: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub struct FewMap<K, V>(Held<K, V>);

#[derive(Clone, Debug)]
enum Held<K, V> {
    /// Ascending.
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Held::Few(Vec::new()))
    }
}

/// The entries of a [`FewMap`] from some key on, ascending.
pub enum Iter<'a, K, V> {
    /// Of few.
    Few(slice::Iter<'a, (K, V)>),
    /// Of many.
    Many(btree_map::Range<'a, K, V>),
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(rest) => rest.next().map(|(key, value)| (key, value)),
            Self::Many(rest) => rest.next(),
        }
    }
}

impl<K: Ord, V> FewMap<K, V> {
    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        match &self.0 {
            Held::Few(few) => few
                .binary_search_by(|(known, _)| known.cmp(key))
                .ok()
                .and_then(|at| few.get(at))
                .map(|(_, value)| value),
            Held::Many(many) => many.get(key),
        }
    }

    /// Puts the value of `key` in, in place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        match &mut self.0 {
            Held::Few(few) => match few.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(at) => {
                    if let Some(known) = few.get_mut(at) {
                        known.1 = value;
                    }
                }
                Err(at) if few.len() < FEW => {
                    few.reserve_exact(1);
                    few.insert(at, (key, value));
                }
                Err(_) => {
                    let mut many: BTreeMap<K, V> = std::mem::take(few).into_iter().collect();
                    many.insert(key, value);
                    self.0 = Held::Many(many);
                }
            },
            Held::Many(many) => _ = many.insert(key, value),
        }
    }

    /// Lets go of what `keep` does not say.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        match &mut self.0 {
            Held::Few(few) => {
                few.retain(|(key, value)| keep(key, value));
                few.shrink_to_fit();
            }
            Held::Many(many) => {
                many.retain(|key, value| keep(key, value));
                if many.len() <= FEW {
                    self.0 = Held::Few(std::mem::take(many).into_iter().collect());
                }
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Few(few) => few.len(),
            Held::Many(many) => many.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries, ascending.
    pub fn iter(&self) -> Iter<'_, K, V> {
        match &self.0 {
            Held::Few(few) => Iter::Few(few.iter()),
            Held::Many(many) => Iter::Many(many.range(..)),
        }
    }

    /// The entries from `key` on, ascending.
    pub fn from(&self, key: &K) -> Iter<'_, K, V> {
        match &self.0 {
            Held::Few(few) => {
                let at = few.partition_point(|(known, _)| known < key);
                Iter::Few(few.get(at..).unwrap_or_default().iter())
            }
            Held::Many(many) => Iter::Many(many.range(key..)),
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for FewMap<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut map = Self::default();
        entries.into_iter().for_each(|(key, value)| map.insert(key, value));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_whether_few_or_many() {
        let mut state = 7_u64;
        let (mut map, mut model) = (FewMap::default(), BTreeMap::new());
        for step in 0..4_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) % 24;
            map.insert(key, step);
            model.insert(key, step);
            if step % 13 == 0 {
                let odd = state >> 63;
                map.retain(|key, value| key % 2 == odd && value % 3 != 0);
                model.retain(|key, value| key % 2 == odd && *value % 3 != 0);
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(map.get(&key), model.get(&key));
            assert!(map.iter().eq(&model), "step {step}");
            assert!(map.from(&key).eq(model.range(key..)), "step {step}");
        }
    }
}
