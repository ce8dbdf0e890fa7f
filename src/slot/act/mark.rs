//! Acts about a user's own view of a channel.

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Method, Reason, Tlvs, packet::marks, tag};
use postrider_storage::{ConversationRow, StoreError, fold};

use super::{Asked, Verdict};
use crate::slot::{answer::Refusal, case::Case};

/// See the module.
#[derive(Clone, Debug)]
pub enum MarkAct {
    /// The user has read up to here.
    Read {
        /// The seq.
        seq: u64,
    },
    /// The user changes what they have set.
    Set {
        /// What changes; at least one setting.
        settings: Tlvs,
    },
}

impl MarkAct {
    pub(super) fn read(method: Method, fields: Bytes) -> Result<(Channel, Self), DecodeError> {
        if method == Method::ConversationSet {
            let (channel, settings) = marks::read_settings(fields)?;
            return Ok((channel, Self::Set { settings }));
        }
        let (channel, seq) = marks::read_mark(fields)?;
        Ok((channel, Self::Read { seq }))
    }

    pub(super) fn asked(&self) -> Asked {
        match self {
            Self::Read { seq } => Asked { kind: fold::READ_KIND, tlvs: Tlvs::new(), body: seq.to_be_bytes().to_vec() },
            Self::Set { settings } => Asked { kind: fold::CONVERSATION_KIND, tlvs: settings.clone(), body: Vec::new() },
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        let Some((row, last)) = case.visible()? else {
            return Ok(Refusal::new(Reason::NoChannel, "no such channel for this user").into());
        };
        match self {
            Self::Read { seq } => read(case, &row, last, *seq),
            Self::Set { settings } => Ok(set(case, &row, last, settings)),
        }
    }
}

fn read(case: &Case<'_>, row: &ConversationRow, last: u64, seq: u64) -> Result<Verdict, StoreError> {
    if seq > last {
        return Ok(Refusal::new(Reason::EpochMismatch, "the read mark lies above the head").into());
    }
    if seq <= row.read && !row.is_marked_unread {
        return Ok(Verdict::UNCHANGED);
    }
    Ok(Verdict::quiet_with(case.privacy_of_marks()?))
}

fn set(case: &Case<'_>, row: &ConversationRow, last: u64, settings: &Tlvs) -> Verdict {
    if settings.get_u64(tag::CLEARED).is_some_and(|seq| seq > last) {
        return Refusal::new(Reason::EpochMismatch, "what is to be cleared lies above the head").into();
    }
    if row.would_change(settings, case.parts.channel.position) { Verdict::quiet() } else { Verdict::UNCHANGED }
}
