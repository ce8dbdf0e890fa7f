//! The load generator behind `postrider bench`: one tool for Postrider, NATS, JetStream and MQTT, so that figures of
//! one run can be compared.
//!
//! A few threads, each an event loop over many nonblocking sockets, made to cost much less than any server. It counts
//! every message at every receiver: a run in which one is lost, doubled or out of order is a failed run.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod catch_up;
mod chance;
mod conductor;
mod conn;
mod holds;
mod ledger;
mod mqtt;
mod nats;
mod options;
mod plan;
mod plot;
mod postrider;
mod prepare;
mod process;
mod report;
mod sink;
mod tally;
mod template;
mod transport;
mod websocket;
mod window;
mod worker;

pub use conductor::run;
pub use options::{Options, Scenario, Target};
pub use prepare::Mint;
pub use report::{Percentiles, Report};
