//! Sockets: listeners, handshakes, sessions.

pub mod tls;
pub mod transport;
