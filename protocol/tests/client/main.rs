//! The client's state machines against a server played from a script: frames in, frames and events out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod commands;
mod connection;
mod reading;
mod script;
