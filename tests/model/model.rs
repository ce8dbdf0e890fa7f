//! What must be true: small, obvious, and slow. Every rule of SPEC that the operations meet, written once more without
//! slots, rows or folds.

use std::collections::{BTreeMap, BTreeSet};

use postrider_protocol::{ImageKind, Reason};

/// A user, by number.
pub type User = usize;
/// The system user.
pub const NEWS: User = 6;

/// A channel. Of a person channel the lower user comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Person(User, User),
    Group(usize),
}

impl Place {
    pub fn person(one: User, other: User) -> Self {
        Self::Person(one.min(other), one.max(other))
    }

    fn sides(self) -> Vec<User> {
        match self {
            Self::Person(low, high) if low == high => vec![low],
            Self::Person(low, high) => vec![low, high],
            Self::Group(_) => Vec::new(),
        }
    }
}

/// What has a seq.
#[derive(Clone, Debug)]
pub struct Item {
    pub kind: ImageKind,
    pub author: User,
    pub target: u64,
    pub body: Vec<u8>,
    pub is_countable: bool,
    pub mentions_all: bool,
    pub mentions: BTreeSet<User>,
    /// It goes away at once.
    pub is_fleeting: bool,
    /// The message in whose thread it is an answer; 0 for none.
    pub thread: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub role: u8,
    pub is_muted: bool,
    pub nickname: Vec<u8>,
}

/// Who waits to be a member.
#[derive(Clone, Debug)]
pub struct Wait {
    pub is_invited: bool,
    pub by: User,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub members: BTreeMap<User, Member>,
    /// Who was a member of what: above, through.
    pub stays: BTreeMap<User, Vec<(u64, Option<u64>)>>,
    /// Who left, with what outlasts that.
    pub left: BTreeMap<User, Member>,
    pub waits: BTreeMap<User, Wait>,
    pub is_dismissed: bool,
    pub join_mode: u32,
    pub shows_history: bool,
    pub is_muted: bool,
    pub name: Vec<u8>,
}

/// One user's view.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What they may see: above, through.
    pub spans: Vec<(u64, Option<u64>)>,
    pub read: u64,
    pub is_marked_unread: bool,
    pub is_pinned: bool,
    /// The head when it was hidden.
    pub hidden_at: Option<u64>,
    pub muted_until_ms: u64,
    pub cleared: u64,
    pub deleted: BTreeSet<u64>,
    pub blocks: bool,
}

impl View {
    pub fn may_see(&self, seq: u64) -> bool {
        self.spans.iter().any(|(above, through)| seq > *above && through.is_none_or(|through| seq <= through))
    }

    /// The last seq of the channel with this head that the user may see.
    pub fn last(&self, head: u64) -> u64 {
        self.spans.last().map_or(0, |(_, through)| through.unwrap_or(head))
    }

    pub fn is_deleted(&self, seq: u64) -> bool {
        seq <= self.cleared || self.deleted.contains(&seq)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub items: Vec<Item>,
    pub group: Option<Group>,
    pub views: BTreeMap<User, View>,
    /// By message: the reactions in the order in which they came up, and whose.
    pub reactions: BTreeMap<u64, Vec<(String, BTreeSet<User>)>>,
    pub pins: Vec<u64>,
    /// By message: the seq that erased it.
    pub erased: BTreeMap<u64, u64>,
    /// By message: the seqs of its edits.
    pub edits: BTreeMap<u64, Vec<u64>>,
}

impl Channel {
    pub fn head(&self) -> u64 {
        self.items.len() as u64
    }

    pub fn item(&self, seq: u64) -> Option<&Item> {
        self.items.get(usize::try_from(seq).ok()?.checked_sub(1)?)
    }

    /// Whether the content of `seq` is gone for everybody: erased, or an edit of what was.
    pub fn is_erased(&self, seq: u64) -> bool {
        let of = |seq: &u64| self.erased.contains_key(seq);
        of(&seq) || self.item(seq).is_some_and(|item| item.kind == ImageKind::Edited && of(&item.target))
    }

