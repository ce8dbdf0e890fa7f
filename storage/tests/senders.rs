//! What a sender had accepted is a state table: a crash in the middle of a checkpoint changes no answer.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use postrider_protocol::{Channel, Id, Sender, SenderKind, Tlvs};
use postrider_storage::{MemoryDisk, Placed, SenderTable, fold};
use world::{Truth, World, id, options};

fn long(at: u64) -> Id {
    id(&format!("{:x>120}{at:08}", ""))
}

/// Groups with long ids, all of one slot.
fn groups() -> Vec<Channel> {
    let group = |at| Channel::group(&long(at));
    let slot = group(0).slot(0);
    (0..).map(group).filter(|channel| channel.slot(0) == slot).take(64).collect()
}

/// Entries by senders of one user: one with as many answers as a sender can have, and more one-shot senders than the
/// table has.
fn entries(truth: &mut Truth, groups: &[Channel], round: u64) -> Vec<Placed> {
    let mut entries = Vec::new();
    for at in 0..60u64 {
        let sender = Sender::issue(SenderKind::Kept, 77);
        let number = round * 40 + at + 1;
        let channel = &groups[(number % 64) as usize];
        entries.push(truth.decide_as(sender, number, number.saturating_sub(63).max(1), &long(1), channel));
    }
    for at in 0..50u64 {
        let sender = Sender::issue(SenderKind::OneShot, 1_000 + round * 50 + at);
        entries.push(truth.decide_as(sender, 1, 1, &long(1), &groups[(at % 3) as usize]));
    }
    entries
}

#[test]
fn s23_answers_survive_a_crash_at_every_write_of_a_checkpoint() {
    let mut options = options("unused");
    options.checkpoint_bytes = 1 << 20;
    let groups = groups();
    for budget in 0..160 {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        let first = entries(&mut world.truth, &groups, 0);
        world.commit(&first);
        world.opened.materialiser.checkpoint().unwrap();
        let second = entries(&mut world.truth, &groups, 1);
        world.commit(&second);
        let world = world.cut_checkpoint(&disk, &options, budget);
        let tables: Vec<_> = world.truth.senders.keys().collect();
        assert_eq!(tables.len(), 1);
        let table = world.opened.store.senders(tables[0].0, 0, &tables[0].2).unwrap();
        assert_eq!(table.senders.len(), 1 + fold::SENDERS);
        assert!(table.may_be_forgotten(&Sender::issue(SenderKind::OneShot, 1_000)));
        assert!(!table.may_be_forgotten(&Sender::issue(SenderKind::Kept, 1)));
        let kept = table.get(&Sender::issue(SenderKind::Kept, 77)).unwrap();
        assert!(kept.answers.len() > 40 && kept.answers.iter().all(|answer| answer.number >= kept.floor));
    }
}

#[test]
fn an_entry_folded_twice_changes_nothing() {
    let mut truth = Truth::default();
    let placed: Vec<Placed> = (0..400u64).map(|at| truth.some(at.wrapping_mul(2_654_435_761) >> 7)).collect();
    let mut again = truth.clone();
    for placed in &placed {
        again.fold_rows(placed);
    }
    assert_eq!(again.channels, truth.channels);
    assert_eq!(again.rows, truth.rows);
    assert_eq!(again.senders, truth.senders);
}

#[test]
fn the_intent_tells_every_change_of_what_is_asked() {
    let tlvs = |text: &'static [u8]| Tlvs::from_pairs([(1, text)]);
    let (channel, other) = (Channel::group(&id("one")), Channel::group(&id("two")));
    let all = [
        fold::intent(1, 0, &channel, &Tlvs::new(), b"ab"),
        fold::intent(1, 0, &other, &Tlvs::new(), b"ab"),
        fold::intent(1, 0, &channel, &Tlvs::new(), b"ac"),
        fold::intent(1, 1, &channel, &Tlvs::new(), b"ab"),
        fold::intent(10, 0, &channel, &Tlvs::new(), b"ab"),
        fold::intent(1, 0, &channel, &tlvs(b"a"), b"b"),
        fold::intent(1, 0, &channel, &tlvs(b"ab"), b""),
    ];
    for (at, crc) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(crc));
    }
}

#[test]
fn an_answer_is_found_whatever_numbers_were_left_out_or_came_late() {
    let mut table = SenderTable::default();
    let sender = Sender::issue(SenderKind::Kept, 9);
    let order = [3, 5, 4, 9, 20, 21, 64, 60];
    for (position, &number) in (1..).zip(&order) {
        let entry = fold::Numbered { sender, number, oldest: 4, seq: number + 100, time_ms: 1, crc: 7 };
        table.apply(position, &entry);
    }
    let row = table.get(&sender).unwrap();
    for number in 0..80 {
        let known = order.contains(&number) && number >= 4;
        assert_eq!(row.answer(number).map(|answer| answer.seq), known.then_some(number + 100), "{number}");
    }
    let entry = fold::Numbered { sender, number: 1_000, oldest: 4, seq: 1, time_ms: 1, crc: 7 };
    table.apply(9, &entry);
    let row = table.get(&sender).unwrap();
    assert_eq!((row.floor, row.answers.len()), (937, 1), "no more than the window of numbers is kept");
}
