//! PRESENCE and WATCH: who may know what. What is known of who is online is in `presence`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, DecodeError, Id, Reason, Tlvs,
    packet::{CallPacket, Packet, ReplyPacket, presence},
    tag,
};
use postrider_storage::{Contact, ConversationRow, StateKey, StoreError, UserRow};

use super::{Asker, Reader};
use crate::{
    presence::Ask,
    slot::{Now, Origin},
};

/// With more groups than this it is cheaper to look through those of the other.
const MANY_GROUPS: usize = 64;

impl Reader {
    /// Hands PRESENCE on, to be answered when it is known; the refusal when it is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn presence(
        &self,
        asker: &Asker,
        origin: &Arc<Origin>,
        call: &CallPacket,
        now: Now,
    ) -> Result<Option<Packet>, StoreError> {
        let users = match presence::read_asked(call.fields.clone()) {
            Ok(users) => users,
            Err(error) => return Ok(Some(malformed(call, &error))),
        };
        let users: BTreeSet<Id> = users.iter().map(Id::detached).collect();
        let is_private = self.is_private(asker.tenant, &asker.user)?;
        let mut groups = None;
        let mut asked = Vec::new();
        for user in users {
            let may = user == asker.user || !is_private && self.may_know(asker, &user, &mut groups)?;
            asked.push((user, may));
        }
        let ask = Ask { origin: Arc::clone(origin), request: call.request, users: asked };
        self.notices.presence().ask(ask, now);
        Ok(None)
    }

    /// The answer to WATCH.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn watch(&self, asker: &Asker, origin: &Arc<Origin>, call: &CallPacket) -> Result<Packet, StoreError> {
        let channel = match presence::read_watch(call.fields.clone()) {
            Ok(channel) => channel,
            Err(error) => return Ok(malformed(call, &error)),
        };
        let is_there = match &channel {
            None => true,
            Some(channel) => self.row(asker, channel)?.is_some_and(|row| row.visible_to.is_none()),
        };
        self.notices.watch(origin, channel.as_ref().filter(|_| is_there));
        Ok(reply(call, if is_there { Reason::Ok } else { Reason::NoChannel }, Tlvs::new()))
    }

    fn is_private(&self, tenant: u32, user: &Id) -> Result<bool, StoreError> {
        let row = self.lookup.row::<UserRow>(tenant, &Channel::user(user), &StateKey::User)?;
        Ok(row.is_some_and(|row| row.presence_private))
    }

    /// Whether the asker may know whether another user is online. `groups` are those of the asker, once they are needed.
    fn may_know(&self, asker: &Asker, user: &Id, groups: &mut Option<BTreeSet<Channel>>) -> Result<bool, StoreError> {
        let pair = Channel::person(&asker.user, user);
        let own = self.row(asker, &pair)?;
        let theirs = self.lookup.conversation(asker.tenant, user, &pair)?;
        if [&own, &theirs].into_iter().flatten().any(|row| row.blocks) || self.is_private(asker.tenant, user)? {
            return Ok(false);
        }
        let is_contact = own.is_some_and(|row| row.contact == Contact::Yes);
        if is_contact || self.end(asker.tenant, &pair)?.is_some_and(|end| end.head > 0) {
            return Ok(true);
        }
        let groups = match groups {
            Some(groups) => groups,
            none => none.insert(self.groups(asker.tenant, &asker.user)?),
        };
        if groups.len() > MANY_GROUPS {
            return Ok(!self.groups(asker.tenant, user)?.is_disjoint(groups));
        }
        for group in groups.iter() {
            let row = self.lookup.conversation(asker.tenant, user, group)?;
            if row.is_some_and(|row| row.visible_to.is_none()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The groups that a user is a member of.
    fn groups(&self, tenant: u32, user: &Id) -> Result<BTreeSet<Channel>, StoreError> {
        // The view first: what leaves it is in the store.
        let fresh = self.view.conversations(tenant, user);
        let stored = self.store.conversations(tenant, user)?;
        let stored = stored.into_iter().filter(|(channel, _)| !fresh.contains_key(channel));
        let all = stored.chain(fresh.clone());
        let is_one = |(channel, row): &(Channel, ConversationRow)| {
            channel.kind() == ChannelKind::Group && row.visible_to.is_none()
        };
        Ok(all.filter(is_one).map(|(channel, _)| channel).collect())
    }
}

fn malformed(call: &CallPacket, error: &DecodeError) -> Packet {
    let detail = error.to_string();
    reply(call, Reason::Malformed, Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]))
}

fn reply(call: &CallPacket, reason: Reason, tlvs: Tlvs) -> Packet {
    Packet::Reply(ReplyPacket { request: call.request, reason, seq: 0, time_ms: 0, fields: Bytes::new(), tlvs })
}
