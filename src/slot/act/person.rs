//! Acts about users: what one says of oneself, devices, blocks, contacts.

use bytes::Bytes;
use postrider_protocol::{
    AVATAR_BYTES, CUSTOM_BYTES, Channel, DESCRIPTION_BYTES, DecodeError, Id, Method, NAME_BYTES, Reason, Tlvs,
    Writer as _,
    packet::{CallPacket, broadcast, people},
    tag,
};
use postrider_storage::{
    Contact, ConversationRow, DeviceRow, StateKey, StoreError, TagsRow, UserRow, fold, fold::contact,
};

use super::{Asked, Verdict};
use crate::slot::{answer::Refusal, case::Case, device::REMOVED};

/// The texts of a profile, and the most bytes of each.
const TEXTS: [(u16, usize); 4] = [
    (tag::NAME, NAME_BYTES),
    (tag::AVATAR, AVATAR_BYTES),
    (tag::DESCRIPTION, DESCRIPTION_BYTES),
    (tag::CUSTOM, CUSTOM_BYTES),
];
/// Its settings, each 0 or 1.
const SETTINGS: [u16; 3] = [tag::RECEIPTS_PRIVATE, tag::PRESENCE_PRIVATE, tag::CONTACTS_ONLY];

/// See the module.
#[derive(Clone, Debug)]
pub enum PersonAct {
    /// These fields of the profile change.
    Profile(Tlvs),
    /// This device is removed.
    RemoveDevice(Id),
    /// All devices are removed but this one.
    RemoveOthers(Option<Id>),
    /// The other one is blocked, or is not any more.
    Block(bool),
    /// The other one is asked to become a contact; the text is for them.
    Ask(Bytes),
    /// What the other one asked is accepted, or refused.
    Answer(bool),
    /// The other one is no contact any more.
    Remove,
    /// What the user calls the contact.
    Note(Bytes),
    /// A user gets these tags.
    Tags(Vec<Id>),
}

impl PersonAct {
    /// What a CALL by `user` on `device` asks for.
    pub(super) fn read(
        method: Method,
        call: &CallPacket,
        user: &Id,
        device: Option<&Id>,
    ) -> Result<(Channel, Self), DecodeError> {
        let fields = call.fields.clone();
        let own = Channel::user(user);
        let with = |other: &Id| Channel::person(user, other);
        Ok(match method {
            Method::ProfileSet => {
                people::read_nothing(fields)?;
                (own, Self::Profile(profile(&call.tlvs)?))
            }
            Method::DeviceRemove => match people::read_optional(fields)? {
                Some(device) => (own, Self::RemoveDevice(device.detached())),
                None => (own, Self::RemoveOthers(device.map(Id::detached))),
            },
            Method::Block => {
                let (other, is) = people::read_switch(fields)?;
                (with(&other), Self::Block(is))
            }
            Method::ContactAsk => {
                let (other, text) = people::read_ask(fields)?;
                (with(&other), Self::Ask(text))
            }
            Method::ContactAnswer => {
                let (other, accepts) = people::read_switch(fields)?;
                (with(&other), Self::Answer(accepts))
            }
            Method::ContactNote => {
                let (other, note) = people::read_note(fields)?;
                (with(&other), Self::Note(note))
            }
            Method::TagsSet => {
                let (user, tags) = broadcast::read_tagging(fields)?;
                (Channel::user(&user), Self::Tags(tags))
            }
            _ => (with(&people::read_user(fields)?), Self::Remove),
        })
    }

