//! Generated from `protocol/registry.toml` by `cargo xtask generate`; do not edit.

/// The only wire version this build speaks.
pub const VERSION: u8 = 0;

/// Header of a frame.
pub const HEADER_BYTES: usize = 10;
/// Longest payload of a frame.
pub const FRAME_PAYLOAD_BYTES: usize = 131_072;
/// Longest payload of the first frame of a client.
pub const CONNECT_PAYLOAD_BYTES: usize = 16_384;
/// What a client may send behind CONNECT before CONNACK.
pub const HELD_BYTES: usize = 65_536;
/// Longest body of a message.
pub const BODY_BYTES: usize = 65_536;
/// Most TLVs of one frame or image.
pub const TLV_COUNT: usize = 32;
/// Most bytes of all TLVs of one frame or image, with their tags and lengths.
pub const TLV_BYTES: usize = 8_192;
/// Longest id of a user, device or group.
pub const ID_BYTES: usize = 128;
/// Longest token of CONNECT.
pub const TOKEN_BYTES: usize = 4_096;
/// Longest token and longest page of LIST.
pub const LIST_TOKEN_BYTES: usize = 4_096;
/// An answer with images stops before the image that would take its payload over this; it holds at least one.
pub const ANSWER_BYTES: usize = 65_536;
/// number − oldest is below this.
pub const SEND_WINDOW: usize = 64;
/// LISTED cuts the body of a last image to this.
pub const LIST_BODY_BYTES: usize = 256;
/// Most ids in one CALL or one membership image.
pub const CALL_IDS: usize = 100;
/// Longest name of a group or a user.
pub const NAME_BYTES: usize = 128;
/// Longest avatar of a group or a user: a reference, such as a URL.
pub const AVATAR_BYTES: usize = 512;
/// Longest announcement of a group.
pub const ANNOUNCEMENT_BYTES: usize = 1_024;
/// Longest description of a group or a user.
pub const DESCRIPTION_BYTES: usize = 512;
/// Longest custom text of a group or a user.
pub const CUSTOM_BYTES: usize = 1_024;
/// Longest nickname of a member.
pub const NICKNAME_BYTES: usize = 64;
/// Longest text of a request to join or of a contact request.
pub const REQUEST_TEXT_BYTES: usize = 256;
/// Most requests and invitations that wait in a group.
pub const GROUP_REQUESTS: usize = 1_000;
/// Most users mentioned in one message.
pub const MENTIONS: usize = 100;
/// Unread counts are exact up to this; one more stands for any above.
pub const UNREAD_EXACT: usize = 1_000;
/// Longest reaction.
pub const REACTION_BYTES: usize = 32;
/// Most different reactions on one message.
pub const REACTIONS: usize = 20;
/// Most edits of one message.
pub const EDITS: usize = 256;
/// Most ranges of a channel that a user may have deleted for themselves; ranges that touch are one.
pub const HIDDEN_RANGES: usize = 64;
/// Most pinned messages of a channel.
pub const PINS: usize = 100;
/// Most messages that one user has scheduled in one channel.
pub const SCHEDULED: usize = 100;
/// Most broadcasts of a system user that are under way.
pub const BROADCASTS: usize = 16;
/// Broadcasts of a system user that are listed after their end; the oldest goes.
pub const BROADCASTS_KEPT: usize = 100;
/// Most tags of a user.
pub const TAGS: usize = 32;
/// Longest tag of a user.
pub const TAG_BYTES: usize = 32;
/// Longest body of a SIGNAL.
pub const SIGNAL_BYTES: usize = 16_384;
/// Most users whose presence one connection is told.
pub const PRESENCE_WATCHED: usize = 1_000;

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The first frame: versions, token, device, sender.
    Connect = 1,
    /// The answer to CONNECT: accepted with limits and timers, or refused.
    Connack = 2,
    /// One message for one channel.
    Send = 3,
    /// The answer to one SEND.
    Sendack = 4,
    /// One image of a channel of the user.
    Recv = 5,
    /// The device holds everything of the channel up to this seq.
    Recvack = 6,
    /// Answered by PONG.
    Ping = 7,
    /// The answer to PING.
    Pong = 8,
    /// The last frame of a connection, with its reason.
    Disconnect = 9,
    /// Asks for the conversations that changed since a token.
    List = 10,
    /// One page of conversations, the answer to LIST.
    Listed = 11,
    /// Asks for a closed interval of seqs of one channel.
    Sync = 12,
    /// The images and gaps of an interval, the answer to SYNC.
    Synced = 13,
    /// What is not stored: typing, presence, receipts, changes made on another device.
    Notice = 14,
    /// RECVs were dropped for this connection: LIST and SYNC.
    Lag = 15,
    /// A request by method number.
    Call = 16,
    /// The answer to CALL.
    Reply = 17,
}

