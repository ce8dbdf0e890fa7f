//! Fields of `PRESENCE` and `WATCH`.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{CALL_IDS, Channel, DecodeError, Id, Reader, Writer};

/// Platforms told of one user at most.
const PLATFORMS: u8 = 16;

/// Whether a user is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PresenceState {
    /// No device of theirs is connected.
    Offline,
    /// At least one is.
    Online,
    /// It is not known, or not for the one who asks.
    #[default]
    Unknown,
}

impl PresenceState {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Offline => 0,
            Self::Online => 1,
            Self::Unknown => 2,
        }
    }
}

/// What is told of one user: `user bytes8 · state u8 · last_seen_ms u64 · count u8 · (platform bytes8) …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user: Id,
    /// Whether they are online.
    pub state: PresenceState,
    /// When the last device of a user who is offline went, milliseconds since 1970; 0 when it is not known.
    pub last_seen_ms: u64,
    /// The platforms of the connected devices, as CONNECT told them, ascending, each once, at most 16.
    pub platforms: Vec<Bytes>,
}

impl Presence {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let user = Id::read(r, "user")?;
        let state = match below(r, 3, "state")? {
            0 => PresenceState::Offline,
            1 => PresenceState::Online,
            _ => PresenceState::Unknown,
        };
        let last_seen_ms = r.u64("last_seen_ms")?;
        let mut platforms = Vec::new();
        for _ in 0..below(r, PLATFORMS + 1, "platforms")? {
            platforms.push(r.bytes8("platform")?);
        }
        Ok(Self { user, state, last_seen_ms, platforms })
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.bytes8(self.user.as_bytes());
        out.u8(self.state.number());
        out.u64(self.last_seen_ms);
        let platforms = self.platforms.get(..usize::from(PLATFORMS)).unwrap_or(&self.platforms);
        out.u8(u8::try_from(platforms.len()).unwrap_or(PLATFORMS));
        for platform in platforms {
            out.bytes8(platform);
        }
    }
}

/// The fields of `PRESENCE`: `count u16 · ids`, at most 100.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_asked(fields: Bytes) -> Result<Vec<Id>, DecodeError> {
    super::groups::read_users(fields)
}

/// The answer of `PRESENCE` and the fields of the notice `PRESENCE`: `count u16 · presence …`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_answer(fields: Bytes) -> Result<Vec<Presence>, DecodeError> {
    let mut reader = Reader::new(fields);
    let list = read_list(&mut reader)?;
    reader.end()?;
    Ok(list)
}

pub(super) fn read_list(r: &mut Reader) -> Result<Vec<Presence>, DecodeError> {
    let at = r.position();
    let count = usize::from(r.u16("count")?);
    if count > CALL_IDS {
        return Err(DecodeError::malformed("more than 100 users", at));
    }
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(Presence::read(r)?);
    }
    Ok(list)
}

/// Appends `count u16 · presence …`.
pub fn write_list(out: &mut impl Writer, list: &[Presence]) {
    out.u16(u16::try_from(list.len()).unwrap_or(u16::MAX));
    for presence in list {
        presence.write(out);
    }
}

/// The fields of `WATCH`: `on u8 · channel`, the channel only when `on` is 1; none ends it.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_watch(fields: Bytes) -> Result<Option<Channel>, DecodeError> {
    let mut reader = Reader::new(fields);
    let channel = if switch(&mut reader, "on")? { Some(Channel::read_shared(&mut reader)?) } else { None };
    reader.end()?;
    Ok(channel)
}

/// Appends the fields of `WATCH`.
pub fn write_watch(out: &mut impl Writer, channel: Option<&Channel>) {
    out.u8(u8::from(channel.is_some()));
    if let Some(channel) = channel {
        out.raw(channel.as_bytes());
    }
}

/// A byte that is 0 or 1.
pub(super) fn switch(r: &mut Reader, what: &'static str) -> Result<bool, DecodeError> {
    Ok(below(r, 2, what)? == 1)
}

/// A byte below `end`.
pub(super) fn below(r: &mut Reader, end: u8, what: &'static str) -> Result<u8, DecodeError> {
    let at = r.position();
    let value = r.u8(what)?;
    if value < end { Ok(value) } else { Err(DecodeError::malformed(what, at)) }
}
