//! Sockets: listeners, handshakes, the drivers of sessions.

pub mod descriptors;
pub mod drive;
pub mod listener;
pub mod reads;
pub mod tls;
pub mod transport;