impl Kind {
    /// Every row, by number.
    pub const ALL: [Self; 17] = [
        Self::Connect,
        Self::Connack,
        Self::Send,
        Self::Sendack,
        Self::Recv,
        Self::Recvack,
        Self::Ping,
        Self::Pong,
        Self::Disconnect,
        Self::List,
        Self::Listed,
        Self::Sync,
        Self::Synced,
        Self::Notice,
        Self::Lag,
        Self::Call,
        Self::Reply,
    ];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Connect),
            2 => Some(Self::Connack),
            3 => Some(Self::Send),
            4 => Some(Self::Sendack),
            5 => Some(Self::Recv),
            6 => Some(Self::Recvack),
            7 => Some(Self::Ping),
            8 => Some(Self::Pong),
            9 => Some(Self::Disconnect),
            10 => Some(Self::List),
            11 => Some(Self::Listed),
            12 => Some(Self::Sync),
            13 => Some(Self::Synced),
            14 => Some(Self::Notice),
            15 => Some(Self::Lag),
            16 => Some(Self::Call),
            17 => Some(Self::Reply),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Send => "SEND",
            Self::Sendack => "SENDACK",
            Self::Recv => "RECV",
            Self::Recvack => "RECVACK",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Disconnect => "DISCONNECT",
            Self::List => "LIST",
            Self::Listed => "LISTED",
            Self::Sync => "SYNC",
            Self::Synced => "SYNCED",
            Self::Notice => "NOTICE",
            Self::Lag => "LAG",
            Self::Call => "CALL",
            Self::Reply => "REPLY",
        }
    }
}

/// Why something was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Reason {
    /// Done.
    Ok = 0,
    /// A frame or a field that does not follow the layout.
    Malformed = 1,
    /// A frame longer than the limit.
    FrameTooLarge = 2,
    /// The checksum of a frame does not match.
    BadCrc = 3,
    /// A frame of a kind that is not known and may not be ignored.
    UnknownKind = 4,
    /// A well-formed frame that is not allowed here.
    ProtocolViolation = 5,
    /// No common version; CONNACK tells the server's range.
    VersionUnsupported = 6,
    /// The token is not accepted.
    Unauthenticated = 7,
    /// The token was good and is past its time.
    TokenExpired = 8,
    /// A newer connection of the same device took over; no automatic reconnect.
    Replaced = 9,
    /// A frame, the CONNECT or a sign of life did not come in time.
    Timeout = 10,
    /// The connection had bytes waiting and took none for too long.
    SlowConsumer = 11,
    /// The server is stopping.
    Shutdown = 12,
    /// Too much is waiting; says nothing about an earlier copy.
    Busy = 13,
    /// No space for what is to be stored; says nothing about an earlier copy.
    StorageFull = 14,
    /// More than the user may send; says nothing about an earlier copy.
    RateLimited = 15,
    /// The server failed.
    Internal = 16,
    /// The number lies below the floor of its sender; its answer is forgotten.
    Stale = 20,
    /// The number is bound to another channel or content; the first one stands.
    DedupConflict = 21,
    /// The server may have forgotten this sender; connect with a new one.
    SenderExpired = 22,
    /// No such channel for this user: it does not exist or the user is no member.
    NoChannel = 23,
    /// The user's role does not allow it.
    NotAllowed = 24,
    /// A message body longer than the limit; nothing was stored.
    BodyTooLarge = 25,
    /// A critical TLV that the server does not know; nothing was stored.
    UnknownCritical = 26,
    /// The id is taken.
    AlreadyExists = 27,
    /// The group would have more members than allowed.
    TooManyMembers = 28,
    /// A CALL of a method that is not known.
    UnknownMethod = 29,
    /// The channel's slot has a newer epoch, or the interval lies above its head: forget what is held of it and list again.
    EpochMismatch = 30,
    /// The list token is not one that this server gave to this user.
    BadListToken = 31,
    /// The device was removed by its user; its tokens from before that are not accepted any more.
    DeviceRemoved = 32,
    /// The time in which this was allowed is over.
    TooLate = 33,
    /// What was to be changed has changed meanwhile: read it, then decide again.
    VersionConflict = 34,
    /// The channel has no such message for this user, or it is not one that this can be done to.
    NoTarget = 35,
    /// The user, or everybody, may not speak in the group now.
    Muted = 36,
    /// One of the two users has blocked the other.
    Blocked = 37,
    /// The user takes messages of contacts only.
    NotContacts = 38,
    /// A quota of requests or bytes is used up; says nothing about an earlier copy.
    QuotaExceeded = 39,
    /// The group was dismissed; it can be read and not changed any more.
    Dismissed = 40,
    /// There are as many of these as there may be.
    TooMany = 41,
    /// The body does not follow the schema of its content type.
    InvalidContent = 42,
}

