//! The state rows that entries are folded into, as one thing: what names a row within a channel, and the row. Decide,
//! view and materialiser keep, show and store all of them the same way.

use bytes::Bytes;
use postrider_protocol::{CommandId, DecodeError, Id, Reader, Tlvs, Writer, packet::broadcast};

use crate::{
    AnswerRow, BroadcastRow, Contact, ConversationRow, Cursor, DeviceRow, GroupRow, HeardRow, MemberRow, PartRow,
    PinsRow, ReactionRow, RequestRow, ScheduledRow, Span, StoreError, TagsRow, TargetRow, UserRow, Waiting,
    codec::Row,
    table::{self, Table},
};

/// Which row of a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// The group.
    Group,
    /// What is pinned.
    Pins,
    /// The profile of the user whose channel it is.
    User,
    /// A member.
    Member(Id),
    /// A user's view.
    Conversation(Id),
    /// A request to join, or an invitation.
    Request(Id),
    /// A device of the user whose channel it is.
    Device(Id),
    /// What became of a message, by seq.
    Target(u64),
    /// A user's reactions to a message, by seq.
    Reaction(u64, Id),
    /// An answer in the thread of a message: both seqs.
    Answer(u64, u64),
    /// A message that a user has scheduled.
    Scheduled(Id, CommandId),
    /// A part of the content of what a user has scheduled, or broadcasts.
    Part(Id, CommandId, u8),
    /// A broadcast of the user whose channel it is.
    Broadcast(CommandId),
    /// The last broadcast of a user that came to the other one.
    Heard(Id),
    /// The tags of the user whose channel it is.
    Tags,
}

/// A row; each tells the position it covers. Large ones are boxed: of the rows that lie in memory most are small.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the row of that name")]
pub enum StateRow {
    Group(GroupRow),
    Pins(PinsRow),
    User(Box<UserRow>),
    Member(Box<MemberRow>),
    Conversation(Box<ConversationRow>),
    Request(Box<RequestRow>),
    Device(DeviceRow),
    Target(Box<TargetRow>),
    Reaction(ReactionRow),
    Answer(AnswerRow),
    Scheduled(ScheduledRow),
    Part(PartRow),
    Broadcast(Box<BroadcastRow>),
    Heard(HeardRow),
    Tags(TagsRow),
}

impl StateKey {
    /// Whose request or invitation it is, if it is one.
    #[must_use]
    pub fn requested(&self) -> Option<Id> {
        if let Self::Request(user) = self { Some(user.clone()) } else { None }
    }

    /// Which member it is, if it is one.
    #[must_use]
    pub fn member(&self) -> Option<Id> {
        if let Self::Member(user) = self { Some(user.clone()) } else { None }
    }

    /// Which device it is, if it is one.
    #[must_use]
    pub fn device(&self) -> Option<Id> {
        if let Self::Device(device) = self { Some(device.clone()) } else { None }
    }

    /// Which of what `user` has scheduled it is, if it is that.
    #[must_use]
    pub fn scheduled_by(&self, user: &Id) -> Option<CommandId> {
        if let Self::Scheduled(of, id) = self { (of == user).then_some(*id) } else { None }
    }

    /// Which broadcast it is, if it is one.
    #[must_use]
    pub const fn broadcast(&self) -> Option<CommandId> {
        if let Self::Broadcast(id) = self { Some(*id) } else { None }
    }

    pub(crate) const fn table(&self) -> Table {
        match self {
            Self::Group => Table::Group,
            Self::Pins => Table::Pins,
            Self::User => Table::User,
            Self::Member(_) => Table::Member,
            Self::Conversation(_) => Table::Conversation,
            Self::Request(_) => Table::Request,
            Self::Device(_) => Table::Device,
            Self::Target(_) => Table::Target,
            Self::Reaction(..) => Table::Reaction,
            Self::Answer(..) => Table::Answer,
            Self::Scheduled(..) => Table::Scheduled,
            Self::Part(..) => Table::Part,
            Self::Broadcast(_) => Table::Broadcast,
            Self::Heard(_) => Table::Heard,
            Self::Tags => Table::Tags,
        }
    }

