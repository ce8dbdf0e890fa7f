//! A command on its way to become an entry.

use bytes::Bytes;
use postrider_protocol::{
    BODY_BYTES, Channel, ChannelKind, From, Image, ImageKind, ImageView, Kind, MENTIONS, Reason, Tlvs, frame,
    image_flag, tag,
};
use postrider_storage::fold;

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
    /// The CRC of TLVs and body as they will be stored, see [`fold::tail_crc`].
    pub tail: u32,
    /// The CRC of all that it asks for, see [`fold::intent`].
    pub intent: u32,
}

impl<'a> Draft<'a> {
    /// Of a command with this number and oldest.
    pub(super) fn new(
        kind: u8,
        (number, oldest): (u64, u64),
        flags: u16,
        channel: &'a Channel,
        tlvs: &'a Tlvs,
        body: &'a [u8],
    ) -> Self {
        let tail = fold::tail_crc(tlvs, body);
        let intent = fold::intent_of_tail(kind, flags, channel.as_bytes(), tail);
        Self { kind, flags, channel, number, oldest, read: 0, tlvs, body, tail, intent }
    }

    /// Whether its entry gets a seq.
    pub(super) const fn is_sequenced(&self) -> bool {
        self.kind < fold::CURSOR_KIND
    }

    /// Whether it changes no row in a channel with this head.
    pub(super) fn is_plain(&self, head: u64) -> bool {
        self.kind == ImageKind::Message.number()
            && fold::mark_of(self.read) == 0
            && self.flags & fold::CHANGING == 0
            && (head > 0 || self.channel.kind() == ChannelKind::Group)
    }

    /// What the table of senders keeps of it at `place`.
    pub(super) fn numbered(&self, origin: &Origin, place: Place) -> fold::Numbered {
        fold::Numbered {
            sender: origin.sender,
            number: self.number,
            oldest: self.oldest,
            seq: place.seq,
            time_ms: place.time_ms,
            crc: self.intent,
        }
    }

    /// The image that it becomes at `place`.
    pub(super) fn image(&self, origin: &Origin, place: Place) -> Image {
        Image {
            kind: self.kind,
            flags: self.flags,
            seq: place.seq,
            time_ms: place.time_ms,
            channel: self.channel.clone(),
            from: From::of(&origin.user, self.channel),
            sender: origin.sender,
            number: self.number,
            tlvs: self.tlvs.clone(),
            body: Bytes::copy_from_slice(self.body),
        }
    }

    /// Appends the RECV frame with that image; returns the length of the image's head.
    pub(super) fn write(&self, out: &mut Vec<u8>, origin: &Origin, place: Place) -> usize {
        let from = From::of(&origin.user, self.channel);
        let view = ImageView {
            kind: self.kind,
            flags: self.flags,
            seq: place.seq,
            time_ms: place.time_ms,
            channel: self.channel,
            from: &from,
            sender: origin.sender,
            number: self.number,
            tlvs: self.tlvs,
            body: self.body,
        };
        frame::append(out, Kind::Recv, |out| view.write(out))
    }
}

/// The flags that the server sets on a message for what its TLVs say.
pub(super) fn flags_of(tlvs: &Tlvs) -> u16 {
    let flag = |tag, flag| if tlvs.get(tag).is_some() { flag } else { 0 };
    flag(tag::LIFETIME_MS, image_flag::EXPIRING) | flag(tag::THREAD, image_flag::THREADED)
}

/// The flags that a client may set on a message.
const OF_SEND: u16 = image_flag::COUNTABLE | image_flag::SILENT | image_flag::MENTION_ALL | image_flag::MENTIONS;

/// The flag `MENTIONS` and the TLV come together.
const UNFLAGGED: Refusal = Refusal::new(Reason::Malformed, "the flag MENTIONS and the TLV come together");

/// What is wrong with the mentions of what has a flag of them: at most 100 users are named, and only a group is spoken to
/// like that.
pub(super) fn check_mentions(flags: u16, tlvs: &Tlvs, channel: &Channel) -> Option<Refusal> {
    if channel.kind() != ChannelKind::Group {
        return Some(Refusal::new(Reason::Malformed, "only a group has whom to mention"));
    }
    let count = tlvs.get_ids(tag::MENTIONS).map_or(0, |users| users.len());
    if (flags & image_flag::MENTIONS != 0) != (count > 0) {
        return Some(UNFLAGGED);
    }
    (count > MENTIONS).then(|| Refusal::new(Reason::Malformed, "more than 100 mentions"))
}

/// What of a message can be refused without looking anything up.
pub(super) fn check_message(flags: u16, channel: &Channel, tlvs: &Tlvs, body: &[u8]) -> Option<Refusal> {
    if body.len() > BODY_BYTES {
        return Some(Refusal::new(Reason::BodyTooLarge, "body over 65,536 bytes"));
    }
    if flags & !OF_SEND != 0 {
        return Some(Refusal::new(Reason::Malformed, "flags"));
    }
    let mentions = flags & (image_flag::MENTIONS | image_flag::MENTION_ALL);
    if mentions != 0
        && let Some(refusal) = check_mentions(flags, tlvs, channel)
    {
        return Some(refusal);
    }
    tlvs.iter().find_map(|(tag, value)| match tag {
        tag::LIFETIME_MS if value.iter().all(|&byte| byte == 0) => {
            Some(Refusal::new(Reason::Malformed, "TLV LIFETIME_MS is 1 or more"))
        }
        tag::MENTIONS if mentions & image_flag::MENTIONS == 0 => Some(UNFLAGGED),
        tag::READ if value.len() != 8 => Some(Refusal::new(Reason::Malformed, "TLV READ is 8 bytes")),
        0x4000..=0x7fff => Some(Refusal::new(Reason::Malformed, "a TLV that only the server sets")),
        0x8000.. => Some(Refusal::new(Reason::UnknownCritical, "a critical TLV that is not known")),
        _ => None,
    })
}