    pub(super) fn asked(&self) -> Asked {
        let quiet = |kind, body| Asked { kind, tlvs: Tlvs::new(), body };
        let about = |op: u8, text: &[u8]| {
            let mut body = vec![op];
            body.bytes16(text);
            quiet(fold::CONTACT_KIND, body)
        };
        match self {
            Self::Profile(tlvs) => Asked { kind: fold::USER_KIND, tlvs: tlvs.clone(), body: Vec::new() },
            Self::RemoveDevice(device) => {
                let mut body = Vec::new();
                body.bytes8(device.as_bytes());
                quiet(fold::DEVICE_REMOVED_KIND, body)
            }
            Self::RemoveOthers(kept) => {
                let kept = kept.as_ref().map(|kept| (fold::DEVICE_TAG, kept.as_bytes()));
                Asked { kind: fold::DEVICE_REMOVED_KIND, tlvs: Tlvs::from_pairs(kept), body: Vec::new() }
            }
            Self::Block(is) => quiet(fold::BLOCK_KIND, vec![u8::from(*is)]),
            Self::Ask(text) => about(contact::ASK, text),
            Self::Answer(true) => about(contact::ACCEPT, b""),
            Self::Answer(false) | Self::Remove => about(contact::END, b""),
            Self::Note(note) => about(contact::NOTE, note),
            Self::Tags(tags) => {
                let mut body = Vec::new();
                broadcast::write_tags(&mut body, tags);
                quiet(fold::TAGS_KIND, body)
            }
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        match self {
            Self::Profile(_) | Self::RemoveOthers(_) => Ok(Verdict::quiet()),
            Self::RemoveDevice(device) => remove_device(case, device),
            Self::Tags(_) if !case.origin.is_system => Ok(Refusal::only_system().into()),
            Self::Tags(tags) => {
                let known: Option<TagsRow> = case.row(&StateKey::Tags)?;
                let is_so = known.map_or(tags.is_empty(), |row| row.tags == *tags);
                Ok(if is_so { Verdict::UNCHANGED } else { Verdict::quiet() })
            }
            _ => {
                let Some(other) = case.other() else {
                    return Ok(Refusal::new(Reason::NotAllowed, "that is the user themselves").into());
                };
                let own = case.conversation(&case.origin.user)?.unwrap_or_default();
                let theirs = case.conversation(&other)?.unwrap_or_default();
                Ok(self.relate(case, &own, &theirs))
            }
        }
    }

    fn relate(&self, case: &Case<'_>, own: &ConversationRow, theirs: &ConversationRow) -> Verdict {
        let is_so = || Verdict::Done { seq: 0, time_ms: case.now.wall_ms };
        let no_target = || Refusal::new(Reason::NoTarget, "that user has not asked").into();
        match (self, own.contact) {
            (Self::Block(is), _) if own.blocks == *is => is_so(),
            (Self::Ask(_), Contact::Yes | Contact::Asked) | (Self::Answer(true), Contact::Yes) => is_so(),
            (Self::Ask(_), _) if own.blocks || theirs.blocks => {
                Refusal::new(Reason::Blocked, "one of the two blocks the other").into()
            }
            (Self::Answer(true), Contact::Asking) if own.blocks || theirs.blocks => {
                Refusal::new(Reason::Blocked, "one of the two blocks the other").into()
            }
            (Self::Answer(_), Contact::No | Contact::Asked) | (Self::Answer(false), Contact::Yes) => no_target(),
            (Self::Remove, Contact::No) => is_so(),
            (Self::Note(_), Contact::No | Contact::Asked | Contact::Asking) => {
                Refusal::new(Reason::NotContacts, "that user is no contact").into()
            }
            _ => Verdict::quiet(),
        }
    }
}

fn remove_device(case: &Case<'_>, device: &Id) -> Result<Verdict, StoreError> {
    let user: UserRow = case.row(&StateKey::User)?.unwrap_or_default();
    let known: Option<DeviceRow> = case.row(&StateKey::Device(device.clone()))?;
    if known.is_some_and(|row| row.is_removed(user.removed_of(Some(device)))) {
        return Ok(Verdict::Done { seq: 0, time_ms: case.now.wall_ms });
    }
    let removed = case.devices()?.into_iter().filter(|(id, row)| row.is_removed(user.removed_of(Some(id))));
    if removed.count() >= REMOVED {
        return Ok(Refusal::new(Reason::TooMany, "remove all other devices at once").into());
    }
    Ok(Verdict::quiet())
}

/// What of the TLVs of a CALL is a profile.
fn profile(tlvs: &Tlvs) -> Result<Tlvs, DecodeError> {
    for (tag, max) in TEXTS {
        if tlvs.get(tag).is_some_and(|text| text.len() > max) {
            return Err(DecodeError::malformed("a text of the profile is too long", 0));
        }
    }
    if SETTINGS.iter().any(|tag| tlvs.get_u32(*tag).is_some_and(|value| value > 1)) {
        return Err(DecodeError::malformed("a setting is 0 or 1", 0));
    }
    let is_known = |tag: u16| TEXTS.iter().any(|(text, _)| *text == tag) || SETTINGS.contains(&tag);
    let kept = Tlvs::from_pairs(tlvs.iter().filter(|(tag, _)| is_known(*tag)));
    if kept.is_empty() { Err(DecodeError::malformed("nothing of a profile", 0)) } else { Ok(kept) }
}
