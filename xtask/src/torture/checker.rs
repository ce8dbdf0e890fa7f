//! Reads a history and says which invariants it breaks. Every check is linear in the history, or sorts it: the seqs of
//! the log give the order, so nothing has to be searched for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::history::{Channel, History, How, Intent, Listed, Outcome, User};

/// The newest seqs that a device without a cursor is asked to sync.
const SYNC_DEPTH: u64 = 1_000;

/// A broken invariant and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number: I1 to I11.
    pub invariant: u8,
    /// What was found where.
    pub what: String,
}

impl Violation {
    fn new(invariant: u8, what: String) -> Self {
        Self { invariant, what }
    }
}

/// The name of an invariant.
pub const fn name(invariant: u8) -> &'static str {
    match invariant {
        1 => "durability: what was acknowledged is there",
        2 => "uniqueness: one command, one seq",
        3 => "density: seqs 1 to head, none missing",
        4 => "agreement: a seq is the same for everybody, always",
        5 => "real-time order: acknowledged before sent is before",
        6 => "no fabrication: everything was sent by whom it names",
        7 => "failed means failed: what was refused never appears",
        8 => "delivery order: seqs rise on a connection",
        9 => "completeness: a device at rest has everything",
        10 => "cursors: what was acknowledged is not asked for again, what was not is",
        _ => "no visible duplicate",
    }
}

/// All violations of I1 to I11.
pub fn check(history: &History) -> Vec<Violation> {
    let log = Log::of(history);
    let mut violations = Vec::new();
    violations.extend(durability(history, &log));
    violations.extend(uniqueness(history, &log));
    violations.extend(density(history));
    violations.extend(agreement(history, &log));
    violations.extend(real_time_order(history, &log));
    violations.extend(no_fabrication(history));
    violations.extend(failed_means_failed(history, &log));
    violations.extend(delivery_order(history));
    violations.extend(completeness(history, &log));
    violations.extend(cursors(history));
    violations.extend(no_visible_duplicate(history));
    violations
}

/// The final log: what stands at each seq of each channel, as the first reading tells.
struct Log {
    at: HashMap<(Channel, u64), Intent>,
    places: HashMap<Intent, Vec<(Channel, u64)>>,
    heads: BTreeMap<Channel, u64>,
}

impl Log {
    fn of(history: &History) -> Self {
        let mut log = Self { at: HashMap::new(), places: HashMap::new(), heads: BTreeMap::new() };
        for reading in &history.readings {
            let head = log.heads.entry(reading.channel).or_default();
            *head = reading.head.max(*head);
            for (seq, intent) in &reading.items {
                let Some(intent) = *intent else { continue };
                if log.at.insert((reading.channel, *seq), intent).is_none() {
                    log.places.entry(intent).or_default().push((reading.channel, *seq));
                }
            }
        }
        log
    }
}

/// I1: two members read at its seq what was acknowledged.
fn durability(history: &History, log: &Log) -> Vec<Violation> {
    let mut read: HashMap<Channel, Vec<HashMap<u64, Option<Intent>>>> = HashMap::new();
    for reading in &history.readings {
        read.entry(reading.channel).or_default().push(reading.items.iter().copied().collect());
    }
    let mut found = Vec::new();
    for command in &history.commands {
        let Outcome::Acknowledged { seq, .. } = command.outcome else { continue };
        let readings = read.get(&command.channel).map_or(&[][..], Vec::as_slice);
        let missed = readings.iter().filter(|items| items.get(&seq) != Some(&Some(command.intent))).count();
        if readings.is_empty() || missed > 0 {
            let stands = log.at.get(&(command.channel, seq));
            let what = format!(
                "channel {} seq {seq}: {:?} was acknowledged, {stands:?} stands there",
                command.channel, command.intent
            );
            found.push(Violation::new(1, what));
        }
    }
    found
}

/// I2: a command has one seq, in the log and in all answers.
fn uniqueness(history: &History, log: &Log) -> Vec<Violation> {
    let twice = log.places.iter().filter(|(_, places)| places.len() > 1);
    let mut found: Vec<_> =
        twice.map(|(intent, places)| Violation::new(2, format!("{intent:?} is stored at {places:?}"))).collect();
    let mut first: HashMap<Intent, u64> = HashMap::new();
    for (intent, seq) in &history.answers {
        let known = *first.entry(*intent).or_insert(*seq);
        if known != *seq {
            found.push(Violation::new(2, format!("{intent:?} was answered with seq {known}, then with {seq}")));
        }
    }
    found
}

