//! What a client of the load keeps: messages under way, what it holds of each channel, what it still has to ask.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::history::Channel;

/// A message under way.
pub struct Pending {
    pub channel: Channel,
    pub len: usize,
    pub command: usize,
    /// Refused for the moment; to be sent again.
    pub is_put_off: bool,
}

/// What a device holds of a channel.
#[derive(Default)]
pub struct View {
    /// Everything up to and including this.
    pub contiguous: u64,
    /// What it holds above.
    pub above: BTreeSet<u64>,
    /// The highest RECVACK it ever sent.
    pub acknowledged: u64,
    /// The highest RECVACK of this connection: an earlier one may have died with the server.
    pub told: u64,
    /// The RECVACK before the last orderly stop.
    pub settled: u64,
}

impl View {
    /// Takes what stands at `seq`.
    pub fn hold(&mut self, seq: u64) {
        if seq > self.contiguous {
            self.above.insert(seq);
        }
        while self.above.remove(&(self.contiguous + 1)) {
            self.contiguous += 1;
        }
    }
}

/// What is to be asked of the server, one after the other.
#[derive(Clone, Debug)]
pub enum Ask {
    List { page: Bytes },
    Sync { channel: Channel, epoch: u32, from: u64, to: u64 },
}

/// What a repeated SEND must be answered with.
#[derive(Clone, Copy)]
pub enum Probe {
    Same(Channel),
    Conflict,
}
