//! The session state machines of both sides: bytes and times go in, events come out; no IO, no clock.
//!
//! Times are milliseconds of a monotonic clock that the caller reads. `handle_*` takes something from outside, `poll_*`
//! gives something back, other methods only look.

pub mod client;
pub mod server;
