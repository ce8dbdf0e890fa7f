//! What every user is told, against the model.

use std::collections::{BTreeMap, BTreeSet};

use postrider_protocol::{
    GapReason, Image, ImageKind, Method, Reason, UNREAD_EXACT, image_flag,
    packet::{Conversation, ElementsPage, MembersPage, SyncItem, conversation_flag, groups, targets},
};

use super::{
    model::{Channel, Place, User},
    world::{USERS, World},
};

/// What stands at a seq of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Image { kind: u8, flags: u16, body: Vec<u8> },
    Gap(GapReason),
}

/// What was made of a message: the seq of its newest edit, its version, whether it is pinned, how many answers it has and
/// the newest, its reactions.
type Made = (u64, u32, bool, (u32, u64), Vec<(String, u32, bool)>);

impl World<'_> {
    /// Everything that users see is what the model says.
    pub fn compare(&mut self) {
        for user in 0..USERS {
            let at = self.devices.iter().position(|device| device.user == user).unwrap();
            self.compare_list(at, user);
        }
        for number in 0..3 {
            self.compare_members(number);
        }
    }

    fn compare_list(&mut self, at: usize, user: User) {
        let (listed, _) = self.devices[at].client.list(&bytes::Bytes::new());
        let listed: BTreeMap<Place, Conversation> =
            listed.into_iter().map(|told| (self.place(&told.channel).unwrap(), told)).collect();
        let known = self.model.channels.iter().filter(|(place, channel)| {
            channel.views.contains_key(&user) && (matches!(place, Place::Group(_)) || channel.head() > 0)
        });
        let due: Vec<Place> = known.map(|(place, _)| *place).collect();
        assert_eq!(listed.keys().copied().collect::<Vec<_>>(), due, "conversations of user {user}");
        for (place, told) in listed {
            self.compare_conversation(user, place, &told);
            self.compare_history(at, user, place, &told);
        }
    }

    fn compare_conversation(&self, user: User, place: Place, told: &Conversation) {
        let channel = &self.model.channels[&place];
        let view = &channel.views[&user];
        let group = channel.group.as_ref();
        let head = channel.head();
        let wait = group.and_then(|group| group.waits.get(&user));
        let is_gone = group.is_some_and(|group| !group.members.contains_key(&user));
        let mut flags = 0;
        for (flag, is_set) in [
            (conversation_flag::LEFT, is_gone),
            (conversation_flag::PINNED, view.is_pinned),
            // To who is no member nothing new comes.
            (conversation_flag::HIDDEN, view.hidden_at.is_some_and(|at| at == head || is_gone)),
            (conversation_flag::MARKED_UNREAD, view.is_marked_unread),
            (conversation_flag::INVITED, wait.is_some_and(|wait| wait.is_invited)),
            (conversation_flag::ASKED, wait.is_some_and(|wait| !wait.is_invited)),
            (conversation_flag::BLOCKED, view.blocks),
            (conversation_flag::DISMISSED, !is_gone && group.is_some_and(|group| group.is_dismissed)),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        let (unread, mentions) = channel.unread(user);
        let capped = |count: usize| u16::try_from(count.min(UNREAD_EXACT + 1)).unwrap();
        let got = (
            told.flags & !conversation_flag::CUT,
            (told.head, told.read, told.cleared, told.muted_until_ms),
            (told.unread, told.mentions),
        );
        let want = (
            flags,
            (view.last(head), view.read, view.cleared, view.muted_until_ms),
            (capped(unread), capped(mentions)),
        );
        assert_eq!(got, want, "conversation {place:?} of user {user}");
        if !told.image.is_empty() {
            let image = Image::decode(told.image.clone()).unwrap();
            let shown = Seen::Image { kind: image.kind, flags: 0, body: image.body.to_vec() };
            let due = match self.seen(channel, user, image.seq) {
                Seen::Image { kind, body, .. } => Seen::Image { kind, flags: 0, body },
                gap => gap,
            };
            if !matches!(ImageKind::from_number(image.kind), Some(kind) if is_about_members(kind)) {
                assert_eq!(shown, due, "the last image of {place:?} as user {user} sees it");
            }
        }
    }

    /// What a user sees at a seq.
    fn seen(&self, channel: &Channel, user: User, seq: u64) -> Seen {
        let (view, item) = (&channel.views[&user], channel.item(seq).unwrap());
        if !view.may_see(seq) {
            return Seen::Gap(GapReason::NotVisible);
        }
        if view.is_deleted(seq) {
            return Seen::Gap(GapReason::Hidden);
        }
        if item.is_fleeting {
            return Seen::Gap(GapReason::Expired);
        }
        let (mut body, mut flags) = (item.body.clone(), 0);
        if let Some(edits) = channel.edits.get(&seq) {
            let newest = edits.iter().rev().find(|at| view.may_see(**at));
            if let Some(at) = newest {
                (body, flags) = (channel.item(*at).unwrap().body.clone(), image_flag::EDITED);
            }
        }
        if channel.is_erased(seq) {
            (body, flags) = (Vec::new(), image_flag::ERASED);
        }
        Seen::Image { kind: item.kind.number(), flags, body }
    }

    fn compare_history(&mut self, at: usize, user: User, place: Place, told: &Conversation) {
        let (mut next, mut got, mut made) = (1, Vec::new(), BTreeMap::<u64, Made>::new());
        while next <= told.head {
            let synced = self.devices[at].client.sync(&told.channel, told.epoch, (next, told.head), 0);
            assert_eq!((synced.reason, synced.from), (Reason::Ok, next), "SYNC of {place:?} by user {user}");
            for item in synced.items {
                match item {
                    SyncItem::Image(bytes) => {
                        let image = Image::decode(bytes).unwrap();
                        let flags = image.flags & (image_flag::EDITED | image_flag::ERASED);
                        got.push(Seen::Image { kind: image.kind, flags, body: image.body.to_vec() });
                    }
                    SyncItem::Gap(gap) => got.extend((gap.from..=gap.to).map(|_| Seen::Gap(gap.why))),
                    SyncItem::Made(it) => {
                        let reactions = it.reactions.iter();
                        let reactions = reactions.map(|reaction| {
                            let text = String::from_utf8(reaction.reaction.to_vec()).unwrap();
                            (text, reaction.count, reaction.is_own)
                        });
                        let thread = (it.answers, it.answered);
                        made.insert(it.seq, (it.edit, it.version, it.is_pinned, thread, reactions.collect()));
                    }
                }
            }
            next = synced.to + 1;
        }
        let channel = &self.model.channels[&place];
        assert_eq!(got.len() as u64, told.head, "how much of {place:?} user {user} was told");
        for (seq, got) in (1..).zip(&got) {
            let mut want = self.seen(channel, user, seq);
            let item = channel.item(seq).unwrap();
            // Of events about members the model keeps no body.
            if let (Seen::Image { body, .. }, Seen::Image { body: got, .. }, true) =
                (&mut want, got, is_about_members(item.kind))
            {
                body.clone_from(got);
            }
            assert_eq!(*got, want, "seq {seq} of {place:?} as user {user} sees it: {item:?}");
        }
        self.compare_made(user, place, told.head, &made);
        self.compare_threads(at, user, place);
    }

    fn compare_threads(&mut self, at: usize, user: User, place: Place) {
        let channel = self.model.channels[&place].clone();
        let roots: BTreeSet<u64> = channel.items.iter().map(|item| item.thread).filter(|root| *root > 0).collect();
        for root in roots {
            let mut fields = Vec::new();
            targets::write_thread(&mut fields, &self.channel(place), root, 0);
            let reply = self.devices[at].client.call(Method::Thread, fields.into());
            let page = ElementsPage::decode(reply.fields).unwrap();
            let images = page.items.into_iter().filter_map(|item| match item {
                SyncItem::Image(bytes) => Some(Image::decode(bytes).unwrap().seq),
                _ => None,
            });
            let is_there = |seq: &u64| matches!(self.seen(&channel, user, *seq), Seen::Image { .. });
            let want: Vec<u64> = channel.answers(root).into_iter().filter(is_there).collect();
            assert_eq!(images.collect::<Vec<_>>(), want, "the thread of {root} in {place:?} for user {user}");
        }
    }

    fn compare_made(&self, user: User, place: Place, head: u64, made: &BTreeMap<u64, Made>) {
        let channel = &self.model.channels[&place];
        let view = &channel.views[&user];
        for seq in 1..=head {
            let is_there = matches!(self.seen(channel, user, seq), Seen::Image { .. });
            let is_whole = view.spans.last().is_some_and(|(above, through)| *above < seq && through.is_none());
            // Who left sees what was made up to then, which the model does not keep.
            if !is_there || !is_whole {
                continue;
            }
            let edits = channel.edits.get(&seq).filter(|_| !channel.is_erased(seq));
            let reactions = channel.reactions.get(&seq).into_iter().flatten();
            let reactions: Vec<_> =
                reactions.map(|(text, users)| (text.clone(), users.len() as u32, users.contains(&user))).collect();
            let answers = if channel.is_erased(seq) { Vec::new() } else { channel.answers(seq) };
            let want: Made = (
                edits.and_then(|edits| edits.last()).copied().unwrap_or_default(),
                edits.map_or(0, Vec::len) as u32,
                channel.pins.contains(&seq),
                (answers.len() as u32, answers.last().copied().unwrap_or_default()),
                reactions,
            );
            let got = made.get(&seq).cloned().unwrap_or_default();
            assert_eq!(got, want, "what was made of seq {seq} of {place:?} for user {user}");
        }
    }

    fn compare_members(&mut self, number: usize) {
        let Some(group) = self.model.channel(Place::Group(number)).group.clone() else { return };
        for user in 0..USERS {
            let at = self.devices.iter().position(|device| device.user == user).unwrap();
            let mut fields = Vec::new();
            groups::write_members(&mut fields, &self.group(number), None);
            let reply = self.devices[at].client.call(Method::GroupMembers, fields.into());
            if !group.members.contains_key(&user) {
                assert_eq!(reply.reason, Reason::NoChannel, "members of group {number} for user {user}");
                continue;
            }
            let page = MembersPage::decode(reply.fields).unwrap();
            let got: Vec<_> = page
                .members
                .iter()
                .map(|member| (member.user.clone(), member.role, member.muted_until_ms > 0, member.nickname.to_vec()))
                .collect();
            let want: Vec<_> = group
                .members
                .iter()
                .map(|(user, member)| (self.user(*user), member.role, member.is_muted, member.nickname.clone()))
                .collect();
            assert_eq!(got, want, "members of group {number}");
        }
    }
}

const fn is_about_members(kind: ImageKind) -> bool {
    !matches!(
        kind,
        ImageKind::Message | ImageKind::Edited | ImageKind::Revoked | ImageKind::Reacted | ImageKind::Pinned
    )
}
