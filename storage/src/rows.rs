//! The rows of the state tables. How an entry changes them is in [`crate::fold`]; how they are stored in `codec`.

use std::collections::VecDeque;

use bytes::Bytes;
use postrider_protocol::{CommandId, Id, Sender, Tlvs, packet::broadcast::Reach};

/// What is known of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRow {
    /// Seq of its last entry.
    pub head: u64,
    /// Position of its last sequenced entry.
    pub position: u64,
    /// Time of its last sequenced entry.
    pub time_ms: u64,
    /// How many members it has; 0 for a person channel.
    pub members: u32,
}

/// Seqs that somebody may see, or during which they were a member: `above` is not included, `through` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// It begins after this seq.
    pub above: u64,
    /// Its last seq.
    pub through: u64,
}

/// What a group is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRow {
    /// It can be read and not changed any more.
    pub is_dismissed: bool,
    /// Who may join: 0 everybody, 1 who is approved, 2 who is invited.
    pub join_mode: u8,
    /// Whether new members see what was before they joined.
    pub shows_history: bool,
    /// Only owner and admins may speak until then.
    pub muted_until_ms: u64,
    /// Most members; 0 for the server's limit.
    pub max_members: u32,
    /// `NAME`, `AVATAR`, `ANNOUNCEMENT`, `DESCRIPTION`, `CUSTOM`.
    pub fields: Tlvs,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// Who is or was a member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRow {
    /// 0 member, 1 admin, 2 owner.
    pub role: u8,
    /// A member from the seq after this one on.
    pub joined: u64,
    /// The last seq as a member of who is none now.
    pub left: Option<u64>,
    /// Earlier times as a member, at most [`crate::fold::SPANS`], oldest first.
    pub earlier: Vec<Span>,
    /// When they joined last.
    pub joined_ms: u64,
    /// Who brought them in; none for who came by themselves.
    pub inviter: Option<Id>,
    /// They may not speak until then.
    pub muted_until_ms: u64,
    /// UTF-8.
    pub nickname: Bytes,
    /// They have read up to here, as far as others may know.
    pub read: u64,
    /// A device of theirs has everything up to here.
    pub delivered: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

impl MemberRow {
    /// Whether they are a member now.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        self.left.is_none()
    }

    /// Whether they were a member when `seq` was given.
    #[must_use]
    pub fn was_member_at(&self, seq: u64) -> bool {
        seq > self.joined && self.left.is_none_or(|left| seq <= left)
            || self.earlier.iter().any(|span| seq > span.above && seq <= span.through)
    }
}

/// A request to join a group, or an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Whether an admin or the owner has agreed: the user may join.
    pub is_invitation: bool,
    /// Who asked.
    pub by: Id,
    /// What they say; UTF-8.
    pub text: Bytes,
    /// When.
    pub time_ms: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// What later entries made of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRow {
    /// The seq of the entry that erased it; 0 when none did.
    pub erased: u64,
    /// The time of that entry.
    pub erased_ms: u64,
    /// When it goes away, milliseconds since 1970; 0 when it does not. Known from its first edit on: before that the
    /// message itself says it.
    pub expires_ms: u64,
    /// The seqs of its edits, oldest first, at most [`crate::fold::EDITS`]; also when it is erased.
    pub edits: Vec<u64>,
    /// How often it was edited.
    pub version: u32,
    /// Reactions and how many users gave them, in the order in which they came up.
    pub reactions: Vec<(Bytes, u32)>,
    /// The seq of the last entry about its reactions.
    pub reacted: u64,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// The seq of the last entry about its pin.
    pub pinned: u64,
    /// How many answers its thread has had.
    pub answers: u32,
    /// The seq of the newest of them.
    pub answered: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

impl TargetRow {
    /// Whether an entry erased the message.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.erased > 0
    }
}

/// The reactions of one user to one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactionRow {
    /// In the order in which they came.
    pub reactions: Vec<Bytes>,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// That a message is an answer in a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerRow {
    /// The position of its entry.
    pub position: u64,
}

/// A message that a user has scheduled; its content is in so many [`PartRow`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduledRow {
    /// When it is to be sent, milliseconds since 1970.
    pub due_ms: u64,
    /// Its flags, as those of SEND.
    pub flags: u16,
    /// How many parts its content has.
    pub parts: u8,
    /// Why it was not sent when its time had come, a reason by number; 0 while it waits.
    pub refused: u16,
    /// The position of the entry that has its content.
    pub made: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// A part of the content of a message that is scheduled or broadcast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartRow {
    /// At most [`crate::fold::parts::PART_BYTES`].
    pub bytes: Bytes,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// A broadcast of a system user, in its own channel; its content is in so many [`PartRow`]s until it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastRow {
    /// To whom.
    pub reach: Reach,
    /// Its flags, as those of SEND.
    pub flags: u16,
    /// How many parts its content has.
    pub parts: u8,
    /// The position of the entry that made it: broadcasts of one user are sent in this order.
    pub made: u64,
    /// The time of that entry.
    pub made_ms: u64,
    /// Everybody up to this one, by id, was seen to.
    pub through: Option<Id>,
    /// Whether it was cancelled.
    pub is_cancelled: bool,
    /// When it ended; 0 while it is under way.
    pub ended_ms: u64,
    /// How many users have it.
    pub sent: u64,
    /// To how many it could not be sent.
    pub refused: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// The last broadcast of a user whose message a person channel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardRow {
    /// Which.
    pub id: CommandId,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// The tags of a user, in their own channel; none for who has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagsRow {
    /// Ascending, each once.
    pub tags: Vec<Id>,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// The pinned messages of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinsRow {
    /// Their seqs, in the order in which they were pinned.
    pub seqs: Vec<u64>,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// What a user says of themselves, and what others may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRow {
    /// `NAME`, `AVATAR`, `DESCRIPTION`, `CUSTOM`.
    pub fields: Tlvs,
    /// Others do not learn what they have read, nor they of others.
    pub receipts_private: bool,
    /// Others do not learn whether they are online, nor they of others.
    pub presence_private: bool,
    /// Only contacts may write to them.
    pub contacts_only: bool,
    /// When all devices but [`UserRow::kept`] were removed; 0 while they never were. Their tokens issued up to then are
    /// not accepted.
    pub removed_ms: u64,
    /// The device that was not removed then.
    pub kept: Option<Id>,
    /// When that one was removed with all others before; 0 if it never was.
    pub kept_removed_ms: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

