//! What the table of senders says of a command, before rights and limits are looked at.

use postrider_protocol::Sender;
use postrider_storage::SenderTable;

/// The answer of the look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was never stored: decide it now.
    New,
    /// It is stored: the first answer.
    Same { seq: u64, time_ms: u64 },
    /// The number is bound to something else.
    Conflict,
    /// The number was answered and is forgotten.
    Stale,
    /// The sender may have been forgotten.
    Expired,
}

/// Looks (sender, number) up; `crc` is the intent's.
pub(super) fn look_up(table: &SenderTable, sender: Sender, number: u64, crc: u32) -> Known {
    let Some(row) = table.get(&sender) else {
        return if table.may_be_forgotten(&sender) { Known::Expired } else { Known::New };
    };
    match row.answer(number) {
        Some(answer) if answer.crc == crc => Known::Same { seq: answer.seq, time_ms: answer.time_ms },
        Some(_) => Known::Conflict,
        None if number < row.floor => Known::Stale,
        None => Known::New,
    }
}