impl Reason {
    /// Every row, by number.
    pub const ALL: [Self; 40] = [
        Self::Ok,
        Self::Malformed,
        Self::FrameTooLarge,
        Self::BadCrc,
        Self::UnknownKind,
        Self::ProtocolViolation,
        Self::VersionUnsupported,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Replaced,
        Self::Timeout,
        Self::SlowConsumer,
        Self::Shutdown,
        Self::Busy,
        Self::StorageFull,
        Self::RateLimited,
        Self::Internal,
        Self::Stale,
        Self::DedupConflict,
        Self::SenderExpired,
        Self::NoChannel,
        Self::NotAllowed,
        Self::BodyTooLarge,
        Self::UnknownCritical,
        Self::AlreadyExists,
        Self::TooManyMembers,
        Self::UnknownMethod,
        Self::EpochMismatch,
        Self::BadListToken,
        Self::DeviceRemoved,
        Self::TooLate,
        Self::VersionConflict,
        Self::NoTarget,
        Self::Muted,
        Self::Blocked,
        Self::NotContacts,
        Self::QuotaExceeded,
        Self::Dismissed,
        Self::TooMany,
        Self::InvalidContent,
    ];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Ok),
            1 => Some(Self::Malformed),
            2 => Some(Self::FrameTooLarge),
            3 => Some(Self::BadCrc),
            4 => Some(Self::UnknownKind),
            5 => Some(Self::ProtocolViolation),
            6 => Some(Self::VersionUnsupported),
            7 => Some(Self::Unauthenticated),
            8 => Some(Self::TokenExpired),
            9 => Some(Self::Replaced),
            10 => Some(Self::Timeout),
            11 => Some(Self::SlowConsumer),
            12 => Some(Self::Shutdown),
            13 => Some(Self::Busy),
            14 => Some(Self::StorageFull),
            15 => Some(Self::RateLimited),
            16 => Some(Self::Internal),
            20 => Some(Self::Stale),
            21 => Some(Self::DedupConflict),
            22 => Some(Self::SenderExpired),
            23 => Some(Self::NoChannel),
            24 => Some(Self::NotAllowed),
            25 => Some(Self::BodyTooLarge),
            26 => Some(Self::UnknownCritical),
            27 => Some(Self::AlreadyExists),
            28 => Some(Self::TooManyMembers),
            29 => Some(Self::UnknownMethod),
            30 => Some(Self::EpochMismatch),
            31 => Some(Self::BadListToken),
            32 => Some(Self::DeviceRemoved),
            33 => Some(Self::TooLate),
            34 => Some(Self::VersionConflict),
            35 => Some(Self::NoTarget),
            36 => Some(Self::Muted),
            37 => Some(Self::Blocked),
            38 => Some(Self::NotContacts),
            39 => Some(Self::QuotaExceeded),
            40 => Some(Self::Dismissed),
            41 => Some(Self::TooMany),
            42 => Some(Self::InvalidContent),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Malformed => "MALFORMED",
            Self::FrameTooLarge => "FRAME_TOO_LARGE",
            Self::BadCrc => "BAD_CRC",
            Self::UnknownKind => "UNKNOWN_KIND",
            Self::ProtocolViolation => "PROTOCOL_VIOLATION",
            Self::VersionUnsupported => "VERSION_UNSUPPORTED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::Replaced => "REPLACED",
            Self::Timeout => "TIMEOUT",
            Self::SlowConsumer => "SLOW_CONSUMER",
            Self::Shutdown => "SHUTDOWN",
            Self::Busy => "BUSY",
            Self::StorageFull => "STORAGE_FULL",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL",
            Self::Stale => "STALE",
            Self::DedupConflict => "DEDUP_CONFLICT",
            Self::SenderExpired => "SENDER_EXPIRED",
            Self::NoChannel => "NO_CHANNEL",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::UnknownCritical => "UNKNOWN_CRITICAL",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::TooManyMembers => "TOO_MANY_MEMBERS",
            Self::UnknownMethod => "UNKNOWN_METHOD",
            Self::EpochMismatch => "EPOCH_MISMATCH",
            Self::BadListToken => "BAD_LIST_TOKEN",
            Self::DeviceRemoved => "DEVICE_REMOVED",
            Self::TooLate => "TOO_LATE",
            Self::VersionConflict => "VERSION_CONFLICT",
            Self::NoTarget => "NO_TARGET",
            Self::Muted => "MUTED",
            Self::Blocked => "BLOCKED",
            Self::NotContacts => "NOT_CONTACTS",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::Dismissed => "DISMISSED",
            Self::TooMany => "TOO_MANY",
            Self::InvalidContent => "INVALID_CONTENT",
        }
    }
}

