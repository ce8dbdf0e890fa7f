//! Users, devices, groups, channels, senders.

use alloc::{string::String, vec::Vec};
use core::{borrow::Borrow, fmt, str::FromStr};

use bytes::Bytes;

use crate::{DecodeError, ID_BYTES, Reader, Writer};

/// Which bytes an id is made of: `A-Z a-z 0-9 . _ ~ : @ + = -`.
#[allow(clippy::indexing_slicing, reason = "all indexes are of a byte, and checked as this is compiled")]
const OF_ID: [bool; 256] = {
    let (mut of_id, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        let is_sign = matches!(byte, b'.' | b'_' | b'~' | b':' | b'@' | b'+' | b'=' | b'-');
        of_id[byte as usize] = byte.is_ascii_alphanumeric() || is_sign;
        byte += 1;
    }
    of_id
};

/// Whether `bytes` is an id: 1–128 bytes of `A-Z a-z 0-9 . _ ~ : @ + = -`.
fn is_id(bytes: &[u8]) -> bool {
    let of_id = |byte: &u8| OF_ID.get(usize::from(*byte)).copied().unwrap_or_default();
    !bytes.is_empty() && bytes.len() <= ID_BYTES && bytes.iter().all(of_id)
}

/// The id of a user, a device or a group: 1–128 bytes of `A-Z a-z 0-9 . _ ~ : @ + = -`, compared as bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Bytes);

impl Id {
    /// Takes `bytes` as an id if they are one.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        is_id(&bytes).then_some(Self(bytes))
    }

    /// Takes an id, a length of one byte and the id's bytes, off `reader`.
    ///
    /// # Errors
    /// `MALFORMED` when it is not an id.
    pub fn read(reader: &mut Reader, what: &'static str) -> Result<Self, DecodeError> {
        let at = reader.position();
        Self::new(reader.bytes8(what)?).ok_or(DecodeError::malformed(what, at))
    }

    /// As [`Id::read`], where a length of 0 means that there is none.
    ///
    /// # Errors
    /// `MALFORMED` when it is neither an id nor empty.
    pub fn read_optional(reader: &mut Reader, what: &'static str) -> Result<Option<Self>, DecodeError> {
        let at = reader.position();
        let bytes = reader.bytes8(what)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Self::new(bytes).map(Some).ok_or(DecodeError::malformed(what, at))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its text; ids are ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// A copy that shares no memory with the frame it came from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl FromStr for Id {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        Self::new(Bytes::copy_from_slice(text.as_bytes()))
            .ok_or(DecodeError::malformed("an id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ : @ + = -", 0))
    }
}

impl Borrow<[u8]> for Id {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.as_str())
    }
}

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Two users, or one user with themselves.
    Person,
    /// A group.
    Group,
    /// What belongs to one user alone; never on the wire.
    User,
}

/// A channel within a tenant, in the one form it has on the wire, in the log and in keys: a kind byte (1 person,
/// 2 group, 3 user), then each id as a length byte and its bytes; a person channel's two ids in bytewise order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Bytes);

