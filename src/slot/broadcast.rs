//! What the server does for a broadcast that is under way, one decision for each reader: the message is sent as the
//! system user would send it, unless the reader has it already, so that a piece which is done again changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{BROADCASTS_KEPT, Channel, CommandId, ImageKind, Tlvs, image_flag};
use postrider_storage::{
    BroadcastRow, HeardRow, StateKey, StoreError,
    fold::{self, broadcast::Step},
};

use super::{
    answer::Outcome,
    case::Case,
    command::Origin,
    decide::Decider,
    decided::Audience,
    draft::{Draft, flags_of},
    notice::other_of,
};

/// The message of a broadcast.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Which broadcast.
    pub id: CommandId,
    /// As those of SEND.
    pub flags: u16,
    /// Its TLVs.
    pub tlvs: Tlvs,
    /// Its body.
    pub body: Bytes,
}

/// What is done for a broadcast.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The other one of the person channel is sent it.
    Send(Arc<Announced>),
    /// In the system user's own channel: how far it is.
    Note(Step),
}

impl Decider {
    pub(super) fn broadcast(
        &mut self,
        origin: &Origin,
        channel: &Channel,
        deed: &Deed,
        late: bool,
    ) -> Result<Outcome, StoreError> {
        let Some(mut case) = self.case(origin, channel, false, late)? else { return Ok(Outcome::elsewhere()) };
        if let Some(refusal) = case.unable() {
            return Ok(Outcome::Refused(refusal));
        }
        match deed {
            Deed::Send(it) => {
                let heard: Option<HeardRow> = case.row(&StateKey::Heard(origin.user.clone()))?;
                let Some(reader) = other_of(channel, &origin.user).filter(|_| heard.is_none_or(|row| row.id != it.id))
                else {
                    return Ok(Outcome::Stored { seq: 0, time_ms: 0 });
                };
                if let Err(refusal) = case.may_say(it.flags, &it.tlvs)? {
                    return Ok(Outcome::Refused(refusal));
                }
                let flags = it.flags | flags_of(&it.tlvs) | image_flag::SYSTEM | image_flag::BROADCAST;
                let message = ImageKind::Message.number();
                let draft = Draft::new(message, (it.id.number, 0), flags, channel, &it.tlvs, &it.body);
                case.accept(&draft, Audience::One(reader))
            }
            Deed::Note(step) => {
                let step = match step {
                    Step::End { id, .. } => Step::End { id: *id, forgotten: case.oldest_broadcast()? },
                    step => step.clone(),
                };
                let tlvs = step.with(&Tlvs::new());
                let draft = Draft::new(fold::BROADCAST_KIND, (0, 0), 0, channel, &tlvs, &[]);
                case.accept(&draft, Audience::Nobody)
            }
        }
    }
}

impl Case<'_> {
    /// The broadcasts of the user whose channel this is, by id.
    pub(super) fn broadcasts(&self) -> Result<BTreeMap<CommandId, BroadcastRow>, StoreError> {
        let stored = self.store.broadcasts(self.origin.tenant, &self.origin.user)?;
        let mut broadcasts = stored.into_iter().collect();
        self.parts.channel.rows.overlay(&mut broadcasts, StateKey::broadcast);
        Ok(broadcasts)
    }

    /// The one to be listed no more when another one ends.
    fn oldest_broadcast(&self) -> Result<Option<CommandId>, StoreError> {
        let mut ended: Vec<(u64, CommandId)> =
            self.broadcasts()?.iter().filter(|(_, row)| row.ended_ms > 0).map(|(id, row)| (row.made, *id)).collect();
        ended.sort_unstable();
        Ok(ended.first().filter(|_| ended.len() >= BROADCASTS_KEPT).map(|(_, id)| *id))
    }
}