/// Methods of CALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Method {
    /// Creates a group with the caller as its owner.
    GroupCreate = 1,
    /// Adds members.
    GroupAdd = 2,
    /// Removes members; everybody but the owner may remove themselves.
    GroupRemove = 3,
    /// The members of a group, a page at a time.
    GroupMembers = 4,
    /// Moves the user's read mark of a channel forward.
    Read = 5,
    /// Ends a group: it can be read and not changed any more.
    GroupDismiss = 6,
    /// Changes name, avatar, announcement, description, custom text or settings of a group.
    GroupChange = 7,
    /// Makes members admins, or admins members.
    GroupRoles = 8,
    /// Makes another member the owner.
    GroupTransfer = 9,
    /// Mutes members until a time, or everybody.
    GroupMute = 10,
    /// Joins a group, or asks to.
    GroupJoin = 11,
    /// Invites users, who then may join.
    GroupInvite = 12,
    /// Accepts or refuses requests to join, or withdraws invitations.
    GroupAnswer = 13,
    /// Sets the caller's nickname in a group.
    GroupNickname = 14,
    /// What a group is, and what the caller is in it.
    GroupInfo = 15,
    /// The requests and invitations that wait in a group, a page at a time.
    GroupRequests = 16,
    /// Mutes, pins, hides, clears or marks a conversation for the caller alone.
    ConversationSet = 20,
    /// How much is unread in all conversations together.
    Badge = 21,
    /// Who has got and read a message.
    Receipts = 22,
    /// Blocks a user, or ends that.
    Block = 23,
    /// Whom the caller blocks, a page at a time.
    Blocked = 24,
    /// Takes a message back: its content is erased for everybody.
    Revoke = 30,
    /// Replaces the content of an own message.
    Edit = 31,
    /// Adds a reaction to a message, or takes it away.
    React = 32,
    /// Pins a message for everybody in the channel, or ends that.
    Pin = 33,
    /// Deletes messages for the caller alone.
    Hide = 34,
    /// The pinned messages of a channel.
    Pins = 35,
    /// The versions of an edited message.
    Edits = 36,
    /// The answers in a thread, a page at a time.
    Thread = 37,
    /// Changes the caller's profile and privacy settings.
    ProfileSet = 40,
    /// Profiles of users.
    Profiles = 41,
    /// The caller's devices.
    Devices = 42,
    /// Removes one of the caller's devices, or all others.
    DeviceRemove = 43,
    /// What the caller has used of their limits.
    Usage = 44,
    /// Whether users are online, now and, by NOTICE, from now on.
    Presence = 50,
    /// Which channel is on screen: its typing and receipts are told by NOTICE.
    Watch = 51,
    /// Asks a user to become a contact.
    ContactAsk = 60,
    /// Accepts or refuses what a user asked.
    ContactAnswer = 61,
    /// Ends a contact, or takes back what the caller asked.
    ContactRemove = 62,
    /// Sets what the caller calls a contact.
    ContactNote = 63,
    /// The caller's contacts and who waits to become one, a page at a time.
    Contacts = 64,
    /// Writes a message that the server sends at a given time.
    Schedule = 70,
    /// Replaces a scheduled message, or its time.
    ScheduleEdit = 71,
    /// Takes a scheduled message away.
    ScheduleCancel = 72,
    /// The caller's scheduled messages of a channel, a page at a time.
    Scheduled = 73,
    /// Sends a message of a system user to everybody, or to who has a tag.
    Broadcast = 80,
    /// Ends a broadcast; who has its message keeps it.
    BroadcastCancel = 81,
    /// The caller's broadcasts, and how far each is.
    Broadcasts = 82,
    /// Sets the tags of a user.
    TagsSet = 83,
    /// The tags of a user.
    Tags = 84,
}

