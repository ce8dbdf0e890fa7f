//! Acts about a message that is there already: take it back, edit it, react to it, pin it, delete it for oneself.
//!
//! The message is looked for in what is committed: before that nobody knows its seq.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, DecodeError, Id, Image, ImageKind, Method, PINS, REACTIONS, Reason, TLV_BYTES, TLV_COUNT,
    Tlvs, image_flag,
    packet::{CallPacket, targets},
    tag,
};
use postrider_storage::{ConversationRow, Found, PinsRow, ReactionRow, StateKey, StoreError, TargetRow, fold};

use super::{Asked, Verdict};
use crate::slot::{
    answer::Refusal,
    case::Case,
    decided::{Audience, Group},
};

/// The TLVs that an edit has of the server: TARGET and VERSION.
const SERVER_TLVS: (usize, usize) = (2, 12 + 8);

/// See the module.
#[derive(Clone, Debug)]
pub enum TargetAct {
    /// The message is taken back.
    Revoke {
        /// Its seq.
        seq: u64,
    },
    /// It gets new content, with these TLVs.
    Edit(targets::Edit, Tlvs),
    /// A reaction comes or goes.
    React(targets::React),
    /// It is pinned, or not any more.
    Pin {
        /// Its seq.
        seq: u64,
        /// Whether it is to be pinned.
        is_on: bool,
    },
    /// The caller deletes an interval for themselves.
    Hide {
        /// The first seq.
        from: u64,
        /// The last seq.
        to: u64,
    },
}

/// The message that an act is about, as the caller may see it.
struct Target {
    image: Image,
    row: TargetRow,
    /// When it goes away; 0 when it does not.
    expires_ms: u64,
}

impl TargetAct {
    pub(super) fn read(method: Method, call: &CallPacket) -> Result<(Channel, Self), DecodeError> {
        let fields = call.fields.clone();
        Ok(match method {
            Method::Edit => {
                let edit = targets::Edit::decode(fields)?;
                let tlvs = Tlvs::from_pairs(call.tlvs.iter().filter(|&(tag, _)| is_of_edit(tag)));
                let (count, bytes) = SERVER_TLVS;
                if tlvs.iter().count() + count > TLV_COUNT || tlvs.as_bytes().len() + bytes > TLV_BYTES {
                    return Err(DecodeError::malformed("TLVs of an edit", 0));
                }
                (edit.channel.clone(), Self::Edit(edit, tlvs))
            }
            Method::React => {
                let react = targets::React::decode(fields)?;
                (react.channel.clone(), Self::React(react))
            }
            Method::Pin => {
                let (channel, seq, is_on) = targets::read_pin(fields)?;
                (channel, Self::Pin { seq, is_on })
            }
            Method::Hide => {
                let (channel, from, to) = targets::read_hide(fields)?;
                (channel, Self::Hide { from, to })
            }
            _ => {
                let (channel, seq) = targets::read_revoke(fields)?;
                (channel, Self::Revoke { seq })
            }
        })
    }

