//! What becomes of rows about users: profiles, devices, blocks, contacts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod world;

use postrider_protocol::{Channel, Id, Tlvs, tag};
use postrider_storage::{Contact, ConversationRow, DeviceRow, OfState, StateKey, UserRow, fold, fold::contact};
use world::{Truth, id};

fn row<R: OfState + Clone>(truth: &Truth, channel: &Channel, key: StateKey) -> Option<R> {
    truth.rows.get(&(0, channel.clone(), key))?.as_ref().and_then(R::of).cloned()
}

struct Two {
    truth: Truth,
    alice: Id,
    bob: Id,
    channel: Channel,
}

impl Two {
    fn new() -> Self {
        let (alice, bob) = (id("alice"), id("bob"));
        Self { truth: Truth::default(), channel: Channel::person(&alice, &bob), alice, bob }
    }

    fn say(&mut self, from: &str, op: u8, text: &str) {
        let mut body = vec![op, 0, text.len() as u8];
        body.extend(text.as_bytes());
        let placed = self.truth.decide(fold::CONTACT_KIND, &id(from), &self.channel, Tlvs::new(), &body, 0);
        // Folded again, as after a crash, it changes nothing.
        let rows = self.truth.rows.clone();
        self.truth.fold_rows(&placed);
        assert_eq!(self.truth.rows, rows);
    }

    fn of(&self, user: &Id) -> ConversationRow {
        row(&self.truth, &self.channel, StateKey::Conversation(user.clone())).unwrap_or_default()
    }

    #[track_caller]
    fn are(&self, alice: (Contact, &str), bob: (Contact, &str)) {
        for (user, (contact, note)) in [(&self.alice, alice), (&self.bob, bob)] {
            let row = self.of(user);
            assert_eq!((row.contact, &row.note[..]), (contact, note.as_bytes()), "{user}");
        }
    }
}

#[test]
fn contacts_are_asked_accepted_named_and_ended() {
    let mut two = Two::new();
    two.say("alice", contact::ASK, "hello");
    two.are((Contact::Asked, ""), (Contact::Asking, "hello"));
    two.say("bob", contact::ACCEPT, "");
    two.are((Contact::Yes, ""), (Contact::Yes, ""));
    two.say("bob", contact::NOTE, "Alice");
    two.are((Contact::Yes, ""), (Contact::Yes, "Alice"));
    two.say("alice", contact::ASK, "again");
    two.are((Contact::Yes, ""), (Contact::Yes, "Alice"));
    two.say("alice", contact::END, "");
    two.are((Contact::No, ""), (Contact::No, ""));
}

#[test]
fn two_who_ask_each_other_are_contacts() {
    let mut two = Two::new();
    two.say("alice", contact::ASK, "hello");
    two.say("bob", contact::ASK, "hello too");
    two.are((Contact::Yes, ""), (Contact::Yes, ""));
}

#[test]
fn a_block_is_the_author_s_alone_and_makes_no_message() {
    let mut two = Two::new();
    let (bob, channel) = (two.bob.clone(), two.channel.clone());
    for is in [1, 0, 1] {
        two.truth.decide(fold::BLOCK_KIND, &bob, &channel, Tlvs::new(), &[is], 0);
        assert_eq!((two.of(&bob).blocks, two.of(&two.alice).blocks), (is == 1, false));
    }
    assert_eq!(two.truth.head(&channel), 0);
    assert_eq!(two.truth.channels[&(0, channel)], None);
}

struct One {
    truth: Truth,
    user: Id,
    own: Channel,
}

impl One {
    fn new() -> Self {
        Self { truth: Truth::default(), user: id("alice"), own: Channel::user(&id("alice")) }
    }

    fn decide(&mut self, kind: u8, tlvs: &[(u16, &[u8])], named: &str) {
        let mut body = vec![named.len() as u8];
        body.extend(named.as_bytes());
        let body = if named.is_empty() { Vec::new() } else { body };
        let tlvs = Tlvs::from_pairs(tlvs.iter().copied());
        let (user, own) = (self.user.clone(), self.own.clone());
        self.truth.decide(kind, &user, &own, tlvs, &body, 0);
    }