impl UserRow {
    /// When `device`, or what has none, was last removed together with all others; 0 if it never was. Its tokens issued
    /// up to then are not accepted.
    #[must_use]
    pub fn removed_of(&self, device: Option<&Id>) -> u64 {
        if device.is_some() && device == self.kept.as_ref() { self.kept_removed_ms } else { self.removed_ms }
    }
}

/// A device of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRow {
    /// `PLATFORM`, `APP_VERSION`, `LANGUAGE`, `TIME_ZONE`, as it last told.
    pub fields: Tlvs,
    /// When it first came.
    pub first_ms: u64,
    /// When it last came, to a day.
    pub last_ms: u64,
    /// When it was last removed by itself; 0 if it never was. Tokens issued up to then are not accepted.
    pub removed_ms: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

impl DeviceRow {
    /// Whether it has not come back since it was removed, by itself or, at `all_ms`, with all others.
    #[must_use]
    pub const fn is_removed(&self, all_ms: u64) -> bool {
        self.last_ms <= self.removed_ms || self.last_ms <= all_ms
    }
}

/// How far one device of a user has a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The device.
    pub device: Id,
    /// It holds everything up to this seq.
    pub seq: u64,
    /// Position of the entry that last moved it.
    pub position: u64,
}

/// One user's view of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationRow {
    /// What comes after this seq is visible.
    pub visible_from: u64,
    /// The last visible seq of who is no member now.
    pub visible_to: Option<u64>,
    /// What else is visible, at most [`crate::fold::SPANS`], oldest first: of earlier times as a member.
    pub earlier: Vec<Span>,
    /// Whether they are invited, or have asked to join.
    pub waiting: Waiting,
    /// The read mark: the highest seq read.
    pub read: u64,
    /// They have read up to here, as far as others may know.
    pub told: u64,
    /// At most [`crate::fold::CURSORS`], in the order in which they were last moved.
    pub cursors: Vec<Cursor>,
    /// It wakes nobody until then.
    pub muted_until_ms: u64,
    /// It stays at the top.
    pub is_pinned: bool,
    /// Position of the entry by which it was hidden; 0 when it is not. It is left out of the list until something new comes,
    /// see [`ConversationRow::is_left_out`].
    pub hidden_at: u64,
    /// It shows as unread whatever the count.
    pub is_marked_unread: bool,
    /// Everything up to this seq was deleted by the user for themselves.
    pub cleared: u64,
    /// What else they deleted for themselves, ascending and apart, at most [`crate::fold::HIDES`].
    pub hidden: Vec<Span>,
    /// The user blocks the other one of this person channel.
    pub blocks: bool,
    /// What the other one of this person channel is to the user.
    pub contact: Contact,
    /// What the user calls the contact; while the other one asks to become one, what they say. UTF-8.
    pub note: Bytes,
    /// Position of the last change of anything but cursors.
    pub changed: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// What one user is to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// Nobody in particular.
    #[default]
    No,
    /// Asked to become one.
    Asked,
    /// Has asked to become one.
    Asking,
    /// A contact.
    Yes,
}

/// What a user waits for in a group that they are no member of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing.
    #[default]
    No,
    /// They have asked to join.
    Asked,
    /// They are invited.
    Invited,
}

/// The answer to an accepted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The sender's number for the command.
    pub number: u64,
    /// The seq it got; 0 for a control entry.
    pub seq: u64,
    /// The time it got.
    pub time_ms: u64,
    /// The CRC of what was asked, see [`crate::fold::intent`].
    pub crc: u32,
}

/// What one sender had accepted in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderRow {
    /// The sender.
    pub sender: Sender,
    /// Numbers below are stale.
    pub floor: u64,
    /// Position of its first entry.
    pub since: u64,
    /// Position of its last entry.
    pub used: u64,
    /// The accepted numbers from the floor up, ascending.
    pub answers: VecDeque<Answer>,
}

/// The senders of one user in one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderTable {
    /// At most [`crate::fold::SENDERS`] of each kind, in no particular order.
    pub senders: Vec<SenderRow>,
    /// Senders not in the table with a stamp up to this have been forgotten; by kind: kept, one-shot.
    pub forgotten_through: [u64; 2],
}