/// I3: each reading has every seq from 1 to the head once.
fn density(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for reading in &history.readings {
        let mut next = 1;
        for (seq, _) in &reading.items {
            if *seq != next {
                let what =
                    format!("channel {}: user {} read seq {seq} where {next} was due", reading.channel, reading.user);
                found.push(Violation::new(3, what));
            }
            next = seq + 1;
        }
        if next != reading.head + 1 || !reading.gaps.is_empty() {
            let what = format!(
                "channel {}: head {}, read up to {}, gaps {:?}",
                reading.channel,
                reading.head,
                next - 1,
                reading.gaps
            );
            found.push(Violation::new(3, what));
        }
    }
    found
}

/// I4: whoever saw a seq, whenever and however, saw the same.
fn agreement(history: &History, log: &Log) -> Vec<Violation> {
    let mut first: HashMap<(Channel, u64), Intent> = log.at.clone();
    let seen = history.seen.iter().map(|seen| (seen.user, seen.channel, seen.seq, seen.intent));
    let read = history.readings.iter().flat_map(|reading| {
        reading.items.iter().map(move |(seq, intent)| (reading.user, reading.channel, *seq, *intent))
    });
    let mut found = Vec::new();
    for (user, channel, seq, intent) in seen.chain(read) {
        let Some(intent) = intent else { continue };
        let known = *first.entry((channel, seq)).or_insert(intent);
        if known != intent {
            found.push(Violation::new(
                4,
                format!("channel {channel} seq {seq}: user {user} saw {intent:?}, it is {known:?}"),
            ));
        }
    }
    found
}

/// I5: a command sent after another was acknowledged stands behind it; the commands of one sender stand in their order.
fn real_time_order(history: &History, log: &Log) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut by_channel: BTreeMap<Channel, Vec<(u64, bool, u64)>> = BTreeMap::new();
    let mut last_of_sender: HashMap<(User, u64, Channel), (u64, u64)> = HashMap::new();
    let mut commands: Vec<_> = history.commands.iter().collect();
    commands.sort_by_key(|command| command.intent);
    for command in commands {
        let stored = log.places.get(&command.intent).and_then(|places| places.first()).map(|(_, seq)| *seq);
        let acknowledged = match command.outcome {
            Outcome::Acknowledged { at, seq } => Some((at, seq)),
            _ => None,
        };
        let Some(seq) = acknowledged.map(|(_, seq)| seq).or(stored) else { continue };
        let events = by_channel.entry(command.channel).or_default();
        events.push((command.invoked, true, seq));
        events.extend(acknowledged.map(|(at, seq)| (at, false, seq)));
        let Intent { user, sender, number } = command.intent;
        let last = last_of_sender.insert((user, sender, command.channel), (number, seq));
        if let Some((before, before_seq)) = last.filter(|(_, before_seq)| *before_seq >= seq) {
            let what = format!(
                "channel {}: number {before} of user {user} has seq {before_seq}, number {number} has {seq}",
                command.channel
            );
            found.push(Violation::new(5, what));
        }
    }
    for (channel, mut events) in by_channel {
        // Of one moment, first the sending: that is no order.
        events.sort_by_key(|(at, invoked, _)| (*at, !invoked));
        let mut acknowledged = 0;
        for (_, invoked, seq) in events {
            if !invoked {
                acknowledged = acknowledged.max(seq);
            } else if seq <= acknowledged {
                found.push(Violation::new(
                    5,
                    format!("channel {channel}: seq {seq} was sent after {acknowledged} was acknowledged"),
                ));
            }
        }
    }
    found
}

