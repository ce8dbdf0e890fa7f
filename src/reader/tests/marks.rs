//! What marks, waiting and settings make of the answers.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, GapReason, ImageKind, Method, Reason, Tlvs, Writer as _, image_flag,
    packet::{
        CallPacket, Conversation, Gap, ListPacket, Packet, SendPacket, SyncItem, SyncPacket, conversation_flag as flag,
        groups,
        marks::{self, ReceiptsPage},
    },
    tag,
};
use postrider_storage::{SlotState, StateKey, fold};

use super::{World, asker, user};
use crate::{
    metrics::Metrics,
    slot::{Act, Command, Decided, Decider, Now, Submission, sample},
};

const ME: usize = 1;

fn group(name: &str) -> Channel {
    Channel::group(&name.parse().unwrap())
}

fn users(list: &[usize]) -> Vec<u8> {
    let mut body = Vec::new();
    groups::write_users(&mut body, &list.iter().map(|at| user(*at)).collect::<Vec<_>>());
    body
}

fn number(tag: u16, number: u32) -> Tlvs {
    Tlvs::from_pairs([(tag, &number.to_be_bytes()[..])])
}

impl World {
    fn image(&mut self, kind: ImageKind, by: usize, channel: &Channel, body: &[u8]) {
        self.entry((kind.number(), image_flag::COUNTABLE), by, channel, &Tlvs::new(), body, 0);
    }

    fn control(&mut self, kind: u8, by: usize, channel: &Channel, tlvs: &Tlvs, body: &[u8]) {
        self.entry((kind, 0), by, channel, tlvs, body, 0);
        self.commit();
    }

    /// Whether the user keeps receipts private.
    fn private(&mut self, at: usize, is: u32) {
        self.control(fold::USER_KIND, at, &Channel::user(&user(at)), &number(tag::RECEIPTS_PRIVATE, is), b"");
    }

    fn listed(&mut self, at: usize, token: &Bytes) -> (Vec<Conversation>, Bytes) {
        self.commit();
        let ask = ListPacket { request: 1, token: token.clone(), page: Bytes::new(), limit: 0, tlvs: Tlvs::new() };
        match self.reader.list(&asker(at), &ask, self.now_ms).unwrap() {
            Packet::Listed(listed) => (listed.conversations, listed.token),
            other => panic!("{other:?}"),
        }
    }

    fn receipts(&mut self, at: usize, channel: &Channel, seq: u64) -> Result<(u32, u32, u32), Reason> {
        self.commit();
        let mut fields = Vec::new();
        marks::write_receipts(&mut fields, channel, seq, None);
        let call = CallPacket {
            request: 1,
            method: Method::Receipts.number(),
            number: 0,
            oldest: 0,
            fields: fields.into(),
            tlvs: Tlvs::new(),
        };
        match self.reader.call(&asker(at), &call, None, self.now_ms).unwrap() {
            Packet::Reply(reply) if reply.reason == Reason::Ok => {
                let page = ReceiptsPage::decode(reply.fields).unwrap();
                Ok((page.members, page.delivered, page.read))
            }
            Packet::Reply(reply) => Err(reply.reason),
            other => panic!("{other:?}"),
        }
    }

    /// What an owner of all slots that begins now decides for one command of the user.
    fn decide(&mut self, at: usize, command: Command) -> Decided {
        self.commit();
        self.materialiser.checkpoint().unwrap();
        let rules = sample::rules(9, Arc::new(Metrics::new()));
        let slots: Vec<SlotState> = (0..=255)
            .map(|slot| SlotState {
                epoch: 1,
                position: self.positions.get(&slot).copied().unwrap_or_default(),
                time_ms: self.now_ms,
            })
            .collect();
        let mut decider = Decider::new(self.reader.lookup.clone(), Arc::new(rules), &slots, 0, 1).unwrap();
        let origin = sample::origin(1, user(at), None);
        let submission = Submission { origin: Arc::new(origin), at_ms: 0, commands: vec![command] };
        decider.decide(Now { wall_ms: self.now_ms, mono_ms: 0 }, vec![submission]).unwrap()
    }