    pub(super) fn asked(&self) -> Asked {
        let about = |seq: u64| Tlvs::from_pairs([(tag::TARGET, &seq.to_be_bytes()[..])]);
        match self {
            Self::Revoke { seq } => Asked { kind: ImageKind::Revoked.number(), tlvs: about(*seq), body: Vec::new() },
            Self::Edit(edit, tlvs) => {
                let (seq, version) = (edit.seq.to_be_bytes(), edit.version.saturating_add(1).to_be_bytes());
                let own = [(tag::TARGET, &seq[..]), (tag::VERSION, &version[..])];
                let tlvs = Tlvs::from_pairs(tlvs.iter().chain(own));
                Asked { kind: ImageKind::Edited.number(), tlvs, body: edit.body.to_vec() }
            }
            Self::React(react) => {
                let body = [&[u8::from(react.is_on)], &react.reaction[..]].concat();
                Asked { kind: ImageKind::Reacted.number(), tlvs: about(react.seq), body }
            }
            Self::Pin { seq, is_on } => {
                Asked { kind: ImageKind::Pinned.number(), tlvs: about(*seq), body: vec![u8::from(*is_on)] }
            }
            Self::Hide { from, to } => {
                let body = [from.to_be_bytes(), to.to_be_bytes()].concat();
                Asked { kind: fold::HIDE_KIND, tlvs: Tlvs::new(), body }
            }
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        let (seq, is_speaking) = match self {
            Self::Hide { from, to } => return hide(case, *from, *to),
            Self::Revoke { seq } => (*seq, false),
            Self::Edit(edit, _) => (edit.seq, true),
            Self::React(react) => (react.seq, false),
            Self::Pin { seq, .. } => (*seq, false),
        };
        // What a system user wrote in a group it takes back without being a member.
        let takes_back = matches!(self, Self::Revoke { .. }) && case.origin.is_system;
        let visible = match case.visible()? {
            None if takes_back => Some((ConversationRow::default(), case.parts.channel.head)),
            visible => visible,
        };
        let Some((view, last)) = visible else { return Ok(no_channel().into()) };
        let group = if takes_back { case.parts.channel.group.as_ref() } else { case.group() };
        let audience = match case.parts.channel.channel.kind() {
            ChannelKind::Person => Audience::Person,
            _ => match group {
                Some(group) => Audience::Members(Arc::clone(group)),
                None => return Ok(no_channel().into()),
            },
        };
        if let Some(refusal) = refuse_in(case, is_speaking, matches!(self, Self::Revoke { .. }), view.blocks)? {
            return Ok(refusal.into());
        }
        if seq > last || !view.may_see(seq) || view.is_hidden(seq) {
            return Ok(no_target().into());
        }
        let row = case.row::<TargetRow>(&StateKey::Target(seq))?.unwrap_or_default();
        if row.is_erased() {
            return Ok(match self {
                Self::Revoke { .. } => Verdict::Done { seq: row.erased, time_ms: row.erased_ms },
                _ => no_target().into(),
            });
        }
        let Some(target) = Target::find(case, seq, row)? else { return Ok(no_target().into()) };
        let verdict = match self {
            Self::Edit(edit, _) => target.edit(case, edit.version),
            Self::React(react) => target.react(case, react)?,
            Self::Pin { is_on, .. } => target.pin(case, *is_on)?,
            _ => target.revoke(case).map_or_else(|| Verdict::tell(Audience::Nobody), Into::into),
        };
        Ok(match verdict {
            Verdict::Accept { read, .. } => Verdict::Accept { audience, read },
            other => other,
        })
    }
}

/// Whether a TLV of the CALL goes into the edit.
const fn is_of_edit(tag: u16) -> bool {
    tag < 0x4000 && !matches!(tag, tag::READ | tag::LIFETIME_MS)
}

const fn no_channel() -> Refusal {
    Refusal::new(Reason::NoChannel, "no such channel for this user")
}

const fn no_target() -> Refusal {
    Refusal::new(Reason::NoTarget, "no such message for this user")
}

/// It is as it is asked for: nothing is made.
const fn done() -> Verdict {
    Verdict::Done { seq: 0, time_ms: 0 }
}

const fn accept() -> Verdict {
    Verdict::tell(Audience::Nobody)
}

/// What of the channel refuses: a group that was dismissed or in which the caller may not speak, two users of whom one
/// blocks the other. What was said may be taken back all the same, but for a dismissed group.
fn refuse_in(
    case: &Case<'_>,
    is_speaking: bool,
    is_revoke: bool,
    is_blocking: bool,
) -> Result<Option<Refusal>, StoreError> {
    if let Some(group) = case.group() {
        if group.row.is_dismissed {
            return Ok(Some(Refusal::new(Reason::Dismissed, "the group was dismissed")));
        }
        return Ok(if is_speaking { case.speaks().err() } else { None });
    }
    if is_revoke {
        return Ok(None);
    }
    let (low, high) = case.parts.channel.channel.ids();
    let other = high.filter(|high| *high != case.origin.user).unwrap_or(low);
    let is_blocked = is_blocking || case.conversation(&other)?.is_some_and(|view| view.blocks);
    Ok(is_blocked.then(|| Refusal::new(Reason::Blocked, "one of the two blocks the other")))
}

fn role(group: &Group, user: &Id) -> u8 {
    group.members.get(user).map_or(0, |member| member.role)
}

fn hide(case: &Case<'_>, from: u64, to: u64) -> Result<Verdict, StoreError> {
    let Some((mut view, last)) = case.visible()? else { return Ok(no_channel().into()) };
    if to > last {
        return Ok(Refusal::new(Reason::EpochMismatch, "the interval lies above the head").into());
    }
    let before = view.hidden.clone();
    view.hide(from, to);
    if view.hidden == before {
        return Ok(done());
    }
    if view.hidden.len() > fold::HIDES {
        return Ok(Refusal::new(Reason::TooMany, "more than 64 ranges deleted").into());
    }
    Ok(Verdict::quiet())
}

impl Target {
    /// The message `seq`, unless it is none, or is not there any more.
    fn find(case: &Case<'_>, seq: u64, row: TargetRow) -> Result<Option<Self>, StoreError> {
        let found = case.lookup.image(case.origin.tenant, &case.parts.channel.channel, seq)?;
        let Some(Found::Image(bytes)) = found else { return Ok(None) };
        let Ok(image) = Image::decode(bytes) else { return Ok(None) };
        let expires_ms = fold::expires_ms(&image);
        let is_gone = expires_ms > 0 && case.time_ms() >= expires_ms;
        let is_message = image.kind == ImageKind::Message.number();
        Ok((is_message && !is_gone).then_some(Self { image, row, expires_ms }))
    }

