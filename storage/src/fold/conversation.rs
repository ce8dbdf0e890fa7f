//! A user's view of a channel.

use bytes::Bytes;
use postrider_protocol::{GapReason, Id, Image, ImageKind, Reader, Tlvs, tag};

use super::{
    BLOCK_KIND, CONTACT_KIND, CONVERSATION_KIND, CURSOR_KIND, CURSORS, DEVICE_TAG, HIDE_KIND, HISTORY, PRIVATE,
    READ_KIND, REQUEST_KIND, contact,
    group::{is_leaving, push_span, role_given},
    mark_of, request, seq_in_body,
};
use crate::{Contact, ConversationRow, Cursor, Span, Waiting};

/// Only joining, waiting, blocking, contacts and the first entry of a person channel make a row.
pub(super) fn apply(row: &mut Option<ConversationRow>, position: u64, user: &Id, image: &Image, read: u64) {
    let is_author = image.author() == *user;
    match image.kind {
        _ if role_given(image, user).is_some() => {
            row.get_or_insert_default().join(image.seq, read & HISTORY != 0);
        }
        _ if is_leaving(image, user) => {
            if let Some(row) = row {
                (row.visible_to, row.hidden_at) = (Some(image.seq), 0);
            }
        }
        _ if image.seq == 1 && image.channel.side_of(user.as_bytes()).is_some() => _ = row.get_or_insert_default(),
        REQUEST_KIND => row.get_or_insert_with(ConversationRow::outside).wait(image),
        CONTACT_KIND => row.get_or_insert_default().relate(image, is_author),
        BLOCK_KIND => row.get_or_insert_default().blocks = image.body.first() == Some(&1),
        _ => {}
    }
    let Some(row) = row else { return };
    row.position = position;
    let before = (row.read, row.is_marked_unread);
    if is_author {
        match image.kind {
            CURSOR_KIND => return row.move_cursor(position, image),
            READ_KIND => row.mark(seq_in_body(image).unwrap_or_default(), read),
            CONVERSATION_KIND => row.set(position, image),
            HIDE_KIND => row.hide_what(image),
            _ if mark_of(read) > 0 => row.mark(mark_of(read), read),
            _ => {}
        }
    }
    if (row.read, row.is_marked_unread) != before || image.kind != ImageKind::Message.number() || image.seq == 1 {
        row.changed = position;
    }
}

impl ConversationRow {
    /// That of a user who is no member.
    fn outside() -> Self {
        Self { visible_to: Some(0), ..Self::default() }
    }

    fn join(&mut self, seq: u64, with_history: bool) {
        if let Some(through) = self.visible_to.take().filter(|through| *through > 0) {
            push_span(&mut self.earlier, Span { above: self.visible_from, through });
        }
        self.visible_from = seq.saturating_sub(1);
        if with_history {
            self.visible_from = 0;
            self.earlier.clear();
        }
        (self.waiting, self.hidden_at) = (Waiting::No, 0);
    }

    /// Moves the read mark forward; reading ends being marked as unread.
    fn mark(&mut self, seq: u64, read: u64) {
        self.read = self.read.max(seq);
        if read & PRIVATE == 0 {
            self.told = self.told.max(seq);
        }
        self.is_marked_unread = false;
    }

    fn wait(&mut self, image: &Image) {
        self.hidden_at = 0;
        self.waiting = match image.body.first() {
            Some(&request::ASK) => Waiting::Asked,
            Some(&request::INVITE) => Waiting::Invited,
            _ => Waiting::No,
        };
    }

    fn relate(&mut self, image: &Image, is_author: bool) {
        let mut reader = Reader::new(image.body.clone());
        let Ok(op) = reader.u8("op") else { return };
        let text = reader.bytes16(usize::from(u16::MAX), "text").unwrap_or_default();
        let text = Bytes::copy_from_slice(&text);
        (self.contact, self.note) = match (op, self.contact, is_author) {
            // Two who ask each other are contacts.
            (contact::ASK, Contact::Asking, true) | (contact::ASK, Contact::Asked, false) | (contact::ACCEPT, ..) => {
                (Contact::Yes, Bytes::new())
            }
            (contact::ASK, Contact::No | Contact::Asked, true) => (Contact::Asked, Bytes::new()),
            (contact::ASK, Contact::No | Contact::Asking, false) => (Contact::Asking, text),
            (contact::NOTE, state, true) => (state, text),
            (contact::END, ..) => (Contact::No, Bytes::new()),
            _ => return,
        };
    }

