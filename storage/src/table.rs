//! The tables of the store and their keys. A key begins with its table; ids and channels are length-prefixed, so that a
//! prefix of whole fields is a range.

use postrider_protocol::{Id, Sender, Writer};

/// How many tables there are.
pub(crate) const TABLES: usize = 24;

/// A table; its number is the first byte of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// Place in the ring → a block of consecutive entries of one slot.
    Block = 1,
    /// Tenant, channel → its row and the places of the entries after the last full index page.
    Channel = 2,
    /// Tenant, channel, page → the places of as many entries as a page has.
    Index = 3,
    /// Tenant, channel, user → membership.
    Member = 4,
    /// Tenant, user, channel → conversation.
    Conversation = 5,
    /// Slot, tenant, user, sender → what the sender had accepted.
    Sender = 6,
    /// Slot, tenant, user → up to where senders were forgotten.
    Forgotten = 7,
    /// Slot → epoch, position, time.
    Slot = 8,
    /// What the store covers.
    Marker = 9,
    /// What a checkpoint is about to write.
    Intent = 10,
    /// Tenant, channel → what the group is.
    Group = 11,
    /// Tenant, channel, user → a request to join or an invitation.
    Request = 12,
    /// Tenant, channel, seq → what later entries made of the message.
    Target = 13,
    /// Tenant, channel, seq, user → the user's reactions to the message.
    Reaction = 14,
    /// Tenant, channel → what is pinned.
    Pins = 15,
    /// Tenant, channel of the user → profile.
    User = 16,
    /// Tenant, channel of the user, device → the device.
    Device = 17,
    /// Time, tenant, channel, seq → nothing: the message is to be erased on disk from that time on. With [`CONTROL`] in
    /// place of the seq: → the place of the control entry at that position of the slot.
    Erase = 18,
    /// Tenant, channel, seq of a message, complement of the seq of an answer in its thread → the answer.
    Answer = 19,
    /// Tenant, channel, user, sender, number → a message that the user has scheduled.
    Scheduled = 20,
    /// Tenant, channel, user, sender, number, which → a part of the content of such a message, or of a broadcast.
    Part = 21,
    /// Tenant, channel of a system user, sender, number → a broadcast.
    Broadcast = 22,
    /// Tenant, channel, user → the last broadcast of the user that the other one of the channel has.
    Heard = 23,
    /// Tenant, channel of the user → tags.
    Tags = 24,
}

impl Table {
    pub(crate) const ALL: [Self; TABLES] = [
        Self::Block,
        Self::Channel,
        Self::Index,
        Self::Member,
        Self::Conversation,
        Self::Sender,
        Self::Forgotten,
        Self::Slot,
        Self::Marker,
        Self::Intent,
        Self::Group,
        Self::Request,
        Self::Target,
        Self::Reaction,
        Self::Pins,
        Self::User,
        Self::Device,
        Self::Erase,
        Self::Answer,
        Self::Scheduled,
        Self::Part,
        Self::Broadcast,
        Self::Heard,
        Self::Tags,
    ];

    /// Those that entries are folded into and that a snapshot has, in the order in which it has them.
    pub(crate) const STATE: [Self; 18] = [
        Self::Channel,
        Self::Member,
        Self::Conversation,
        Self::Group,
        Self::Request,
        Self::Target,
        Self::Reaction,
        Self::Answer,
        Self::Scheduled,
        Self::Part,
        Self::Broadcast,
        Self::Heard,
        Self::Tags,
        Self::Pins,
        Self::User,
        Self::Device,
        Self::Sender,
        Self::Forgotten,
    ];

