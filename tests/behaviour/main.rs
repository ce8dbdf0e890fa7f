//! The server from outside: the real binary, driven byte by byte over TCP, TLS, WebSocket and WebSocket over TLS.
//!
//! One file for each behaviour, in one binary so that they run side by side. Tests named after a letter and a number
//! are the rows of known faults: F framing and sessions, A authentication, S storage.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::todo,
    reason = "tests fail by panicking, and their names say what they promise"
)]

mod harness;

mod bodies;
mod broadcasts;
mod cli;
mod connect;
mod contacts;
mod conversations;
mod cursors;
mod devices;
mod duplicate_send;
mod fixtures;
mod framing;
mod group_joining;
mod group_rules;
mod group_size;
mod groups;
mod http;
mod limits;
mod list_sync;
mod messages;
mod notice_rights;
mod notices;
mod ordering;
mod people;
mod presence;
mod quotas;
mod rate_limit;
mod read_marks;
mod receipts;
mod retention;
mod scheduled;
mod schemas;
mod shutdown;
mod slow_consumer;
mod storage_dir;
mod system_users;
mod tenants;
mod threads;
mod timeouts;
mod unread;
mod websocket;
