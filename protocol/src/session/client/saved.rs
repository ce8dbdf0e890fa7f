//! A client's state as bytes, for an app that outlives its process.
//!
//! ```text
//! format u8 · device bytes8 · user bytes8 · sender 8 · next u64 · token bytes16
//!   · count u32 · commands: number u64 · channel · 1 u8 · flags u16 · TLVs bytes16 · body bytes32
//!                                               or 2 u8 · method u16 · TLVs bytes16 · fields bytes32
//!   · count u32 · channels: channel · bits u8 (1 epoch told, 2 the server may not know `acknowledged`) · epoch u32
//!     · acknowledged u64 · head u64
//! ```

use alloc::{collections::VecDeque, vec::Vec};

use bytes::Bytes;

use super::{
    ClientState,
    channels::Cursor,
    commands::{Command, Commands, Intent},
};
use crate::{Channel, DecodeError, Id, LIST_TOKEN_BYTES, Method, Reader, Sender, TLV_BYTES, Tlvs, Writer};

/// The format byte.
const FORMAT: u8 = 1;

impl ClientState {
    /// Appends the state to `out`. What the app did not acknowledge is handed out again after a load. When commands
    /// were added or the sender is another, the bytes must be stored before the output of the next
    /// [`ClientState::drive`] is written: who loads bytes that do not know of a number that was used binds it a second
    /// time.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.u8(FORMAT);
        out.bytes8(self.device.as_ref().map_or(&[], Id::as_bytes));
        out.bytes8(self.user.as_ref().map_or(&[], Id::as_bytes));
        out.raw(self.commands.sender.as_bytes());
        out.u64(self.commands.next);
        out.bytes16(&self.channels.listing.token);
        out.u32(u32::try_from(self.commands.len()).unwrap_or(u32::MAX));
        for command in self.commands.iter() {
            write_command(out, command);
        }
        let cursors = || self.channels.map.iter().filter(|(_, cursor)| cursor.known);
        out.u32(u32::try_from(cursors().count()).unwrap_or(u32::MAX));
        for (channel, cursor) in cursors() {
            let last_held = cursor.above.last_key_value().map_or(0, |(&seq, _)| seq);
            out.raw(channel.as_bytes());
            let is_due = self.channels.may_owe(channel);
            out.u8(u8::from(cursor.epoch.is_some()) | u8::from(is_due) << 1);
            out.u32(cursor.epoch.unwrap_or_default());
            out.u64(cursor.acked);
            out.u64(cursor.head.max(cursor.at).max(last_held));
        }
    }

    /// The state that [`Self::save`] wrote. Every command in it may have been put on the wire since.
    ///
    /// # Errors
    /// `MALFORMED` when the bytes are no such state, or of a newer format.
    pub fn load(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        if r.u8("format")? != FORMAT {
            return Err(DecodeError::malformed("format of the client's state", 0));
        }
        let device = Id::read_optional(r, "device")?;
        let user = Id::read_optional(r, "user")?;
        let sender = Sender::read(r)?;
        let next = r.u64("next number")?;
        let token = r.bytes16(LIST_TOKEN_BYTES, "token")?;
        let mut waiting = VecDeque::new();
        for _ in 0..r.u32("commands")? {
            let at = r.position();
            let command = read_command(r)?;
            if command.number >= next || waiting.back().is_some_and(|last: &Command| last.number >= command.number) {
                return Err(DecodeError::malformed("number", at));
            }
            waiting.push_back(command);
        }
        let mut state = Self::with(device, Commands::resume(sender, next, waiting));
        state.user = user;
        state.channels.listing.token = token;
        for _ in 0..r.u32("channels")? {
            let channel = Channel::read(r)?;
            let bits = r.u8("bits")?;
            let told = bits & 1 != 0;
            let epoch = r.u32("epoch")?;
            let mut cursor = Cursor { epoch: told.then_some(epoch), ..Cursor::default() };
            cursor.start(r.u64("acknowledged")?);
            cursor.head = r.u64("head")?;
            if bits & 2 != 0 {
                state.channels.owe(&channel);
            }
            state.channels.map.insert(channel, cursor);
        }
        reader.end()?;
        Ok(state)
    }
}

fn write_command(out: &mut Vec<u8>, command: &Command) {
    out.u64(command.number);
    out.raw(command.channel.as_bytes());
    let (tlvs, bytes) = match &command.intent {
        Intent::Send { flags, body, tlvs } => {
            out.u8(1);
            out.u16(*flags);
            (tlvs, body)
        }
        Intent::Call { method, fields, tlvs } => {
            out.u8(2);
            out.u16(method.number());
            (tlvs, fields)
        }
    };
    out.bytes16(tlvs.as_bytes());
    out.bytes32(bytes);
}

fn read_command(r: &mut Reader) -> Result<Command, DecodeError> {
    let number = r.u64("number")?;
    let channel = Channel::read(r)?;
    let at = r.position();
    let kind = r.u8("command")?;
    let code = r.u16("flags or method")?;
    let tlvs = Tlvs::parse(r.bytes16(TLV_BYTES, "TLVs")?, at)?;
    let bytes = r.bytes32("body or fields")?;
    let intent = match (kind, Method::from_number(code)) {
        (1, _) => Intent::Send { flags: code, body: bytes, tlvs },
        (2, Some(method)) => Intent::Call { method, fields: bytes, tlvs },
        _ => return Err(DecodeError::malformed("command", at)),
    };
    Ok(Command::new(number, channel, intent, 1))
}