    /// The table of `key`.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let number = usize::from(*key.first()?);
        Self::ALL.get(number.checked_sub(1)?).copied()
    }

    /// The name of the table of `key`.
    pub(crate) fn name_of(key: &[u8]) -> &'static str {
        const NAMES: [&str; TABLES] = [
            "block",
            "channel",
            "index",
            "member",
            "conversation",
            "sender",
            "forgotten",
            "slot",
            "marker",
            "intent",
            "group",
            "request",
            "target",
            "reaction",
            "pins",
            "user",
            "device",
            "erase",
            "answer",
            "scheduled",
            "part",
            "broadcast",
            "heard",
            "tags",
        ];
        let number = key.first().copied().unwrap_or_default();
        NAMES.get(usize::from(number).wrapping_sub(1)).copied().unwrap_or("unknown")
    }

    /// Its place in counts per table.
    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }

    fn key(self) -> Vec<u8> {
        vec![self as u8]
    }
}

/// The block in the ring at `at`.
pub(crate) fn block(at: u64) -> Vec<u8> {
    let mut key = Table::Block.key();
    key.u64(at);
    key
}

pub(crate) fn channel(tenant: u32, channel: &[u8]) -> Vec<u8> {
    of_channel(Table::Channel, tenant, channel)
}

/// The prefix of the index pages of a channel.
pub(crate) fn indexes(tenant: u32, channel: &[u8]) -> Vec<u8> {
    of_channel(Table::Index, tenant, channel)
}

pub(crate) fn index(tenant: u32, channel: &[u8], page: u64) -> Vec<u8> {
    let mut key = indexes(tenant, channel);
    key.u64(page);
    key
}

/// The prefix of the rows of all users' own channels in `table`.
pub(crate) fn of_own_channels(table: Table, tenant: u32) -> Vec<u8> {
    let mut key = table.key();
    key.u32(tenant);
    key.u8(3);
    key
}

/// The key of a channel's row in `table`, and the prefix of all its rows there.
pub(crate) fn of_channel(table: Table, tenant: u32, channel: &[u8]) -> Vec<u8> {
    let mut key = table.key();
    key.u32(tenant);
    key.raw(channel);
    key
}

/// The prefix of the conversations of a user.
pub(crate) fn conversations(tenant: u32, user: &Id) -> Vec<u8> {
    let mut key = Table::Conversation.key();
    key.u32(tenant);
    key.bytes8(user.as_bytes());
    key
}

pub(crate) fn conversation(tenant: u32, user: &Id, channel: &[u8]) -> Vec<u8> {
    let mut key = conversations(tenant, user);
    key.raw(channel);
    key
}

fn of_slot(table: Table, slot: u8, tenant: u32, user: &[u8]) -> Vec<u8> {
    let mut key = table.key();
    key.u8(slot);
    key.u32(tenant);
    key.bytes8(user);
    key
}

/// The prefix of the senders of a user in a slot.
pub(crate) fn senders(slot: u8, tenant: u32, user: &[u8]) -> Vec<u8> {
    of_slot(Table::Sender, slot, tenant, user)
}

pub(crate) fn sender(slot: u8, tenant: u32, user: &[u8], sender: &Sender) -> Vec<u8> {
    let mut key = senders(slot, tenant, user);
    key.raw(sender.as_bytes());
    key
}

pub(crate) fn forgotten(slot: u8, tenant: u32, user: &[u8]) -> Vec<u8> {
    of_slot(Table::Forgotten, slot, tenant, user)
}

/// The key that says that the message `seq` is to be erased from `due_ms` on.
pub(crate) fn erase(due_ms: u64, tenant: u32, channel: &[u8], seq: u64) -> Vec<u8> {
    let mut key = erases();
    key.u64(due_ms);
    key.u32(tenant);
    key.raw(channel);
    key.u64(seq);
    key
}

/// The bit by which a key of [`erase`] has the position of a control entry, and no seq.
pub(crate) const CONTROL: u64 = 1 << 63;
/// The time of what is to be erased once an entry says from when on.
pub(crate) const NOT_YET: u64 = u64::MAX;

/// The prefix of all keys of [`erase`].
pub(crate) fn erases() -> Vec<u8> {
    Table::Erase.key()
}

pub(crate) fn slot(slot: u8) -> Vec<u8> {
    vec![Table::Slot as u8, slot]
}

pub(crate) fn marker() -> Vec<u8> {
    Table::Marker.key()
}

pub(crate) fn intent() -> Vec<u8> {
    Table::Intent.key()
}
