//! What clients ask of groups.

use postrider_protocol::{
    Method, Reason, Tlvs,
    packet::{
        MembersPage, ReplyPacket,
        groups::{self, GroupInfo, Member, RequestsPage, Waiting},
    },
};

use super::{Client, id};

fn ids(users: &[&str]) -> Vec<postrider_protocol::Id> {
    users.iter().map(|user| id(user)).collect()
}

fn tlvs(pairs: &[(u16, &[u8])]) -> Tlvs {
    let tlvs = Tlvs::from_pairs(pairs.iter().copied());
    assert_eq!(tlvs.iter().count(), pairs.len(), "TLVs that are none");
    tlvs
}

impl Client {
    /// A CALL with the fields that `write` appends.
    pub fn call_writing(&mut self, method: Method, write: impl FnOnce(&mut Vec<u8>)) -> ReplyPacket {
        let mut fields = Vec::new();
        write(&mut fields);
        self.call(method, fields.into())
    }

    pub fn create_with(&mut self, group: &str, users: &[&str], with: &[(u16, &[u8])]) -> ReplyPacket {
        self.call_writing(Method::GroupCreate, |out| groups::write_create(out, &id(group), &ids(users), &tlvs(with)))
    }

    pub fn set(&mut self, group: &str, with: &[(u16, &[u8])]) -> ReplyPacket {
        self.call_writing(Method::GroupChange, |out| groups::write_settings(out, &id(group), &tlvs(with)))
    }

    pub fn dismiss(&mut self, group: &str) -> ReplyPacket {
        self.call_writing(Method::GroupDismiss, |out| groups::write_settings(out, &id(group), &Tlvs::new()))
    }

    pub fn give_role(&mut self, group: &str, role: u8, users: &[&str]) -> ReplyPacket {
        self.call_writing(Method::GroupRoles, |out| groups::write_roles(out, &id(group), role, &ids(users)))
    }

    pub fn transfer(&mut self, group: &str, user: &str) -> ReplyPacket {
        self.call_writing(Method::GroupTransfer, |out| groups::write_transfer(out, &id(group), &id(user)))
    }

    pub fn mute(&mut self, group: &str, until_ms: u64, users: &[&str]) -> ReplyPacket {
        self.call_writing(Method::GroupMute, |out| groups::write_mute(out, &id(group), until_ms, &ids(users)))
    }

    pub fn join(&mut self, group: &str, text: &str) -> ReplyPacket {
        self.call_writing(Method::GroupJoin, |out| groups::write_join(out, &id(group), text.as_bytes()))
    }

    pub fn answer(&mut self, group: &str, accept: bool, users: &[&str]) -> ReplyPacket {
        self.call_writing(Method::GroupAnswer, |out| groups::write_answer(out, &id(group), accept, &ids(users)))
    }

    pub fn nickname(&mut self, group: &str, nickname: &str) -> ReplyPacket {
        self.call_writing(Method::GroupNickname, |out| groups::write_nickname(out, &id(group), nickname.as_bytes()))
    }

    pub fn info(&mut self, group: &str) -> Result<GroupInfo, Reason> {
        let reply = self.call_writing(Method::GroupInfo, |out| groups::write_settings(out, &id(group), &Tlvs::new()));
        if reply.reason == Reason::Ok { Ok(GroupInfo::decode(reply.fields).unwrap()) } else { Err(reply.reason) }
    }

    /// All members of a group, a page at a time.
    pub fn members(&mut self, group: &str) -> Result<Vec<Member>, Reason> {
        let (mut all, mut after) = (Vec::<Member>::new(), None);
        loop {
            let reply =
                self.call_writing(Method::GroupMembers, |out| groups::write_members(out, &id(group), after.as_ref()));
            if reply.reason != Reason::Ok {
                return Err(reply.reason);
            }
            assert!(reply.fields.len() <= 61 << 10, "a page of {} bytes", reply.fields.len());
            let page = MembersPage::decode(reply.fields).unwrap();
            after = page.members.last().map(|member| member.user.clone());
            all.extend(page.members);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Who is in a group, with which role.
    pub fn roles(&mut self, group: &str) -> Vec<(String, u8)> {
        self.members(group).unwrap().into_iter().map(|member| (member.user.to_string(), member.role)).collect()
    }

    /// All who wait in a group, a page at a time.
    pub fn requests(&mut self, group: &str) -> Result<Vec<Waiting>, Reason> {
        let (mut all, mut after) = (Vec::<Waiting>::new(), None);
        loop {
            let reply =
                self.call_writing(Method::GroupRequests, |out| groups::write_members(out, &id(group), after.as_ref()));
            if reply.reason != Reason::Ok {
                return Err(reply.reason);
            }
            assert!(reply.fields.len() <= 61 << 10, "a page of {} bytes", reply.fields.len());
            let page = RequestsPage::decode(reply.fields).unwrap();
            after = page.waiting.last().map(|waiting| waiting.user.clone());
            all.extend(page.waiting);
            if !page.more {
                return Ok(all);
            }
        }
    }
}