    /// The `read` of the entry that READ of the user makes, or none when it makes none.
    fn decided_read(&mut self, at: usize, channel: &Channel, seq: u64) -> Option<u64> {
        let mut fields = Vec::new();
        marks::write_mark(&mut fields, channel, seq);
        let (method, number) = (Method::Read.number(), 1);
        let call = CallPacket { request: 1, method, number, oldest: 1, fields: fields.into(), tlvs: Tlvs::new() };
        let (channel, act) = Act::read(Method::Read, &call, &user(at), None).unwrap();
        let decided = self.decide(at, Command::Act { request: 1, number, oldest: 1, channel, act });
        decided.accepted.first().map(|accepted| accepted.read)
    }
}

/// Trap 29: it hides both ways, and in the counts.
#[test]
fn a_mark_made_in_private_is_told_to_nobody() {
    for channel in [Channel::person(&user(0), &user(ME)), group("g")] {
        let mut world = World::new();
        if channel.kind() == ChannelKind::Group {
            world.image(ImageKind::GroupCreated, 0, &channel, &users(&[ME]));
        } else {
            world.image(ImageKind::Message, 0, &channel, b"1");
        }
        (0..3).for_each(|_| world.image(ImageKind::Message, 0, &channel, b"x"));
        world.commit();
        assert_eq!(world.decided_read(ME, &channel, 2), Some(0));
        world.control(fold::READ_KIND, ME, &channel, &Tlvs::new(), &2_u64.to_be_bytes());
        world.private(ME, 1);
        assert_eq!(world.decided_read(ME, &channel, 3), Some(fold::PRIVATE));
        assert_eq!(world.decided_read(ME, &channel, 2), None, "it changes nothing");
        let tlvs = Tlvs::from_pairs([(tag::READ, &3_u64.to_be_bytes()[..])]);
        let (flags, body) = (image_flag::COUNTABLE, Bytes::from_static(b"y"));
        let send = SendPacket { number: 1, oldest: 1, channel: channel.clone(), flags, body, tlvs };
        let decided = world.decide(ME, Command::Send(send));
        assert_eq!(decided.accepted[0].read, 3 | fold::PRIVATE);
        world.entry((fold::READ_KIND, 0), ME, &channel, &Tlvs::new(), &3_u64.to_be_bytes(), fold::PRIVATE);
        assert_eq!((world.receipts(0, &channel, 2), world.receipts(0, &channel, 3)), (Ok((1, 1, 1)), Ok((1, 0, 0))));
        assert_eq!(world.receipts(ME, &channel, 2), Err(Reason::NotAllowed));
        assert_eq!(world.listed(ME, &Bytes::new()).0[0].read, 3, "for the user it is read");
        world.private(ME, 0);
        assert_eq!(world.receipts(ME, &channel, 2), Ok((1, 1, 1)));
        assert_eq!(world.receipts(0, &channel, 3), Ok((1, 0, 0)), "also later");
        world.control(fold::READ_KIND, ME, &channel, &Tlvs::new(), &4_u64.to_be_bytes());
        assert_eq!(world.receipts(0, &channel, 4), Ok((1, 1, 1)));
        world = world.crash();
        assert_eq!(world.receipts(0, &channel, 4), Ok((1, 1, 1)));
    }
}

fn waits(op: u8, users_: &[usize]) -> Vec<u8> {
    let mut body = vec![op];
    body.bytes16(b"please");
    body.raw(&users(users_));
    body
}

