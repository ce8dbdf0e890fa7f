//! The Postrider client: connects over TCP, TLS, WebSocket or WSS, connects again with back-off, sends again what was
//! not acknowledged, pulls what was missed, and hands the app each channel's messages in order, once.
//!
//! [`Client::builder`] starts it and gives a [`Client`] to send with and [`Events`] to receive from. [`Connection`] is
//! one bare connection that speaks packets, for tests and load generators. What must hold whatever the transport does
//! lives in [`postrider_protocol::session::client`]; this crate adds sockets, time and queues, all of them bounded.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod address;
mod backoff;
mod client;
mod connection;
mod driver;
mod tls;
mod transport;

pub use address::{Address, AddressError, Transport};
pub use client::{Builder, Client, CommandError, Events, MessageOptions, Pending, Sent};
pub use connection::{Connection, ConnectionError, ConnectionReader, ConnectionWriter};
pub use postrider_protocol as protocol;
pub use postrider_protocol::session::client::{ClientEvent, Retry};
pub use tls::{Tls, TlsError};
pub use transport::DialError;
