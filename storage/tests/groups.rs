//! What entries about groups make of rows, the same in decide, view and store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod world;

use postrider_protocol::{Channel, Id, ImageKind, Tlvs, Writer as _, packet::groups, tag};
use postrider_storage::{
    ConversationRow, GroupRow, MemberRow, OfState, RequestRow, Span, StateKey, Waiting,
    fold::{self, request},
};
use world::{Truth, id};

struct Group {
    truth: Truth,
    channel: Channel,
}

impl Group {
    fn new() -> Self {
        let mut group = Self { truth: Truth::default(), channel: Channel::group(&id("team")) };
        let tlvs = Tlvs::from_pairs([(tag::NAME, &b"Team"[..]), (tag::JOIN_MODE, &[0, 0, 0, 1])]);
        group.say(ImageKind::GroupCreated as u8, "alice", tlvs, &list(&["bob"]), 0);
        group
    }

    fn say(&mut self, kind: u8, by: &str, tlvs: Tlvs, body: &[u8], read: u64) {
        let channel = self.channel.clone();
        self.truth.decide(kind, &id(by), &channel, tlvs, body, read);
    }

    fn users(&mut self, kind: ImageKind, by: &str, users: &[&str], read: u64) {
        self.say(kind as u8, by, Tlvs::new(), &list(users), read);
    }

    fn waits(&mut self, op: u8, by: &str, users: &[&str]) {
        let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
        self.say(fold::REQUEST_KIND, by, Tlvs::new(), &request::body(op, b"hi", &users), 0);
    }

    fn row<R: OfState + Clone>(&self, key: StateKey) -> Option<R> {
        let row = self.truth.rows.get(&(0, self.channel.clone(), key));
        row.and_then(|row| row.as_ref()).and_then(R::of).cloned()
    }

    fn member(&self, user: &str) -> MemberRow {
        self.row(StateKey::Member(id(user))).unwrap()
    }

    fn conversation(&self, user: &str) -> ConversationRow {
        self.row(StateKey::Conversation(id(user))).unwrap()
    }

    fn group(&self) -> GroupRow {
        self.row(StateKey::Group).unwrap()
    }
}

fn list(users: &[&str]) -> Vec<u8> {
    let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
    let mut body = Vec::new();
    groups::write_users(&mut body, &users);
    body
}

#[test]
fn a_group_row_is_what_its_entries_say() {
    let mut group = Group::new();
    let row = group.group();
    assert_eq!((row.fields.get_text(tag::NAME), row.join_mode, row.is_dismissed), (Some("Team"), 1, false));
    let set =
        [(tag::NAME, &b""[..]), (tag::CUSTOM, b"{}"), (tag::HISTORY, &[0, 0, 0, 1]), (tag::MAX_MEMBERS, &[0, 0, 0, 9])];
    group.say(ImageKind::GroupChanged as u8, "alice", Tlvs::from_pairs(set), b"", 0);
    let row = group.group();
    assert_eq!(row.fields, Tlvs::from_pairs([(tag::CUSTOM, &b"{}"[..])]), "an empty field is none");
    assert_eq!((row.join_mode, row.shows_history, row.max_members), (1, true, 9));
    let mut body = Vec::new();
    groups::write_members_muted(&mut body, 77, &[]);
    group.say(ImageKind::MembersMuted as u8, "alice", Tlvs::new(), &body, 0);
    assert_eq!((group.group().muted_until_ms, group.member("bob").muted_until_ms), (77, 0));
    group.say(ImageKind::GroupDismissed as u8, "alice", Tlvs::new(), b"", 0);
    assert!(group.group().is_dismissed);
    assert_eq!(group.truth.channels[&(0, group.channel.clone())].as_ref().unwrap().members, 2);
}

