//! WebSocket as a byte stream: [`WsStream`] reads and writes the bytes inside binary messages, so that one session
//! code serves TCP, TLS, WS and WSS. Where messages begin and end means nothing to the reader.
//!
//! The server calls [`accept()`], clients call [`connect()`]; both bring a stream that is connected, and their own
//! deadline. Memory: 2 KiB to read and nothing to write until the first write; a message longer than
//! [`MESSAGE_BYTES`] is refused by its header.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod accept;
mod connect;
mod head;
mod stream;

pub use accept::{AcceptError, AcceptRules, Origins, accept};
pub use connect::{ConnectError, connect};
pub use stream::{MESSAGE_BYTES, WsStream};
