//! A byte pipe each way between a client and a connection of the server: pieces of any size, any delay, and ends that
//! both, one or none of the sides hear of.

use bytes::{Bytes, BytesMut};

use crate::chance::Chance;

/// See the module.
#[derive(Debug)]
pub struct Link {
    up: BytesMut,
    down: BytesMut,
    /// The server's socket takes so many bytes that the client has not read.
    capacity: usize,
    /// So many bytes that go nowhere the server's socket still takes.
    lost: usize,
    /// The client has ended it: the server reads what is under way, then its end.
    pub client_left: bool,
    /// The server has ended it: the client reads what is under way, then its end.
    pub server_left: bool,
    /// The cable is broken: nothing arrives any more.
    is_cut: bool,
    /// Nobody tells the client, and nobody tells the server.
    is_silent: (bool, bool),
    /// The client reads nothing before.
    pub stalled_until: u64,
}

impl Link {
    /// A fresh one.
    pub fn new(capacity: usize) -> Self {
        Self {
            up: BytesMut::new(),
            down: BytesMut::new(),
            capacity,
            lost: capacity,
            client_left: false,
            server_left: false,
            is_cut: false,
            is_silent: (false, false),
            stalled_until: 0,
        }
    }

    /// The cable breaks: what was under way is lost, and both sides hear of it.
    pub fn cut(&mut self) {
        self.cut_silently((false, false));
    }

    /// As [`Link::cut`], where the client or the server may not hear of it.
    pub fn cut_silently(&mut self, (client, server): (bool, bool)) {
        (self.is_cut, self.is_silent) = (true, (client, server));
        self.up.clear();
        self.down.clear();
    }

    /// The client writes; after an end nobody reads it.
    pub fn write_up(&mut self, bytes: &[u8]) {
        if !self.server_left && !self.is_cut {
            self.up.extend_from_slice(bytes);
        }
    }

    /// The server writes; returns how many bytes were taken. After an end of the client's everything goes nowhere.
    pub fn write_down(&mut self, bytes: &[u8]) -> usize {
        if self.client_left && !self.is_cut {
            return bytes.len();
        }
        if self.is_cut {
            // A socket takes what fits into its buffer, and waits for the peer to say that it came.
            let taken = bytes.len().min(self.lost);
            self.lost -= taken;
            return taken;
        }
        let taken = bytes.len().min(self.capacity.saturating_sub(self.down.len()));
        self.down.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// The last words of the server, for which there is always room.
    pub fn part(&mut self, bytes: &[u8]) {
        if !self.client_left && !self.is_cut {
            self.down.extend_from_slice(bytes);
        }
        self.server_left = true;
    }

    /// The server reads a piece.
    pub fn read_up(&mut self, chance: &mut Chance) -> Bytes {
        let piece = chance.some_of(self.up.len());
        self.up.split_to(piece).freeze()
    }

    /// The client reads a piece.
    pub fn read_down(&mut self, chance: &mut Chance) -> Bytes {
        let piece = chance.some_of(self.down.len());
        self.down.split_to(piece).freeze()
    }

    /// Whether the server finds the end next.
    pub fn ends_up(&self) -> bool {
        self.up.is_empty() && if self.is_cut { !self.is_silent.1 } else { self.client_left }
    }

    /// Whether the client finds the end next.
    pub fn ends_down(&self) -> bool {
        self.down.is_empty() && if self.is_cut { !self.is_silent.0 } else { self.server_left }
    }

    /// Whether the server knows that the cable is broken.
    pub const fn is_lost(&self) -> bool {
        self.is_cut && !self.is_silent.1
    }
}