/// I6: every image proved its bytes and is a command of its author, for that channel.
fn no_fabrication(history: &History) -> Vec<Violation> {
    let sent: HashSet<(Intent, Channel)> =
        history.commands.iter().map(|command| (command.intent, command.channel)).collect();
    let seen = history.seen.iter().map(|seen| (seen.channel, seen.seq, seen.intent));
    let read = history
        .readings
        .iter()
        .flat_map(|reading| reading.items.iter().map(move |(seq, intent)| (reading.channel, *seq, *intent)));
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (channel, seq, intent) in seen.chain(read) {
        let is_known = intent.is_some_and(|intent| sent.contains(&(intent, channel)));
        if !is_known && told.insert((channel, seq)) {
            found.push(Violation::new(6, format!("channel {channel} seq {seq}: {intent:?} was never sent there")));
        }
    }
    found
}

/// I7: what was refused for good was never seen.
fn failed_means_failed(history: &History, log: &Log) -> Vec<Violation> {
    let seen: HashSet<Intent> = history.seen.iter().filter_map(|seen| seen.intent).collect();
    let refused = history.commands.iter().filter(|command| command.outcome == Outcome::Refused);
    let there = refused.filter(|command| seen.contains(&command.intent) || log.places.contains_key(&command.intent));
    there.map(|command| Violation::new(7, format!("{:?} was refused and is there", command.intent))).collect()
}

/// I8: what is pushed on one connection rises within a channel.
fn delivery_order(history: &History) -> Vec<Violation> {
    let mut last: HashMap<(User, u32, Channel), u64> = HashMap::new();
    let mut found = Vec::new();
    for seen in history.seen.iter().filter(|seen| seen.how == How::Pushed) {
        let before = last.insert((seen.user, seen.connection, seen.channel), seen.seq).unwrap_or_default();
        if before >= seen.seq {
            let what = format!(
                "user {} connection {} channel {}: seq {} after {before}",
                seen.user, seen.connection, seen.channel, seen.seq
            );
            found.push(Violation::new(8, what));
        }
    }
    found
}

/// I9: at the end each member's device has seen every seq, or sent it itself.
fn completeness(history: &History, log: &Log) -> Vec<Violation> {
    let mut has: HashMap<(User, Channel), HashSet<u64>> = HashMap::new();
    for seen in &history.seen {
        has.entry((seen.user, seen.channel)).or_default().insert(seen.seq);
    }
    for command in &history.commands {
        if let Outcome::Acknowledged { seq, .. } = command.outcome {
            has.entry((command.intent.user, command.channel)).or_default().insert(seq);
        }
    }
    let (mut found, nothing) = (Vec::new(), HashSet::new());
    for (channel, head) in &log.heads {
        let members = usize::try_from(*channel).ok().and_then(|channel| history.members.get(channel));
        for user in members.into_iter().flatten() {
            let seqs = has.get(&(*user, *channel)).unwrap_or(&nothing);
            let missing: Vec<u64> = (1..=*head).filter(|seq| !seqs.contains(seq)).take(5).collect();
            if !missing.is_empty() {
                found.push(Violation::new(
                    9,
                    format!("channel {channel}: user {user} never saw {missing:?} … of {head}"),
                ));
            }
        }
    }
    found
}

/// I10: the server asks a device to sync from where it acknowledged: never behind that (beyond the sync depth), and not
/// again what it knew to be acknowledged.
fn cursors(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for listed in &history.listed {
        let highest = listed.acknowledged.max(listed.head.saturating_sub(SYNC_DEPTH));
        if listed.sync_from > highest || listed.sync_from < listed.settled {
            let Listed { user, channel, sync_from, head, acknowledged, settled } = listed;
            let what = format!(
                "user {user} channel {channel}: sync from {sync_from} of {head}, acknowledged {acknowledged}, settled {settled}"
            );
            found.push(Violation::new(10, what));
        }
    }
    found
}

/// I11: no device shows one command at two seqs.
fn no_visible_duplicate(history: &History) -> Vec<Violation> {
    let mut shown: HashMap<(User, Intent), (Channel, u64)> = HashMap::new();
    let mut found = Vec::new();
    for seen in &history.seen {
        let Some(intent) = seen.intent else { continue };
        let place = *shown.entry((seen.user, intent)).or_insert((seen.channel, seen.seq));
        if place != (seen.channel, seen.seq) {
            let what = format!("user {} saw {intent:?} at {place:?} and at {:?}", seen.user, (seen.channel, seen.seq));
            found.push(Violation::new(11, what));
        }
    }
    found
}

#[cfg(test)]
mod tests;