    /// The key in the store.
    pub(crate) fn encode(&self, tenant: u32, channel: &[u8]) -> Vec<u8> {
        if let Self::Conversation(user) = self {
            return table::conversation(tenant, user, channel);
        }
        let mut key = table::of_channel(self.table(), tenant, channel);
        match self {
            Self::Group | Self::Pins | Self::User | Self::Tags | Self::Conversation(_) => {}
            Self::Member(id) | Self::Request(id) | Self::Device(id) | Self::Heard(id) => key.bytes8(id.as_bytes()),
            Self::Broadcast(id) => id.write(&mut key),
            Self::Target(seq) => key.u64(*seq),
            Self::Reaction(seq, user) => {
                key.u64(*seq);
                key.bytes8(user.as_bytes());
            }
            // The newest comes first.
            Self::Answer(root, seq) => {
                key.u64(*root);
                key.u64(!*seq);
            }
            Self::Scheduled(user, id) => {
                key.bytes8(user.as_bytes());
                id.write(&mut key);
            }
            Self::Part(user, id, at) => {
                key.bytes8(user.as_bytes());
                id.write(&mut key);
                key.u8(*at);
            }
        }
        key
    }
}

/// A variant of [`StateRow`] by itself: `T::of(row)` is the row when it is that.
pub trait OfState: Sized {
    /// The row, if it is one of this kind.
    fn of(row: &StateRow) -> Option<&Self>;

    /// The position of the last entry it covers.
    fn position(&self) -> u64;
}

macro_rules! of_state {
    ($($variant:ident $row:ident),*) => {
        $(impl OfState for $row {
            fn of(row: &StateRow) -> Option<&Self> {
                if let StateRow::$variant(row) = row { Some(row) } else { None }
            }

            fn position(&self) -> u64 {
                self.position
            }
        }

        impl From<$row> for StateRow {
            fn from(row: $row) -> Self {
                Self::$variant(row.into())
            }
        })*

        impl StateRow {
            /// The position of the last entry it covers.
            #[must_use]
            pub const fn position(&self) -> u64 {
                match self { $(Self::$variant(row) => row.position,)* }
            }

            pub(crate) fn encode(&self) -> Vec<u8> {
                match self { $(Self::$variant(row) => row.encode(),)* }
            }

            pub(crate) fn decode(table: Table, payload: Bytes) -> Result<Self, StoreError> {
                match table {
                    $(Table::$variant => $row::decode(table, payload).map(Into::into),)*
                    _ => Err(StoreError::Damaged { table: Table::name_of(&[table as u8]) }),
                }
            }
        }
    };
}

of_state!(
    Group GroupRow, Pins PinsRow, User UserRow, Member MemberRow, Conversation ConversationRow, Request RequestRow,
    Device DeviceRow, Target TargetRow, Reaction ReactionRow, Answer AnswerRow,
    Scheduled ScheduledRow, Part PartRow, Broadcast BroadcastRow, Heard HeardRow, Tags TagsRow
);

fn write_spans(out: &mut Vec<u8>, spans: &[Span]) {
    out.u8(u8::try_from(spans.len()).unwrap_or(u8::MAX));
    for span in spans {
        out.u64(span.above);
        out.u64(span.through);
    }
}

fn read_spans(r: &mut Reader) -> Result<Vec<Span>, DecodeError> {
    (0..r.u8("spans")?).map(|_| Ok(Span { above: r.u64("above")?, through: r.u64("through")? })).collect()
}

fn read_tlvs(r: &mut Reader) -> Result<Tlvs, DecodeError> {
    let at = r.position();
    Tlvs::parse(r.bytes16(usize::from(u16::MAX), "fields")?, at)
}

fn read_flag(r: &mut Reader) -> Result<bool, DecodeError> {
    Ok(r.u8("flag")? == 1)
}

fn write_optional(out: &mut Vec<u8>, seq: Option<u64>) {
    out.u8(u8::from(seq.is_some()));
    out.u64(seq.unwrap_or_default());
}

fn read_optional(r: &mut Reader) -> Result<Option<u64>, DecodeError> {
    let is_some = read_flag(r)?;
    Ok(Some(r.u64("seq")?).filter(|_| is_some))
}

impl Row for GroupRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u8(u8::from(self.is_dismissed));
        out.u8(self.join_mode);
        out.u8(u8::from(self.shows_history));
        out.u64(self.muted_until_ms);
        out.u32(self.max_members);
        out.bytes16(self.fields.as_bytes());
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            is_dismissed: read_flag(r)?,
            join_mode: r.u8("join mode")?,
            shows_history: read_flag(r)?,
            muted_until_ms: r.u64("muted")?,
            max_members: r.u32("members")?,
            fields: read_tlvs(r)?,
            position: r.u64("position")?,
        })
    }
}