#[test]
fn who_waits_for_a_group_has_it_in_their_list() {
    for (op, by, expected) in [(fold::request::INVITE, 0, flag::INVITED), (fold::request::ASK, ME, flag::ASKED)] {
        let (mut world, channel) = (World::new(), group("g"));
        world.image(ImageKind::GroupCreated, 0, &channel, &users(&[]));
        world.image(ImageKind::Message, 0, &channel, b"2");
        let other = Channel::person(&user(2), &user(ME));
        world.image(ImageKind::Message, 2, &other, b"x");
        let (before, token) = world.listed(ME, &Bytes::new());
        assert_eq!(before.len(), 1);
        world.control(fold::REQUEST_KIND, by, &channel, &Tlvs::new(), &waits(op, &[ME]));
        let (changed, token) = world.listed(ME, &token);
        assert_eq!(changed.len(), 1);
        let shown = &changed[0];
        assert_eq!((&shown.channel, shown.flags, shown.head), (&channel, flag::LEFT | expected, 0));
        assert_eq!((shown.unread, shown.sync_from, shown.image.len()), (0, 0, 0), "nothing of it is told");
        let all = world.listed(ME, &Bytes::new()).0;
        assert_eq!(all.iter().map(|listed| &listed.channel).collect::<Vec<_>>(), [&channel, &other], "newest first");
        world.image(ImageKind::Message, 0, &channel, b"3");
        assert!(world.listed(ME, &token).0.is_empty(), "what comes is not theirs");
        assert_eq!(world.receipts(ME, &channel, 2), Err(Reason::NoChannel));
        world.control(fold::REQUEST_KIND, 0, &channel, &Tlvs::new(), &waits(fold::request::END, &[ME]));
        let (changed, token) = world.listed(ME, &token);
        assert_eq!((changed[0].flags, changed[0].head), (flag::LEFT, 0));
        world.control(fold::REQUEST_KIND, by, &channel, &Tlvs::new(), &waits(op, &[ME]));
        world.image(ImageKind::MembersJoined, 0, &channel, &users(&[ME]));
        let (changed, _) = world.listed(ME, &token);
        assert_eq!((changed[0].flags, changed[0].head, changed[0].sync_from), (0, 4, 3));
    }
}

#[test]
fn a_dismissed_group_and_a_blocked_user_are_told_as_such() {
    let (mut world, channel) = (World::new(), group("g"));
    world.image(ImageKind::GroupCreated, 0, &channel, &users(&[ME]));
    let (_, token) = world.listed(ME, &Bytes::new());
    world.image(ImageKind::GroupDismissed, 0, &channel, b"");
    let (changed, _) = world.listed(ME, &token);
    assert_eq!((changed[0].flags, changed[0].head), (flag::DISMISSED, 2));
    let other = Channel::person(&user(2), &user(ME));
    world.control(fold::BLOCK_KIND, ME, &other, &Tlvs::new(), &[1]);
    world.image(ImageKind::Message, ME, &other, b"x");
    let flags = |world: &mut World, at| {
        let all = world.listed(at, &Bytes::new()).0;
        all.iter().find(|listed| listed.channel == other).unwrap().flags
    };
    assert_eq!((flags(&mut world, ME), flags(&mut world, 2)), (flag::BLOCKED, 0));
}

#[test]
fn what_a_user_deleted_for_themselves_is_a_gap_and_no_preview() {
    let (mut world, channel) = (World::new(), Channel::person(&user(0), &user(ME)));
    (0..6).for_each(|_| world.image(ImageKind::Message, 0, &channel, b"x"));
    let hide = |from: u64, to: u64| [from.to_be_bytes(), to.to_be_bytes()].concat();
    world.control(fold::HIDE_KIND, ME, &channel, &Tlvs::new(), &hide(2, 3));
    world.control(fold::HIDE_KIND, ME, &channel, &Tlvs::new(), &hide(6, 6));
    let listed = world.listed(ME, &Bytes::new()).0.remove(0);
    assert_eq!((listed.head, listed.unread, listed.image.len()), (6, 3, 0));
    let sync = |limit| SyncPacket {
        request: 1,
        channel: channel.clone(),
        epoch: listed.epoch,
        from: 1,
        to: 6,
        limit,
        tlvs: Tlvs::new(),
    };
    let synced = |limit| match world.reader.sync(&asker(ME), &sync(limit), world.now_ms).unwrap() {
        Packet::Synced(synced) => {
            let gap = |item| if let SyncItem::Gap(gap) = item { Some(gap) } else { None };
            (synced.to, synced.items.into_iter().map(gap).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    let (one, two) = (Gap { from: 2, to: 3, why: GapReason::Hidden }, Gap { from: 6, to: 6, why: GapReason::Hidden });
    assert_eq!(synced(0), (6, vec![None, Some(one), None, None, Some(two)]));
    assert_eq!(synced(1), (1, vec![None]));
    assert_eq!(synced(2), (3, vec![None, Some(one)]), "a gap is an element");
    let key = StateKey::Conversation(user(ME));
    assert!(world.rows.contains_key(&(channel, key)));
}
