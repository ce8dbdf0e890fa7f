//! The wire protocol of Postrider, as SPEC.md defines it: frames, packets, images, and the session state machines
//! of both sides.
//!
//! This crate has no IO and no clock, allocates nothing by a number that a peer sent, and is `no_std` with `alloc`.
//! Who has bytes gives them to [`frame::Decoder`]; who has a frame calls [`packet::Packet::decode`]; what the packets
//! mean for one connection is in [`session`].
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

extern crate alloc;

mod command_id;
mod error;
pub mod frame;
mod id;
mod image;
pub mod packet;
mod registry;
pub mod session;
mod tlv;
mod wire;

pub use command_id::CommandId;
pub use error::DecodeError;
pub use id::{Channel, ChannelKind, Id, Sender, SenderKind};
pub use image::{From, Image, ImageView};
pub use registry::*;
pub use tlv::{Tlvs, write_ids};
pub use wire::{MAX_INTEGER, Reader, Writer};