    /// Why the caller may not take it back; none when they may.
    fn revoke(&self, case: &Case<'_>) -> Option<Refusal> {
        let (by, author) = (&case.origin.user, self.image.author());
        if self.image.flags & image_flag::SYSTEM != 0 {
            let is_own = author == *by && case.origin.is_system;
            return (!is_own).then(|| Refusal::new(Reason::NotAllowed, "only the system user takes it back"));
        }
        if let Some(group) = case.group() {
            let (own, other) = (role(group, by), role(group, &author));
            if own == fold::OWNER || own == fold::ADMIN && (other == 0 || author == *by) {
                return None;
            }
        }
        if author != *by {
            return Some(Refusal::new(Reason::NotAllowed, "the message is somebody else's"));
        }
        let (low, high) = self.image.channel.ids();
        let is_note = high.is_some_and(|high| high == low);
        let age_ms = case.time_ms().saturating_sub(self.image.time_ms);
        let is_late = age_ms > case.rules.messages.revoke_within_ms && !is_note;
        is_late.then(|| Refusal::new(Reason::TooLate, "too late to take the message back"))
    }

    fn edit(&self, case: &Case<'_>, version: u32) -> Verdict {
        let within_ms = case.rules.messages.edit_within_ms;
        let age_ms = case.time_ms().saturating_sub(self.image.time_ms);
        if self.image.author() != case.origin.user {
            Refusal::new(Reason::NotAllowed, "the message is somebody else's").into()
        } else if within_ms > 0 && age_ms > within_ms {
            Refusal::new(Reason::TooLate, "too late to edit the message").into()
        } else if version != self.row.version {
            Refusal::new(Reason::VersionConflict, "the message has another version").into()
        } else if self.row.edits.len() >= fold::EDITS {
            Refusal::new(Reason::TooMany, "edited 256 times").into()
        } else {
            Verdict::Accept { audience: Audience::Nobody, read: self.expires_ms }
        }
    }

    fn react(&self, case: &Case<'_>, react: &targets::React) -> Result<Verdict, StoreError> {
        let key = StateKey::Reaction(react.seq, case.origin.user.clone());
        let own = case.row::<ReactionRow>(&key)?.unwrap_or_default();
        let is = |known: &Bytes| *known == react.reaction;
        if own.reactions.iter().any(is) == react.is_on {
            return Ok(done());
        }
        let is_known = self.row.reactions.iter().any(|(known, _)| is(known));
        let is_full = react.is_on && !is_known && self.row.reactions.len() >= REACTIONS;
        Ok(if is_full { Refusal::new(Reason::TooMany, "20 different reactions").into() } else { accept() })
    }

    fn pin(&self, case: &Case<'_>, is_on: bool) -> Result<Verdict, StoreError> {
        if case.group().is_some_and(|group| role(group, &case.origin.user) == 0) {
            return Ok(Refusal::new(Reason::NotAllowed, "the owner and admins pin").into());
        }
        if self.row.is_pinned == is_on {
            return Ok(done());
        }
        let pins = case.row::<PinsRow>(&StateKey::Pins)?.unwrap_or_default();
        let is_full = is_on && pins.seqs.len() >= PINS;
        Ok(if is_full { Refusal::new(Reason::TooMany, "100 pinned messages").into() } else { accept() })
    }
}
