//! What all clients of a run share: who they are, which channels they have, the clock, and what is under way.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use postrider_protocol::{self as protocol, Id, Image, ImageKind};

use super::{
    bodies,
    history::{Channel, Intent, User},
};

/// The people and their channels.
pub struct World {
    /// Channel by index.
    pub channels: Vec<protocol::Channel>,
    /// Members by channel.
    pub members: Vec<Vec<User>>,
    index: HashMap<protocol::Channel, Channel>,
    began: Instant,
    /// While true, clients send.
    pub is_loading: AtomicBool,
    /// Clients with an accepted connection.
    pub connected: AtomicUsize,
    /// SENDs without an answer.
    pub in_flight: AtomicU64,
    /// SENDs that lost their connection before the answer.
    pub cut_off: AtomicU64,
    /// Accepting answers, first ones only.
    pub acknowledged: AtomicU64,
    /// What should not have happened.
    pub surprises: Mutex<Vec<String>>,
}

impl World {
    /// `users` people: each has a channel with the next, some with the one after, one with themselves; and `groups`
    /// groups of six.
    pub fn new(users: u32, groups: u32) -> Self {
        let mut world = Self {
            channels: Vec::new(),
            members: Vec::new(),
            index: HashMap::new(),
            began: Instant::now(),
            is_loading: AtomicBool::new(true),
            connected: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            surprises: Mutex::new(Vec::new()),
        };
        for user in 0..users {
            world.add_person(user, (user + 1) % users);
            if user % 3 == 0 && users > 3 {
                world.add_person(user, (user + 2) % users);
            }
        }
        world.add_person(0, 0);
        for group in 0..groups {
            let members: Vec<User> = (0..6.min(users)).map(|at| (group * 5 + at) % users).collect();
            world.add(protocol::Channel::group(&group_id(group)), members);
        }
        world
    }

    fn add_person(&mut self, one: User, other: User) {
        let members = if one == other { vec![one] } else { vec![one, other] };
        self.add(protocol::Channel::person(&user_id(one), &user_id(other)), members);
    }

    fn add(&mut self, channel: protocol::Channel, members: Vec<User>) {
        let index = u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
        if self.index.insert(channel.clone(), index).is_none() {
            self.channels.push(channel);
            self.members.push(members);
        }
    }

    /// The channels of `user`, by index.
    pub fn channels_of(&self, user: User) -> Vec<Channel> {
        let members = (0..).zip(&self.members);
        members.filter(|(_, members)| members.contains(&user)).map(|(channel, _)| channel).collect()
    }

    /// The channel at `index`; every index comes from this world.
    pub fn channel(&self, index: Channel) -> Option<&protocol::Channel> {
        self.channels.get(usize::try_from(index).ok()?)
    }

    /// The index of `channel`.
    pub fn index(&self, channel: &protocol::Channel) -> Option<Channel> {
        self.index.get(channel).copied()
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes what should not have happened; the first thousand times.
    pub fn surprise(&self, what: String) {
        if let Ok(mut surprises) = self.surprises.lock()
            && surprises.len() < 1_000
        {
            surprises.push(what);
        }
    }

    /// Everything noted so far.
    pub fn surprises(&self) -> Vec<String> {
        self.surprises.lock().map(|surprises| surprises.clone()).unwrap_or_default()
    }

    /// Whether the clients send now.
    pub fn is_loading(&self) -> bool {
        self.is_loading.load(Relaxed)
    }
}

/// The id of a user.
pub fn user_id(user: User) -> Id {
    id(&format!("u{user:03}"))
}

/// The id of a group.
pub fn group_id(group: u32) -> Id {
    id(&format!("g{group}"))
}

/// The device of every user.
pub fn device_id() -> Id {
    id("d1")
}

fn id(text: &str) -> Id {
    text.parse().unwrap_or_else(|error| unreachable!("{text} is an id: {error}"))
}

/// Which command `image` is; none when its bytes do not prove it.
pub fn intent(image: &Image) -> Option<Intent> {
    let user: User = image.author().as_str().strip_prefix('u')?.parse().ok()?;
    let intent = Intent { user, sender: image.sender.stamp(), number: image.number };
    if image.kind != ImageKind::Message.number() {
        return Some(intent);
    }
    (bodies::owner(&image.body) == Some((user, image.number))).then_some(intent)
}
