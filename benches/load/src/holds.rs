//! Up to where one device holds each of its channels.

use std::collections::HashMap;

use bytes::Bytes;
use postrider_protocol::Channel;

/// One channel.
#[derive(Debug)]
pub(crate) struct Hold {
    /// None for bytes that spell no channel: such a one is never acknowledged.
    channel: Option<Channel>,
    /// It holds everything up to this seq.
    pub(crate) held: u64,
    /// The highest seq that was pushed on this connection.
    pub(crate) pushed: u64,
    /// The seq of the last RECVACK.
    acknowledged: u64,
}

impl Hold {
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
        self.all.push(Hold { channel, held: 0, pushed: 0, acknowledged: 0 });
        self.index.insert(bytes.to_vec(), at);
        at
    }

    /// Nothing was pushed on the new connection.
    pub(crate) fn reconnected(&mut self) {
        for hold in &mut self.all {
            hold.pushed = 0;
        }
    }

    /// Everything missed is here: what was pushed meanwhile follows it without a hole.
    pub(crate) fn caught_up(&mut self) {
        for hold in &mut self.all {
            hold.held = hold.held.max(hold.pushed);
        }
    }

    /// What RECVACK has to tell since it was asked last.
    pub(crate) fn acknowledge(&mut self) -> impl Iterator<Item = (Channel, u64)> {
        self.all.iter_mut().filter(|hold| hold.held > hold.acknowledged).filter_map(|hold| {
            hold.acknowledged = hold.held;
            Some((hold.channel.clone()?, hold.held))
        })
    }
}
