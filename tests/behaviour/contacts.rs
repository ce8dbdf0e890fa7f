//! Contacts: asked, accepted, called by a name, removed; and who takes messages of nobody else.

use bytes::Bytes;
use postrider_protocol::{
    Id, Method, Reason,
    packet::{
        ReplyPacket,
        people::{self, ContactsPage},
    },
    tag,
};

use crate::{
    harness::{Client, Server, channel_of, everywhere, id, on_all},
    people::{block, say},
};

const ASKED: u8 = 1;
const ASKS: u8 = 2;
const CONTACT: u8 = 3;

pub fn ask(client: &mut Client, user: &str, text: &str) -> ReplyPacket {
    let mut fields = Vec::new();
    people::write_text(&mut fields, &id(user), text);
    client.call(Method::ContactAsk, fields.into())
}

pub fn answer(client: &mut Client, user: &str, accepts: bool) -> ReplyPacket {
    let mut fields = Vec::new();
    people::write_switch(&mut fields, &id(user), accepts);
    client.call(Method::ContactAnswer, fields.into())
}

pub fn note(client: &mut Client, user: &str, text: &str) -> ReplyPacket {
    let mut fields = Vec::new();
    people::write_text(&mut fields, &id(user), text);
    client.call(Method::ContactNote, fields.into())
}

pub fn remove(client: &mut Client, user: &str) -> ReplyPacket {
    let mut fields = Vec::new();
    people::write_user(&mut fields, &id(user));
    client.call(Method::ContactRemove, fields.into())
}

/// All contacts and who waits, with states and texts.
pub fn contacts(client: &mut Client) -> Vec<(String, u8, String)> {
    let (mut all, mut after) = (Vec::new(), None::<Id>);
    loop {
        let mut fields = Vec::new();
        people::write_optional(&mut fields, after.as_ref());
        let reply = client.call(Method::Contacts, fields.into());
        assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
        let page = ContactsPage::decode(reply.fields).unwrap();
        after = page.contacts.last().map(|contact| contact.user.clone());
        all.extend(page.contacts.into_iter().map(|contact| {
            (contact.user.to_string(), contact.state, String::from_utf8(contact.text.to_vec()).unwrap())
        }));
        if !page.more {
            return all;
        }
    }
}

#[track_caller]
fn ok(reply: ReplyPacket) {
    assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "{reply:?}");
}

fn told(user: &str, state: u8, text: &str) -> Vec<(String, u8, String)> {
    vec![(user.to_owned(), state, text.to_owned())]
}

#[test]
fn a_contact_is_asked_accepted_called_by_a_name_and_removed() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        ok(ask(&mut alice, &b, "it's me"));
        assert_eq!(contacts(&mut alice), told(&b, ASKED, ""));
        assert_eq!(contacts(&mut bob), told(&a, ASKS, "it's me"));
        ok(answer(&mut bob, &a, true));
        ok(note(&mut bob, &a, "Alice from work"));
        assert_eq!(contacts(&mut alice), told(&b, CONTACT, ""), "a note is its author's alone");
        assert!(alice.list(&Bytes::new()).0.is_empty(), "nothing was written yet");
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        assert_eq!(contacts(&mut bob), told(&a, CONTACT, "Alice from work"));
        ok(remove(&mut alice, &b));
        assert_eq!((contacts(&mut alice), contacts(&mut bob)), (vec![], vec![]), "for both");
    });
}

#[test]
fn two_who_ask_each_other_are_contacts() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        ok(ask(&mut alice, &b, "hi"));
        ok(ask(&mut bob, &a, "hi too"));
        assert_eq!((contacts(&mut alice), contacts(&mut bob)), (told(&b, CONTACT, ""), told(&a, CONTACT, "")));
    });
}

#[test]
fn a_request_is_refused_or_taken_back_and_may_come_again() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        ok(ask(&mut alice, &b, "please"));
        ok(ask(&mut alice, &b, "pretty please"));
        assert_eq!(contacts(&mut bob), told(&a, ASKS, "please"), "once is enough");
        ok(answer(&mut bob, &a, false));
        assert_eq!((contacts(&mut alice), contacts(&mut bob)), (vec![], vec![]));
        ok(ask(&mut alice, &b, "again"));
        ok(remove(&mut alice, &b));
        assert_eq!((contacts(&mut alice), contacts(&mut bob)), (vec![], vec![]));
        ok(remove(&mut alice, &b));
    });
}

#[test]
fn what_makes_no_sense_between_two_users_is_refused() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        assert_eq!(answer(&mut alice, &b, true).reason, Reason::NoTarget, "nobody asked");
        ok(ask(&mut alice, &b, ""));
        assert_eq!(answer(&mut alice, &b, true).reason, Reason::NoTarget, "who asks does not answer");
        assert_eq!(note(&mut alice, &b, "x").reason, Reason::NotContacts, "not yet");
        for reply in
            [ask(&mut alice, &a, ""), answer(&mut alice, &a, true), note(&mut alice, &a, "x"), remove(&mut alice, &a)]
        {
            assert_eq!(reply.reason, Reason::NotAllowed, "oneself");
        }
        ok(block(&mut bob, &a, true));
        assert_eq!(answer(&mut bob, &a, true).reason, Reason::Blocked);
        ok(remove(&mut alice, &b));
        assert_eq!(ask(&mut alice, &b, "").reason, Reason::Blocked);
        assert_eq!(ask(&mut bob, &a, "").reason, Reason::Blocked);
        let mut long = Vec::new();
        people::write_text(&mut long, &id(&b), &"x".repeat(257));
        assert_eq!(alice.call(Method::ContactAsk, long.into()).reason, Reason::Malformed);
    });
}

#[test]
fn who_takes_messages_of_contacts_only_gets_no_others_from_that_moment_on() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        let (with_bob, with_carol) = (channel_of(&a, &b), channel_of(&a, &carol.user));
        assert_eq!(bob.send(&with_bob, "before"), 1);
        ok(ask(&mut carol, &a, ""));
        ok(answer(&mut alice, &carol.user.clone(), true));
        ok(say(&mut alice, &[(tag::CONTACTS_ONLY, &[0, 0, 0, 1])]));
        let ack = bob.try_send(&with_bob, "no");
        assert_eq!((ack.reason, ack.seq), (Reason::NotContacts, 0));
        assert_eq!(carol.send(&with_carol, "a contact"), 1);
        assert_eq!(alice.send(&with_bob, "who is strict may write to others"), 2);
        ok(say(&mut alice, &[(tag::CONTACTS_ONLY, &[0; 4])]));
        assert_eq!(bob.send(&with_bob, "as before"), 3);
        ok(say(&mut alice, &[(tag::CONTACTS_ONLY, &[0, 0, 0, 1])]));
        ok(remove(&mut carol, &a));
        assert_eq!(carol.try_send(&with_carol, "no contact any more").reason, Reason::NotContacts);
        assert_eq!(
            world.connect("dave").try_send(&channel_of(&a, &world.name("dave")), "x").reason,
            Reason::NotContacts
        );
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        assert_eq!(bob.try_send(&channel, "no").reason, Reason::NotContacts);
        ok(ask(&mut bob, &world.name("alice"), "let me in"));
        ok(answer(&mut alice, &world.name("bob"), true));
        assert_eq!(bob.send(&channel, "thanks"), 4);
    });
}
