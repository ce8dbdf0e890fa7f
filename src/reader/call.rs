//! Methods that change nothing.

use bytes::Bytes;
use postrider_protocol::{
    Channel, DecodeError, Method, Reason, Tlvs,
    packet::{CallPacket, MembersPage, Packet, ReplyPacket, groups},
    tag,
};
use postrider_storage::StoreError;

use super::{Asker, Reader};

/// The answer's fields, or why there is none.
pub(super) type Answer = Result<Bytes, Reason>;

impl Reader {
    /// The answer to a CALL that changes nothing, at `now_ms` (since 1970).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn call(&self, asker: &Asker, call: &CallPacket, now_ms: u64) -> Result<Packet, StoreError> {
        let fields = call.fields.clone();
        let malformed = |_: DecodeError| Reason::Malformed;
        let answer = match Method::from_number(call.method) {
            Some(Method::Pins) => match postrider_protocol::packet::targets::read_pins(fields).map_err(malformed) {
                Ok((channel, after)) => self.pins(asker, &channel, after, now_ms)?,
                Err(reason) => Err(reason),
            },
            Some(Method::Edits) => match postrider_protocol::packet::targets::read_edits(fields).map_err(malformed) {
                Ok((channel, seq, after)) => self.edits(asker, &channel, (seq, after), now_ms)?,
                Err(reason) => Err(reason),
            },
            Some(Method::GroupMembers) => self.members(asker, fields)?,
            _ => Err(Reason::UnknownMethod),
        };
        let (reason, fields) = match answer {
            Ok(fields) => (Reason::Ok, fields),
            Err(reason) => (reason, Bytes::new()),
        };
        let mut tlvs = Tlvs::new();
        if reason == Reason::Malformed {
            tlvs = Tlvs::from_pairs([(tag::DETAIL, &b"fields of the method"[..])]);
        }
        Ok(Packet::Reply(ReplyPacket { request: call.request, reason, seq: 0, time_ms: 0, fields, tlvs }))
    }

    fn members(&self, asker: &Asker, fields: Bytes) -> Result<Answer, StoreError> {
        let Ok((group, after)) = groups::read_members(fields) else { return Ok(Err(Reason::Malformed)) };
        let channel = Channel::group(&group);
        if self.row(asker, &channel)?.is_none_or(|row| row.visible_to.is_some()) {
            return Ok(Err(Reason::NoChannel));
        }
        let rows = self.lookup.members(asker.tenant, &channel)?;
        let all = rows.into_iter().filter(|(_, row)| row.is_member()).map(|(user, row)| (user, row.role));
        let rest = all.filter(|(user, _)| after.as_ref().is_none_or(|after| user > after));
        let mut members: Vec<_> = rest.take(self.limits.page_max + 1).collect();
        let more = members.len() > self.limits.page_max;
        members.truncate(self.limits.page_max);
        let mut fields = Vec::new();
        MembersPage { members, more }.write(&mut fields);
        Ok(Ok(fields.into()))
    }
}