    /// The messages that are unread for `user`, and how many of them mention them.
    pub fn unread(&self, user: User) -> (usize, usize) {
        let Some(view) = self.views.get(&user) else { return (0, 0) };
        let is_unread = |(seq, item): &(u64, &Item)| {
            *seq > view.read
                && item.is_countable
                && item.author != user
                && !item.is_fleeting
                && view.may_see(*seq)
                && !view.is_deleted(*seq)
                && !self.erased.contains_key(seq)
        };
        let unread: Vec<_> = (1..).zip(&self.items).filter(is_unread).collect();
        let mentions = |(_, item): &&(u64, &Item)| item.mentions_all || item.mentions.contains(&user);
        (unread.len(), unread.iter().filter(mentions).count())
    }

    /// The answers in the thread of a message, ascending.
    pub fn answers(&self, root: u64) -> Vec<u64> {
        (1..).zip(&self.items).filter(|(_, item)| item.thread == root).map(|(seq, _)| seq).collect()
    }

    /// Who gets what comes next.
    pub fn audience(&self, place: Place) -> BTreeSet<User> {
        match &self.group {
            Some(group) => group.members.keys().copied().collect(),
            None => place.sides().into_iter().collect(),
        }
    }

    /// A message that `user` may do something to.
    fn target(&self, user: User, seq: u64) -> Result<&Item, Reason> {
        let view = self.views.get(&user).ok_or(Reason::NoChannel)?;
        let item = self.item(seq).filter(|item| item.kind == ImageKind::Message && !item.is_fleeting);
        item.filter(|_| view.may_see(seq) && !view.is_deleted(seq)).ok_or(Reason::NoTarget)
    }

    pub fn push(&mut self, kind: ImageKind, author: User, body: Vec<u8>) -> u64 {
        self.push_item(Item {
            kind,
            author,
            target: 0,
            body,
            is_countable: false,
            mentions_all: false,
            mentions: BTreeSet::new(),
            is_fleeting: false,
            thread: 0,
        })
    }

    pub fn push_item(&mut self, item: Item) -> u64 {
        self.items.push(item);
        self.head()
    }
}

/// What an operation comes to: the seq of what it made, 0 for what has none; or why not.
pub type Outcome = Result<u64, Reason>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub channels: BTreeMap<Place, Channel>,
}

/// A message about to be sent.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub body: Vec<u8>,
    pub is_countable: bool,
    pub mentions_all: bool,
    pub mentions: BTreeSet<User>,
    pub is_fleeting: bool,
    /// The highest seq on screen.
    pub read: u64,
    /// The message in whose thread it is an answer; 0 for none.
    pub thread: u64,
}

impl Model {
    pub fn channel(&mut self, place: Place) -> &mut Channel {
        self.channels.entry(place).or_default()
    }

