//! Notices: what is told and not stored. Decide and sessions say what there is to tell; here it is found who is to hear
//! it, and it is put into their outboxes as live frames that nobody waits for. What would come too often is gathered and
//! told by [`Notices::tick`], which is called about once a second. No clock and no chance: time comes with each call.

mod receipts;
mod watchers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Tlvs,
    packet::{
        Packet,
        notice::{Receipt, Told},
    },
};
use postrider_storage::{RequestRow, StateKey, StoreError, UserRow, fold};

use self::{receipts::Receipts, watchers::Watchers};
use crate::{
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    outbox::{Frames, Outbox, OutboxBounds},
    presence::Presence,
    slot::{Audience, Group, News, Now, Origin, Tell, other_of},
};

/// In a group of more members typing is told only to those who watch it.
const SMALL_GROUP: usize = 100;

/// Groups by tenant and id.
type Groups = BTreeMap<(u32, Id), Arc<Group>>;

/// See the module.
#[derive(Debug)]
pub struct Notices {
    hub: Arc<Hub>,
    bounds: Arc<OutboxBounds>,
    lookup: Lookup,
    metrics: Arc<Metrics>,
    presence: Presence,
    watchers: Watchers,
    receipts: Receipts,
    /// Groups whose requests changed since the last tick.
    requests: Mutex<Groups>,
}