impl Row for MemberRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u8(self.role);
        out.u64(self.joined);
        write_optional(out, self.left);
        write_spans(out, &self.earlier);
        out.u64(self.joined_ms);
        out.bytes8(self.inviter.as_ref().map_or(&[], Id::as_bytes));
        out.u64(self.muted_until_ms);
        out.bytes8(&self.nickname);
        out.u64(self.read);
        out.u64(self.delivered);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            role: r.u8("role")?,
            joined: r.u64("joined")?,
            left: read_optional(r)?,
            earlier: read_spans(r)?,
            joined_ms: r.u64("joined at")?,
            inviter: Id::read_optional(r, "inviter")?.map(|id| id.detached()),
            muted_until_ms: r.u64("muted until")?,
            nickname: r.bytes8("nickname")?,
            read: r.u64("read")?,
            delivered: r.u64("delivered")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for RequestRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u8(u8::from(self.is_invitation));
        out.bytes8(self.by.as_bytes());
        out.bytes16(&self.text);
        out.u64(self.time_ms);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            is_invitation: read_flag(r)?,
            by: Id::read(r, "by")?.detached(),
            text: r.bytes16(usize::from(u16::MAX), "text")?,
            time_ms: r.u64("time")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for TargetRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.erased);
        out.u64(self.erased_ms);
        out.u64(self.expires_ms);
        out.u16(u16::try_from(self.edits.len()).unwrap_or(u16::MAX));
        self.edits.iter().for_each(|&seq| out.u64(seq));
        out.u32(self.version);
        out.u8(u8::try_from(self.reactions.len()).unwrap_or(u8::MAX));
        for (reaction, count) in &self.reactions {
            out.bytes8(reaction);
            out.u32(*count);
        }
        out.u64(self.reacted);
        out.u8(u8::from(self.is_pinned));
        out.u64(self.pinned);
        out.u32(self.answers);
        out.u64(self.answered);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            erased: r.u64("erased")?,
            erased_ms: r.u64("erased at")?,
            expires_ms: r.u64("expires at")?,
            edits: (0..r.u16("edits")?).map(|_| r.u64("edit")).collect::<Result<_, _>>()?,
            version: r.u32("version")?,
            reactions: (0..r.u8("reactions")?)
                .map(|_| Ok((r.bytes8("reaction")?, r.u32("count")?)))
                .collect::<Result<_, DecodeError>>()?,
            reacted: r.u64("reacted")?,
            is_pinned: read_flag(r)?,
            pinned: r.u64("pinned")?,
            answers: r.u32("answers")?,
            answered: r.u64("answered")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for ReactionRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u8(u8::try_from(self.reactions.len()).unwrap_or(u8::MAX));
        self.reactions.iter().for_each(|reaction| out.bytes8(reaction));
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let reactions = (0..r.u8("reactions")?).map(|_| r.bytes8("reaction")).collect::<Result<_, _>>()?;
        Ok(Self { reactions, position: r.u64("position")? })
    }
}

impl Row for AnswerRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { position: r.u64("position")? })
    }
}

impl Row for ScheduledRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.due_ms);
        out.u16(self.flags);
        out.u8(self.parts);
        out.u16(self.refused);
        out.u64(self.made);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            due_ms: r.u64("due")?,
            flags: r.u16("flags")?,
            parts: r.u8("parts")?,
            refused: r.u16("refused")?,
            made: r.u64("made")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for PartRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.bytes16(&self.bytes);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { bytes: r.bytes16(usize::from(u16::MAX), "part")?, position: r.u64("position")? })
    }
}