    fn set(&mut self, position: u64, image: &Image) {
        let number = |tag| image.tlvs.get_u32(tag);
        self.muted_until_ms = image.tlvs.get_u64(tag::MUTED_UNTIL_MS).unwrap_or(self.muted_until_ms);
        self.is_pinned = number(tag::PINNED).map_or(self.is_pinned, |pinned| pinned == 1);
        self.hidden_at = number(tag::HIDDEN).map_or(self.hidden_at, |hidden| if hidden == 1 { position } else { 0 });
        self.is_marked_unread = number(tag::MARKED_UNREAD).map_or(self.is_marked_unread, |marked| marked == 1);
        self.cleared = self.cleared.max(image.tlvs.get_u64(tag::CLEARED).unwrap_or_default());
        self.hidden.retain(|span| span.through > self.cleared);
    }

    /// Whether an entry with these settings, made now, would change it; `last` is the position of the channel's last sequenced
    /// entry.
    #[must_use]
    pub fn would_change(&self, settings: &Tlvs, last: u64) -> bool {
        let flag = |tag, is: bool| settings.get_u32(tag).is_some_and(|value| (value == 1) != is);
        settings.get_u64(tag::MUTED_UNTIL_MS).is_some_and(|until_ms| until_ms != self.muted_until_ms)
            || settings.get_u64(tag::CLEARED).is_some_and(|seq| seq > self.cleared)
            || flag(tag::PINNED, self.is_pinned)
            || flag(tag::HIDDEN, self.is_left_out(last))
            || flag(tag::MARKED_UNREAD, self.is_marked_unread)
    }

    /// Whether the user has hidden it and nothing new came since; `last` is the position of the channel's last sequenced
    /// entry. To who is no member nothing new comes.
    #[must_use]
    pub const fn is_left_out(&self, last: u64) -> bool {
        self.hidden_at > 0 && (self.hidden_at > last || self.visible_to.is_some())
    }

    /// The last seq that the user may see in a channel with this head.
    #[must_use]
    pub fn last_visible(&self, head: u64) -> u64 {
        self.visible_to.map_or(head, |last| last.min(head))
    }

    /// Why the user does not see `seq`, if so, and the last seq from there on of which the same is true.
    #[must_use]
    pub fn stretch(&self, seq: u64) -> (Option<GapReason>, u64) {
        let spans = self.earlier.iter().chain(&self.hidden).flat_map(|span| [span.above, span.through]);
        let ends = spans.chain([self.visible_from, self.cleared]).chain(self.visible_to);
        let through = ends.filter(|end| *end >= seq).min().unwrap_or(u64::MAX);
        let why = match (self.may_see(seq), self.is_hidden(seq)) {
            (false, _) => Some(GapReason::NotVisible),
            (true, true) => Some(GapReason::Hidden),
            (true, false) => None,
        };
        (why, through)
    }

    fn hide_what(&mut self, image: &Image) {
        let mut reader = Reader::new(image.body.clone());
        if let (Ok(from), Ok(to)) = (reader.u64("from"), reader.u64("to")) {
            self.hide(from, to);
        }
    }

    /// Deletes `from` to `to`, both included, for the user; ranges that touch become one.
    pub fn hide(&mut self, from: u64, to: u64) {
        let from = from.max(self.cleared.saturating_add(1));
        if to < from {
            return;
        }
        let mut new = Span { above: from.saturating_sub(1), through: to };
        self.hidden.retain(|span| {
            let is_apart = span.through < new.above || span.above > new.through;
            if !is_apart {
                new = Span { above: new.above.min(span.above), through: new.through.max(span.through) };
            }
            is_apart
        });
        let at = self.hidden.partition_point(|span| span.above < new.above);
        self.hidden.insert(at, new);
    }

    /// Whether the user may see `seq`, whoever else deleted or revoked it.
    #[must_use]
    pub fn may_see(&self, seq: u64) -> bool {
        seq > self.visible_from && self.visible_to.is_none_or(|through| seq <= through)
            || self.earlier.iter().any(|span| seq > span.above && seq <= span.through)
    }

    /// Whether the user deleted `seq` for themselves.
    #[must_use]
    pub fn is_hidden(&self, seq: u64) -> bool {
        seq <= self.cleared || self.hidden.iter().any(|span| seq > span.above && seq <= span.through)
    }

    fn move_cursor(&mut self, position: u64, image: &Image) {
        let device = image.tlvs.get(DEVICE_TAG).and_then(|id| Id::new(Bytes::copy_from_slice(id)));
        let (Some(device), Some(seq)) = (device, seq_in_body(image)) else { return };
        let known = self.cursors.iter().position(|cursor| cursor.device == device);
        let before = known.map_or(0, |at| self.cursors.remove(at).seq);
        if self.cursors.len() >= CURSORS {
            self.cursors.remove(0);
        }
        self.cursors.push(Cursor { device, seq: seq.max(before), position });
    }
}
