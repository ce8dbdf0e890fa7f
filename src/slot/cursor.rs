//! Cursors: how far a device has a channel. Nobody waits for them.

use std::sync::atomic::Ordering;

use postrider_protocol::{Channel, Reason, Tlvs};
use postrider_storage::{StoreError, fold};

use super::{command::Origin, decide::Decider, decided::Audience, draft::Draft};

impl Decider {
    /// The device's cursor. One that the user may not have closes the connection.
    pub(super) fn cursor(&mut self, origin: &Origin, channel: &Channel, seq: u64) -> Result<(), StoreError> {
        let Some(device) = &origin.device else { return Ok(()) };
        if self.rules.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(case) = self.case(origin, channel, false, false)? else { return Ok(()) };
        let row = match case.visible()? {
            Some((row, last)) if seq <= last => row,
            _ => {
                origin.outbox.close(Reason::ProtocolViolation);
                return Ok(());
            }
        };
        if row.cursors.iter().any(|cursor| cursor.device == *device && cursor.seq >= seq) {
            return Ok(());
        }
        let tlvs = Tlvs::from_pairs([(fold::DEVICE_TAG, device.as_bytes())]);
        let body = seq.to_be_bytes();
        let draft = Draft::new(fold::CURSOR_KIND, (0, 0), 0, channel, &tlvs, &body);
        case.accept(&draft, Audience::Nobody).map(|_| ())
    }
}