impl Row for BroadcastRow {
    fn write(&self, out: &mut Vec<u8>) {
        self.reach.write(out);
        out.u16(self.flags);
        out.u8(self.parts);
        out.u64(self.made);
        out.u64(self.made_ms);
        out.bytes8(self.through.as_ref().map_or(&[], Id::as_bytes));
        out.u8(u8::from(self.is_cancelled));
        out.u64(self.ended_ms);
        out.u64(self.sent);
        out.u64(self.refused);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            reach: match broadcast::Reach::read(r)? {
                broadcast::Reach::Tagged(tag) => broadcast::Reach::Tagged(tag.detached()),
                everybody => everybody,
            },
            flags: r.u16("flags")?,
            parts: r.u8("parts")?,
            made: r.u64("made")?,
            made_ms: r.u64("made at")?,
            through: Id::read_optional(r, "through")?.map(|id| id.detached()),
            is_cancelled: read_flag(r)?,
            ended_ms: r.u64("ended at")?,
            sent: r.u64("sent")?,
            refused: r.u64("refused")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for HeardRow {
    fn write(&self, out: &mut Vec<u8>) {
        self.id.write(out);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { id: CommandId::read(r)?, position: r.u64("position")? })
    }
}

impl Row for TagsRow {
    fn write(&self, out: &mut Vec<u8>) {
        broadcast::write_tags(out, &self.tags);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let tags =
            (0..r.u8("tags")?).map(|_| Ok(Id::read(r, "tag")?.detached())).collect::<Result<_, DecodeError>>()?;
        Ok(Self { tags, position: r.u64("position")? })
    }
}

impl Row for PinsRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u8(u8::try_from(self.seqs.len()).unwrap_or(u8::MAX));
        self.seqs.iter().for_each(|&seq| out.u64(seq));
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let seqs = (0..r.u8("pins")?).map(|_| r.u64("pin")).collect::<Result<_, _>>()?;
        Ok(Self { seqs, position: r.u64("position")? })
    }
}

impl Row for UserRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.bytes16(self.fields.as_bytes());
        out.u8(u8::from(self.receipts_private));
        out.u8(u8::from(self.presence_private));
        out.u8(u8::from(self.contacts_only));
        out.u64(self.removed_ms);
        out.bytes8(self.kept.as_ref().map_or(&[], Id::as_bytes));
        out.u64(self.kept_removed_ms);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            fields: read_tlvs(r)?,
            receipts_private: read_flag(r)?,
            presence_private: read_flag(r)?,
            contacts_only: read_flag(r)?,
            removed_ms: r.u64("removed")?,
            kept: Id::read_optional(r, "kept")?.map(|id| id.detached()),
            kept_removed_ms: r.u64("kept removed")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for DeviceRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.bytes16(self.fields.as_bytes());
        out.u64(self.first_ms);
        out.u64(self.last_ms);
        out.u64(self.removed_ms);
        out.u64(self.position);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            fields: read_tlvs(r)?,
            first_ms: r.u64("first")?,
            last_ms: r.u64("last")?,
            removed_ms: r.u64("removed")?,
            position: r.u64("position")?,
        })
    }
}

impl Row for ConversationRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.visible_from);
        write_optional(out, self.visible_to);
        write_spans(out, &self.earlier);
        out.u8(self.waiting as u8);
        out.u64(self.read);
        out.u64(self.told);
        out.u64(self.muted_until_ms);
        out.u8(u8::from(self.is_pinned));
        out.u64(self.hidden_at);
        out.u8(u8::from(self.is_marked_unread));
        out.u64(self.cleared);
        write_spans(out, &self.hidden);
        out.u8(u8::from(self.blocks));
        out.u8(self.contact as u8);
        out.bytes16(&self.note);
        out.u64(self.changed);
        out.u64(self.position);
        out.u8(u8::try_from(self.cursors.len()).unwrap_or(u8::MAX));
        for cursor in &self.cursors {
            out.bytes8(cursor.device.as_bytes());
            out.u64(cursor.seq);
            out.u64(cursor.position);
        }
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let cursor = |r: &mut Reader| {
            Ok(Cursor { device: Id::read(r, "device")?.detached(), seq: r.u64("seq")?, position: r.u64("position")? })
        };
        Ok(Self {
            visible_from: r.u64("visible from")?,
            visible_to: read_optional(r)?,
            earlier: read_spans(r)?,
            waiting: match r.u8("waiting")? {
                1 => Waiting::Asked,
                2 => Waiting::Invited,
                _ => Waiting::No,
            },
            read: r.u64("read")?,
            told: r.u64("told")?,
            muted_until_ms: r.u64("muted until")?,
            is_pinned: read_flag(r)?,
            hidden_at: r.u64("hidden at")?,
            is_marked_unread: read_flag(r)?,
            cleared: r.u64("cleared")?,
            hidden: read_spans(r)?,
            blocks: read_flag(r)?,
            contact: match r.u8("contact")? {
                1 => Contact::Asked,
                2 => Contact::Asking,
                3 => Contact::Yes,
                _ => Contact::No,
            },
            note: r.bytes16(usize::from(u16::MAX), "note")?,
            changed: r.u64("changed")?,
            position: r.u64("position")?,
            cursors: (0..r.u8("cursors")?).map(|_| cursor(r)).collect::<Result<_, DecodeError>>()?,
        })
    }
}
