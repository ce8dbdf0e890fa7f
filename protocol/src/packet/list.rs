//! LIST and LISTED.

use alloc::vec::Vec;

use bytes::Bytes;

use super::read_reason;
use crate::{AVATAR_BYTES, Channel, DecodeError, LIST_TOKEN_BYTES, Reader, Reason, Tlvs, Writer};

/// LIST: `request u32 · token bytes16 · page bytes16 · limit u16 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPacket {
    /// Repeated in the answer.
    pub request: u32,
    /// What changed since this token; empty for everything.
    pub token: Bytes,
    /// `next` of the page before; empty for the first.
    pub page: Bytes,
    /// At most so many conversations; 0 leaves it to the server.
    pub limit: u16,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl ListPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request: r.u32("request")?,
            token: r.bytes16(LIST_TOKEN_BYTES, "token")?,
            page: r.bytes16(LIST_TOKEN_BYTES, "page")?,
            limit: r.u16("limit")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.bytes16(&self.token);
        out.bytes16(&self.page);
        out.u16(self.limit);
        out.raw(self.tlvs.as_bytes());
    }
}

/// Bits of a conversation's flags.
pub mod conversation_flag {
    /// The body of the last image is cut to 256 bytes.
    pub const CUT: u16 = 1;
    /// The user is no member; head is the last seq they may see, 0 for who never was one.
    pub const LEFT: u16 = 2;
    /// It stays at the top.
    pub const PINNED: u16 = 4;
    /// It is left out of the list until something new comes.
    pub const HIDDEN: u16 = 8;
    /// It shows as unread whatever the count.
    pub const MARKED_UNREAD: u16 = 16;
    /// The user is invited to the group and is no member yet.
    pub const INVITED: u16 = 32;
    /// The user has asked to join the group.
    pub const ASKED: u16 = 64;
    /// The user blocks the other one.
    pub const BLOCKED: u16 = 128;
    /// The group was dismissed.
    pub const DISMISSED: u16 = 256;
}

/// One user's view of a channel:
/// `channel · flags u16 · epoch u32 · head u64 · sync_from u64 · read u64 · unread u16 · mentions u16
/// · muted_until_ms u64 · cleared u64 · name bytes8 · avatar bytes16 · image bytes32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The channel.
    pub channel: Channel,
    /// Bits of [`conversation_flag`].
    pub flags: u16,
    /// The epoch of the channel's slot.
    pub epoch: u32,
    /// The highest seq that the user may see.
    pub head: u64,
    /// The device syncs what lies above this seq.
    pub sync_from: u64,
    /// The user has read up to this seq.
    pub read: u64,
    /// How much is unread; [`crate::UNREAD_EXACT`] + 1 stands for any more.
    pub unread: u16,
    /// How much of it mentions the user; capped likewise.
    pub mentions: u16,
    /// It wakes nobody until then.
    pub muted_until_ms: u64,
    /// What is up to here the user has deleted for themselves.
    pub cleared: u64,
    /// What a group is called, UTF-8; empty for one without a name, for a person, and for who was a member.
    pub name: Bytes,
    /// Its picture, as its TLV `AVATAR` has it; empty as `name` is.
    pub avatar: Bytes,
    /// The image of `head`; empty when there is none to show, as when the user deleted it for themselves.
    pub image: Bytes,
}

/// LISTED: `request u32 · reason u16 · token bytes16 · next bytes16 · count u16 · conversations · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPacket {
    /// The request it answers.
    pub request: u32,
    /// OK, or why not.
    pub reason: Reason,
    /// The token for the next LIST, of the moment before page one; the same on every page.
    pub token: Bytes,
    /// `page` for the next page; empty on the last.
    pub next: Bytes,
    /// Newest first.
    pub conversations: Vec<Conversation>,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl ListedPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let request = r.u32("request")?;
        let reason = read_reason(r)?;
        let token = r.bytes16(LIST_TOKEN_BYTES, "token")?;
        let next = r.bytes16(LIST_TOKEN_BYTES, "next")?;
        let count = r.u16("count")?;
        let mut conversations = Vec::new();
        for _ in 0..count {
            conversations.push(Conversation::read(r)?);
        }
        Ok(Self { request, reason, token, next, conversations, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.u16(self.reason.number());
        out.bytes16(&self.token);
        out.bytes16(&self.next);
        out.u16(u16::try_from(self.conversations.len()).unwrap_or(u16::MAX));
        for conversation in &self.conversations {
            conversation.write(out);
        }
        out.raw(self.tlvs.as_bytes());
    }
}

impl Conversation {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: Channel::read_shared(r)?,
            flags: r.u16("conversation flags")?,
            epoch: r.u32("epoch")?,
            head: r.u64("head")?,
            sync_from: r.u64("sync_from")?,
            read: r.u64("read")?,
            unread: r.u16("unread")?,
            mentions: r.u16("mentions")?,
            muted_until_ms: r.u64("muted_until_ms")?,
            cleared: r.u64("cleared")?,
            name: r.bytes8("name")?,
            avatar: r.bytes16(AVATAR_BYTES, "avatar")?,
            image: r.bytes32("image")?,
        })
    }

    fn write(&self, out: &mut impl Writer) {
        out.raw(self.channel.as_bytes());
        out.u16(self.flags);
        out.u32(self.epoch);
        out.u64(self.head);
        out.u64(self.sync_from);
        out.u64(self.read);
        out.u16(self.unread);
        out.u16(self.mentions);
        out.u64(self.muted_until_ms);
        out.u64(self.cleared);
        out.bytes8(&self.name);
        out.bytes16(&self.avatar);
        out.bytes32(&self.image);
    }
}
