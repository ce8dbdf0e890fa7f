//! Scheduled messages: what waits, and what was sent when its time had come.

use bytes::Bytes;
use postrider_protocol::{
    CommandId, Method, Reason, image_flag,
    packet::schedule::{self, Plan, ScheduledPage},
};

use super::{
    harness::until,
    model::{Draft, Outcome, Place, User},
    world::{USERS, World},
};

/// So late that it does not come up by itself.
const LATER_MS: u64 = 300 * 86_400_000;

/// A message that waits.
#[derive(Clone, Debug)]
pub struct Planned {
    user: User,
    place: Place,
    id: CommandId,
    body: Vec<u8>,
}

impl World<'_> {
    /// One operation on what is scheduled.
    pub fn schedule(&mut self) {
        let at = self.chance.below(self.devices.len());
        let user = self.devices[at].user;
        let own: Vec<usize> = (0..self.planned.len()).filter(|one| self.planned[*one].user == user).collect();
        let (is_new, is_now) = (own.is_empty() || self.chance.one_in(3), self.chance.one_in(3));
        if is_new {
            let place = self.some_place(user);
            self.make(at, place, is_now);
        } else {
            let which = *self.chance.pick(&own);
            if self.chance.one_in(3) { self.cancel(at, which) } else { self.replace(at, which, is_now) }
        }
    }

    fn plan(&mut self, is_now: bool) -> Plan {
        let now_ms = super::harness::now_s() * 1_000;
        let due_ms = if is_now { 0 } else { now_ms + LATER_MS };
        Plan { due_ms, flags: image_flag::COUNTABLE, body: Bytes::from(self.body()) }
    }

    fn make(&mut self, at: usize, place: Place, is_now: bool) {
        let (user, plan, channel) = (self.devices[at].user, self.plan(is_now), self.channel(place));
        let client = &mut self.devices[at].client;
        let reply = client.call_writing(Method::Schedule, |out| schedule::write_schedule(out, &channel, &plan));
        let id = CommandId { sender: client.sender, number: client.number };
        let planned = Planned { user, place, id, body: plan.body.to_vec() };
        if self.is_as_wanted("schedule", &planned, reply.reason, reply.seq) {
            if is_now { self.sent(at, &planned) } else { self.planned.push(planned) }
        }
    }

    fn replace(&mut self, at: usize, which: usize, is_now: bool) {
        let (plan, before) = (self.plan(is_now), self.planned[which].clone());
        let channel = self.channel(before.place);
        let client = &mut self.devices[at].client;
        let reply =
            client.call_writing(Method::ScheduleEdit, |out| schedule::write_edit(out, &channel, &before.id, &plan));
        let planned = Planned { body: plan.body.to_vec(), ..before };
        if self.is_as_wanted("schedule edit", &planned, reply.reason, reply.seq) {
            if is_now {
                self.planned.swap_remove(which);
                self.sent(at, &planned);
            } else {
                self.planned[which] = planned;
            }
        }
    }

    fn cancel(&mut self, at: usize, which: usize) {
        let planned = self.planned.swap_remove(which);
        let channel = self.channel(planned.place);
        let client = &mut self.devices[at].client;
        let cancel = |out: &mut Vec<u8>| schedule::write_named(out, &channel, &planned.id);
        for due in [Reason::Ok, Reason::NoTarget] {
            assert_eq!(client.call_writing(Method::ScheduleCancel, cancel).reason, due, "cancel {planned:?}");
        }
        self.count("schedule cancel");
    }

    /// Whether it was accepted, which is what the rules for a message say.
    fn is_as_wanted(&mut self, name: &'static str, planned: &Planned, reason: Reason, seq: u64) -> bool {
        let want: Outcome = self.model.may_speak(planned.user, planned.place).map(|()| 0);
        self.say(|| format!("{name} of {planned:?}: {want:?}"));
        assert_eq!((reason, seq), (want.err().unwrap_or(Reason::Ok), 0), "{name} of {planned:?}");
        self.count(if want.is_ok() { name } else { "refused" });
        want.is_ok()
    }

    /// It is due: everybody is sent it, its author's devices too.
    fn sent(&mut self, at: usize, planned: &Planned) {
        let channel = self.channel(planned.place);
        until("the scheduled message", || {
            let client = &mut self.devices[at].client;
            let all = waiting(client, &channel);
            all.iter().all(|(id, ..)| *id != planned.id).then_some(())
        });
        let before = self.model.channel(planned.place).audience(planned.place);
        let draft = Draft { body: planned.body.clone(), is_countable: true, ..Draft::default() };
        let seq = self.model.send(planned.user, planned.place, &draft).unwrap();
        self.tell(usize::MAX, planned.place, seq, &before);
        self.count("schedule sent");
    }

    /// What waits is what was scheduled and neither sent nor taken away.
    pub fn compare_scheduled(&mut self) {
        let places: Vec<Place> = self.model.channels.keys().copied().collect();
        for user in 0..USERS {
            let at = self.devices.iter().position(|device| device.user == user).unwrap();
            for &place in &places {
                let channel = self.channel(place);
                let got = waiting(&mut self.devices[at].client, &channel);
                let own = self.planned.iter().filter(|it| it.user == user && it.place == place);
                let mut want: Vec<_> = own.map(|it| (it.id, it.body.clone(), 0)).collect();
                want.sort();
                assert_eq!(got, want, "what user {user} has scheduled in {place:?}");
            }
        }
    }
}

fn waiting(
    client: &mut super::harness::Client,
    channel: &postrider_protocol::Channel,
) -> Vec<(CommandId, Vec<u8>, u16)> {
    let first = CommandId::FIRST;
    let reply = client.call_writing(Method::Scheduled, |out| schedule::write_named(out, channel, &first));
    let page = ScheduledPage::decode(reply.fields).unwrap();
    assert!(!page.more);
    page.scheduled.into_iter().map(|it| (it.id, it.plan.body.to_vec(), it.refused)).collect()
}
