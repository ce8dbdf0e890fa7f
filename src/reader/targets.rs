//! Messages as they are read: with what later entries made of them. Images are looked at before these rows, so that what
//! is erased or edited meanwhile is told as that.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use postrider_protocol::{
    ANSWER_BYTES, Channel, GapReason, Image, ImageKind, Reason, Tlvs, image_flag,
    packet::{ElementsPage, Made, Reaction, SyncItem, targets},
    tag,
};
use postrider_storage::{ConversationRow, Found, PinsRow, ReactionRow, StateKey, StoreError, TargetRow, fold};

use super::{Asker, Reader, call::Answer};

/// Bytes of an answer of elements without any.
const PAGE_HEAD: usize = 40;
/// Bytes of an element of an image beside the image.
const IMAGE_ELEMENT: usize = 5;

/// One user's reading of one channel.
pub(super) struct Reading<'a> {
    pub reader: &'a Reader,
    pub asker: &'a Asker,
    pub channel: &'a Channel,
    /// What of it they may see.
    pub view: Cow<'a, ConversationRow>,
    /// What is to have gone away by then has.
    pub now_ms: u64,
}

/// One seq as it is read.
pub(super) enum Shown {
    Image(Bytes, Option<Made>),
    Gap(GapReason),
}

impl Shown {
    /// The image, if there is one.
    pub(super) fn image(self) -> Option<Bytes> {
        match self {
            Self::Image(image, _) => Some(image),
            Self::Gap(_) => None,
        }
    }
}

