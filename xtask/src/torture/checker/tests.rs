//! One good history, and for each invariant histories that break it: the checker must say so, and name it.

use std::collections::BTreeSet;

use super::check;
use crate::torture::history::{Command, History, How, Intent, Listed, Outcome, Reading, Seen};

fn intent(user: u32, number: u64) -> Intent {
    Intent { user, sender: 9, number }
}

fn seen(user: u32, connection: u32, how: How, seq: u64, what: Intent) -> Seen {
    Seen { user, connection, how, channel: 0, seq, intent: Some(what) }
}

/// Users 0 and 1 in one channel: three messages of 0 and one of 1, one of them pulled, one refused, one unknown.
fn good() -> History {
    let acknowledged = |at, seq| Outcome::Acknowledged { at, seq };
    let command =
        |user, number, invoked, outcome| Command { intent: intent(user, number), channel: 0, invoked, outcome };
    let items =
        vec![(1, Some(intent(0, 1))), (2, Some(intent(0, 2))), (3, Some(intent(1, 1))), (4, Some(intent(0, 4)))];
    let reading = |user| Reading { user, channel: 0, head: 4, items: items.clone(), gaps: Vec::new() };
    History {
        members: vec![vec![0, 1]],
        commands: vec![
            command(0, 1, 10, acknowledged(20, 1)),
            command(0, 2, 15, acknowledged(40, 2)),
            command(0, 3, 16, Outcome::Refused),
            command(0, 4, 60, Outcome::Unknown),
            command(1, 1, 45, acknowledged(50, 3)),
        ],
        answers: vec![(intent(0, 1), 1), (intent(0, 2), 2), (intent(0, 1), 1), (intent(1, 1), 3)],
        seen: vec![
            seen(1, 0, How::Pushed, 1, intent(0, 1)),
            seen(1, 0, How::Pushed, 2, intent(0, 2)),
            seen(1, 1, How::Pulled, 2, intent(0, 2)),
            seen(1, 1, How::Pulled, 4, intent(0, 4)),
            seen(0, 0, How::Pushed, 3, intent(1, 1)),
            seen(0, 1, How::Pulled, 4, intent(0, 4)),
        ],
        listed: vec![Listed { user: 1, channel: 0, sync_from: 2, head: 3, acknowledged: 2, settled: 2 }],
        readings: vec![reading(0), reading(1)],
    }
}

fn broken(history: &History) -> BTreeSet<u8> {
    check(history).into_iter().map(|violation| violation.invariant).collect()
}

/// Which invariants the good history breaks after `change`.
fn after(change: impl FnOnce(&mut History)) -> BTreeSet<u8> {
    let mut history = good();
    change(&mut history);
    broken(&history)
}

#[test]
fn a_good_history_breaks_nothing() {
    assert_eq!(check(&good()), []);
}

#[test]
fn i1_an_acknowledged_message_is_gone() {
    let lost = after(|history| {
        for reading in &mut history.readings {
            reading.items.pop();
            reading.items.pop();
            reading.head = 2;
        }
        history.seen.retain(|seen| seen.seq < 3);
    });
    assert_eq!(lost, BTreeSet::from([1]));
}

#[test]
fn i1_another_member_does_not_read_it() {
    assert!(after(|history| history.readings[1].items[2].1 = None).contains(&1));
}

#[test]
fn i1_a_channel_that_nobody_could_read() {
    assert!(after(|history| history.readings.clear()).contains(&1));
}

#[test]
fn i2_one_command_stored_twice() {
    let twice = after(|history| {
        for reading in &mut history.readings {
            reading.items.push((5, Some(intent(0, 1))));
            reading.head = 5;
        }
    });
    assert!(twice.contains(&2), "{twice:?}");
}

#[test]
fn i2_one_command_answered_with_two_seqs() {
    assert_eq!(after(|history| history.answers.push((intent(0, 2), 7))), BTreeSet::from([2]));
}

#[test]
fn i3_a_seq_is_missing() {
    for at in [1, 3] {
        assert!(after(|history| history.readings[0].items.retain(|(seq, _)| *seq != at)).contains(&3));
    }
}

#[test]
fn i3_a_seq_is_read_twice_or_is_a_gap() {
    assert!(after(|history| history.readings[0].items.insert(1, (1, Some(intent(0, 1))))).contains(&3));
    assert!(after(|history| history.readings[0].gaps.push((2, 2))).contains(&3));
}

#[test]
fn i4_two_devices_saw_different_things() {
    assert!(after(|history| history.seen[0].intent = Some(intent(0, 2))).contains(&4));
}

#[test]
fn i4_what_was_seen_before_a_crash_is_something_else_after() {
    let renumbered = after(|history| history.seen.push(seen(1, 2, How::Pulled, 4, intent(0, 2))));
    assert!(renumbered.contains(&4));
}

#[test]
fn i5_acknowledged_before_sent_but_behind() {
    let swapped = after(|history| {
        history.commands[4].invoked = 12;
        history.commands[4].outcome = Outcome::Acknowledged { at: 13, seq: 3 };
    });
    assert_eq!(swapped, BTreeSet::from([5]));
}

#[test]
fn i5_the_lines_of_one_user_swap() {
    let swapped = after(|history| {
        for reading in &mut history.readings {
            reading.items[0].1 = Some(intent(0, 2));
            reading.items[1].1 = Some(intent(0, 1));
        }
        history.commands[0].outcome = Outcome::Acknowledged { at: 40, seq: 2 };
        history.commands[1].outcome = Outcome::Acknowledged { at: 40, seq: 1 };
        history.answers.clear();
        history.seen[0].intent = Some(intent(0, 2));
        history.seen[1].intent = Some(intent(0, 1));
        history.seen[2].intent = Some(intent(0, 1));
    });
    assert_eq!(swapped, BTreeSet::from([5]));
}

#[test]
fn i6_a_message_that_nobody_sent() {
    assert!(after(|history| history.commands.retain(|command| command.intent != intent(0, 4))).contains(&6));
}

#[test]
fn i6_a_message_whose_bytes_are_wrong_or_in_another_channel() {
    assert!(after(|history| history.seen[0].intent = None).contains(&6));
    assert!(after(|history| history.commands[0].channel = 1).contains(&6));
}

#[test]
fn i7_a_refused_message_appears() {
    assert_eq!(after(|history| history.commands[3].outcome = Outcome::Refused), BTreeSet::from([7]));
}

#[test]
fn i8_a_connection_gets_a_seq_twice_or_backwards() {
    let again = after(|history| history.seen.insert(1, seen(1, 0, How::Pushed, 1, intent(0, 1))));
    assert_eq!(again, BTreeSet::from([8]));
    assert_eq!(after(|history| history.seen.swap(0, 1)), BTreeSet::from([8]));
}

#[test]
fn i9_a_device_never_saw_a_message() {
    assert_eq!(after(|history| history.seen.retain(|seen| (seen.user, seen.seq) != (1, 4))), BTreeSet::from([9]));
}

#[test]
fn i10_a_cursor_beyond_what_was_acknowledged_or_behind_what_was_settled() {
    assert_eq!(after(|history| history.listed[0].sync_from = 3), BTreeSet::from([10]));
    assert_eq!(after(|history| history.listed[0].sync_from = 1), BTreeSet::from([10]));
}

#[test]
fn i11_a_device_shows_one_command_twice() {
    let twice = after(|history| history.seen.push(seen(1, 2, How::Pulled, 9, intent(0, 1))));
    assert!(twice.contains(&11), "{twice:?}");
}
