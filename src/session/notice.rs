//! NOTICE from a client: what its user types, and messages that are not stored.

use std::collections::BTreeMap;

use postrider_protocol::{
    Channel, NoticeKind, Reason,
    packet::{NoticePacket, notice::Said},
};

use super::{Session, Work};
use crate::slot::{Command, Now, Spoken};

/// Of one channel `writing` is passed on at most so often.
const TYPING_EVERY_MS: u64 = 1_000;
/// Of so many channels it is known when; what a user types in more than these within a second is not passed on.
const CHANNELS: usize = 16;

/// When typing was passed on.
#[derive(Debug, Default)]
pub(super) struct Typing(BTreeMap<Channel, (u64, bool)>);

impl Typing {
    /// Whether to pass it on: `writing` once a second, and one `stopped` after it.
    fn passes(&mut self, now_ms: u64, channel: &Channel, is_writing: bool) -> bool {
        if let Some((at_ms, was_writing)) = self.0.get_mut(channel) {
            if !is_writing {
                return std::mem::take(was_writing);
            }
            if now_ms >= *at_ms + TYPING_EVERY_MS {
                (*at_ms, *was_writing) = (now_ms, true);
                return true;
            }
            return false;
        }
        // A `stopped` may come as late as its user stops: who goes on writing elsewhere meanwhile is forgotten first.
        if self.0.len() >= CHANNELS {
            let oldest = self.0.iter().min_by_key(|(_, (at_ms, _))| *at_ms);
            let oldest = oldest.map(|(channel, (at_ms, _))| (channel.clone(), *at_ms));
            match oldest {
                Some((channel, at_ms)) if now_ms >= at_ms + TYPING_EVERY_MS => _ = self.0.remove(&channel),
                _ => return false,
            }
        }
        if is_writing {
            self.0.insert(channel.detached(), (now_ms, true));
        }
        is_writing
    }
}

impl Session {
    pub(super) fn notice(&mut self, now: Now, notice: NoticePacket, work: &mut Work) {
        let Some(what) = NoticeKind::from_number(notice.what) else { return };
        let said = match Said::decode(what, notice.fields) {
            Ok(Some(said)) => said,
            Ok(None) => {
                let detail = format!("a {} that only servers send", what.name());
                return self.close(Reason::ProtocolViolation, Some(detail));
            }
            Err(error) => return self.close(Reason::Malformed, Some(error.to_string())),
        };
        match said {
            Said::Typing { channel, is_writing } => {
                if self.typing.get_or_insert_default().passes(now.mono_ms, &channel, is_writing) {
                    self.command(Command::Notice { channel, spoken: Spoken::Typing(is_writing) }, work);
                }
            }
            Said::Signal { channel, body } => {
                let spoken = Spoken::Signal { body, tlvs: notice.tlvs };
                self.command(Command::Notice { channel, spoken }, work);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_passes_once_a_second_and_its_end_once() {
        let mut typing = Typing::default();
        let group = |name: &str| Channel::group(&name.parse().unwrap());
        let (one, other) = (group("one"), group("other"));
        assert!(!typing.passes(0, &one, false), "nothing to stop");
        assert!(typing.passes(0, &one, true));
        assert!(!typing.passes(999, &one, true));
        assert!(typing.passes(999, &other, true), "each channel by itself");
        assert!(typing.passes(999, &one, false));
        assert!(!typing.passes(999, &one, false));
        assert!(!typing.passes(999, &one, true), "no faster by stopping in between");
        assert!(typing.passes(1_000, &one, true));
    }

    #[test]
    fn what_is_known_of_channels_is_bounded() {
        let mut typing = Typing::default();
        let group = |number: usize| Channel::group(&format!("g{number}").parse().unwrap());
        let passed = (0..1_000).filter(|number| typing.passes(5, &group(*number), true)).count();
        assert_eq!((passed, typing.0.len()), (CHANNELS, CHANNELS));
        assert!(typing.passes(1_005, &group(999), true), "a second later there is room");
        assert_eq!(typing.0.len(), CHANNELS);
    }
}