    /// Whether `user` may speak.
    pub fn may_speak(&mut self, user: User, place: Place) -> Result<(), Reason> {
        let channel = self.channel(place);
        match place {
            Place::Person(low, high) if user != low && user != high => Err(Reason::NoChannel),
            Place::Person(..) => self.is_not_blocked(place),
            Place::Group(_) => {
                let group = channel.group.as_ref().ok_or(Reason::NoChannel)?;
                let member = group.members.get(&user).ok_or(Reason::NoChannel)?;
                if group.is_dismissed {
                    Err(Reason::Dismissed)
                } else if member.is_muted || group.is_muted && member.role == 0 {
                    Err(Reason::Muted)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Whether `user` may change what is there.
    fn may_change(&mut self, user: User, place: Place) -> Result<(), Reason> {
        let channel = self.channel(place);
        match (&channel.group, place) {
            (None, Place::Person(low, high)) if user == low || user == high => {
                if channel.views.contains_key(&user) {
                    Ok(())
                } else {
                    Err(Reason::NoChannel)
                }
            }
            (Some(group), _) if !group.members.contains_key(&user) => Err(Reason::NoChannel),
            (Some(group), _) if group.is_dismissed => Err(Reason::Dismissed),
            (Some(_), _) => Ok(()),
            _ => Err(Reason::NoChannel),
        }
    }

    /// Whether `one` blocks `other`.
    pub fn blocks(&self, one: User, other: User) -> bool {
        let views = self.channels.get(&Place::person(one, other)).map(|channel| &channel.views);
        views.and_then(|views| views.get(&one)).is_some_and(|view| view.blocks)
    }

    /// Whether neither of two users blocks the other.
    fn is_not_blocked(&mut self, place: Place) -> Result<(), Reason> {
        let is_blocked = self.channel(place).views.values().any(|view| view.blocks);
        if is_blocked { Err(Reason::Blocked) } else { Ok(()) }
    }

    pub fn send(&mut self, user: User, place: Place, draft: &Draft) -> Outcome {
        if user != NEWS {
            self.may_speak(user, place)?;
        }
        let channel = self.channel(place);
        let head = channel.head();
        if draft.thread > 0 {
            let is_seen = channel.views.get(&user).is_some_and(|view| view.may_see(draft.thread));
            let root = channel.item(draft.thread).filter(|item| item.kind == ImageKind::Message && item.thread == 0);
            root.filter(|_| is_seen).ok_or(Reason::NoTarget)?;
        }
        for side in place.sides() {
            let view = channel.views.entry(side).or_default();
            if view.spans.is_empty() {
                view.spans.push((0, None));
            }
        }
        if let Some(view) = channel.views.get_mut(&user) {
            let read = draft.read.min(head);
            view.read = view.read.max(read);
            view.is_marked_unread &= read == 0;
        }
        Ok(channel.push_item(Item {
            kind: ImageKind::Message,
            author: user,
            target: 0,
            body: draft.body.clone(),
            is_countable: draft.is_countable,
            mentions_all: draft.mentions_all,
            mentions: draft.mentions.clone(),
            is_fleeting: draft.is_fleeting,
            thread: draft.thread,
        }))
    }

    /// The user's view and the last seq that they may see.
    fn view(&mut self, user: User, place: Place) -> Result<(&mut View, u64, u64), Reason> {
        let channel = self.channel(place);
        let head = channel.head();
        let view = channel.views.get_mut(&user).ok_or(Reason::NoChannel)?;
        let last = view.last(head);
        Ok((view, last, head))
    }

    pub fn read(&mut self, user: User, place: Place, seq: u64) -> Outcome {
        let (view, last, _) = self.view(user, place)?;
        if seq > last {
            return Err(Reason::EpochMismatch);
        }
        view.read = view.read.max(seq);
        view.is_marked_unread = false;
        Ok(0)
    }

    pub fn set(&mut self, user: User, place: Place, set: &Settings) -> Outcome {
        let (view, last, head) = self.view(user, place)?;
        if set.cleared.is_some_and(|seq| seq > last) {
            return Err(Reason::EpochMismatch);
        }
        view.cleared = view.cleared.max(set.cleared.unwrap_or_default());
        view.is_pinned = set.is_pinned.unwrap_or(view.is_pinned);
        view.is_marked_unread = set.is_marked_unread.unwrap_or(view.is_marked_unread);
        view.muted_until_ms = set.muted_until_ms.unwrap_or(view.muted_until_ms);
        if let Some(hides) = set.is_hidden {
            view.hidden_at = hides.then_some(head);
        }
        Ok(0)
    }

    pub fn hide(&mut self, user: User, place: Place, (from, to): (u64, u64)) -> Outcome {
        let (view, last, _) = self.view(user, place)?;
        if to > last {
            return Err(Reason::EpochMismatch);
        }
        view.deleted.extend(from..=to);
        Ok(0)
    }

    pub fn block(&mut self, user: User, other: User, blocks: bool) -> Outcome {
        if self.blocks(user, other) == blocks {
            return Ok(0);
        }
        let place = Place::person(user, other);
        let view = self.channel(place).views.entry(user).or_default();
        if view.spans.is_empty() {
            view.spans.push((0, None));
        }
        view.blocks = blocks;
        Ok(0)
    }

    /// The seq of the entry; or of the earlier one that did it.
    pub fn revoke(&mut self, user: User, place: Place, seq: u64) -> Outcome {
        self.may_change(user, place)?;
        let channel = self.channel(place);
        let author = channel.target(user, seq)?.author;
        if let Some(by) = channel.erased.get(&seq) {
            return Ok(*by);
        }
        if author != user {
            let group = channel.group.as_ref().ok_or(Reason::NotAllowed)?;
            let role = |user| group.members.get(&user).map_or(0, |member| member.role);
            if role(user) == 0 || role(user) == 1 && role(author) > 0 {
                return Err(Reason::NotAllowed);
            }
        }
        let at = channel.push(ImageKind::Revoked, user, Vec::new());
        channel.items.last_mut().unwrap().target = seq;
        channel.erased.insert(seq, at);
        channel.reactions.remove(&seq);
        channel.pins.retain(|pin| *pin != seq);
        Ok(at)
    }

    pub fn edit(&mut self, user: User, place: Place, seq: u64, version: u32, body: &[u8]) -> Outcome {
        self.may_change(user, place)?;
        self.may_speak(user, place)?;
        let channel = self.channel(place);
        let author = channel.target(user, seq)?.author;
        if channel.erased.contains_key(&seq) {
            return Err(Reason::NoTarget);
        }
        if author != user {
            return Err(Reason::NotAllowed);
        }
        if channel.edits.get(&seq).map_or(0, Vec::len) != version as usize {
            return Err(Reason::VersionConflict);
        }
        let at = channel.push(ImageKind::Edited, user, body.to_vec());
        channel.items.last_mut().unwrap().target = seq;
        channel.edits.entry(seq).or_default().push(at);
        Ok(at)
    }

    /// None when it is so already.
    pub fn react(
        &mut self,
        user: User,
        place: Place,
        seq: u64,
        reaction: &str,
        is_on: bool,
    ) -> Result<Option<u64>, Reason> {
        self.may_change(user, place)?;
        self.is_not_blocked(place)?;
        let channel = self.channel(place);
        channel.target(user, seq)?;
        if channel.erased.contains_key(&seq) {
            return Err(Reason::NoTarget);
        }
        let all = channel.reactions.entry(seq).or_default();
        let known = all.iter().position(|(known, _)| known == reaction);
        let has = known.is_some_and(|at| all[at].1.contains(&user));
        if has == is_on {
            return Ok(None);
        }
        match known {
            Some(at) if is_on => _ = all[at].1.insert(user),
            Some(at) => _ = all[at].1.remove(&user),
            None => all.push((reaction.to_owned(), BTreeSet::from([user]))),
        }
        all.retain(|(_, users)| !users.is_empty());
        let mut body = vec![u8::from(is_on)];
        body.extend(reaction.as_bytes());
        let at = channel.push(ImageKind::Reacted, user, body);
        channel.items.last_mut().unwrap().target = seq;
        Ok(Some(at))
    }

    /// None when it is so already.
    pub fn pin(&mut self, user: User, place: Place, seq: u64, is_on: bool) -> Result<Option<u64>, Reason> {
        self.may_change(user, place)?;
        self.is_not_blocked(place)?;
        let channel = self.channel(place);
        channel.target(user, seq)?;
        if channel.erased.contains_key(&seq) {
            return Err(Reason::NoTarget);
        }
        if channel.group.as_ref().is_some_and(|group| group.members[&user].role == 0) {
            return Err(Reason::NotAllowed);
        }
        if channel.pins.contains(&seq) == is_on {
            return Ok(None);
        }
        channel.pins.retain(|pin| *pin != seq);
        if is_on {
            channel.pins.push(seq);
        }
        let at = channel.push(ImageKind::Pinned, user, vec![u8::from(is_on)]);
        channel.items.last_mut().unwrap().target = seq;
        Ok(Some(at))
    }
}

/// What a user sets of their view.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub cleared: Option<u64>,
    pub is_pinned: Option<bool>,
    pub is_hidden: Option<bool>,
    pub is_marked_unread: Option<bool>,
    pub muted_until_ms: Option<u64>,
}