impl Method {
    /// Every row, by number.
    pub const ALL: [Self; 50] = [
        Self::GroupCreate,
        Self::GroupAdd,
        Self::GroupRemove,
        Self::GroupMembers,
        Self::Read,
        Self::GroupDismiss,
        Self::GroupChange,
        Self::GroupRoles,
        Self::GroupTransfer,
        Self::GroupMute,
        Self::GroupJoin,
        Self::GroupInvite,
        Self::GroupAnswer,
        Self::GroupNickname,
        Self::GroupInfo,
        Self::GroupRequests,
        Self::ConversationSet,
        Self::Badge,
        Self::Receipts,
        Self::Block,
        Self::Blocked,
        Self::Revoke,
        Self::Edit,
        Self::React,
        Self::Pin,
        Self::Hide,
        Self::Pins,
        Self::Edits,
        Self::Thread,
        Self::ProfileSet,
        Self::Profiles,
        Self::Devices,
        Self::DeviceRemove,
        Self::Usage,
        Self::Presence,
        Self::Watch,
        Self::ContactAsk,
        Self::ContactAnswer,
        Self::ContactRemove,
        Self::ContactNote,
        Self::Contacts,
        Self::Schedule,
        Self::ScheduleEdit,
        Self::ScheduleCancel,
        Self::Scheduled,
        Self::Broadcast,
        Self::BroadcastCancel,
        Self::Broadcasts,
        Self::TagsSet,
        Self::Tags,
    ];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::GroupCreate),
            2 => Some(Self::GroupAdd),
            3 => Some(Self::GroupRemove),
            4 => Some(Self::GroupMembers),
            5 => Some(Self::Read),
            6 => Some(Self::GroupDismiss),
            7 => Some(Self::GroupChange),
            8 => Some(Self::GroupRoles),
            9 => Some(Self::GroupTransfer),
            10 => Some(Self::GroupMute),
            11 => Some(Self::GroupJoin),
            12 => Some(Self::GroupInvite),
            13 => Some(Self::GroupAnswer),
            14 => Some(Self::GroupNickname),
            15 => Some(Self::GroupInfo),
            16 => Some(Self::GroupRequests),
            20 => Some(Self::ConversationSet),
            21 => Some(Self::Badge),
            22 => Some(Self::Receipts),
            23 => Some(Self::Block),
            24 => Some(Self::Blocked),
            30 => Some(Self::Revoke),
            31 => Some(Self::Edit),
            32 => Some(Self::React),
            33 => Some(Self::Pin),
            34 => Some(Self::Hide),
            35 => Some(Self::Pins),
            36 => Some(Self::Edits),
            37 => Some(Self::Thread),
            40 => Some(Self::ProfileSet),
            41 => Some(Self::Profiles),
            42 => Some(Self::Devices),
            43 => Some(Self::DeviceRemove),
            44 => Some(Self::Usage),
            50 => Some(Self::Presence),
            51 => Some(Self::Watch),
            60 => Some(Self::ContactAsk),
            61 => Some(Self::ContactAnswer),
            62 => Some(Self::ContactRemove),
            63 => Some(Self::ContactNote),
            64 => Some(Self::Contacts),
            70 => Some(Self::Schedule),
            71 => Some(Self::ScheduleEdit),
            72 => Some(Self::ScheduleCancel),
            73 => Some(Self::Scheduled),
            80 => Some(Self::Broadcast),
            81 => Some(Self::BroadcastCancel),
            82 => Some(Self::Broadcasts),
            83 => Some(Self::TagsSet),
            84 => Some(Self::Tags),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GroupCreate => "GROUP_CREATE",
            Self::GroupAdd => "GROUP_ADD",
            Self::GroupRemove => "GROUP_REMOVE",
            Self::GroupMembers => "GROUP_MEMBERS",
            Self::Read => "READ",
            Self::GroupDismiss => "GROUP_DISMISS",
            Self::GroupChange => "GROUP_CHANGE",
            Self::GroupRoles => "GROUP_ROLES",
            Self::GroupTransfer => "GROUP_TRANSFER",
            Self::GroupMute => "GROUP_MUTE",
            Self::GroupJoin => "GROUP_JOIN",
            Self::GroupInvite => "GROUP_INVITE",
            Self::GroupAnswer => "GROUP_ANSWER",
            Self::GroupNickname => "GROUP_NICKNAME",
            Self::GroupInfo => "GROUP_INFO",
            Self::GroupRequests => "GROUP_REQUESTS",
            Self::ConversationSet => "CONVERSATION_SET",
            Self::Badge => "BADGE",
            Self::Receipts => "RECEIPTS",
            Self::Block => "BLOCK",
            Self::Blocked => "BLOCKED",
            Self::Revoke => "REVOKE",
            Self::Edit => "EDIT",
            Self::React => "REACT",
            Self::Pin => "PIN",
            Self::Hide => "HIDE",
            Self::Pins => "PINS",
            Self::Edits => "EDITS",
            Self::Thread => "THREAD",
            Self::ProfileSet => "PROFILE_SET",
            Self::Profiles => "PROFILES",
            Self::Devices => "DEVICES",
            Self::DeviceRemove => "DEVICE_REMOVE",
            Self::Usage => "USAGE",
            Self::Presence => "PRESENCE",
            Self::Watch => "WATCH",
            Self::ContactAsk => "CONTACT_ASK",
            Self::ContactAnswer => "CONTACT_ANSWER",
            Self::ContactRemove => "CONTACT_REMOVE",
            Self::ContactNote => "CONTACT_NOTE",
            Self::Contacts => "CONTACTS",
            Self::Schedule => "SCHEDULE",
            Self::ScheduleEdit => "SCHEDULE_EDIT",
            Self::ScheduleCancel => "SCHEDULE_CANCEL",
            Self::Scheduled => "SCHEDULED",
            Self::Broadcast => "BROADCAST",
            Self::BroadcastCancel => "BROADCAST_CANCEL",
            Self::Broadcasts => "BROADCASTS",
            Self::TagsSet => "TAGS_SET",
            Self::Tags => "TAGS",
        }
    }
}

