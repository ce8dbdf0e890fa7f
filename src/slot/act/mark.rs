//! Acts about a user's own view of a channel.

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Method, Reason, Tlvs, packet::marks};
use postrider_storage::{StoreError, fold};

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
}

impl MarkAct {
    pub(super) fn read(_method: Method, fields: Bytes) -> Result<(Channel, Self), DecodeError> {
        let (channel, seq) = marks::read_mark(fields)?;
        Ok((channel, Self::Read { seq }))
    }

    pub(super) fn asked(&self) -> Asked {
        match self {
            Self::Read { seq } => Asked { kind: fold::READ_KIND, tlvs: Tlvs::new(), body: seq.to_be_bytes().to_vec() },
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        let Self::Read { seq } = self;
        Ok(match case.visible()? {
            None => Refusal::new(Reason::NoChannel, "no such channel for this user").into(),
            Some((_, last)) if *seq > last => {
                Refusal::new(Reason::EpochMismatch, "the read mark lies above the head").into()
            }
            Some(_) => Verdict::quiet(),
        })
    }
}
