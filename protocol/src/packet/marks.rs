//! Fields of the methods about a user's view of a channel.

use bytes::Bytes;

use crate::{Channel, DecodeError, Reader, Writer};

/// The fields of `READ`: `channel · seq u64`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_mark(fields: Bytes) -> Result<(Channel, u64), DecodeError> {
    let mut reader = Reader::new(fields);
    let channel = Channel::read_shared(&mut reader)?;
    let seq = reader.u64("seq")?;
    reader.end()?;
    Ok((channel, seq))
}

/// Appends the fields of `READ`.
pub fn write_mark(out: &mut impl Writer, channel: &Channel, seq: u64) {
    out.raw(channel.as_bytes());
    out.u64(seq);
}