impl Reading<'_> {
    /// Whether the user may see `seq` and has not deleted it for themselves.
    fn sees(&self, seq: u64) -> bool {
        self.view.may_see(seq) && !self.view.is_hidden(seq)
    }

    /// What later entries made of the messages `from` to `to`.
    pub(super) fn targets(&self, interval: (u64, u64)) -> Result<BTreeMap<u64, TargetRow>, StoreError> {
        self.reader.lookup.targets(self.asker.tenant, self.channel, interval)
    }

    /// How `seq`, which is visible and not hidden, is read; `targets` has the row of `seq` if there is one.
    pub(super) fn show(&self, seq: u64, found: Found, targets: &BTreeMap<u64, TargetRow>) -> Result<Shown, StoreError> {
        let bytes = match found {
            Found::Image(bytes) => bytes,
            Found::Erased(bytes) => return self.show_erased(bytes, targets.get(&seq)),
            Found::Missing => return Ok(Shown::Gap(GapReason::Quarantined)),
            Found::Trimmed => return Ok(Shown::Gap(GapReason::Trimmed)),
        };
        let row = targets.get(&seq);
        let is_edit = bytes.get(1) == Some(&ImageKind::Edited.number());
        if row.is_none() && !is_edit && !is_expiring(&bytes) {
            return Ok(Shown::Image(bytes, None));
        }
        let Ok(image) = Image::decode(bytes.clone()) else { return Ok(Shown::Gap(GapReason::Quarantined)) };
        if is_edit {
            let target = fold::target_of(&image);
            let of_target = match targets.get(&target) {
                Some(row) => Some(row.clone()),
                None => self.target(target)?,
            };
            let of_target = of_target.unwrap_or_default();
            return Ok(if of_target.is_erased() {
                Shown::Image(erased(image), None)
            } else if self.is_past(of_target.expires_ms) {
                Shown::Gap(GapReason::Expired)
            } else {
                Shown::Image(bytes, None)
            });
        }
        match row {
            Some(row) if row.is_erased() => Ok(Shown::Image(erased(image), None)),
            _ if self.is_past(fold::expires_ms(&image)) => Ok(Shown::Gap(GapReason::Expired)),
            Some(row) => self.followed(image, row),
            None => Ok(Shown::Image(bytes, None)),
        }
    }

    /// What was erased on disk, because somebody took it back or its time was over.
    fn show_erased(&self, bytes: Bytes, row: Option<&TargetRow>) -> Result<Shown, StoreError> {
        let Ok(image) = Image::decode(bytes) else { return Ok(Shown::Gap(GapReason::Quarantined)) };
        let is_taken_back = match fold::target_of(&image) {
            0 => row.is_some_and(TargetRow::is_erased) || image.flags & image_flag::EXPIRING == 0,
            target => self.target(target)?.is_some_and(|row| row.is_erased()),
        };
        Ok(if is_taken_back { Shown::Image(erased(image), None) } else { Shown::Gap(GapReason::Expired) })
    }

    fn is_past(&self, expires_ms: u64) -> bool {
        expires_ms > 0 && self.now_ms >= expires_ms
    }

    fn target(&self, seq: u64) -> Result<Option<TargetRow>, StoreError> {
        self.reader.lookup.row(self.asker.tenant, self.channel, &StateKey::Target(seq))
    }

    /// A message with what was made of it, as far as the user may see that.
    fn followed(&self, mut image: Image, row: &TargetRow) -> Result<Shown, StoreError> {
        let seq = image.seq;
        let mut made =
            Made { seq, edit: 0, version: 0, is_pinned: false, answers: 0, answered: 0, reactions: Vec::new() };
        for &edit in row.edits.iter().rev().filter(|&&edit| self.view.may_see(edit)) {
            let found = self.reader.lookup.image(self.asker.tenant, self.channel, edit)?;
            let Some(Found::Image(bytes)) = found else { continue };
            let Ok(newest) = Image::decode(bytes) else { continue };
            (made.edit, made.version) = (edit, newest.tlvs.get_u32(tag::VERSION).unwrap_or_default());
            replace(&mut image, newest);
            break;
        }
        made.is_pinned = row.is_pinned && self.view.may_see(row.pinned);
        if self.view.may_see(row.reacted) && !row.reactions.is_empty() {
            made.reactions = self.reactions(seq, row)?;
        }
        if self.view.may_see(row.answered) {
            (made.answers, made.answered) = (row.answers, row.answered);
        }
        let is_worth_telling = made.edit > 0 || made.answers > 0 || made.is_pinned || !made.reactions.is_empty();
        Ok(Shown::Image(written(&image), is_worth_telling.then_some(made)))
    }

    fn reactions(&self, seq: u64, row: &TargetRow) -> Result<Vec<Reaction>, StoreError> {
        let key = StateKey::Reaction(seq, self.asker.user.clone());
        let own: Option<ReactionRow> = self.reader.lookup.row(self.asker.tenant, self.channel, &key)?;
        let own = own.map(|row| row.reactions).unwrap_or_default();
        let told = row.reactions.iter().map(|(reaction, count)| Reaction {
            reaction: reaction.clone(),
            count: *count,
            is_own: own.contains(reaction),
        });
        Ok(told.collect())
    }

    /// From `from` on the user sees all the same up to this seq, at most `to`: images, or nothing for this reason.
    pub(super) fn stretch(&self, from: u64, to: u64) -> (u64, Option<GapReason>) {
        let view = &*self.view;
        let current = (view.visible_from, view.visible_to.unwrap_or(u64::MAX));
        let spans = view.earlier.iter().map(|span| (span.above, span.through)).chain([current]);
        let around =
            spans.clone().filter(|&(above, through)| from > above && from <= through).map(|(_, end)| end).max();
        let Some(end) = around else {
            let next = spans.map(|(above, _)| above).filter(|&above| above >= from).min();
            return (next.unwrap_or(to).min(to), Some(GapReason::NotVisible));
        };
        let end = end.min(to);
        if from <= view.cleared {
            return (view.cleared.min(end), Some(GapReason::Hidden));
        }
        match view.hidden.iter().find(|span| span.through >= from) {
            Some(span) if span.above < from => (span.through.min(end), Some(GapReason::Hidden)),
            Some(span) => (span.above.min(end), None),
            None => (end, None),
        }
    }
}

