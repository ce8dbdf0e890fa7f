//! The id of what a numbered command made.

use crate::{DecodeError, Reader, Sender, Writer};

/// What a command made has the command's sender and number for its id: `sender 8 · number u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId {
    /// The sender of the command.
    pub sender: Sender,
    /// Its number.
    pub number: u64,
}

impl CommandId {
    /// Before all others.
    pub const FIRST: Self = Self { sender: Sender::from_bytes([0; 8]), number: 0 };

    /// Takes one off `r`.
    ///
    /// # Errors
    /// `MALFORMED` at the end of `r`.
    pub fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { sender: Sender::from_bytes(r.opaque8("sender")?), number: r.u64("number")? })
    }

    /// Appends it.
    pub fn write(&self, out: &mut impl Writer) {
        out.raw(self.sender.as_bytes());
        out.u64(self.number);
    }
}
