//! What later entries make of a message.

use bytes::Bytes;
use postrider_protocol::{Image, ImageKind, tag};

use super::{EDITS, mark_of, target_of};
use crate::{AnswerRow, PinsRow, ReactionRow, TargetRow};

/// The body of `REACTED` and `PINNED`: whether it is added, and what follows.
fn switch(image: &Image) -> (bool, Bytes) {
    let mut body = Bytes::copy_from_slice(&image.body);
    let is_on = body.first() == Some(&1);
    (is_on, if body.is_empty() { body } else { body.split_off(1) })
}

/// `read` of an edit tells when its message goes away; 0 when it does not.
pub(super) fn apply(row: &mut Option<TargetRow>, position: u64, image: &Image, read: u64) {
    let row = row.get_or_insert_default();
    row.position = position;
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::Revoked) => {
            let (edits, version) = (std::mem::take(&mut row.edits), row.version);
            let (erased, erased_ms, answers, answered) = (image.seq, image.time_ms, row.answers, row.answered);
            *row = TargetRow { erased, erased_ms, edits, version, answers, answered, position, ..TargetRow::default() };
        }
        Some(ImageKind::Edited) => {
            if row.edits.len() >= EDITS {
                row.edits.remove(0);
            }
            row.edits.push(image.seq);
            row.version = image.tlvs.get_u32(tag::VERSION).unwrap_or(row.version);
            row.expires_ms = mark_of(read).max(row.expires_ms);
        }
        Some(ImageKind::Reacted) => {
            row.count(image);
            row.reacted = image.seq;
        }
        Some(ImageKind::Pinned) => (row.is_pinned, row.pinned) = (switch(image).0, image.seq),
        // An answer in its thread.
        Some(ImageKind::Message) => (row.answers, row.answered) = (row.answers.saturating_add(1), image.seq),
        _ => {}
    }
}

/// What is there stays: an answer that is taken back is one all the same.
pub(super) fn apply_answer(row: &mut Option<AnswerRow>, position: u64) {
    *row = Some(AnswerRow { position });
}

impl TargetRow {
    fn count(&mut self, image: &Image) {
        let (is_on, reaction) = switch(image);
        let known = self.reactions.iter_mut().find(|(known, _)| *known == reaction);
        match (known, is_on) {
            (Some((_, count)), true) => *count = count.saturating_add(1),
            (Some((_, count)), false) => *count = count.saturating_sub(1),
            (None, true) => self.reactions.push((reaction, 1)),
            (None, false) => {}
        }
        self.reactions.retain(|(_, count)| *count > 0);
    }
}

pub(super) fn apply_reaction(row: &mut Option<ReactionRow>, position: u64, image: &Image) {
    let now = row.get_or_insert_default();
    now.position = position;
    let (is_on, reaction) = switch(image);
    now.reactions.retain(|known| *known != reaction);
    if is_on {
        now.reactions.push(reaction);
    }
}

/// What is erased is pinned no more.
pub(super) fn apply_pins(row: &mut Option<PinsRow>, position: u64, image: &Image) {
    let is_on = image.kind == ImageKind::Pinned.number() && switch(image).0;
    if row.is_none() && !is_on {
        return;
    }
    let row = row.get_or_insert_default();
    row.position = position;
    let seq = target_of(image);
    row.seqs.retain(|known| *known != seq);
    if is_on {
        row.seqs.push(seq);
    }
}
