//! The head of an image, borrowed: most entries are folded by it alone, without decoding what follows.

use postrider_protocol::Sender;

use crate::{
    entry::{CHANNEL_AT, be64},
    fold,
};

/// The fields before the TLVs, at their offsets in the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub kind: u8,
    pub flags: u16,
    pub seq: u64,
    pub time_ms: u64,
    /// The channel's bytes.
    pub channel: &'a [u8],
    /// The author's id.
    pub author: &'a [u8],
    pub sender: Sender,
    pub number: u64,
}

impl<'a> Head<'a> {
    /// That of `image`, which was checked when it was decided; none when it is cut short.
    pub(crate) fn of(image: &'a [u8]) -> Option<Self> {
        let flags = u16::from_be_bytes(*image.get(2..)?.first_chunk()?);
        let from = image.get(CHANNEL_AT..)?;
        let (&kind, ids) = from.split_first()?;
        let (low, rest) = split_id(ids)?;
        let (high, rest) = if kind == 1 { split_id(rest)? } else { (low, rest) };
        let channel = from.get(..from.len() - rest.len())?;
        let (&side, rest) = rest.split_first()?;
        let (author, rest) = match side {
            0 => (low, rest),
            1 => (high, rest),
            _ => split_id(rest)?,
        };
        let (sender, rest) = rest.split_first_chunk()?;
        let (kind, seq, time_ms, number) = (*image.get(1)?, be64(image, 4), be64(image, 12), be64(rest, 0));
        Some(Self { kind, flags, seq, time_ms, channel, author, sender: Sender::from_bytes(*sender), number })
    }

    /// Whether it came from a numbered command, and so changes the senders of its author.
    pub(crate) fn is_numbered(&self) -> bool {
        self.number > 0 && !fold::is_of_earlier(self.kind, self.flags) && self.sender != Sender::from_bytes([0; 8])
    }

    /// Whether it is of a person channel.
    pub(crate) fn is_person(&self) -> bool {
        self.channel.first() == Some(&1)
    }
}

/// The id that `bytes` begin with, and what follows it.
fn split_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}