/// Whether the image, of which `bytes` are the beginning, has a time to go away.
fn is_expiring(bytes: &[u8]) -> bool {
    let flags = bytes.get(2..4).and_then(|flags| flags.first_chunk()).map_or(0, |flags| u16::from_be_bytes(*flags));
    flags & image_flag::EXPIRING != 0
}

/// The image of what was erased.
fn erased(mut image: Image) -> Bytes {
    image.flags &= !(image_flag::EDITED | image_flag::EXPIRING | image_flag::MENTIONS | image_flag::MENTION_ALL);
    image.flags |= image_flag::ERASED;
    (image.tlvs, image.body) = (Tlvs::new(), Bytes::new());
    written(&image)
}

/// Gives `image` the content of its newest edit.
fn replace(image: &mut Image, newest: Image) {
    image.flags |= image_flag::EDITED;
    image.flags &= !image_flag::MENTIONS;
    if newest.tlvs.get(tag::MENTIONS).is_some() {
        image.flags |= image_flag::MENTIONS;
    }
    // What it answers, where it comes from and when it goes away is said by the message alone.
    const OWN: [u16; 4] = [tag::REPLY_TO, tag::THREAD, tag::LIFETIME_MS, tag::FORWARDED];
    let message = image.tlvs.clone();
    let own = message.iter().filter(|(tag, _)| OWN.contains(tag));
    let edited = newest.tlvs.iter().filter(|(tag, _)| *tag != tag::TARGET && !OWN.contains(tag));
    let mut pairs: Vec<(u16, &[u8])> = edited.chain(own).collect();
    pairs.sort_by_key(|&(tag, _)| tag);
    image.tlvs = Tlvs::from_pairs(pairs);
    image.body = newest.body;
}

fn written(image: &Image) -> Bytes {
    let mut bytes = Vec::new();
    image.write(&mut bytes);
    bytes.into()
}

