//! The store as its readers see it: rows of the state tables, and images by seq. Any number of threads read; while a
//! checkpoint is written, a row may already be newer than [`Store::covered`] says: each tells what it covers.
//! No answer is ever wrong or silently short: a damaged row is an error, a damaged image is [`Found::Missing`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{Channel, Id, Reader as Fields};

use crate::{
    ChannelRow, ConversationRow, Entry, MemberRow, SenderRow, SenderTable, StoreError,
    codec::{Forgotten, Marker, PAGE, Place, Places, Row, StoredChannel},
    kv::Kv,
    lock::Lock,
    plan::BLOCK_HEAD,
    reader::Reader,
    slots::PerSlot,
    space::Space,
    table::{self, Table},
};

/// What a read finds for one seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The image, exactly as it was stored.
    Image(Bytes),
    /// It is damaged or lost.
    Missing,
}

/// What the materialiser has put there, for any number of readers.
#[derive(Debug)]
pub struct Store {
    kv: Kv,
    reader: Reader,
    covered: PerSlot<AtomicU64>,
    oldest_block: AtomicU64,
    space: Space,
    _lock: Arc<Lock>,
}

/// The senders of a user as they are stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Senders {
    pub table: SenderTable,
    pub has_forgotten: bool,
}

impl Store {
    pub(crate) fn new(kv: Kv, reader: Reader, space: Space, lock: Arc<Lock>) -> Self {
        Self { kv, reader, covered: PerSlot::default(), oldest_block: AtomicU64::new(0), space, _lock: lock }
    }

    /// Everything up to this position of `slot` is in the store.
    #[must_use]
    pub fn covered(&self, slot: u8) -> u64 {
        self.covered.at(slot).load(Ordering::Acquire)
    }

