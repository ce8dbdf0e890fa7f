//! Up to where one device holds each of its channels.

use std::collections::HashMap;

use bytes::Bytes;
use postrider_protocol::Channel;

/// One channel.
#[derive(Debug)]
pub(crate) struct Hold {
    /// None for bytes that spell no channel: such a one is never acknowledged.
    channel: Option<Channel>,
    /// It holds everything up to this seq; 0 when it holds nothing.
    pub(crate) held: u64,
    /// The seqs that were pushed on this connection last, without a hole between them; 0 for none.
    first: u64,
    pushed: u64,
    /// The seq of the last RECVACK.
    acknowledged: u64,
}

impl Hold {
    /// Notes that `seq` was pushed; whether it came in order.
    pub(crate) fn push(&mut self, seq: u64) -> bool {
        let in_order = seq > self.pushed;
        if in_order {
            if seq != self.pushed + 1 {
                self.first = seq;
            }
            self.pushed = seq;
        }
        in_order
    }

    /// Whether a seq is missing before what was pushed.
    pub(crate) const fn has_hole(&self) -> bool {
        self.first > self.held + 1
    }

    /// Takes what was pushed, as there is no hole before it.
    pub(crate) fn take_pushed(&mut self) {
        self.held = self.held.max(self.pushed);
    }

    fn bytes(&self) -> &[u8] {
        self.channel.as_ref().map_or(&[], Channel::as_bytes)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    all: Vec<Hold>,
    index: HashMap<Vec<u8>, usize>,
    /// The channel that was asked for last.
    last: usize,
}

impl Holds {
    /// The hold of the channel with these bytes.
    pub(crate) fn of(&mut self, channel: &[u8]) -> &mut Hold {
        if self.all.get(self.last).is_none_or(|hold| hold.bytes() != channel) {
            self.last = match self.index.get(channel) {
                Some(&at) => at,
                None => self.add(channel),
            };
        }
        let last = self.last;
        self.all.get_mut(last).unwrap_or_else(|| unreachable!("every index is of a hold"))
    }

    fn add(&mut self, bytes: &[u8]) -> usize {
        let channel = Channel::new(Bytes::copy_from_slice(bytes));
        let at = self.all.len();
        self.all.push(Hold { channel, held: 0, first: 0, pushed: 0, acknowledged: 0 });
        self.index.insert(bytes.to_vec(), at);
        at
    }

    /// Nothing was pushed on the new connection.
    pub(crate) fn reconnected(&mut self) {
        for hold in &mut self.all {
            (hold.first, hold.pushed) = (0, 0);
        }
    }

    /// What was missed is here: takes what was pushed meanwhile where it follows. Whether it did everywhere: a
    /// conversation that moved to the front between two pages of a listing was in neither.
    pub(crate) fn caught_up(&mut self) -> bool {
        let mut is_whole = true;
        for hold in &mut self.all {
            if hold.has_hole() {
                is_whole = false;
            } else {
                hold.take_pushed();
            }
        }
        is_whole
    }

    /// What RECVACK has to tell since it was asked last.
    pub(crate) fn acknowledge(&mut self) -> impl Iterator<Item = (Channel, u64)> {
        self.all.iter_mut().filter(|hold| hold.held > hold.acknowledged).filter_map(|hold| {
            hold.acknowledged = hold.held;
            Some((hold.channel.clone()?, hold.held))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        Channel::group(&"all".parse().unwrap())
    }

    #[test]
    fn what_is_pushed_behind_a_hole_is_not_held_before_the_hole_is_filled() {
        let (mut holds, channel) = (Holds::default(), channel());
        let hold = holds.of(channel.as_bytes());
        hold.held = 4;
        assert!([7, 8].into_iter().all(|seq| hold.push(seq)));
        assert!(hold.has_hole());
        assert!(!holds.caught_up(), "it asks again");
        assert_eq!(holds.acknowledge().map(|(_, seq)| seq).collect::<Vec<_>>(), [4]);
        holds.of(channel.as_bytes()).held = 6;
        assert!(holds.caught_up());
        assert_eq!(holds.acknowledge().map(|(_, seq)| seq).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn another_connection_is_pushed_other_seqs() {
        let (mut holds, channel) = (Holds::default(), channel());
        assert!(holds.of(channel.as_bytes()).push(1));
        assert!(holds.caught_up());
        holds.reconnected();
        let hold = holds.of(channel.as_bytes());
        assert!(hold.push(3));
        assert!(!hold.push(2), "out of order");
        assert!(hold.has_hole());
    }
}
