//! The Postrider server.
//!
//! A SEND goes through these modules: `net` reads it from a socket, `session` knows who sent it, `slot` decides it,
//! `commit` makes it durable and answers, `deliver` finds who is online in the `hub` and puts it into each `outbox`.
//! Behind the commit, `pipeline` fills the store from the log; `reader` answers LIST and SYNC from `view` and store.
//! `server` is the only module that knows them all.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod auth;
pub mod broadcast;
pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
pub mod deliver;
pub mod duration;
pub mod few;
pub mod health;
pub mod http;
pub mod hub;
pub mod keyed;
pub mod lookup;
pub mod metrics;
pub mod net;
pub mod notice;
pub mod outbox;
pub mod pace;
pub mod pipeline;
pub mod presence;
pub mod quota;
pub mod rate;
pub mod reader;
pub mod schemas;
pub mod server;
pub mod session;
pub mod slot;
pub mod telemetry;
pub mod uncovered;
pub mod view;
