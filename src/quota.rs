//! Quotas: requests a minute, bytes a day and bytes a month, of users, channels, connections and tenants. All scopes of
//! a command are checked and charged in one step, by decide, when nothing else refuses it: what is charged becomes an
//! entry, and nothing is charged when one of them is used up.

mod file;
mod time;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use postrider_protocol::{
    Channel, Id, MAX_INTEGER, Reader, Writer as _,
    packet::usage::{ScopeUsage, Used},
};

pub use file::File;
use time::Windows;

use crate::keyed::Keyed;

/// Rows whose times are over are forgotten once there are this many, and whenever they have doubled.
const SWEEP_AT: usize = 4_096;
/// What the bytes of a ledger begin with.
const MAGIC: &[u8] = b"postrider quotas 0\n";

/// Whose quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A user's.
    User = 1,
    /// A channel's.
    Channel = 2,
    /// A connection's.
    Connection = 3,
    /// A tenant's.
    Tenant = 4,
}

impl Scope {
    /// What a client is told when it is used up.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::User => "the user's quota is used up",
            Self::Channel => "the channel's quota is used up",
            Self::Connection => "the connection's quota is used up",
            Self::Tenant => "the tenant's quota is used up",
        }
    }
}

/// What a scope may use; 0 is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Commands in each minute of UTC.
    pub requests_per_minute: u64,
    /// Bytes of TLVs and bodies in each day of UTC.
    pub bytes_per_day: u64,
    /// The same in each month of UTC.
    pub bytes_per_month: u64,
}

impl Limit {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    const fn all(&self) -> [u64; 3] {
        [self.requests_per_minute, self.bytes_per_day, self.bytes_per_month]
    }
}

/// The limits of all scopes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of each user.
    pub user: Limit,
    /// Of each channel.
    pub channel: Limit,
    /// Of each connection.
    pub connection: Limit,
    /// Of each tenant.
    pub tenant: Limit,
}

/// What was used in the minute, day and month that it was used in last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    windows: Windows,
    used: [u64; 3],
}

impl Row {
    /// Begins the times that have begun since.
    fn roll(&mut self, now: Windows) {
        for ((window, used), now) in self.windows.0.iter_mut().zip(&mut self.used).zip(now.0) {
            // A clock that was set back by less than one of them goes on with what was used.
            if *window != now && *window != now + 1 {
                (*window, *used) = (now, 0);
            }
        }
    }

    /// How long until `more` can be used, milliseconds; 0 is now.
    fn wait_ms(&self, limit: &Limit, more: [u64; 3], now_ms: u64) -> u64 {
        let used = self.used.iter().zip(more).zip(limit.all());
        let over = used.map(|((used, more), limit)| limit > 0 && used.saturating_add(more) > limit);
        over.zip(time::left_ms(now_ms)).filter(|(over, _)| *over).map(|(_, left)| left.max(1)).max().unwrap_or_default()
    }

    fn charge(&mut self, more: [u64; 3]) {
        for (used, more) in self.used.iter_mut().zip(more) {
            *used = used.saturating_add(more);
        }
    }

    /// Whether nothing of it counts any more.
    fn is_past(&self, limit: &Limit, now: Windows) -> bool {
        let all = self.windows.0.iter().zip(now.0).zip(limit.all());
        all.into_iter().all(|((window, now), limit)| limit == 0 || *window < now)
    }

    fn usage(mut self, scope: Scope, limit: &Limit, now: Windows) -> ScopeUsage {
        self.roll(now);
        let [minute, day, month] = self.used.map(|used| used.min(MAX_INTEGER));
        let [minutes, days, months] = limit.all().map(|most| most.min(MAX_INTEGER));
        ScopeUsage {
            scope: scope as u8,
            minute: Used { used: minute, most: minutes },
            day: Used { used: day, most: days },
            month: Used { used: month, most: months },
        }
    }
}