impl Method {
    /// Whether it makes an entry, and so needs a number.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Self::GroupCreate
            | Self::GroupAdd
            | Self::GroupRemove
            | Self::Read
            | Self::GroupDismiss
            | Self::GroupChange
            | Self::GroupRoles
            | Self::GroupTransfer
            | Self::GroupMute
            | Self::GroupJoin
            | Self::GroupInvite
            | Self::GroupAnswer
            | Self::GroupNickname
            | Self::ConversationSet
            | Self::Block
            | Self::Revoke
            | Self::Edit
            | Self::React
            | Self::Pin
            | Self::Hide
            | Self::ProfileSet
            | Self::DeviceRemove
            | Self::ContactAsk
            | Self::ContactAnswer
            | Self::ContactRemove
            | Self::ContactNote
            | Self::Schedule
            | Self::ScheduleEdit
            | Self::ScheduleCancel
            | Self::Broadcast
            | Self::BroadcastCancel
            | Self::TagsSet => true,
            Self::GroupMembers
            | Self::GroupInfo
            | Self::GroupRequests
            | Self::Badge
            | Self::Receipts
            | Self::Blocked
            | Self::Pins
            | Self::Edits
            | Self::Thread
            | Self::Profiles
            | Self::Devices
            | Self::Usage
            | Self::Presence
            | Self::Watch
            | Self::Contacts
            | Self::Scheduled
            | Self::Broadcasts
            | Self::Tags => false,
        }
    }
}

/// What an image tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ImageKind {
    /// A message.
    Message = 1,
    /// New content of the message TARGET, which makes its version VERSION.
    Edited = 2,
    /// The content of the message TARGET is erased.
    Revoked = 3,
    /// A reaction to the message TARGET: the body has it, or takes it away.
    Reacted = 4,
    /// The message TARGET was pinned, or is not any more.
    Pinned = 5,
    /// The group was created; the body lists its first members.
    GroupCreated = 10,
    /// The body lists who joined.
    MembersJoined = 11,
    /// The body lists who left by themselves.
    MembersLeft = 12,
    /// The body lists who was removed.
    MembersRemoved = 13,
    /// The group was dismissed.
    GroupDismissed = 14,
    /// The group tells something else of itself, or is set otherwise: the TLVs say what.
    GroupChanged = 15,
    /// The body tells a role, and lists who has it now.
    RolesChanged = 16,
    /// The body tells a time, and lists who may not speak until then; nobody listed means everybody.
    MembersMuted = 17,
    /// The group has another owner: the body has the user.
    OwnerChanged = 18,
    /// The author's nickname in the group changed: the body has it.
    NicknameChanged = 19,
}

impl ImageKind {
    /// Every row, by number.
    pub const ALL: [Self; 15] = [
        Self::Message,
        Self::Edited,
        Self::Revoked,
        Self::Reacted,
        Self::Pinned,
        Self::GroupCreated,
        Self::MembersJoined,
        Self::MembersLeft,
        Self::MembersRemoved,
        Self::GroupDismissed,
        Self::GroupChanged,
        Self::RolesChanged,
        Self::MembersMuted,
        Self::OwnerChanged,
        Self::NicknameChanged,
    ];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Message),
            2 => Some(Self::Edited),
            3 => Some(Self::Revoked),
            4 => Some(Self::Reacted),
            5 => Some(Self::Pinned),
            10 => Some(Self::GroupCreated),
            11 => Some(Self::MembersJoined),
            12 => Some(Self::MembersLeft),
            13 => Some(Self::MembersRemoved),
            14 => Some(Self::GroupDismissed),
            15 => Some(Self::GroupChanged),
            16 => Some(Self::RolesChanged),
            17 => Some(Self::MembersMuted),
            18 => Some(Self::OwnerChanged),
            19 => Some(Self::NicknameChanged),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "MESSAGE",
            Self::Edited => "EDITED",
            Self::Revoked => "REVOKED",
            Self::Reacted => "REACTED",
            Self::Pinned => "PINNED",
            Self::GroupCreated => "GROUP_CREATED",
            Self::MembersJoined => "MEMBERS_JOINED",
            Self::MembersLeft => "MEMBERS_LEFT",
            Self::MembersRemoved => "MEMBERS_REMOVED",
            Self::GroupDismissed => "GROUP_DISMISSED",
            Self::GroupChanged => "GROUP_CHANGED",
            Self::RolesChanged => "ROLES_CHANGED",
            Self::MembersMuted => "MEMBERS_MUTED",
            Self::OwnerChanged => "OWNER_CHANGED",
            Self::NicknameChanged => "NICKNAME_CHANGED",
        }
    }
}

