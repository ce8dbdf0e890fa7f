//! What groups tell: their members, what they are, who waits.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Tlvs,
    packet::{
        conversation_flag,
        groups::{self, GroupInfo, MembersPage, RequestsPage, group_role, join_mode, waiting},
    },
    tag,
};
use postrider_storage::{GroupRow, MemberRow, RequestRow, StateKey, StoreError, Waiting, fold};

use super::{
    Asker, Reader,
    call::{Answer, page},
};

impl Reader {
    pub(super) fn group_members(&self, asker: &Asker, fields: Bytes) -> Result<Answer, StoreError> {
        let (group, after) = match groups::read_members(fields) {
            Ok((group, after)) => (Channel::group(&group), after),
            Err(error) => return Ok(error.into()),
        };
        if self.membership(asker, &group)?.is_none() {
            return Ok(Answer::no_channel());
        }
        let rows = self.lookup.members_above(asker.tenant, &group, after.as_ref())?;
        let members = rows.iter().filter(|(_, row)| row.is_member()).map(|(user, row)| member(user, row));
        let (members, more) = page(members, groups::Member::size);
        Ok(Answer::of(|out| MembersPage { members, more }.write(out)))
    }

    pub(super) fn group_info(&self, asker: &Asker, fields: Bytes) -> Result<Answer, StoreError> {
        let group = match groups::read_group(fields) {
            Ok(group) => Channel::group(&group),
            Err(error) => return Ok(error.into()),
        };
        let Some(row) = self.lookup.row::<GroupRow>(asker.tenant, &group, &StateKey::Group)? else {
            return Ok(Answer::no_channel());
        };
        let conversation = self.row(asker, &group)?;
        let waits = conversation.as_ref().map_or(Waiting::No, |row| row.waiting);
        let own = self.membership(asker, &group)?;
        if own.is_none() && waits == Waiting::No && row.join_mode >= join_mode::INVITED {
            return Ok(Answer::no_channel());
        }
        let was_member = conversation.is_some_and(|row| row.visible_to.is_some_and(|through| through > 0));
        let flags = [
            (own.is_none() && was_member, conversation_flag::LEFT),
            (own.is_none() && waits == Waiting::Invited, conversation_flag::INVITED),
            (own.is_none() && waits == Waiting::Asked, conversation_flag::ASKED),
            (row.is_dismissed, conversation_flag::DISMISSED),
        ];
        let info = GroupInfo {
            flags: flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum(),
            role: own.as_ref().map_or(group_role::NONE, |own| own.role),
            members: self.lookup.member_count(asker.tenant, &group)?,
            muted_until_ms: own.as_ref().map_or(0, |own| own.muted_until_ms),
            all_muted_until_ms: if own.is_some() { row.muted_until_ms } else { 0 },
            tlvs: told(&row, own.is_some()),
        };
        Ok(Answer::of(|out| info.write(out)))
    }

    pub(super) fn group_requests(&self, asker: &Asker, fields: Bytes) -> Result<Answer, StoreError> {
        let (group, after) = match groups::read_members(fields) {
            Ok((group, after)) => (Channel::group(&group), after),
            Err(error) => return Ok(error.into()),
        };
        match self.membership(asker, &group)? {
            Some(own) if own.role >= fold::ADMIN => {}
            Some(_) => {
                let detail = "only the owner and admins see who waits";
                return Ok(Answer::refused(postrider_protocol::Reason::NotAllowed, detail));
            }
            None => return Ok(Answer::no_channel()),
        }
        let rows = self.lookup.requests(asker.tenant, &group)?;
        let (waiting, more) =
            page(above(&rows, after.as_ref()).map(|(user, row)| waits(user, row)), groups::Waiting::size);
        Ok(Answer::of(|out| RequestsPage { waiting, more }.write(out)))
    }

    /// The asker's row of a group that they are a member of.
    fn membership(&self, asker: &Asker, group: &Channel) -> Result<Option<MemberRow>, StoreError> {
        let row = self.lookup.row::<MemberRow>(asker.tenant, group, &StateKey::Member(asker.user.clone()))?;
        Ok(row.filter(MemberRow::is_member))
    }
}

/// The rows after the last one of the page before.
fn above<'a, Row>(rows: &'a BTreeMap<Id, Row>, last: Option<&Id>) -> impl Iterator<Item = (&'a Id, &'a Row)> {
    rows.range::<Id, _>((last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
}

fn member(user: &Id, row: &MemberRow) -> groups::Member {
    groups::Member {
        user: user.clone(),
        role: row.role,
        joined: row.joined.saturating_add(1),
        joined_ms: row.joined_ms,
        muted_until_ms: row.muted_until_ms,
        nickname: row.nickname.clone(),
        inviter: row.inviter.clone(),
    }
}

fn waits(user: &Id, row: &RequestRow) -> groups::Waiting {
    groups::Waiting {
        user: user.clone(),
        what: if row.is_invitation { waiting::INVITED } else { waiting::ASKED },
        by: row.by.clone(),
        time_ms: row.time_ms,
        text: row.text.clone(),
    }
}

/// What a group tells members, or who might become one.
fn told(row: &GroupRow, is_member: bool) -> Tlvs {
    let (mode, history) = (u32::from(row.join_mode).to_be_bytes(), u32::from(row.shows_history).to_be_bytes());
    let max = row.max_members.to_be_bytes();
    let settings = [(tag::JOIN_MODE, &mode[..]), (tag::HISTORY, &history), (tag::MAX_MEMBERS, &max)];
    let is_told = |tag: u16| is_member || matches!(tag, tag::NAME | tag::AVATAR | tag::DESCRIPTION | tag::JOIN_MODE);
    Tlvs::from_pairs(row.fields.iter().chain(settings).filter(|&(tag, _)| is_told(tag)))
}