/// What one connection used.
#[derive(Debug, Default)]
pub struct Connection(Mutex<Row>);

/// Who is charged.
#[derive(Clone, Copy, Debug)]
pub struct Charged<'a> {
    /// The tenant of all of them.
    pub tenant: u32,
    /// The user.
    pub user: &'a Id,
    /// The channel.
    pub channel: &'a Channel,
}

/// A quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Whose.
    pub scope: Scope,
    /// Until there is more, milliseconds.
    pub retry_after_ms: u32,
}

/// Who has used what.
#[derive(Debug, Default)]
struct Ledger {
    users: Keyed<Row>,
    channels: Keyed<Row>,
    tenants: Keyed<Row>,
}

/// See the module.
#[derive(Debug)]
pub struct Quotas {
    limits: Limits,
    is_on: bool,
    ledger: Mutex<Ledger>,
    sweep_at: Mutex<usize>,
    /// Whether something was charged since it was told last.
    is_changed: AtomicBool,
}

impl Quotas {
    /// With nothing used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let all = [limits.user, limits.channel, limits.connection, limits.tenant];
        Self {
            limits,
            is_on: !all.iter().all(Limit::is_off),
            ledger: Mutex::default(),
            sweep_at: Mutex::new(SWEEP_AT),
            is_changed: AtomicBool::new(false),
        }
    }

    /// Whether anything is limited.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// What a new connection is charged on, if connections have a quota.
    #[must_use]
    pub fn connection(&self) -> Option<Box<Connection>> {
        (!self.limits.connection.is_off()).then(Box::default)
    }

    /// Charges one command with so many bytes to everybody at `now_ms` (since 1970).
    ///
    /// # Errors
    /// Whose quota it would be over, the one that is for longest; then nothing is charged.
    pub fn charge(
        &self,
        who: Charged<'_>,
        connection: Option<&Connection>,
        bytes: u64,
        now_ms: u64,
    ) -> Result<(), Over> {
        let (now, more) = (Windows::at(now_ms), [1, bytes, bytes]);
        let mut ledger = self.lock();
        self.sweep(&mut ledger, now);
        let Ledger { users, channels, tenants } = &mut *ledger;
        let limits = &self.limits;
        let mut connection = connection.map(|row| row.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows: [Option<(Scope, &Limit, &mut Row)>; 4] = [
            row_of(users, &limits.user, who.tenant, who.user.as_bytes()).map(|row| (Scope::User, &limits.user, row)),
            row_of(channels, &limits.channel, who.tenant, who.channel.as_bytes())
                .map(|row| (Scope::Channel, &limits.channel, row)),
            connection.as_deref_mut().map(|row| (Scope::Connection, &limits.connection, row)),
            row_of(tenants, &limits.tenant, who.tenant, b"").map(|row| (Scope::Tenant, &limits.tenant, row)),
        ];
        let mut longest = (0, Scope::User);
        for (scope, limit, row) in rows.iter_mut().flatten() {
            row.roll(now);
            let wait_ms = row.wait_ms(limit, more, now_ms);
            if wait_ms > longest.0 {
                longest = (wait_ms, *scope);
            }
        }
        if longest.0 > 0 {
            let retry_after_ms = u32::try_from(longest.0).unwrap_or(u32::MAX);
            return Err(Over { scope: longest.1, retry_after_ms });
        }
        rows.iter_mut().flatten().for_each(|(_, _, row)| row.charge(more));
        self.is_changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What may be told to `user` on a connection: what they used, what it used, and what was used in `channel`, of
    /// those that have a quota.
    #[must_use]
    pub fn usage(
        &self,
        tenant: u32,
        user: &Id,
        connection: Option<&Connection>,
        channel: Option<&Channel>,
        now_ms: u64,
    ) -> Vec<ScopeUsage> {
        let (now, limits, ledger) = (Windows::at(now_ms), &self.limits, self.lock());
        let mut all = Vec::new();
        let mut tell = |scope, limit: &Limit, row: Row| {
            if !limit.is_off() {
                all.push(row.usage(scope, limit, now));
            }
        };
        tell(Scope::User, &limits.user, ledger.users.get(tenant, user.as_bytes()).copied().unwrap_or_default());
        if let Some(channel) = channel {
            let row = ledger.channels.get(tenant, channel.as_bytes()).copied().unwrap_or_default();
            tell(Scope::Channel, &limits.channel, row);
        }
        if let Some(connection) = connection {
            let row = *connection.0.lock().unwrap_or_else(PoisonError::into_inner);
            tell(Scope::Connection, &limits.connection, row);
        }
        all
    }

    /// Everything that was used, as bytes, if something was since this was asked last.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return None;
        }
        let ledger = self.lock();
        let mut out = MAGIC.to_vec();
        let all = [(Scope::User, &ledger.users), (Scope::Channel, &ledger.channels), (Scope::Tenant, &ledger.tenants)];
        for (scope, rows) in all {
            rows.for_each(|tenant, key, row| {
                out.u8(scope as u8);
                out.u32(tenant);
                out.bytes16(key);
                row.windows.0.iter().chain(&row.used).for_each(|number| out.u64((*number).min(MAX_INTEGER)));
            });
        }
        drop(ledger);
        out.u32(crc32fast::hash(&out));
        Some(out)
    }

    /// Puts what [`Quotas::save`] gave back in; false when the bytes are not that, and nothing is put in.
    #[must_use]
    pub fn restore(&self, bytes: &[u8]) -> bool {
        let Some(rows) = decode(bytes) else { return false };
        let mut ledger = self.lock();
        for (scope, tenant, key, row) in rows {
            let rows = match scope {
                1 => &mut ledger.users,
                2 => &mut ledger.channels,
                _ => &mut ledger.tenants,
            };
            *rows.get_or_default(tenant, &key) = row;
        }
        true
    }

    /// Something was not kept after all.
    pub fn keep_again(&self) {
        self.is_changed.store(true, Ordering::Relaxed);
    }

    fn sweep(&self, ledger: &mut Ledger, now: Windows) {
        let mut sweep_at = self.sweep_at.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.users.len() + ledger.channels.len() + ledger.tenants.len() < *sweep_at {
            return;
        }
        let limits = &self.limits;
        let all = [
            (&mut ledger.users, limits.user),
            (&mut ledger.channels, limits.channel),
            (&mut ledger.tenants, limits.tenant),
        ];
        let mut left = 0;
        for (rows, limit) in all {
            rows.retain(|_, row| !row.is_past(&limit, now));
            left += rows.len();
        }
        *sweep_at = SWEEP_AT.max(left * 2);
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row that `key` is charged on, if there is a limit.
fn row_of<'a>(rows: &'a mut Keyed<Row>, limit: &Limit, tenant: u32, key: &[u8]) -> Option<&'a mut Row> {
    (!limit.is_off()).then(|| rows.get_or_default(tenant, key))
}

type Kept = (u8, u32, bytes::Bytes, Row);

fn decode(bytes: &[u8]) -> Option<Vec<Kept>> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(bytes) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut reader = Reader::new(bytes::Bytes::copy_from_slice(bytes.strip_prefix(MAGIC)?));
    let mut rows = Vec::new();
    while reader.remaining() > 0 {
        let scope = reader.u8("scope").ok()?;
        let tenant = reader.u32("tenant").ok()?;
        let key = reader.bytes16(usize::from(u16::MAX), "key").ok()?;
        let mut row = Row::default();
        for number in row.windows.0.iter_mut().chain(&mut row.used) {
            *number = reader.u64("number").ok()?;
        }
        rows.push((scope, tenant, key, row));
    }
    Some(rows)
}

#[cfg(test)]
mod tests;
