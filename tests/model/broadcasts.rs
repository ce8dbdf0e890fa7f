//! Broadcasts: a system user writes to who has a tag of this seed.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    CommandId, Id, Method, Reason, image_flag,
    packet::{
        broadcast::{self, Announcement, Broadcast, Broadcasts, Reach},
        people,
    },
};

use super::{
    harness::{Client, Server, Via, claims, id, until},
    model::{Draft, NEWS, Place, User},
    world::{USERS, World},
};

const TAGS: [&str; 2] = ["new", "old"];

/// Connects as the system user.
pub fn connect(server: &Server, via: Via, user: &Id) -> Client {
    let claims = Claims { sys: Some(true), ..claims(user.as_str(), "") };
    Client::connect_claiming(server, via, &claims, "desk")
}

impl World<'_> {
    /// One operation of the system user.
    pub fn broadcast(&mut self) {
        if self.chance.one_in(3) { self.set_tags() } else { self.announce() }
    }

    fn tag(&self, tag: usize) -> Id {
        id(&format!("{}.{}", TAGS[tag], self.seed))
    }

    fn set_tags(&mut self) {
        let user = self.chance.below(USERS);
        let own: BTreeSet<usize> = (0..TAGS.len()).filter(|_| self.chance.one_in(2)).collect();
        let tags: Vec<Id> = own.iter().map(|tag| self.tag(*tag)).collect();
        let (of, news) = (self.user(user), &mut self.news);
        let reply = news.call_writing(Method::TagsSet, |out| broadcast::write_tagging(out, &of, &tags));
        assert_eq!(reply.reason, Reason::Ok, "tags of user {user}");
        self.say(|| format!("tags of {user}: {own:?}"));
        self.tags.insert(user, own);
        self.count("tags");
    }

    /// To everybody with a tag; now and then the server is killed at once.
    fn announce(&mut self) {
        let tag = self.chance.below(TAGS.len());
        let (reach, flags, body) = (Reach::Tagged(self.tag(tag)), image_flag::COUNTABLE, self.body());
        let announcement = Announcement { reach, flags, body: Bytes::from(body.clone()) };
        let reply = self.news.call_writing(Method::Broadcast, |out| announcement.write(out));
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "a broadcast");
        let id = CommandId { sender: self.news.sender, number: self.news.number };
        let is_killed = self.chance.one_in(8);
        if is_killed {
            self.crash();
        }
        let news = &mut self.news;
        let done = until("the end of the broadcast", || {
            let reply = news.call(Method::Broadcasts, Bytes::new());
            let all: Vec<Broadcast> = Broadcasts::decode(reply.fields).unwrap().0;
            all.into_iter().find(|it| it.id == id && it.ended_ms > 0)
        });
        let readers: Vec<User> =
            (0..USERS).filter(|user| self.tags.get(user).is_some_and(|own| own.contains(&tag))).collect();
        self.say(|| format!("a broadcast to {readers:?}"));
        assert_eq!((done.sent, done.refused), (readers.len() as u64, 0), "a broadcast to {readers:?}");
        for reader in readers {
            let (place, draft) =
                (Place::person(reader, NEWS), Draft { body: body.clone(), is_countable: true, ..Draft::default() });
            let seq = self.model.send(NEWS, place, &draft).unwrap();
            self.tell(usize::MAX, place, seq, &BTreeSet::new());
            self.count("broadcast");
        }
        if is_killed {
            // Whether it came before or after the connections did is not said.
            self.count("broadcast over a crash");
            self.reconnect();
        }
    }

    /// The tags of all users are those that were set.
    pub fn compare_tags(&mut self) {
        for user in 0..USERS {
            let (of, news) = (self.user(user), &mut self.news);
            let reply = news.call_writing(Method::Tags, |out| people::write_user(out, &of));
            let got = broadcast::read_tags(reply.fields).unwrap();
            let want: Vec<Id> = self.tags.get(&user).into_iter().flatten().map(|tag| self.tag(*tag)).collect();
            assert_eq!(got, want, "tags of user {user}");
        }
    }
}
