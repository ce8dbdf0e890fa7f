//! CALLs that change nothing: which method answers, and how it is told.

use bytes::Bytes;
use postrider_protocol::{
    Channel, DecodeError, Method, Reason, Tlvs,
    packet::{CallPacket, MembersPage, Packet, ReplyPacket, groups},
    tag,
};
use postrider_storage::StoreError;

use super::{Asker, Reader};
use crate::quota::Connection;

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
            Some(Method::GroupMembers) => self.members(asker, fields),
            Some(Method::Profiles) => self.profiles(asker, fields),
            Some(Method::Devices) => self.devices(asker, fields),
            Some(Method::Blocked) => self.blocked(asker, fields),
            Some(Method::Contacts) => self.contacts(asker, fields),
            Some(Method::Usage) => self.usage(asker, fields, usage, now_ms),
            _ => Err(No::Refused(Reason::UnknownMethod, "method")),
        };
        let (reason, fields, tlvs) = match answer {
            Ok(fields) => (Reason::Ok, fields.into(), Tlvs::new()),
            Err(No::Refused(reason, detail)) => {
                (reason, Bytes::new(), Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]))
            }
            Err(No::Failed(error)) => return Err(error),
        };
        Ok(Packet::Reply(ReplyPacket { request: call.request, reason, seq: 0, time_ms: 0, fields, tlvs }))
    }

    fn members(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let (group, after) = groups::read_members(fields)?;
        let channel = Channel::group(&group);
        let is_member = self.row(asker, &channel)?.is_some_and(|row| row.visible_to.is_none());
        if !is_member {
            return Err(No::Refused(Reason::NoChannel, "no such channel for this user"));
        }
        let rows = self.lookup.members(asker.tenant, &channel)?;
        let all = rows.into_iter().filter(|(_, row)| row.is_member()).map(|(user, row)| (user, row.role));
        let rest = all.filter(|(user, _)| after.as_ref().is_none_or(|after| user > after));
        let (members, more) = self.page(rest);
        let mut fields = Vec::new();
        MembersPage { members, more }.write(&mut fields);
        Ok(fields)
    }

    /// The first page of `all`, and whether there is more.
    pub(super) fn page<T>(&self, all: impl Iterator<Item = T>) -> (Vec<T>, bool) {
        let mut page: Vec<T> = all.take(self.limits.page_max + 1).collect();
        let more = page.len() > self.limits.page_max;
        page.truncate(self.limits.page_max);
        (page, more)
    }
}
