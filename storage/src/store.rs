//! The store as its readers see it: rows of the state tables, and images by seq. Any number of threads read; while a
//! checkpoint is written, a row may already be newer than [`Store::covered`] says: each tells what it covers.
//! No answer is ever wrong or silently short: a damaged row is an error, a damaged image is [`Found::Missing`].

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{Channel, Id, Reader as Fields};

use crate::{
    ChannelRow, ConversationRow, DeviceRow, Digest, Entry, MemberRow, OfState as _, RequestRow, SenderRow, SenderTable,
    StateKey, StateRow, StoreError, TargetRow, blocks,
    codec::{Forgotten, Marker, PAGE, Place, Places, Row, StoredChannel},
    entry::be64,
    kv::Kv,
    lock::Lock,
    reader::{Piece, Reader},
    slots::PerSlot,
    space::Space,
    table::{self, Table},
};

/// What a read finds for one seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The image, exactly as it was stored.
    Image(Bytes),
    /// Its TLVs and body were erased: the image without them. An edit still has TARGET and VERSION.
    Erased(Bytes),
    /// It is damaged or lost.
    Missing,
    /// Retention dropped it.
    Trimmed,
}

/// What the materialiser has put there, for any number of readers.
#[derive(Debug)]
pub struct Store {
    kv: Kv,
    reader: Reader,
    covered: PerSlot<AtomicU64>,
    oldest_block: AtomicU64,
    /// Blocks that the window has.
    ring: AtomicU64,
    /// The first segment that retention keeps.
    first: AtomicU32,
    space: Space,
    _lock: Arc<Lock>,
}

/// What a read looked at last.
#[derive(Debug, Default)]
struct Last {
    block: Option<(u64, Bytes)>,
    piece: Piece,
}

impl Store {
    pub(crate) fn new(kv: Kv, reader: Reader, space: Space, lock: Arc<Lock>) -> Self {
        Self {
            kv,
            reader,
            covered: PerSlot::default(),
            oldest_block: AtomicU64::new(0),
            ring: AtomicU64::new(1),
            first: AtomicU32::new(1),
            space,
            _lock: lock,
        }
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

    /// Bytes that the log takes on disk.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn log_bytes(&self) -> Result<u64, StoreError> {
        self.reader.log_bytes().map_err(StoreError::io("asking for the size of the log"))
    }

