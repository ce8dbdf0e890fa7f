//! A command on its way to become an entry.

use bytes::Bytes;
use postrider_protocol::{
    BODY_BYTES, Channel, ChannelKind, From, Id, Image, ImageKind, ImageView, Reason, Tlvs, image_flag,
    packet::SendPacket, tag,
};
use postrider_storage::ConversationRow;

use super::{answer::Refusal, command::Origin, state::Place};

/// The part of a command that makes an entry.
pub(super) struct Draft<'a> {
    pub kind: u8,
    pub flags: u16,
    pub channel: &'a Channel,
    pub number: u64,
    pub oldest: u64,
    pub read: u64,
    pub tlvs: &'a Tlvs,
    pub body: &'a [u8],
    pub crc: u32,
}

impl Draft<'_> {
    /// The image that it becomes at `place`; a message's body is left out, for nothing but its writing needs it.
    pub(super) fn image(&self, origin: &Origin, place: Place) -> Image {
        let is_message = self.kind == ImageKind::Message.number();
        Image {
            kind: self.kind,
            flags: self.flags,
            seq: place.seq,
            time_ms: place.time_ms,
            channel: self.channel.detached(),
            from: From::of(&origin.user, self.channel),
            sender: origin.sender,
            number: self.number,
            tlvs: self.tlvs.clone(),
            body: if is_message { Bytes::new() } else { Bytes::copy_from_slice(self.body) },
        }
    }
}

/// Appends `image` with `body`; returns the length of its head.
pub(super) fn write_image(out: &mut Vec<u8>, image: &Image, body: &[u8]) -> usize {
    ImageView {
        kind: image.kind,
        flags: image.flags,
        seq: image.seq,
        time_ms: image.time_ms,
        channel: &image.channel,
        from: &image.from,
        sender: image.sender,
        number: image.number,
        tlvs: &image.tlvs,
        body,
    }
    .write(out)
}

/// The rows that the first message of a person channel makes.
pub(super) fn first_rows(channel: &Channel) -> Vec<(Id, Option<ConversationRow>)> {
    if channel.kind() != ChannelKind::Person {
        return Vec::new();
    }
    let (low, high) = channel.ids();
    let high = high.filter(|high| *high != low);
    [Some(low), high].into_iter().flatten().map(|user| (user, None)).collect()
}

/// What can be refused without looking anything up.
pub(super) fn check_packet(packet: &SendPacket) -> Option<Refusal> {
    if packet.body.len() > BODY_BYTES {
        return Some(Refusal::new(Reason::BodyTooLarge, "body over 65,536 bytes"));
    }
    if packet.flags & !(image_flag::COUNTABLE | image_flag::SILENT) != 0 {
        return Some(Refusal::new(Reason::Malformed, "flags"));
    }
    packet.tlvs.iter().find_map(|(tag, value)| match tag {
        tag::READ if value.len() != 8 => Some(Refusal::new(Reason::Malformed, "TLV READ is 8 bytes")),
        0x4000..=0x7fff => Some(Refusal::new(Reason::Malformed, "a TLV that only the server sets")),
        0x8000.. => Some(Refusal::new(Reason::UnknownCritical, "a critical TLV that is not known")),
        _ => None,
    })
}