/// Why seqs of an interval have no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum GapReason {
    /// Dropped by retention.
    Trimmed = 1,
    /// Not for this user: before joining or after leaving.
    NotVisible = 2,
    /// It had a time to go away, and that is over.
    Expired = 3,
    /// Deleted by this user for themselves alone.
    Hidden = 4,
    /// Damaged on disk and set aside; the operator has been told.
    Quarantined = 5,
}

impl GapReason {
    /// Every row, by number.
    pub const ALL: [Self; 5] = [Self::Trimmed, Self::NotVisible, Self::Expired, Self::Hidden, Self::Quarantined];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Trimmed),
            2 => Some(Self::NotVisible),
            3 => Some(Self::Expired),
            4 => Some(Self::Hidden),
            5 => Some(Self::Quarantined),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trimmed => "TRIMMED",
            Self::NotVisible => "NOT_VISIBLE",
            Self::Expired => "EXPIRED",
            Self::Hidden => "HIDDEN",
            Self::Quarantined => "QUARANTINED",
        }
    }
}

/// What a NOTICE tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum NoticeKind {
    /// A user is writing in a channel, or is not any more.
    Typing = 1,
    /// A watched user came or went.
    Presence = 2,
    /// Users have got or read a channel up to a seq.
    Receipt = 3,
    /// The user's own view of a channel changed: read mark, settings, an invitation.
    Conversation = 4,
    /// A message that is not stored.
    Signal = 5,
    /// The requests that wait in a group changed; for its owner and admins.
    Requests = 6,
}

impl NoticeKind {
    /// Every row, by number.
    pub const ALL: [Self; 6] =
        [Self::Typing, Self::Presence, Self::Receipt, Self::Conversation, Self::Signal, Self::Requests];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Typing),
            2 => Some(Self::Presence),
            3 => Some(Self::Receipt),
            4 => Some(Self::Conversation),
            5 => Some(Self::Signal),
            6 => Some(Self::Requests),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Typing => "TYPING",
            Self::Presence => "PRESENCE",
            Self::Receipt => "RECEIPT",
            Self::Conversation => "CONVERSATION",
            Self::Signal => "SIGNAL",
            Self::Requests => "REQUESTS",
        }
    }
}

/// Bits of an image's flags.
pub mod image_flag {
    /// Counts as unread.
    pub const COUNTABLE: u16 = 1 << 0;
    /// Wakes nobody.
    pub const SILENT: u16 = 1 << 1;
    /// Mentions everybody in the channel.
    pub const MENTION_ALL: u16 = 1 << 2;
    /// Mentions the users in the TLV MENTIONS.
    pub const MENTIONS: u16 = 1 << 3;
    /// Set when read: body and TLVs are those of the newest edit.
    pub const EDITED: u16 = 1 << 4;
    /// Set when read: the content was erased; body and TLVs are empty.
    pub const ERASED: u16 = 1 << 5;
    /// It goes away when its time and the TLV LIFETIME_MS say.
    pub const EXPIRING: u16 = 1 << 6;
    /// It is an answer in the thread that its TLV THREAD names; set by the server.
    pub const THREADED: u16 = 1 << 8;
    /// It was written before and sent by the server when its time had come; sender and number are those of its SCHEDULE.
    pub const SCHEDULED: u16 = 1 << 9;
    /// A system user wrote it; set by the server.
    pub const SYSTEM: u16 = 1 << 10;
    /// It is of a broadcast, and came to its reader alone; sender and number are those of its BROADCAST.
    pub const BROADCAST: u16 = 1 << 11;
}

