//! What can only be said at the end: everything is healed, started again and read.

use std::collections::BTreeMap;

use postrider_protocol::{Channel, ChannelKind, Id};

use crate::{
    device::{Device, Notes},
    oracle::Oracle,
    report::{Verdict, ensure},
};

/// Everything that was told to its author is there, in its order, and nothing else.
pub fn histories(oracle: &Oracle, ordered: impl Fn(&Id) -> bool) -> Verdict {
    for (body, written) in oracle.written.iter().filter(|(_, written)| !oracle.skips(&written.channel)) {
        let Some((seq, _)) = written.sent else { continue };
        let is_there = oracle.stored(&written.channel, seq).is_some_and(|stored| stored.body == *body);
        ensure(is_there, "I1 durability", || format!("{written:?}"))?;
    }
    for (channel, log) in oracle.log.iter().filter(|(channel, _)| !oracle.skips(channel)) {
        let mut earliest = u64::MAX;
        let mut numbers = BTreeMap::new();
        for (before, stored) in log.iter().enumerate().rev() {
            let here = || format!("{channel:?} {} of {}", before + 1, stored.author);
            // In a group a command may be refused, the answer be lost, and the next copy be good.
            if ordered(&stored.author) && channel.kind() == ChannelKind::Person {
                let next = numbers.insert((&stored.author, stored.sender), stored.number);
                ensure(next.is_none_or(|next| next > stored.number), "I5 real-time order", here)?;
            }
            let Some(written) = oracle.written.get(&stored.body) else { continue };
            ensure(!written.is_void, "I7 failed means failed", here)?;
            ensure(earliest >= written.at, "I5 real-time order", here)?;
            earliest = earliest.min(written.sent.map_or(u64::MAX, |(_, at)| at));
        }
    }
    for ((channel, user), mark) in oracle.read.iter().filter(|((channel, _), _)| !oracle.skips(channel)) {
        let stored = oracle.marks.get(&(channel.clone(), user.clone())).copied().unwrap_or_default();
        ensure(stored >= *mark, "I1 durability", || format!("{user}'s mark of {channel:?}: {stored}, told {mark}"))?;
    }
    Ok(())
}

/// Calls `each` with what the device knows of every channel that its user has, and the last seq of it.
fn channels(oracle: &Oracle, device: &Device, mut each: impl FnMut(&Channel, &Notes, u64) -> Verdict) -> Verdict {
    for channel in oracle.channels.iter().filter(|channel| !oracle.skips(channel)) {
        if let Some(last) = oracle.last_visible(channel, &device.user) {
            each(channel, device.notes.get(channel).unwrap_or(&Notes::default()), last)?;
        }
    }
    Ok(())
}

/// A device that went through everything holds everything.
pub fn complete(oracle: &Oracle, device: &Device) -> Verdict {
    let here = || format!("{} {:?}", device.user, device.id);
    ensure(!device.is_waiting(), "I18 liveness", || format!("{} waits for an answer", here()))?;
    ensure(device.is_caught_up, "I18 liveness", || format!("{} has not caught up", here()))?;
    channels(oracle, device, |channel, notes, last| {
        let is_whole = notes.base.is_some() && notes.done >= last;
        ensure(is_whole, "I9 completeness", || format!("{} has {} of {last} in {channel:?}", here(), notes.done))
    })
}

/// A device that lost its state is not told again what it had acknowledged.
pub fn not_again(oracle: &Oracle, device: &Device) -> Verdict {
    channels(oracle, device, |channel, notes, last| {
        ensure(notes.base == Some(last), "I10 no redelivery", || {
            format!("{} {:?} begins {channel:?} at {:?}, not {last}", device.user, device.id, notes.base)
        })
    })
}

/// A device that is new reads every seq that its user may see and retention keeps, as an image.
pub fn readable(oracle: &Oracle, device: &Device) -> Verdict {
    channels(oracle, device, |channel, notes, last| {
        let from = oracle.stays(channel, &device.user).last().map_or(0, |(from, _)| *from);
        let from = from.max(oracle.trimmed(channel)).min(last);
        let has_all = (from + 1..=last).all(|seq| notes.told.get(&seq) == Some(&true));
        ensure(has_all && notes.base.is_some_and(|base| base <= from), "I3 density", || {
            format!("{} reads {:?} of {channel:?}, not {from} to {last}", device.user, notes.told)
        })
    })
}
