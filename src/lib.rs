//! x
pub mod duration;
pub mod auth;
pub mod config;
pub mod metrics;
pub mod net;
