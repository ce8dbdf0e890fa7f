//! Who is in a group, by id, for decide and deliver. A change makes a new one beside those that are still to be told
//! of, so it is kept in pieces that copies share: of ten thousand members a change copies a hundred.

use std::sync::Arc;

use postrider_protocol::Id;
use postrider_storage::MemberRow;

/// A piece is split when it has more than this many.
const PIECE: usize = 128;

/// What decide has to know of a member; the rest is in their row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// 0 member, 1 admin, 2 owner.
    pub role: u8,
    /// They may not speak until then.
    pub muted_until_ms: u64,
}

impl From<&MemberRow> for Member {
    fn from(row: &MemberRow) -> Self {
        Self { role: row.role, muted_until_ms: row.muted_until_ms }
    }
}

/// See the module. No piece is empty; ids ascend within pieces and from piece to piece.
#[derive(Clone, Debug, Default)]
pub struct Members {
    pieces: Vec<Arc<Vec<(Id, Member)>>>,
    len: usize,
}

impl Members {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is known of `user`, if they are a member.
    #[must_use]
    pub fn get(&self, user: &Id) -> Option<&Member> {
        let piece = self.pieces.get(self.piece_of(user))?;
        let at = piece.binary_search_by(|(id, _)| id.cmp(user)).ok()?;
        piece.get(at).map(|(_, member)| member)
    }

    /// Whether `user` is a member.
    #[must_use]
    pub fn contains_key(&self, user: &Id) -> bool {
        self.get(user).is_some()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Id, &Member)> {
        self.pieces.iter().flat_map(|piece| piece.iter().map(|(id, member)| (id, member)))
    }

    /// Their ids, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &Id> {
        self.iter().map(|(id, _)| id)
    }

    /// Who is here and not in `other`, ascending. What they share is not looked at.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Id> {
        let is_shared = |piece: &Arc<Vec<(Id, Member)>>| {
            let theirs = piece.first().and_then(|(first, _)| other.pieces.get(other.piece_of(first)));
            theirs.is_some_and(|theirs| Arc::ptr_eq(piece, theirs))
        };
        let own = self.pieces.iter().filter(move |piece| !is_shared(piece));
        own.flat_map(|piece| piece.iter().map(|(id, _)| id)).filter(|id| !other.contains_key(id))
    }

    /// Puts `user` in, or changes what is known of them.
    pub fn insert(&mut self, user: Id, member: Member) {
        let at = self.piece_of(&user);
        let Some(piece) = self.pieces.get_mut(at).map(Arc::make_mut) else {
            self.pieces.push(Arc::new(vec![(user, member)]));
            self.len += 1;
            return;
        };
        match piece.binary_search_by(|(id, _)| id.cmp(&user)) {
            Ok(known) => {
                if let Some((_, known)) = piece.get_mut(known) {
                    *known = member;
                }
            }
            Err(place) => {
                piece.insert(place, (user, member));
                self.len += 1;
                if piece.len() > PIECE {
                    let rest = piece.split_off(PIECE / 2);
                    self.pieces.insert(at + 1, Arc::new(rest));
                }
            }
        }
    }

    /// Takes `user` out.
    pub fn remove(&mut self, user: &Id) {
        if !self.contains_key(user) {
            return;
        }
        let at = self.piece_of(user);
        let Some(piece) = self.pieces.get_mut(at).map(Arc::make_mut) else { return };
        piece.retain(|(id, _)| id != user);
        self.len -= 1;
        let left = piece.len();
        // Small neighbours become one, so that there are never many more pieces than members need.
        let next = self.pieces.get(at + 1).map_or(PIECE, |next| next.len());
        if left == 0 {
            self.pieces.remove(at);
        } else if left + next <= PIECE / 2 {
            let next = self.pieces.remove(at + 1);
            if let Some(piece) = self.pieces.get_mut(at) {
                Arc::make_mut(piece).extend(next.iter().cloned());
            }
        }
    }

    /// Which piece has `user`, or would: the last one that does not begin above.
    fn piece_of(&self, user: &Id) -> usize {
        let begins = |piece: &Arc<Vec<(Id, Member)>>| piece.first().is_some_and(|(first, _)| first <= user);
        self.pieces.partition_point(begins).saturating_sub(1)
    }
}

impl FromIterator<(Id, Member)> for Members {
    /// In any order.
    fn from_iter<I: IntoIterator<Item = (Id, Member)>>(members: I) -> Self {
        let mut all = Self::default();
        members.into_iter().for_each(|(id, member)| all.insert(id, member));
        all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(n: u64) -> Id {
        format!("user-{n}").parse().unwrap()
    }

    #[test]
    fn they_are_what_a_map_would_be_and_earlier_copies_stay_as_they_were() {
        let (mut members, mut truth) = (Members::default(), BTreeMap::new());
        let mut dice = 7_u64;
        for round in 0..20_000_u64 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let user = id((dice >> 33) % 3_000);
            let is_looked_at = round % 500 == 0;
            let (before, was) = (members.clone(), if is_looked_at { truth.clone() } else { BTreeMap::new() });
            // Grows, then shrinks.
            if (dice >> 20) % 10 < (if round < 10_000 { 7 } else { 2 }) {
                let member = Member { role: 0, muted_until_ms: round };
                members.insert(user.clone(), member);
                truth.insert(user, member);
            } else {
                members.remove(&user);
                truth.remove(&user);
            }
            assert_eq!((members.len(), members.is_empty()), (truth.len(), truth.is_empty()));
            if is_looked_at {
                assert!(members.iter().eq(truth.iter()));
                assert!(before.iter().eq(was.iter()));
                let gone: Vec<_> = was.keys().filter(|user| !truth.contains_key(*user)).collect();
                assert!(before.without(&members).eq(gone));
                assert!((0..3_000).all(|n| members.get(&id(n)) == truth.get(&id(n))));
            }
        }
        assert!(members.pieces.len() <= members.len() / 16 + 2, "{} of {}", members.pieces.len(), members.len());
    }
}
