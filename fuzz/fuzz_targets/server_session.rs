//! The server's machine under any operations in any order. Input is a list of operations: a byte that says which, a
//! byte for its size, and what it takes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postrider_protocol::{
    Reason, SEND_WINDOW,
    session::server::{ServerEvent, ServerSession, ServerTimers},
};

/// What has happened, to judge events by.
#[derive(Default)]
struct Seen {
    connect: bool,
    accepted: bool,
    over: bool,
}

impl Seen {
    fn event(&mut self, event: &ServerEvent) {
        assert!(!self.over, "an event after the end: {event:?}");
        match event {
            ServerEvent::Connect(_) => {
                assert!(!self.connect, "a second CONNECT");
                self.connect = true;
            }
            ServerEvent::Close { reason, .. } => {
                assert_ne!(*reason, Reason::Ok);
                self.over = true;
            }
            ServerEvent::Ended => {
                assert!(self.accepted);
                self.over = true;
            }
            ServerEvent::Send(send) => {
                assert!(self.accepted, "a packet before authentication");
                assert!(send.oldest >= 1 && send.oldest <= send.number);
                assert!(send.number - send.oldest < SEND_WINDOW as u64);
            }
            ServerEvent::Sync(sync) => assert!(self.accepted && sync.from >= 1 && sync.from <= sync.to),
            ServerEvent::Call(_)
            | ServerEvent::Recvack(_)
            | ServerEvent::List(_)
            | ServerEvent::Notice(_)
            | ServerEvent::Answer(_) => {
                assert!(self.accepted, "a packet before authentication");
            }
        }
    }
}

fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend([kind, 0]);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(payload);
    bytes.extend(crc.finalize().to_be_bytes());
    bytes.extend(payload);
    bytes.into()
}

fuzz_target!(|data: &[u8]| {
    let mut now_ms = 0;
    let mut session = ServerSession::new(ServerTimers::default(), now_ms);
    let mut seen = Seen::default();
    let mut rest = data;
    while let [operation, size, after @ ..] = rest {
        let (taken, after) = after.split_at(usize::from(*size).min(after.len()));
        rest = after;
        match operation {
            0xf0 => session.handle_bytes(now_ms, Bytes::copy_from_slice(taken)),
            0xf1 => now_ms += u64::from(*size) * 500,
            0xf2 if seen.connect => {
                session.accepted(now_ms);
                seen.accepted = true;
            }
            0xf3 => session.suspend_reading(now_ms),
            0xf4 => session.resume_reading(now_ms),
            0xf5 => {
                if let Some(event) = session.handle_timeout(now_ms) {
                    seen.event(&event);
                }
            }
            kind => session.handle_bytes(now_ms, frame(*kind, taken)),
        }
        // Now and then the driver is too busy to poll.
        if size % 4 != 3 {
            while let Some(event) = session.poll_event() {
                seen.event(&event);
            }
            assert!(!session.has_held() || (seen.connect && !seen.accepted));
        }
        if seen.over {
            assert_eq!((session.poll_timeout(), session.has_held()), (None, false));
        }
    }
});