impl Notices {
    /// To the sessions of `hub`.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        bounds: Arc<OutboxBounds>,
        lookup: Lookup,
        metrics: Arc<Metrics>,
        presence: Presence,
    ) -> Self {
        let watchers = Watchers::new(Arc::clone(&hub));
        let (receipts, requests) = (Receipts::default(), Mutex::default());
        Self { hub, bounds, lookup, metrics, presence, watchers, receipts, requests }
    }

    /// Who is online.
    #[must_use]
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// A session of a device is in the hub.
    pub fn come(&self, origin: &Origin) {
        if origin.device.is_some() {
            self.presence.come(origin);
        }
    }

    /// A session has left the hub: nothing more is told to it.
    pub fn go(&self, origin: &Origin, now: Now) {
        if origin.device.is_some() {
            self.watchers.watch(origin, None);
            self.presence.go(origin, now);
        }
    }

    /// The session has this channel on its screen, or none.
    pub fn watch(&self, origin: &Arc<Origin>, channel: Option<&Channel>) {
        match channel.filter(|_| origin.device.is_some()) {
            Some(channel) => self.watchers.watch(origin, Some((origin, channel))),
            None => self.watchers.watch(origin, None),
        }
    }

    /// Users are no members of a group any more: they watch it no longer.
    pub fn part(&self, tenant: u32, channel: &Channel, before: &Group, after: &Group) {
        self.watchers
            .part(tenant, channel, |user| before.members.contains_key(user) && !after.members.contains_key(user));
    }

    /// How many outboxes it takes to tell this, about.
    #[must_use]
    pub fn reach(tell: &Tell) -> usize {
        match &tell.news {
            News::Signal(_, _, audience) => audience.reach(),
            News::Typing(_, _, audience) => audience.reach().min(SMALL_GROUP),
            _ => 1,
        }
    }

    /// Tells what was decided, or keeps it for the next tick.
    pub fn tell(&self, tell: &Tell) {
        let Tell { tenant, user, except, news } = tell;
        match news {
            News::Typing(channel, told, audience) => self.typing((*tenant, channel), user, told, audience),
            News::Signal(channel, (told, tlvs), audience) => {
                let frame = frame(told, tlvs.clone());
                audience.each(channel, |user| {
                    self.hub.for_each(*tenant, user.as_bytes(), *except, |outbox| self.pass(outbox, &frame));
                });
            }
            News::Receipt(channel, mark, Audience::Members(group)) => {
                if self.watchers.is_watched(*tenant, channel) {
                    self.receipts.gather(*tenant, channel, mark, group);
                }
            }
            News::Receipt(channel, mark, _) => {
                if let Some(other) = other_of(channel, user) {
                    let told = Told::Receipt { channel: channel.clone(), marks: vec![mark.clone()] };
                    let frame = frame(&told, Tlvs::new());
                    self.hub.for_each(*tenant, other.as_bytes(), 0, |outbox| self.queue(outbox, &frame));
                }
            }
            News::View(told, tlvs) => {
                let frame = frame(told, tlvs.clone());
                self.hub.for_each(*tenant, user.as_bytes(), *except, |outbox| self.queue(outbox, &frame));
            }
            News::Requests(group, members) => {
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                requests.insert((*tenant, group.clone()), Arc::clone(members));
            }
            News::Parted(other) => self.presence.part(*tenant, user, other, |outbox, frame| self.queue(outbox, frame)),
            News::Hidden => self.presence.hide(*tenant, user, |outbox, frame| self.queue(outbox, frame)),
        }
        self.shed();
    }

    /// Tells what was gathered. May read the disk: it runs on the blocking pool.
    ///
    /// # Errors
    /// When the store cannot be read; what was gathered is lost then, as notices may be.
    pub fn tick(&self, now: Now) -> Result<(), StoreError> {
        self.presence.tick(now, |outbox, frame| self.queue(outbox, frame));
        for ((tenant, channel), gathered) in self.receipts.take() {
            let marks = gathered.marks();
            let told = Told::Receipt { channel: channel.clone(), marks };
            self.tell_watchers(tenant, &channel, &gathered.group, &told)?;
        }
        let requests = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        for ((tenant, group), members) in requests {
            let waiting = self.waiting(tenant, &Channel::group(&group))?;
            let frame = frame(&Told::Requests { group, waiting }, Tlvs::new());
            let leaders = members.members.iter().filter(|(_, row)| row.role >= fold::ADMIN);
            for (user, _) in leaders {
                self.hub.for_each(tenant, user.as_bytes(), 0, |outbox| self.queue(outbox, &frame));
            }
        }
        self.shed();
        Ok(())
    }

    fn typing(&self, (tenant, channel): (u32, &Channel), author: &Id, told: &Told, audience: &Audience) {
        let frame = frame(told, Tlvs::new());
        if let Audience::Members(group) = audience
            && group.members.len() > SMALL_GROUP
        {
            let watchers = self.watchers.of(tenant, channel).into_iter();
            let others = watchers.filter(|one| one.user != *author && group.members.contains_key(&one.user));
            return others.for_each(|watcher| self.pass(&watcher.outbox, &frame));
        }
        audience.each(channel, |user| {
            if user != author {
                self.hub.for_each(tenant, user.as_bytes(), 0, |outbox| self.pass(outbox, &frame));
            }
        });
    }

    /// Receipts of a group: those who keep their own private are not told what others have read.
    fn tell_watchers(&self, tenant: u32, channel: &Channel, group: &Group, told: &Told) -> Result<(), StoreError> {
        let whole = frame(told, Tlvs::new());
        let Told::Receipt { marks, .. } = told else { return Ok(()) };
        let delivered = marks.iter().filter(|mark| mark.delivered > 0);
        let delivered: Vec<Receipt> = delivered.map(|mark| Receipt { read: 0, ..mark.clone() }).collect();
        let has_some = marks.is_empty() || !delivered.is_empty();
        let part = frame(&Told::Receipt { channel: channel.clone(), marks: delivered }, Tlvs::new());
        for watcher in self.watchers.of(tenant, channel) {
            if !group.members.contains_key(&watcher.user) {
                continue;
            }
            let of_user = Channel::user(&watcher.user);
            let row = self.lookup.row::<UserRow>(tenant, &of_user, &StateKey::User)?;
            if !row.is_some_and(|row| row.receipts_private) {
                self.queue(&watcher.outbox, &whole);
            } else if has_some {
                self.queue(&watcher.outbox, &part);
            }
        }
        Ok(())
    }

    /// How many requests to join a group wait, as it is committed.
    fn waiting(&self, tenant: u32, group: &Channel) -> Result<u32, StoreError> {
        let fresh = self.lookup.view().rows(tenant, group);
        let mut waits: BTreeMap<Id, bool> = BTreeMap::new();
        for (user, row) in self.lookup.store().requests(tenant, group)? {
            waits.insert(user, !row.is_invitation);
        }
        for (key, row) in fresh.of::<RequestRow>(|key| matches!(key, StateKey::Request(_))) {
            if let StateKey::Request(user) = key {
                waits.insert(user.clone(), row.is_some_and(|row| !row.is_invitation));
            }
        }
        Ok(u32::try_from(waits.into_values().filter(|waits| *waits).count()).unwrap_or(u32::MAX))
    }

    /// Puts a notice that may be lost without a word in.
    fn pass(&self, outbox: &Outbox, frame: &[u8]) {
        self.count(outbox.push_passing(frame));
    }

    /// Puts a notice in whose loss is told by LAG.
    fn queue(&self, outbox: &Outbox, frame: &[u8]) {
        self.count(outbox.push_live(Frames { bytes: frame, count: 1 }) == 1);
    }

    fn count(&self, is_taken: bool) {
        if is_taken {
            self.metrics.notices.inc();
        } else {
            self.metrics.notices_dropped.inc();
        }
    }

    fn shed(&self) {
        if self.bounds.is_over() {
            self.hub.shed(|| !self.bounds.is_over());
        }
    }
}

/// The whole NOTICE.
fn frame(told: &Told, tlvs: Tlvs) -> Bytes {
    let mut out = Vec::new();
    Packet::Notice(told.packet(tlvs)).encode(&mut out);
    out.into()
}
