//! CALLs that change nothing: which method is whose, and how answers and refusals are told.

use bytes::Bytes;
use postrider_protocol::{
    ANSWER_BYTES, DecodeError, Method, Reason, Tlvs,
    packet::{CallPacket, Packet, ReplyPacket},
    tag,
};
use postrider_storage::StoreError;

use super::{Asker, Reader};
use crate::quota::Connection;

/// Bytes of rows that fit into a page beside everything else of its frame.
pub(super) const PAGE_BYTES: usize = ANSWER_BYTES - 4_096;

/// What a method comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// The fields of the answer.
    Fields(Vec<u8>),
    /// Why there are none.
    Refused(Reason, String),
}

impl Answer {
    /// The fields that `write` appends.
    pub(super) fn of(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut fields = Vec::new();
        write(&mut fields);
        Self::Fields(fields)
    }

    /// A refusal.
    pub(super) fn refused(reason: Reason, detail: &str) -> Self {
        Self::Refused(reason, detail.to_owned())
    }

    /// The channel does not exist, or not for this user: the two cannot be told apart.
    pub(super) fn no_channel() -> Self {
        Self::refused(Reason::NoChannel, "no such channel for this user")
    }
}

impl From<DecodeError> for Answer {
    fn from(error: DecodeError) -> Self {
        Self::Refused(error.reason, error.to_string())
    }
}

/// Why a CALL is not answered with fields.
pub(super) enum No {
    /// For this reason, with what is wrong for the developer.
    Refused(Reason, &'static str),
    /// The store cannot be read.
    Failed(StoreError),
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<DecodeError> for No {
    fn from(error: DecodeError) -> Self {
        Self::Refused(Reason::Malformed, error.what)
    }
}

/// An answer that is fields or a refusal.
fn answer(fields: Result<Vec<u8>, No>) -> Result<Answer, StoreError> {
    match fields {
        Ok(fields) => Ok(Answer::Fields(fields)),
        Err(No::Refused(reason, detail)) => Ok(Answer::refused(reason, detail)),
        Err(No::Failed(error)) => Err(error),
    }
}

impl Reader {
    /// The answer to a CALL that changes nothing, at `now_ms` (since 1970); `usage` is what the connection used.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn call(
        &self,
        asker: &Asker,
        call: &CallPacket,
        usage: Option<&Connection>,
        now_ms: u64,
    ) -> Result<Packet, StoreError> {
        let fields = call.fields.clone();
        let answer = match Method::from_number(call.method) {
            Some(Method::GroupMembers) => self.group_members(asker, fields)?,
            Some(Method::GroupInfo) => self.group_info(asker, fields)?,
            Some(Method::GroupRequests) => self.group_requests(asker, fields)?,
            Some(Method::Pins) => self.pins(asker, fields, now_ms)?,
            Some(Method::Thread) => self.thread(asker, fields, now_ms)?,
            Some(Method::Edits) => self.edits(asker, fields, now_ms)?,
            Some(Method::Badge) => answer(self.badge(asker, fields, now_ms))?,
            Some(Method::Receipts) => answer(self.receipts(asker, fields))?,
            Some(Method::Profiles) => answer(self.profiles(asker, fields))?,
            Some(Method::Devices) => answer(self.devices(asker, fields))?,
            Some(Method::Blocked) => answer(self.blocked(asker, fields))?,
            Some(Method::Contacts) => answer(self.contacts(asker, fields))?,
            Some(Method::Scheduled) => answer(self.scheduled(asker, fields))?,
            Some(Method::Broadcasts) => answer(self.broadcasts(asker, fields))?,
            Some(Method::Tags) => answer(self.tags(asker, fields))?,
            Some(Method::Usage) => answer(self.usage(asker, fields, usage, now_ms))?,
            _ => Answer::refused(Reason::UnknownMethod, "method"),
        };
        let (reason, fields, tlvs) = match answer {
            Answer::Fields(fields) => (Reason::Ok, fields.into(), Tlvs::new()),
            Answer::Refused(reason, detail) => {
                (reason, Bytes::new(), Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]))
            }
        };
        Ok(Packet::Reply(ReplyPacket { request: call.request, reason, seq: 0, time_ms: 0, fields, tlvs }))
    }
}

impl Reader {
    /// The first page of `all`, and whether there is more.
    pub(super) fn page<T>(&self, all: impl Iterator<Item = T>) -> (Vec<T>, bool) {
        let mut page: Vec<T> = all.take(self.limits.page_max + 1).collect();
        let more = page.len() > self.limits.page_max;
        page.truncate(self.limits.page_max);
        (page, more)
    }
}

/// The first of `rows` that fit into a page, and whether more come after them.
pub(super) fn page<Row>(rows: impl IntoIterator<Item = Row>, size: impl Fn(&Row) -> usize) -> (Vec<Row>, bool) {
    let (mut taken, mut bytes) = (Vec::new(), 0_usize);
    for row in rows {
        bytes = bytes.saturating_add(size(&row));
        if bytes > PAGE_BYTES && !taken.is_empty() {
            return (taken, true);
        }
        taken.push(row);
    }
    (taken, false)
}
