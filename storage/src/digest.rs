//! What counting needs to know of an entry, in four bytes beside its place: so unread is counted from index pages alone.

use postrider_protocol::{Id, ImageKind, image_flag};

use crate::head::Head;

const COUNTABLE: u32 = 1 << 31;
const EXPIRING: u32 = 1 << 30;
const MENTION_ALL: u32 = 1 << 29;
const MENTIONS: u32 = 1 << 28;
/// What is left for the author.
const AUTHOR: u32 = MENTIONS - 1;

/// See the module. The empty one stands for an entry that counts for nobody: lost, trimmed, or no message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u32);

/// A sieve for entries of one author: it lets all of theirs through, and of others one in 2^28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorSieve(u32);

impl AuthorSieve {
    /// That for entries of `user`.
    #[must_use]
    pub fn of(user: &Id) -> Self {
        Self(author(user.as_bytes()))
    }
}

fn author(id: &[u8]) -> u32 {
    crc32fast::hash(id) & AUTHOR
}

impl Digest {
    pub(crate) fn of(head: &Head<'_>) -> Self {
        if head.kind != ImageKind::Message.number() {
            return Self::default();
        }
        let bits = [
            (image_flag::COUNTABLE, COUNTABLE),
            (image_flag::EXPIRING, EXPIRING),
            (image_flag::MENTION_ALL, MENTION_ALL),
            (image_flag::MENTIONS, MENTIONS),
        ];
        let set = bits.iter().filter(|(flag, _)| head.flags & flag != 0).map(|(_, bit)| bit).sum::<u32>();
        Self(set | author(head.author))
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it counts as unread.
    #[must_use]
    pub const fn is_countable(self) -> bool {
        self.0 & COUNTABLE != 0
    }

    /// Whether it goes away at a time that is in its image.
    #[must_use]
    pub const fn is_expiring(self) -> bool {
        self.0 & EXPIRING != 0
    }

    /// Whether it mentions everybody.
    #[must_use]
    pub const fn mentions_all(self) -> bool {
        self.0 & MENTION_ALL != 0
    }

    /// Whether it mentions users, who are in its image.
    #[must_use]
    pub const fn mentions_some(self) -> bool {
        self.0 & MENTIONS != 0
    }

    /// Whether it may be from the user of the sieve; when not, it is from somebody else.
    #[must_use]
    pub const fn may_be_from(self, sieve: AuthorSieve) -> bool {
        self.0 & AUTHOR == sieve.0
    }
}