impl Reader {
    /// The user's reading of a channel; none when they have no view of it.
    pub(super) fn reading<'a>(
        &'a self,
        asker: &'a Asker,
        channel: &'a Channel,
        now_ms: u64,
    ) -> Result<Option<Reading<'a>>, StoreError> {
        let Some(view) = self.row(asker, channel)?.map(Cow::Owned) else { return Ok(None) };
        let end_ms = self.end(asker.tenant, channel)?.map_or(0, |end| end.time_ms);
        Ok(Some(Reading { reader: self, asker, channel, view, now_ms: self.expiry_ms(now_ms, end_ms) }))
    }

    /// One seq as the user reads it; none when it is not there to be seen by them.
    pub(super) fn shown(&self, reading: &Reading<'_>, seq: u64) -> Result<Option<Shown>, StoreError> {
        if seq == 0 || !reading.sees(seq) {
            return Ok(None);
        }
        let Some(found) = self.lookup.image(reading.asker.tenant, reading.channel, seq)? else { return Ok(None) };
        let targets = reading.target(seq)?.map(|row| (seq, row)).into_iter().collect();
        reading.show(seq, found, &targets).map(Some)
    }

    /// The answer to PINS.
    pub(super) fn pins(&self, asker: &Asker, fields: Bytes, now_ms: u64) -> Result<Answer, StoreError> {
        let (channel, after) = match targets::read_pins(fields) {
            Ok(asked) => asked,
            Err(error) => return Ok(error.into()),
        };
        let Some(reading) = self.reading(asker, &channel, now_ms)? else { return Ok(Answer::no_channel()) };
        let pins: Option<PinsRow> = self.lookup.row(asker.tenant, &channel, &StateKey::Pins)?;
        let mut seqs = pins.map(|row| row.seqs).unwrap_or_default();
        seqs.retain(|&seq| seq > after);
        seqs.sort_unstable();
        let mut page = Elements::default();
        for seq in seqs {
            let Some(Shown::Image(image, Some(made))) = self.shown(&reading, seq)? else { continue };
            if made.is_pinned && !page.take(image, Some(made)) {
                break;
            }
        }
        Ok(Answer::Fields(page.encode().into()))
    }

    /// The answer to EDITS.
    pub(super) fn edits(&self, asker: &Asker, fields: Bytes, now_ms: u64) -> Result<Answer, StoreError> {
        let (channel, seq, after) = match targets::read_edits(fields) {
            Ok(asked) => asked,
            Err(error) => return Ok(error.into()),
        };
        let Some(reading) = self.reading(asker, &channel, now_ms)? else { return Ok(Answer::no_channel()) };
        let no_target = || Answer::refused(Reason::NoTarget, "no such message for this user");
        let row = reading.target(seq)?.unwrap_or_default();
        let mut page = Elements::default();
        for version in std::iter::once(seq).chain(row.edits.iter().copied()) {
            // The message itself is shown as it was sent: with its row but without what edits made of it.
            let of_version = TargetRow { edits: Vec::new(), ..row.clone() };
            let targets = [(seq, of_version)].into_iter().collect();
            let is_visible = version > 0 && reading.sees(version);
            let found = if is_visible { self.lookup.image(asker.tenant, &channel, version)? } else { None };
            let shown = match found {
                Some(found) => reading.show(version, found, &targets)?.image(),
                None => None,
            };
            let is_message = |image: &Bytes| image.get(1) == Some(&ImageKind::Message.number());
            match shown {
                Some(image) if version == seq && !is_message(&image) => return Ok(no_target()),
                Some(image) if version > after && !page.take(image.clone(), None) => break,
                Some(_) => {}
                None if version == seq => return Ok(no_target()),
                None => {}
            }
        }
        Ok(Answer::Fields(page.encode().into()))
    }

    /// The answer to THREAD.
    pub(super) fn thread(&self, asker: &Asker, fields: Bytes, now_ms: u64) -> Result<Answer, StoreError> {
        let (channel, root, before) = match targets::read_thread(fields) {
            Ok(asked) => asked,
            Err(error) => return Ok(error.into()),
        };
        let Some(reading) = self.reading(asker, &channel, now_ms)? else { return Ok(Answer::no_channel()) };
        let mut before = if before == 0 { u64::MAX } else { before };
        let mut page = Elements::default();
        let most = self.limits.page_max;
        // Answers that the user may not see make no page short.
        'pages: loop {
            let seqs = self.lookup.answers(asker.tenant, &channel, root, (before, most + 1))?;
            for &seq in &seqs {
                let Some(Shown::Image(image, made)) = self.shown(&reading, seq)? else { continue };
                if page.images.len() == most {
                    page.more = true;
                    break 'pages;
                }
                if !page.take(image, made) {
                    break 'pages;
                }
            }
            match seqs.last() {
                Some(&last) if seqs.len() > most => before = last,
                _ => break,
            }
        }
        page.images.reverse();
        page.made.reverse();
        Ok(Answer::Fields(page.encode().into()))
    }
}

/// Elements that grow up to the size of an answer.
#[derive(Default)]
struct Elements {
    images: Vec<SyncItem>,
    made: Vec<SyncItem>,
    bytes: usize,
    more: bool,
}

impl Elements {
    /// Takes an image, unless the answer is full; the first one always fits.
    fn take(&mut self, image: Bytes, made: Option<Made>) -> bool {
        let bytes = self.bytes + element_bytes(&image, made.as_ref());
        if !self.images.is_empty() && PAGE_HEAD + bytes > ANSWER_BYTES {
            self.more = true;
            return false;
        }
        self.bytes = bytes;
        self.images.push(SyncItem::Image(image));
        self.made.extend(made.map(SyncItem::Made));
        true
    }

    fn encode(mut self) -> Bytes {
        self.images.append(&mut self.made);
        let mut fields = Vec::new();
        ElementsPage { items: self.images, more: self.more }.write(&mut fields);
        fields.into()
    }
}

/// Bytes that an image takes in an answer, with what was made of it.
pub(super) fn element_bytes(image: &Bytes, made: Option<&Made>) -> usize {
    IMAGE_ELEMENT + image.len() + made.map_or(0, Made::element_bytes)
}