    /// The row of a channel, if it ever had an entry.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn channel(&self, tenant: u32, channel: &Channel) -> Result<Option<ChannelRow>, StoreError> {
        Ok(self.stored_channel(tenant, channel)?.map(|stored| stored.row))
    }

    /// A state row of a channel.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn state(&self, tenant: u32, channel: &Channel, key: &StateKey) -> Result<Option<StateRow>, StoreError> {
        let payload = self.kv.get(&key.encode(tenant, channel.as_bytes()))?;
        payload.map(|payload| StateRow::decode(key.table(), payload)).transpose()
    }

    /// What later entries made of the messages `from` to `to` of a channel, both included, ascending.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn targets(
        &self,
        tenant: u32,
        channel: &Channel,
        (from, to): (u64, u64),
    ) -> Result<Vec<(u64, TargetRow)>, StoreError> {
        let prefix = table::of_channel(Table::Target, tenant, channel.as_bytes());
        let start = StateKey::Target(from).encode(tenant, channel.as_bytes());
        let mut targets = Vec::new();
        self.kv.scan_from(&prefix, &start, &mut |key, payload| {
            let seq = be64(key, prefix.len());
            if seq <= to {
                targets.push((seq, TargetRow::decode(Table::Target, payload?)?));
            }
            Ok(seq < to)
        })?;
        Ok(targets)
    }

    /// The answers in the thread of `root`, from the newest below `before` on, at most `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn answers(
        &self,
        tenant: u32,
        channel: &Channel,
        root: u64,
        (before, most): (u64, usize),
    ) -> Result<Vec<u64>, StoreError> {
        let start = StateKey::Answer(root, before.saturating_sub(1)).encode(tenant, channel.as_bytes());
        let (prefix, _) = start.split_at(start.len().saturating_sub(8));
        let mut answers = Vec::new();
        self.kv.scan_from(prefix, &start, &mut |key, _| {
            answers.push(!be64(key, prefix.len()));
            Ok(answers.len() < most)
        })?;
        Ok(answers)
    }

    /// The rows of a channel in one table whose keys end with an id above `above`, ascending by id.
    fn by_id<R: Row>(
        &self,
        table: Table,
        tenant: u32,
        channel: &Channel,
        above: Option<&Id>,
    ) -> Result<Vec<(Id, R)>, StoreError> {
        let prefix = table::of_channel(table, tenant, channel.as_bytes());
        let mut rows = Vec::new();
        self.kv.scan(&prefix, &mut |key, payload| {
            let id = key_tail(key, prefix.len()).and_then(|mut tail| Id::read(&mut tail, "id").ok());
            let Some(id) = id else { return Err(StoreError::Damaged { table: Table::name_of(key) }) };
            if above.is_none_or(|above| id > *above) {
                rows.push((id, R::decode(table, payload?)?));
            }
            Ok(true)
        })?;
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(rows)
    }

    /// The requests and invitations that wait in a group, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn requests(&self, tenant: u32, channel: &Channel) -> Result<Vec<(Id, RequestRow)>, StoreError> {
        self.by_id(Table::Request, tenant, channel, None)
    }

    /// The devices of a user, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn devices(&self, tenant: u32, user: &Id) -> Result<Vec<(Id, DeviceRow)>, StoreError> {
        self.by_id(Table::Device, tenant, &Channel::user(user), None)
    }

    /// Who is or was a member of a group, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn members(&self, tenant: u32, channel: &Channel) -> Result<Vec<(Id, MemberRow)>, StoreError> {
        self.members_above(tenant, channel, None)
    }

    /// As [`Store::members`], those above an id alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn members_above(
        &self,
        tenant: u32,
        channel: &Channel,
        above: Option<&Id>,
    ) -> Result<Vec<(Id, MemberRow)>, StoreError> {
        self.by_id(Table::Member, tenant, channel, above)
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
        let payload = self.kv.get(&table::conversation(tenant, user, channel.as_bytes()))?;
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
        load_senders(&self.kv, slot, tenant, user.as_bytes()).map(|(table, _)| table)
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
        let (mut page, mut sum, mut last) = (None, 0, Last::default());
        let from = from.max(1);
        let trimmed = self.trimmed_of(tenant, channel, &stored, from)?;
        let to = to.min(stored.row.head);
        found.extend((from..=trimmed.min(to)).map(|_| Found::Trimmed));
        let mut seqs = (from.max(trimmed + 1)..=to).peekable();
        while let Some(seq) = seqs.next() {
            let place = self.place(tenant, channel, &stored, seq, &mut page)?.unwrap_or_default();
            let next = seqs.peek().map(|&next| self.place(tenant, channel, &stored, next, &mut page)).transpose()?;
            let is_it = |entry: &Entry| entry.is(tenant, channel, seq) && entry.is_sound();
            let entry = self.entry(place, next.flatten(), &mut last, is_it)?;
            sum += entry.as_ref().map_or(0, |entry| entry.image.len());
            found.push(match entry {
                Some(entry) if entry.is_whole() => Found::Image(entry.image),
                Some(entry) => Found::Erased(entry.bare()),
                // It was dropped while it was read.
                None if self.is_trimmed(place) && place != Place::default() => Found::Trimmed,
                None => self.half_erased(tenant, channel, seq, place)?.map_or(Found::Missing, Found::Erased),
            });
            if sum >= bytes {
                break;
            }
        }
        Ok(found)
    }

    /// What counting needs of the seqs `from` to `to`, both included, ascending; one element per seq, of those from 1 to the
    /// head in the store. Of what was lost or trimmed it is empty.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn digests(&self, tenant: u32, channel: &Channel, from: u64, to: u64) -> Result<Vec<Digest>, StoreError> {
        let Some(stored) = self.stored_channel(tenant, channel)? else { return Ok(Vec::new()) };
        let mut page = None;
        let digest = |seq| {
            let place = self.find(tenant, channel, &stored, seq, &mut page)?;
            Ok(place.filter(|place| !self.is_trimmed(*place)).unwrap_or_default().digest)
        };
        (from.max(1)..=to.min(stored.row.head)).map(digest).collect()
    }

    /// What is left of `seq` when its erasure, by an entry, was cut short before it could say so itself.
    fn half_erased(&self, tenant: u32, channel: &Channel, seq: u64, place: Place) -> Result<Option<Bytes>, StoreError> {
        let row = self.state(tenant, channel, &StateKey::Target(seq))?;
        if !row.as_ref().and_then(TargetRow::of).is_some_and(TargetRow::is_erased) {
            return Ok(None);
        }
        let entry = self.reader.entry(place.locator, &mut Piece::default())?;
        Ok(entry.filter(|entry| entry.is(tenant, channel, seq)).map(|entry| entry.bare()))
    }

    /// The entry at `place` that `is_it`, from its block or from the log, whichever has it whole. A block is worth its
    /// reading when the last or the `next` entry is in it too.
    fn entry(
        &self,
        place: Place,
        next: Option<Place>,
        last: &mut Last,
        is_it: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>, StoreError> {
        let number = place.block().map(|(number, _)| number);
        let is_alone = next.and_then(|next| next.block()).map(|(number, _)| number) != number
            && last.block.as_ref().map(|(number, _)| *number) != number;
        let mut entry = None;
        if !is_alone {
            entry = self.block_entry(place, &mut last.block)?.filter(&is_it);
        }
        if entry.is_none() {
            entry = self.reader.entry(place.locator, &mut last.piece)?.filter(&is_it);
        }
        if entry.is_none() && is_alone {
            entry = self.block_entry(place, &mut last.block)?.filter(is_it);
        }
        Ok(entry)
    }

    /// When retention dropped `from`: the last seq that it dropped with it; otherwise 0.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn trimmed_through(&self, tenant: u32, channel: &Channel, from: u64) -> Result<u64, StoreError> {
        if self.first.load(Ordering::Acquire) <= 1 {
            return Ok(0);
        }
        let stored = self.stored_channel(tenant, channel)?;
        stored.map_or(Ok(0), |stored| self.trimmed_of(tenant, channel, &stored, from.max(1)))
    }

    pub(crate) fn trimmed_of(
        &self,
        tenant: u32,
        channel: &Channel,
        stored: &StoredChannel,
        from: u64,
    ) -> Result<u64, StoreError> {
        if self.first.load(Ordering::Acquire) <= 1 || from > stored.row.head {
            return Ok(0);
        }
        if self.find(tenant, channel, stored, from, &mut None)?.is_some_and(|place| !self.is_trimmed(place)) {
            return Ok(0);
        }
        // The first entry that is kept is on the first page, most often.
        let mut kept = None;
        let prefix = table::indexes(tenant, channel.as_bytes());
        self.kv.scan(&prefix, &mut |key, payload| {
            let places = Places::decode(Table::Index, payload?)?;
            let at = places.0.iter().position(|&place| !self.is_trimmed(place));
            kept = at.map(|at| be64(key, prefix.len()) * PAGE + at as u64);
            Ok(kept.is_none())
        })?;
        let tail = || {
            let at = stored.tail.0.iter().position(|&place| !self.is_trimmed(place))?;
            Some(stored.indexed / PAGE * PAGE + at as u64)
        };
        let through = kept.or_else(tail).unwrap_or(stored.row.head);
        Ok(if through >= from { through } else { 0 })
    }

    /// Where `seq` of a channel is, none when it was trimmed; `page` keeps the index page that was used last.
    pub(crate) fn place(
        &self,
        tenant: u32,
        channel: &Channel,
        stored: &StoredChannel,
        seq: u64,
        page: &mut Option<(u64, Places)>,
    ) -> Result<Option<Place>, StoreError> {
        match self.find(tenant, channel, stored, seq, page)? {
            Some(place) => Ok(Some(place)),
            None if self.trimmed_of(tenant, channel, stored, seq)? >= seq => Ok(None),
            None => Err(StoreError::Damaged { table: "index" }),
        }
    }

    /// As [`Store::place`], but none also when it should be known and is not.
    fn find(
        &self,
        tenant: u32,
        channel: &Channel,
        stored: &StoredChannel,
        seq: u64,
        page: &mut Option<(u64, Places)>,
    ) -> Result<Option<Place>, StoreError> {
        let number = (seq - 1) / PAGE;
        let at = usize::try_from((seq - 1) % PAGE).unwrap_or_default();
        if seq > stored.indexed {
            return Ok(None);
        }
        if number == stored.indexed / PAGE {
            return Ok(stored.tail.0.get(at).copied());
        }
        if page.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let Some(payload) = self.kv.get(&table::index(tenant, channel.as_bytes(), number))? else {
                return Ok(None);
            };
            *page = Some((number, Places::decode(Table::Index, payload)?));
        }
        Ok(page.as_ref().and_then(|(_, places)| places.0.get(at).copied()))
    }

    /// Whether what is at `place`, or nowhere, is before the first segment that is kept.
    fn is_trimmed(&self, place: Place) -> bool {
        place.locator.segment < self.first.load(Ordering::Acquire)
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
            let ring = self.ring.load(Ordering::Acquire).max(1);
            *last = match self.kv.get(&table::block(number % ring)) {
                Ok(block) => block.map(|block| (number, block)),
                // The log has what a damaged block had.
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        // Another may have taken its place meanwhile.
        let block = last.as_ref().filter(|(_, block)| blocks::has(block, number, offset));
        Ok(block.and_then(|(_, block)| Entry::parse(&block.slice(offset..))))
    }

    /// Whether `place` is in a block that the store still keeps.
    pub(crate) fn has_block(&self, place: Place) -> bool {
        place.block().is_some_and(|(number, _)| number >= self.oldest_block.load(Ordering::Acquire))
    }

    pub(crate) fn stored_channel(&self, tenant: u32, channel: &Channel) -> Result<Option<StoredChannel>, StoreError> {
        let payload = self.kv.get(&table::channel(tenant, channel.as_bytes()))?;
        payload.map(|payload| StoredChannel::decode(Table::Channel, payload)).transpose()
    }

    /// Tells readers that what is in segments before `first` was trimmed.
    pub(crate) fn set_first(&self, first: u32) {
        self.first.fetch_max(first, Ordering::AcqRel);
    }

    /// Shows readers what the marker covers.
    pub(crate) fn show(&self, marker: &Marker) {
        self.oldest_block.store(marker.oldest_block, Ordering::Release);
        self.ring.store(marker.ring, Ordering::Release);
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

/// The senders of a user in a slot, as they are stored, and whether any were forgotten.
pub(crate) fn load_senders(kv: &Kv, slot: u8, tenant: u32, user: &[u8]) -> Result<(SenderTable, bool), StoreError> {
    let mut senders = SenderTable::default();
    let forgotten = kv.get(&table::forgotten(slot, tenant, user))?;
    let has_forgotten = forgotten.is_some();
    if let Some(payload) = forgotten {
        senders.forgotten_through = Forgotten::decode(Table::Forgotten, payload)?.0;
    }
    kv.scan(&table::senders(slot, tenant, user), &mut |_, payload| {
        senders.senders.push(SenderRow::decode(Table::Sender, payload?)?);
        Ok(true)
    })?;
    Ok((senders, has_forgotten))
}
