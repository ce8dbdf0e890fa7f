//! The store.
use bytes::Bytes;
use postrider_protocol::{Channel, Id};

use crate::{ChannelRow, ConversationRow, MemberRow, SenderTable, StoreError};

/// What a read finds for one seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The image as it was stored.
    Image(Bytes),
    /// It is damaged or lost.
    Missing,
}

/// What was materialised, for any number of readers.
#[derive(Debug)]
pub struct Store {}

#[allow(missing_docs, clippy::missing_errors_doc, unused_variables)]
impl Store {
    pub fn covered(&self, slot: u8) -> u64 {
        0
    }
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
    pub fn channel(&self, tenant: u32, channel: &Channel) -> Result<Option<ChannelRow>, StoreError> {
        Ok(None)
    }
    pub fn members(&self, tenant: u32, channel: &Channel) -> Result<Vec<(Id, MemberRow)>, StoreError> {
        Ok(Vec::new())
    }
    pub fn conversation(
        &self,
        tenant: u32,
        user: &Id,
        channel: &Channel,
    ) -> Result<Option<ConversationRow>, StoreError> {
        Ok(None)
    }
    pub fn conversations(&self, tenant: u32, user: &Id) -> Result<Vec<(Channel, ConversationRow)>, StoreError> {
        Ok(Vec::new())
    }
    pub fn senders(&self, slot: u8, tenant: u32, user: &Id) -> Result<SenderTable, StoreError> {
        Ok(SenderTable::default())
    }
    pub fn read(&self, tenant: u32, channel: &Channel, from: u64, to: u64) -> Result<Vec<Found>, StoreError> {
        Ok(Vec::new())
    }
    /// As `read`, but stops after the image that takes the sum of their bytes to `bytes` or over.
    pub fn read_up_to(
        &self,
        tenant: u32,
        channel: &Channel,
        from: u64,
        to: u64,
        bytes: usize,
    ) -> Result<Vec<Found>, StoreError> {
        Ok(Vec::new())
    }
}
