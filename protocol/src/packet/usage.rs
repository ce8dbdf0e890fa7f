//! Fields of USAGE: what was used of quotas.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Channel, DecodeError, Reader, Writer};

/// The fields of `USAGE`: nothing, or a channel whose quota is asked for too.
///
/// # Errors
/// `MALFORMED` when `fields` are neither.
pub fn read(fields: Bytes) -> Result<Option<Channel>, DecodeError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(fields);
    let channel = Channel::read_shared(&mut reader)?;
    reader.end()?;
    Ok(Some(channel))
}

/// One quota: `used u64 · most u64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// What was used of it in its time.
    pub used: u64,
    /// What may be used of it; 0 for any number.
    pub most: u64,
}

/// The quotas of a scope: `scope u8`, then requests of this minute, bytes of this day, bytes of this month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeUsage {
    /// 1 the user, 2 the channel, 3 the connection.
    pub scope: u8,
    /// Requests of this minute.
    pub minute: Used,
    /// Bytes of this day.
    pub day: Used,
    /// Bytes of this month.
    pub month: Used,
}

/// The answer of `USAGE`: `count u8 · scopes`, ascending by scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage(
    /// What may be told to the caller.
    pub Vec<ScopeUsage>,
);

impl Usage {
    /// Takes an answer that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let r = &mut reader;
        let mut scopes = Vec::new();
        for _ in 0..r.u8("count")? {
            let at = r.position();
            let scope = r.u8("scope")?;
            if !(1..=3).contains(&scope) {
                return Err(DecodeError::malformed("scope", at));
            }
            scopes.push(ScopeUsage { scope, minute: used(r)?, day: used(r)?, month: used(r)? });
        }
        reader.end()?;
        Ok(Self(scopes))
    }

    /// Appends the answer to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u8(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for scope in &self.0 {
            out.u8(scope.scope);
            for quota in [scope.minute, scope.day, scope.month] {
                out.u64(quota.used);
                out.u64(quota.most);
            }
        }
    }
}

fn used(r: &mut Reader) -> Result<Used, DecodeError> {
    Ok(Used { used: r.u64("used")?, most: r.u64("most")? })
}