    /// A device comes, and one makes room.
    fn come(&mut self, device: &str, room: &str) {
        self.decide(fold::DEVICE_KIND, &[(tag::PLATFORM, b"ios"), (fold::DEVICE_TAG, device.as_bytes())], room);
    }

    fn remove_others(&mut self, kept: &str) {
        self.decide(fold::DEVICE_REMOVED_KIND, &[(fold::DEVICE_TAG, kept.as_bytes())], "");
    }

    fn device(&self, device: &str) -> Option<DeviceRow> {
        row(&self.truth, &self.own, StateKey::Device(id(device)))
    }

    fn row(&self) -> UserRow {
        row(&self.truth, &self.own, StateKey::User).unwrap()
    }

    fn now_ms(&self) -> u64 {
        1_000_000 + self.truth.clock
    }
}

#[test]
fn a_device_is_removed_until_it_comes_again() {
    let mut one = One::new();
    one.come("phone", "");
    let first = one.device("phone").unwrap();
    assert_eq!((first.first_ms, first.last_ms, first.is_removed(0)), (one.now_ms(), one.now_ms(), false));
    one.decide(fold::DEVICE_REMOVED_KIND, &[], "phone");
    let removed_ms = one.now_ms();
    assert!(one.device("phone").unwrap().is_removed(0));
    one.come("phone", "");
    let again = one.device("phone").unwrap();
    assert_eq!((again.first_ms, again.removed_ms, again.is_removed(0)), (first.first_ms, removed_ms, false));
    assert!(again.is_removed(one.now_ms()) && !again.is_removed(one.now_ms() - 1), "with all others");
}

#[test]
fn a_device_that_makes_room_is_forgotten_but_not_that_it_was_removed() {
    let mut one = One::new();
    one.come("plain", "");
    one.come("other", "plain");
    assert_eq!(one.device("plain"), None);
    one.decide(fold::DEVICE_REMOVED_KIND, &[], "other");
    let removed_ms = one.now_ms();
    one.come("other", "");
    one.come("third", "other");
    let other = one.device("other").unwrap();
    assert_eq!((other.removed_ms, other.is_removed(0)), (removed_ms, true));
    one.come("fourth", "other");
    assert_eq!(one.device("other"), None, "when it need not be remembered any more");
}

#[test]
fn who_is_kept_later_was_removed_before() {
    let mut one = One::new();
    one.remove_others("a");
    let first_ms = one.now_ms();
    one.remove_others("a");
    let second_ms = one.now_ms();
    let removed = |one: &One, device: &str| one.row().removed_of(Some(&id(device)));
    assert_eq!((removed(&one, "a"), removed(&one, "b"), one.row().removed_of(None)), (0, second_ms, second_ms));
    one.remove_others("b");
    assert_eq!((removed(&one, "a"), removed(&one, "b")), (one.now_ms(), second_ms));
    one.decide(fold::USER_KIND, &[(tag::NAME, b"Alice"), (tag::CONTACTS_ONLY, &[0, 0, 0, 1])], "");
    assert_eq!((removed(&one, "b"), one.row().contacts_only), (second_ms, true), "a profile changes nothing of that");
    assert!(first_ms < second_ms);
}

#[test]
fn what_a_device_tells_is_cut_between_two_characters() {
    let long = "ä".repeat(100);
    let told = Tlvs::from_pairs([(tag::PLATFORM, long.as_bytes()), (tag::LANGUAGE, &b"de"[..]), (0x7000, b"x")]);
    let kept = fold::of_device(&told);
    assert_eq!(kept.get_text(tag::PLATFORM), Some(&*"ä".repeat(64)));
    assert_eq!((kept.get_text(tag::LANGUAGE), kept.iter().count()), (Some("de"), 2));
}