/// Tags of TLVs.
pub mod tag {
    /// Media type of the body.
    pub const CONTENT_TYPE: u16 = 0x0001;
    /// W3C trace context.
    pub const TRACEPARENT: u16 = 0x0002;
    /// The seq of the message that this one answers.
    pub const REPLY_TO: u16 = 0x0003;
    /// The seq of the message that began the thread in which this one is an answer.
    pub const THREAD: u16 = 0x0004;
    /// The users mentioned, ascending, each once.
    pub const MENTIONS: u16 = 0x0005;
    /// The message goes away so long after its time, milliseconds, at least 1.
    pub const LIFETIME_MS: u16 = 0x0006;
    /// Where the content comes from when it was forwarded; the server does not check it.
    pub const FORWARDED: u16 = 0x0007;
    /// Platform of the device.
    pub const PLATFORM: u16 = 0x0010;
    /// Version of the app.
    pub const APP_VERSION: u16 = 0x0011;
    /// Language tag.
    pub const LANGUAGE: u16 = 0x0012;
    /// Time zone name.
    pub const TIME_ZONE: u16 = 0x0013;
    /// The client's clock, milliseconds since 1970; told to logs, decides nothing.
    pub const CLIENT_TIME: u16 = 0x0014;
    /// The highest seq on screen when the message was written; moves the read mark, is not passed on.
    pub const READ: u16 = 0x0020;
    /// Name of the group or user.
    pub const NAME: u16 = 0x0021;
    /// Reference to a picture, such as a URL.
    pub const AVATAR: u16 = 0x0022;
    /// What every member should know.
    pub const ANNOUNCEMENT: u16 = 0x0023;
    /// What the group is for, or who the user is.
    pub const DESCRIPTION: u16 = 0x0024;
    /// Whatever the app wants to keep here, such as JSON.
    pub const CUSTOM: u16 = 0x0025;
    /// Who may join: 0 everybody, 1 who is approved, 2 who is invited.
    pub const JOIN_MODE: u16 = 0x0026;
    /// 1 when new members see what was before they joined, else 0.
    pub const HISTORY: u16 = 0x0027;
    /// Most members; 0 for the server's limit.
    pub const MAX_MEMBERS: u16 = 0x0028;
    /// The conversation wakes nobody until then; 0 ends that, 2^53 - 1 means for ever.
    pub const MUTED_UNTIL_MS: u16 = 0x0030;
    /// 1 when the conversation stays at the top of the list, else 0.
    pub const PINNED: u16 = 0x0031;
    /// 1 to leave the conversation out of the list until something new comes, else 0.
    pub const HIDDEN: u16 = 0x0032;
    /// 1 to show the conversation as unread whatever the count, else 0; reading ends it.
    pub const MARKED_UNREAD: u16 = 0x0033;
    /// Everything up to this seq is deleted for the caller.
    pub const CLEARED: u16 = 0x0034;
    /// 1 when others do not learn what the user has read, nor the user of others; else 0.
    pub const RECEIPTS_PRIVATE: u16 = 0x0038;
    /// 1 when others do not learn whether the user is online, nor the user of others; else 0.
    pub const PRESENCE_PRIVATE: u16 = 0x0039;
    /// 1 when only contacts may write to the user; else 0.
    pub const CONTACTS_ONLY: u16 = 0x003a;
    /// How long to wait before coming back, milliseconds.
    pub const RETRY_AFTER_MS: u16 = 0x4001;
    /// Text for the developer: what is wrong and where.
    pub const DETAIL: u16 = 0x4002;
    /// The seq of the message that this image is about.
    pub const TARGET: u16 = 0x4004;
    /// Which version of the message this is: 0 as sent, 1 the first edit.
    pub const VERSION: u16 = 0x4006;
}

/// What the bytes of a TLV are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvForm {
    /// UTF-8 text.
    Text,
    /// Ids, each with its length, ascending.
    Ids,
    /// A number of four bytes.
    U32,
    /// A number of eight bytes.
    U64,
}

impl TlvForm {
    /// The form of a known tag.
    #[must_use]
    pub const fn of(tag: u16) -> Option<Self> {
        match tag {
            tag::CONTENT_TYPE
            | tag::TRACEPARENT
            | tag::FORWARDED
            | tag::PLATFORM
            | tag::APP_VERSION
            | tag::LANGUAGE
            | tag::TIME_ZONE
            | tag::NAME
            | tag::AVATAR
            | tag::ANNOUNCEMENT
            | tag::DESCRIPTION
            | tag::CUSTOM
            | tag::DETAIL => Some(Self::Text),
            tag::MENTIONS => Some(Self::Ids),
            tag::JOIN_MODE
            | tag::HISTORY
            | tag::MAX_MEMBERS
            | tag::PINNED
            | tag::HIDDEN
            | tag::MARKED_UNREAD
            | tag::RECEIPTS_PRIVATE
            | tag::PRESENCE_PRIVATE
            | tag::CONTACTS_ONLY
            | tag::RETRY_AFTER_MS
            | tag::VERSION => Some(Self::U32),
            tag::REPLY_TO
            | tag::THREAD
            | tag::LIFETIME_MS
            | tag::CLIENT_TIME
            | tag::READ
            | tag::MUTED_UNTIL_MS
            | tag::CLEARED
            | tag::TARGET => Some(Self::U64),
            _ => None,
        }
    }
}