impl Channel {
    /// The channel of two users, in either order; equal ids are notes to self.
    #[must_use]
    pub fn person(one: &Id, other: &Id) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self::spell(1, &[low, high])
    }

    /// The channel of a group.
    #[must_use]
    pub fn group(id: &Id) -> Self {
        Self::spell(2, &[id])
    }

    /// The channel of what belongs to one user.
    #[must_use]
    pub fn user(id: &Id) -> Self {
        Self::spell(3, &[id])
    }

    fn spell(kind: u8, ids: &[&Id]) -> Self {
        let mut bytes = Vec::with_capacity(3 + 2 * ID_BYTES);
        bytes.u8(kind);
        for id in ids {
            bytes.bytes8(id.as_bytes());
        }
        Self(bytes.into())
    }

    /// Takes a channel with conversations, a person's or a group's, off `reader`: the only ones on the wire.
    ///
    /// # Errors
    /// As [`Channel::read`], and `MALFORMED` for the channel of one user.
    pub fn read_shared(reader: &mut Reader) -> Result<Self, DecodeError> {
        let at = reader.position();
        let channel = Self::read(reader)?;
        if channel.kind() == ChannelKind::User {
            return Err(DecodeError::malformed("channel kind", at));
        }
        Ok(channel)
    }

    /// Takes a channel off `reader`.
    ///
    /// # Errors
    /// `MALFORMED` for an unknown kind, a bad id, or a person channel's ids out of order.
    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let at = reader.position();
        let rest = reader.peek();
        let len = Self::spelled_len(rest).ok_or(DecodeError::malformed("channel", at))?;
        Ok(Self(reader.bytes(len, "channel")?))
    }

    /// The length of the channel that `bytes` begin with, if they do.
    fn spelled_len(bytes: &[u8]) -> Option<usize> {
        let (&kind, rest) = bytes.split_first()?;
        let (low, rest) = split_id(rest)?;
        match kind {
            1 => {
                let (high, _) = split_id(rest)?;
                (low <= high).then_some(3 + low.len() + high.len())
            }
            2 | 3 => Some(2 + low.len()),
            _ => None,
        }
    }

    /// Takes `bytes` as a channel if they spell exactly one.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        (Self::spelled_len(&bytes)? == bytes.len()).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        match self.0.first() {
            Some(1) => ChannelKind::Person,
            Some(2) => ChannelKind::Group,
            _ => ChannelKind::User,
        }
    }

    /// The ids it names: two for a person channel, else one.
    #[must_use]
    pub fn ids(&self) -> (Id, Option<Id>) {
        let len = usize::from(self.0.get(1).copied().unwrap_or_default());
        let first = Id(self.0.slice(2..2 + len));
        let second = (self.kind() == ChannelKind::Person).then(|| Id(self.0.slice(3 + len..)));
        (first, second)
    }

    /// Which side of a person channel `user` is: 0, 1, or none of both. With themselves a user is side 0.
    #[must_use]
    pub fn side_of(&self, user: &[u8]) -> Option<u8> {
        if self.kind() != ChannelKind::Person {
            return None;
        }
        let (low, high) = self.raw_ids();
        if low == user { Some(0) } else { (high == user).then_some(1) }
    }

    /// Whether a user can be `side` here; notes to self have only side 0.
    pub(crate) fn has_side(&self, side: u8) -> bool {
        let (low, high) = self.raw_ids();
        self.kind() == ChannelKind::Person && (side == 0 || low != high)
    }

    fn raw_ids(&self) -> (&[u8], &[u8]) {
        let rest = self.0.get(1..).unwrap_or_default();
        match split_id(rest) {
            Some((low, rest)) => (low, split_id(rest).map_or(&[][..], |(high, _)| high)),
            None => (&[], &[]),
        }
    }

    /// The slot of this channel in `tenant`: CRC-32 of tenant and channel, modulo 256.
    #[must_use]
    pub fn slot(&self, tenant: u32) -> u8 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&tenant.to_be_bytes());
        crc.update(&self.0);
        (crc.finalize() & 0xff) as u8
    }

    /// The address as `user` writes it: `user:ID` for the person channel with ID, `group:ID`.
    #[must_use]
    pub fn address_for(&self, user: &Id) -> String {
        let (low, high) = self.ids();
        match (self.kind(), high) {
            (ChannelKind::Person, Some(high)) => {
                let other = if low == *user { high } else { low };
                alloc::format!("user:{other}")
            }
            (ChannelKind::Group, _) => alloc::format!("group:{low}"),
            _ => alloc::format!("self:{low}"),
        }
    }

    /// The channel that `user` means by the address `text`: `user:ID` or `group:ID`, split at the first colon.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_address(user: &Id, text: &str) -> Result<Self, DecodeError> {
        match text.split_once(':') {
            Some(("user", id)) => Ok(Self::person(user, &id.parse()?)),
            Some(("group", id)) => Ok(Self::group(&id.parse()?)),
            _ => Err(DecodeError::malformed("an address is user:ID or group:ID", 0)),
        }
    }

    /// A copy that shares no memory with the frame it came from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Borrow<[u8]> for Channel {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.ids();
        match high {
            Some(high) => write!(f, "Channel({:?} {low} {high})", self.kind()),
            None => write!(f, "Channel({:?} {low})", self.kind()),
        }
    }
}

fn split_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(len))?;
    is_id(id).then_some((id, rest))
}

/// Whether the owner of a sender keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SenderKind {
    /// An app that stores sender, counter and unsent messages.
    Kept = 1,
    /// One process that forgets it at its end.
    OneShot = 2,
}

/// Who numbers commands: 8 bytes that the server issues. The first is the kind, the other seven tell the time of
/// issue; all seven zero asks for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sender([u8; 8]);

impl Sender {
    /// Asks the server for a new sender of this kind.
    #[must_use]
    pub const fn request(kind: SenderKind) -> Self {
        Self([kind as u8, 0, 0, 0, 0, 0, 0, 0])
    }

    /// The sender issued at `stamp` (56 bits, strictly rising at one server).
    #[must_use]
    pub const fn issue(kind: SenderKind, stamp: u64) -> Self {
        let [_, a, b, c, d, e, f, g] = stamp.to_be_bytes();
        Self([kind as u8, a, b, c, d, e, f, g])
    }

    /// Takes a sender or a request for one off `reader`.
    ///
    /// # Errors
    /// `MALFORMED` when the kind is unknown.
    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let at = reader.position();
        let bytes = reader.opaque8("sender")?;
        match bytes[0] {
            1 | 2 => Ok(Self(bytes)),
            _ => Err(DecodeError::malformed("sender kind", at)),
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// From stored bytes, unchecked; all zero stands for "no sender" in stored images of the server's own making.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Kept or one-shot.
    #[must_use]
    pub const fn kind(&self) -> SenderKind {
        if self.0[0] == SenderKind::OneShot as u8 { SenderKind::OneShot } else { SenderKind::Kept }
    }

    /// Whether it asks for a new one.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.stamp() == 0
    }

    /// When it was issued: orders senders of one user.
    #[must_use]
    pub const fn stamp(&self) -> u64 {
        let [_, a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}
