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
    /// RECVs were dropped for this connection: LIST and SYNC.
    Lag = 15,
    /// A request by method number.
    Call = 16,
    /// The answer to CALL.
    Reply = 17,
}

impl Kind {
    /// Every row, by number.
    pub const ALL: [Self; 16] = [
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
}

impl Reason {
    /// Every row, by number.
    pub const ALL: [Self; 29] = [
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
    /// Removes members; everyone may remove themselves.
    GroupRemove = 3,
    /// The members of a group, a page at a time.
    GroupMembers = 4,
    /// Moves the user's read mark of a channel forward.
    Read = 5,
}

impl Method {
    /// Every row, by number.
    pub const ALL: [Self; 5] = [Self::GroupCreate, Self::GroupAdd, Self::GroupRemove, Self::GroupMembers, Self::Read];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::GroupCreate),
            2 => Some(Self::GroupAdd),
            3 => Some(Self::GroupRemove),
            4 => Some(Self::GroupMembers),
            5 => Some(Self::Read),
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
        }
    }
}

impl Method {
    /// Whether it makes an entry, and so needs a number.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Self::GroupCreate | Self::GroupAdd | Self::GroupRemove | Self::Read => true,
            Self::GroupMembers => false,
        }
    }
}

/// What an image tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ImageKind {
    /// A message.
    Message = 1,
    /// The group was created; the body lists its first members.
    GroupCreated = 10,
    /// The body lists who joined.
    MembersJoined = 11,
    /// The body lists who left by themselves.
    MembersLeft = 12,
    /// The body lists who was removed.
    MembersRemoved = 13,
}

impl ImageKind {
    /// Every row, by number.
    pub const ALL: [Self; 5] =
        [Self::Message, Self::GroupCreated, Self::MembersJoined, Self::MembersLeft, Self::MembersRemoved];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Message),
            10 => Some(Self::GroupCreated),
            11 => Some(Self::MembersJoined),
            12 => Some(Self::MembersLeft),
            13 => Some(Self::MembersRemoved),
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
            Self::GroupCreated => "GROUP_CREATED",
            Self::MembersJoined => "MEMBERS_JOINED",
            Self::MembersLeft => "MEMBERS_LEFT",
            Self::MembersRemoved => "MEMBERS_REMOVED",
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
    /// Damaged on disk and set aside; the operator has been told.
    Quarantined = 5,
}

impl GapReason {
    /// Every row, by number.
    pub const ALL: [Self; 3] = [Self::Trimmed, Self::NotVisible, Self::Quarantined];

    /// The row with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Trimmed),
            2 => Some(Self::NotVisible),
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
            Self::Quarantined => "QUARANTINED",
        }
    }
}

/// Bits of an image's flags.
pub mod image_flag {
    /// Counts as unread.
    pub const COUNTABLE: u16 = 1 << 0;
    /// Wakes nobody.
    pub const SILENT: u16 = 1 << 1;
}

/// Tags of TLVs.
pub mod tag {
    /// Media type of the body.
    pub const CONTENT_TYPE: u16 = 0x0001;
    /// W3C trace context.
    pub const TRACEPARENT: u16 = 0x0002;
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
    /// How long to wait before coming back, milliseconds.
    pub const RETRY_AFTER_MS: u16 = 0x4001;
    /// Text for the developer: what is wrong and where.
    pub const DETAIL: u16 = 0x4002;
}

/// What the bytes of a TLV are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvForm {
    /// UTF-8 text.
    Text,
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
            | tag::PLATFORM
            | tag::APP_VERSION
            | tag::LANGUAGE
            | tag::TIME_ZONE
            | tag::DETAIL => Some(Self::Text),
            tag::RETRY_AFTER_MS => Some(Self::U32),
            tag::CLIENT_TIME | tag::READ => Some(Self::U64),
            _ => None,
        }
    }
}