#[test]
fn members_have_roles_mutes_and_nicknames_that_outlast_their_going() {
    let mut group = Group::new();
    let mut body = Vec::new();
    groups::write_roles_changed(&mut body, 1, &[id("bob")]);
    group.say(ImageKind::RolesChanged as u8, "alice", Tlvs::new(), &body, 0);
    assert_eq!((group.member("bob").role, group.member("alice").role), (fold::ADMIN, fold::OWNER));
    body.clear();
    groups::write_members_muted(&mut body, 99, &[id("bob")]);
    group.say(ImageKind::MembersMuted as u8, "alice", Tlvs::new(), &body, 0);
    group.say(ImageKind::NicknameChanged as u8, "bob", Tlvs::new(), b"Bobby", 0);
    body.clear();
    body.bytes8(b"bob");
    group.say(ImageKind::OwnerChanged as u8, "alice", Tlvs::new(), &body, 0);
    assert_eq!((group.member("bob").role, group.member("alice").role), (fold::OWNER, fold::ADMIN));
    group.users(ImageKind::MembersLeft, "alice", &["alice"], 0);
    assert_eq!((group.member("alice").role, group.member("alice").left), (0, Some(6)));
    group.users(ImageKind::MembersRemoved, "bob", &["bob"], 0);
    group.users(ImageKind::MembersJoined, "alice", &["bob"], 0);
    let bob = group.member("bob");
    assert_eq!((bob.role, bob.muted_until_ms, &bob.nickname[..]), (0, 99, &b"Bobby"[..]));
    assert_eq!((bob.joined, bob.left, bob.inviter), (7, None, Some(id("alice"))));
    assert_eq!(bob.earlier, [Span { above: 0, through: 7 }]);
}

#[test]
fn who_waits_is_known_until_they_join_or_wait_no_more() {
    let mut group = Group::new();
    let waits = |group: &Group, user: &str| group.row::<RequestRow>(StateKey::Request(id(user)));
    group.waits(request::ASK, "carol", &["carol"]);
    let row = waits(&group, "carol").unwrap();
    assert_eq!((row.is_invitation, row.by, &row.text[..]), (false, id("carol"), &b"hi"[..]));
    let view = group.conversation("carol");
    assert_eq!((view.waiting, view.visible_to), (Waiting::Asked, Some(0)), "nothing is visible to who waits");
    group.waits(request::INVITE, "alice", &["carol", "dave", "eve"]);
    let row = waits(&group, "carol").unwrap();
    assert_eq!((row.is_invitation, row.by), (true, id("alice")));
    assert_eq!(group.conversation("dave").waiting, Waiting::Invited);
    group.waits(request::END, "dave", &["dave"]);
    assert_eq!((waits(&group, "dave"), group.conversation("dave").waiting), (None, Waiting::No));
    group.users(ImageKind::MembersJoined, "carol", &["carol"], 0);
    assert_eq!(waits(&group, "carol"), None);
    let view = group.conversation("carol");
    assert_eq!((view.waiting, view.visible_from, view.visible_to, view.earlier), (Waiting::No, 1, None, vec![]));
    assert!(waits(&group, "eve").is_some());
}

#[test]
fn history_shows_what_was_before_and_each_stay_is_a_span_without_it() {
    let mut group = Group::new();
    group.users(ImageKind::MembersRemoved, "alice", &["bob"], 0);
    group.users(ImageKind::MembersJoined, "alice", &["bob"], 0);
    let view = group.conversation("bob");
    assert_eq!((view.visible_from, &view.earlier[..]), (2, &[Span { above: 0, through: 2 }][..]));
    group.users(ImageKind::MembersLeft, "bob", &["bob"], 0);
    assert_eq!(group.conversation("bob").visible_to, Some(4));
    group.say(1, "alice", Tlvs::new(), b"unseen", 0);
    group.users(ImageKind::MembersJoined, "alice", &["bob"], 0);
    let view = group.conversation("bob");
    assert!([1, 2, 3, 4, 6].iter().all(|seq| view.may_see(*seq)) && !view.may_see(5));
    group.users(ImageKind::MembersRemoved, "alice", &["bob"], 0);
    group.users(ImageKind::MembersJoined, "alice", &["bob", "carol"], fold::HISTORY);
    for user in ["bob", "carol"] {
        assert!((1..=8).all(|seq| group.conversation(user).may_see(seq)), "{user}");
    }
}
