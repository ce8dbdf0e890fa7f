//! PROFILES, DEVICES, BLOCKED, CONTACTS and USAGE.

use bytes::Bytes;
use postrider_protocol::{
    ANSWER_BYTES, Channel, ChannelKind, Id, Reason, Tlvs,
    packet::{groups, people, usage},
    tag,
};
use postrider_storage::{Contact, ConversationRow, StoreError};

use super::{Asker, Reader, call::No};
use crate::quota::Connection;

impl Reader {
    pub(super) fn profiles(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let users = groups::read_users(fields)?;
        let (mut profiles, mut bytes) = (Vec::new(), 0);
        for user in users {
            let row = self.lookup.user(asker.tenant, &user)?;
            let on = |is: bool| u32::from(is).to_be_bytes();
            let settings = [
                (tag::RECEIPTS_PRIVATE, on(row.receipts_private)),
                (tag::PRESENCE_PRIVATE, on(row.presence_private)),
                (tag::CONTACTS_ONLY, on(row.contacts_only)),
            ];
            // Settings are the user's own business.
            let own = settings.iter().filter(|_| user == asker.user).map(|(tag, value)| (*tag, &value[..]));
            let fields = Tlvs::from_pairs(row.fields.iter().chain(own));
            bytes += user.as_bytes().len() + fields.as_bytes().len() + 3;
            if bytes > ANSWER_BYTES && !profiles.is_empty() {
                break;
            }
            profiles.push((user, fields));
        }
        let mut out = Vec::new();
        people::Profiles(profiles).write(&mut out);
        Ok(out)
    }

    pub(super) fn devices(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        people::read_nothing(fields)?;
        let user = self.lookup.user(asker.tenant, &asker.user)?;
        let online = self.hub.devices(asker.tenant, asker.user.as_bytes());
        let all = self.lookup.devices(asker.tenant, &asker.user)?;
        let used = all.into_iter().filter(|(device, row)| !row.is_removed(user.removed_of(Some(device))));
        let devices = used.map(|(device, row)| people::Device {
            first_ms: row.first_ms,
            last_ms: row.last_ms,
            is_online: online.contains(&device),
            is_this: asker.device.as_ref() == Some(&device),
            fields: row.fields,
            device,
        });
        let mut out = Vec::new();
        people::Devices(devices.collect()).write(&mut out);
        Ok(out)
    }

    pub(super) fn blocked(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let after = people::read_optional(fields)?;
        let blocked = self.others(asker, after, |row| row.blocks)?;
        let (users, more) = self.page(blocked.into_iter().map(|(user, _)| user));
        let mut out = Vec::new();
        people::BlockedPage { users, more }.write(&mut out);
        Ok(out)
    }

    pub(super) fn contacts(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let after = people::read_optional(fields)?;
        let contacts = self.others(asker, after, |row| row.contact != Contact::No)?;
        let (page, more) = self.page(contacts.into_iter());
        let contact =
            |(user, row): (Id, ConversationRow)| people::Contact { user, state: row.contact as u8, text: row.note };
        let mut out = Vec::new();
        people::ContactsPage { contacts: page.into_iter().map(contact).collect(), more }.write(&mut out);
        Ok(out)
    }

    pub(super) fn usage(
        &self,
        asker: &Asker,
        fields: Bytes,
        connection: Option<&Connection>,
        now_ms: u64,
    ) -> Result<Vec<u8>, No> {
        let channel = usage::read(fields)?;
        if let Some(channel) = &channel
            && self.row(asker, channel)?.is_none_or(|row| row.visible_to.is_some())
        {
            return Err(No::Refused(Reason::NoChannel, "no such channel for this user"));
        }
        let all = self.quotas.usage(asker.tenant, &asker.user, connection, channel.as_ref(), now_ms);
        let mut out = Vec::new();
        usage::Usage(all).write(&mut out);
        Ok(out)
    }

    /// The user's views of person channels that `is_it` says, by the other user, ascending, those after `after`.
    fn others(
        &self,
        asker: &Asker,
        after: Option<Id>,
        is_it: impl Fn(&ConversationRow) -> bool,
    ) -> Result<Vec<(Id, ConversationRow)>, StoreError> {
        let rows = self.lookup.conversations(asker.tenant, &asker.user)?;
        let mut others: Vec<_> = rows
            .into_iter()
            .filter(|(_, row)| is_it(row))
            .filter_map(|(channel, row)| Some((other(&channel, &asker.user)?, row)))
            .filter(|(user, _)| after.as_ref().is_none_or(|after| user > after))
            .collect();
        others.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(others)
    }
}

/// The other user of a person channel.
fn other(channel: &Channel, user: &Id) -> Option<Id> {
    let (low, high) = channel.ids();
    let is_person = channel.kind() == ChannelKind::Person;
    std::iter::once(low).chain(high).find(|id| is_person && id != user)
}
