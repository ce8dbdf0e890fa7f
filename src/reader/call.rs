//! CALLs that change nothing.

use bytes::Bytes;
use postrider_protocol::{
    Channel, DecodeError, Method, Reason, Tlvs,
    packet::{CallPacket, MembersPage, Packet, ReplyPacket, groups},
    tag,
};
use postrider_storage::StoreError;

use super::{Asker, Reader};

/// What a CALL comes to: the fields of its answer, or why there is none.
pub(super) type Answer = Result<Vec<u8>, (Reason, &'static str)>;

/// The fields that a CALL asks with, or the refusal of those that do not follow its layout.
pub(super) fn asked<T>(fields: Result<T, DecodeError>) -> Result<T, (Reason, &'static str)> {
    fields.map_err(|error| (Reason::Malformed, error.what))
}

impl Reader {
    /// The answer to a CALL that changes nothing, at `now_ms` (since 1970).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn call(&self, asker: &Asker, call: &CallPacket, now_ms: u64) -> Result<Packet, StoreError> {
        let fields = call.fields.clone();
        let answer = match Method::from_number(call.method) {
            Some(Method::GroupMembers) => self.members(asker, fields)?,
            Some(Method::Badge) => self.badge(asker, fields, now_ms)?,
            Some(Method::Receipts) => self.receipts(asker, fields)?,
            _ => Err((Reason::UnknownMethod, "method")),
        };
        let (reason, fields, tlvs) = match answer {
            Ok(fields) => (Reason::Ok, fields.into(), Tlvs::new()),
            Err((reason, detail)) => (reason, Bytes::new(), Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())])),
        };
        Ok(Packet::Reply(ReplyPacket { request: call.request, reason, seq: 0, time_ms: 0, fields, tlvs }))
    }

    fn members(&self, asker: &Asker, fields: Bytes) -> Result<Answer, StoreError> {
        let (group, after) = match asked(groups::read_members(fields)) {
            Ok(asked) => asked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let channel = Channel::group(&group);
        let is_member = self.row(asker, &channel)?.is_some_and(|row| row.visible_to.is_none());
        if !is_member {
            return Ok(Err((Reason::NoChannel, "no such channel for this user")));
        }
        let rows = self.lookup.members(asker.tenant, &channel)?;
        let all = rows.into_iter().filter(|(_, row)| row.is_member()).map(|(user, row)| (user, row.role));
        let rest = all.filter(|(user, _)| after.as_ref().is_none_or(|after| user > after));
        let mut members: Vec<_> = rest.take(self.limits.page_max + 1).collect();
        let more = members.len() > self.limits.page_max;
        members.truncate(self.limits.page_max);
        let mut fields = Vec::new();
        MembersPage { members, more }.write(&mut fields);
        Ok(Ok(fields))
    }
}