    /// Free bytes of the file system.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        self.space.free().map_err(StoreError::io("asking for free space"))
    }

    /// Bytes that the store takes on disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.kv.size_bytes()
    }

    /// The row of a channel, if it ever had an entry.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn channel(&self, tenant: u32, channel: &Channel) -> Result<Option<ChannelRow>, StoreError> {
        Ok(self.stored_channel(tenant, channel)?.map(|stored| stored.row))
    }

    /// The members of a group, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn members(&self, tenant: u32, channel: &Channel) -> Result<Vec<(Id, MemberRow)>, StoreError> {
        let prefix = table::members(tenant, channel);
        let mut members = Vec::new();
        self.kv.scan(&prefix, &mut |key, payload| {
            let user = key_tail(key, prefix.len()).and_then(|mut tail| Id::read(&mut tail, "user").ok());
            let user = user.ok_or(StoreError::Damaged { table: "member" })?;
            members.push((user, MemberRow::decode(Table::Member, payload?)?));
            Ok(true)
        })?;
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(members)
    }

    /// What a user has of a channel, if they ever had anything of it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn conversation(
        &self,
        tenant: u32,
        user: &Id,
        channel: &Channel,
    ) -> Result<Option<ConversationRow>, StoreError> {
        let payload = self.kv.get(&table::conversation(tenant, user, channel))?;
        payload.map(|payload| ConversationRow::decode(Table::Conversation, payload)).transpose()
    }

    /// All conversations of a user, in the order of the channels' bytes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn conversations(&self, tenant: u32, user: &Id) -> Result<Vec<(Channel, ConversationRow)>, StoreError> {
        let prefix = table::conversations(tenant, user);
        let mut conversations = Vec::new();
        self.kv.scan(&prefix, &mut |key, payload| {
            let channel = key_tail(key, prefix.len()).and_then(|mut tail| Channel::read(&mut tail).ok());
            let channel = channel.ok_or(StoreError::Damaged { table: "conversation" })?;
            conversations.push((channel, ConversationRow::decode(Table::Conversation, payload?)?));
            Ok(true)
        })?;
        Ok(conversations)
    }

    /// What the senders of a user had accepted in a slot.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn senders(&self, slot: u8, tenant: u32, user: &Id) -> Result<SenderTable, StoreError> {
        load_senders(&self.kv, slot, tenant, user).map(|senders| senders.table)
    }

    /// The images of the seqs `from` to `to`, both included, ascending; one element per seq, of those from 1 to the head
    /// in the store.
    ///
    /// # Errors
    /// See [`StoreError`]. An image that cannot be read is no error but [`Found::Missing`].
    pub fn read(&self, tenant: u32, channel: &Channel, from: u64, to: u64) -> Result<Vec<Found>, StoreError> {
        self.read_up_to(tenant, channel, from, to, usize::MAX)
    }

    /// As [`Store::read`], but ends after the image that takes the sum of their lengths to `bytes` or over it.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_up_to(
        &self,
        tenant: u32,
        channel: &Channel,
        from: u64,
        to: u64,
        bytes: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        let Some(stored) = self.stored_channel(tenant, channel)? else { return Ok(found) };
        let (mut page, mut block, mut sum) = (None, None, 0);
        for seq in from.max(1)..=to.min(stored.row.head) {
            let place = self.place(tenant, channel, &stored, seq, &mut page)?;
            let is_it = |entry: &Entry| entry.is(tenant, channel, seq) && entry.is_whole();
            let mut entry = self.block_entry(place, &mut block)?.filter(is_it);
            if entry.is_none() {
                entry = self.reader.entry(place.locator)?.filter(is_it);
            }
            sum += entry.as_ref().map_or(0, |entry| entry.image.len());
            found.push(entry.map_or(Found::Missing, |entry| Found::Image(entry.image)));
            if sum >= bytes {
                break;
            }
        }
        Ok(found)
    }

    /// Where `seq` of a channel is; `page` keeps the index page that was used last.
    pub(crate) fn place(
        &self,
        tenant: u32,
        channel: &Channel,
        stored: &StoredChannel,
        seq: u64,
        page: &mut Option<(u64, Places)>,
    ) -> Result<Place, StoreError> {
        let number = (seq - 1) / PAGE;
        let at = usize::try_from((seq - 1) % PAGE).unwrap_or_default();
        if number == stored.row.head / PAGE {
            return stored.tail.0.get(at).copied().ok_or(StoreError::Damaged { table: "channel" });
        }
        if page.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let payload = self.kv.get(&table::index(tenant, channel, number))?;
            let payload = payload.ok_or(StoreError::Damaged { table: "index" })?;
            *page = Some((number, Places::decode(Table::Index, payload)?));
        }
        let place = page.as_ref().and_then(|(_, places)| places.0.get(at).copied());
        place.ok_or(StoreError::Damaged { table: "index" })
    }

    /// The entry at `place`, if its block is there and sound; `last` keeps the block that was used last.
    pub(crate) fn block_entry(
        &self,
        place: Place,
        last: &mut Option<(u64, Bytes)>,
    ) -> Result<Option<Entry>, StoreError> {
        let Some((number, offset)) = place.block() else { return Ok(None) };
        if !self.has_block(place) {
            return Ok(None);
        }
        if last.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            *last = match self.kv.get(&table::block(number)) {
                Ok(block) => block.map(|block| (number, block)),
                // The log has what a damaged block had.
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        let block = last.as_ref().filter(|(_, block)| offset >= BLOCK_HEAD && offset < block.len());
        Ok(block.and_then(|(_, block)| Entry::parse(&block.slice(offset..))))
    }

    /// Whether `place` is in a block that the store still keeps.
    pub(crate) fn has_block(&self, place: Place) -> bool {
        place.block().is_some_and(|(number, _)| number >= self.oldest_block.load(Ordering::Acquire))
    }

    pub(crate) fn stored_channel(&self, tenant: u32, channel: &Channel) -> Result<Option<StoredChannel>, StoreError> {
        let payload = self.kv.get(&table::channel(tenant, channel))?;
        payload.map(|payload| StoredChannel::decode(Table::Channel, payload)).transpose()
    }

    /// Shows readers what the marker covers.
    pub(crate) fn show(&self, marker: &Marker) {
        self.oldest_block.store(marker.oldest_block, Ordering::Release);
        for (slot, &position) in marker.covered.iter() {
            self.covered.at(slot).store(position, Ordering::Release);
        }
    }

    pub(crate) const fn kv(&self) -> &Kv {
        &self.kv
    }

    pub(crate) const fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) const fn reader(&self) -> &Reader {
        &self.reader
    }
}

fn key_tail(key: &[u8], prefix: usize) -> Option<Fields> {
    key.get(prefix..).map(|tail| Fields::new(Bytes::copy_from_slice(tail)))
}

/// The senders of a user in a slot, as they are stored.
pub(crate) fn load_senders(kv: &Kv, slot: u8, tenant: u32, user: &Id) -> Result<Senders, StoreError> {
    let mut senders = Senders::default();
    let forgotten = kv.get(&table::forgotten(slot, tenant, user))?;
    if let Some(payload) = forgotten {
        senders.table.forgotten_through = Forgotten::decode(Table::Forgotten, payload)?.0;
        senders.has_forgotten = true;
    }
    kv.scan(&table::senders(slot, tenant, user), &mut |_, payload| {
        senders.table.senders.push(SenderRow::decode(Table::Sender, payload?)?);
        Ok(true)
    })?;
    Ok(senders)
}
