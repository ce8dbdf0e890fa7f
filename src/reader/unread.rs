//! Unread: counted when it is asked for, from what the index says of each entry, never stored for a member.
//!
//! Unread are the images that are countable, that the user may see and did not delete for themselves, that lie above their
//! read mark, are not from them, not erased and not expired. It is counted from the newest down and ends at the first one
//! above [`UNREAD_EXACT`], so mentions are those among the newest so many.

use std::collections::BTreeMap;

use postrider_protocol::{Channel, ChannelKind, Image, UNREAD_EXACT, tag};
use postrider_storage::{AuthorSieve, ConversationRow, Digest, Found, StoreError, TargetRow, fold, plant};

use super::{Asker, Reader, step_aside};

/// Entries looked at first; then four times as many, up to [`MOST`].
const FIRST: u64 = 64;
const MOST: u64 = 1_024;
/// Images looked at to tell their author. When there are more, all who ever were members are asked for, once.
const AUTHORS: usize = 64;
/// What stands for any more.
pub(super) const ABOVE: u16 = UNREAD_EXACT as u16 + 1;

/// How much of a conversation is unread; [`ABOVE`] stands for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    pub unread: u16,
    pub mentions: u16,
}

/// Whose entries are not counted, and how sure the sieve is of them.
struct Own {
    sieve: AuthorSieve,
    /// Nobody else who writes in the channel passes the sieve; none while that is not known.
    is_exact: Option<bool>,
    looked_at: usize,
}

/// What is counted, and for whom.
struct Count<'a> {
    asker: &'a Asker,
    channel: &'a Channel,
    row: &'a ConversationRow,
    now_ms: u64,
    own: Own,
    so_far: Unread,
}

impl Reader {
    /// What the user has not read of a channel whose last seq for them is `head`, at `now_ms`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn unread(
        &self,
        asker: &Asker,
        channel: &Channel,
        (row, head): (&ConversationRow, u64),
        now_ms: u64,
    ) -> Result<Unread, StoreError> {
        let first_visible = row.earlier.iter().map(|span| span.above).fold(row.visible_from, u64::min);
        let floor = row.read.max(row.cleared).max(first_visible);
        let Some(own) = Own::of(asker, channel).filter(|_| head > floor) else { return Ok(Unread::default()) };
        let mut count = Count { asker, channel, row, now_ms, own, so_far: Unread::default() };
        let (mut to, mut size) = (head, FIRST);
        while to > floor && count.so_far.unread < ABOVE {
            step_aside();
            let from = to.saturating_sub(size - 1).max(floor + 1);
            self.count(&mut count, from, to)?;
            (to, size) = (from - 1, (size * 4).min(MOST));
        }
        Ok(count.so_far)
    }

    fn count(&self, count: &mut Count<'_>, from: u64, to: u64) -> Result<(), StoreError> {
        let tenant = count.asker.tenant;
        let mut targets: Option<BTreeMap<u64, TargetRow>> = None;
        let digests = self.digests(tenant, count.channel, from, to)?;
        for (at, digest) in digests.into_iter().enumerate().rev() {
            let (row, seq) = (count.row, from + at as u64);
            if !digest.is_countable() || !row.may_see(seq) || row.is_hidden(seq) {
                continue;
            }
            if targets.is_none() {
                targets = Some(self.lookup.targets(tenant, count.channel, (from, to))?);
            }
            let target = targets.as_ref().and_then(|targets| targets.get(&seq));
            if target.is_some_and(|target| target.erased > 0) {
                continue;
            }
            if let Some(is_mention) = self.weigh(count, seq, digest)? {
                count.so_far.unread += 1;
                count.so_far.mentions += u16::from(is_mention);
                if count.so_far.unread >= ABOVE {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether a countable entry mentions the user; none when it is their own or has expired.
    fn weigh(&self, count: &mut Count<'_>, seq: u64, digest: Digest) -> Result<Option<bool>, StoreError> {
        let is_of_sieve = digest.may_be_from(count.own.sieve) && !plant::is(plant::Fault::UnreadCountsOwn);
        if is_of_sieve && self.is_exact(count)? {
            return Ok(None);
        }
        let asks_some = digest.mentions_some() && !digest.mentions_all();
        if !is_of_sieve && !digest.is_expiring() && !asks_some {
            return Ok(Some(digest.mentions_all()));
        }
        let found = self.images(count.asker.tenant, count.channel, (seq, seq), 1)?.pop();
        let image = match found {
            Some(Found::Image(image) | Found::Erased(image)) => Image::decode(image).ok(),
            Some(Found::Missing | Found::Trimmed) | None => None,
        };
        // Of what cannot be read the digest has to do; what was to go away may have been emptied when it did.
        let Some(image) = image else {
            let counts = !is_of_sieve && !digest.is_expiring();
            return Ok(counts.then_some(digest.mentions_all()));
        };
        // One without a time was emptied when it was over.
        let is_over = digest.is_expiring() && fold::expires_ms(&image) <= count.now_ms;
        if is_over || is_of_sieve && image.author() == count.asker.user {
            return Ok(None);
        }
        let named = image.tlvs.get_ids(tag::MENTIONS).unwrap_or_default();
        Ok(Some(digest.mentions_all() || asks_some && named.contains(&count.asker.user)))
    }

    /// Whether the sieve lets nobody else through; asked for once it has let through many.
    fn is_exact(&self, count: &mut Count<'_>) -> Result<bool, StoreError> {
        if let Some(is_exact) = count.own.is_exact {
            return Ok(is_exact);
        }
        count.own.looked_at += 1;
        if count.own.looked_at <= AUTHORS {
            return Ok(false);
        }
        let members = self.lookup.members(count.asker.tenant, count.channel)?;
        let sieve = count.own.sieve;
        let is_exact = !members.keys().any(|user| *user != count.asker.user && AuthorSieve::of(user) == sieve);
        count.own.is_exact = Some(is_exact);
        Ok(is_exact)
    }

    /// What counting needs of each seq in `from..=to`, ascending.
    fn digests(&self, tenant: u32, channel: &Channel, from: u64, to: u64) -> Result<Vec<Digest>, StoreError> {
        let (first_recent, recent) = self.view.digests(tenant, channel, from, to).unwrap_or((to + 1, Vec::new()));
        if first_recent == from {
            return Ok(recent);
        }
        let mut digests = self.store.digests(tenant, channel, from, first_recent - 1)?;
        digests.resize(usize::try_from(first_recent - from).unwrap_or_default(), Digest::default());
        digests.extend(recent);
        Ok(digests)
    }
}

impl Own {
    /// None for notes to self, where everything is the user's own.
    fn of(asker: &Asker, channel: &Channel) -> Option<Self> {
        let sieve = AuthorSieve::of(&asker.user);
        let mut is_exact = None;
        if channel.kind() == ChannelKind::Person {
            let (low, high) = channel.ids();
            let other = if low == asker.user { high? } else { low };
            if other == asker.user {
                return None;
            }
            is_exact = Some(AuthorSieve::of(&other) != sieve);
        }
        Some(Self { sieve, is_exact, looked_at: 0 })
    }
}
