//! What one image looks like on standard output.

use std::fmt;

use postrider_protocol::{Id, Image, ImageKind, packet::groups};
use serde::Serialize;

use super::base64;

/// One message, or what happened to a group's members: then `event` names it and `users` whom it concerns.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    channel: String,
    from: String,
    seq: u64,
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    /// The message's bytes, when they are UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// The message's bytes, when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl<'a> Line<'a> {
    /// The line of `image` as `user` sees it.
    pub(super) fn of(image: &'a Image, user: &Id) -> Self {
        let mut line = Self {
            channel: image.channel.address_for(user),
            from: image.author().to_string(),
            seq: image.seq,
            time_ms: image.time_ms,
            event: None,
            users: None,
            payload: None,
            payload_base64: None,
        };
        let kind = ImageKind::from_number(image.kind);
        if kind != Some(ImageKind::Message) {
            // A kind from a newer server is shown by its number, with what it carries.
            let name = kind.map_or_else(|| format!("kind_{}", image.kind), |kind| kind.name().to_ascii_lowercase());
            line.event = Some(name);
        }
        if let Some(users) = listed(image) {
            line.users = Some(users.iter().map(ToString::to_string).collect());
        } else {
            match std::str::from_utf8(&image.body) {
                Ok(text) => line.payload = Some(text),
                Err(_) => line.payload_base64 = Some(base64::encode(&image.body)),
            }
        }
        line
    }
}

/// Whom an event of a group is about.
fn listed(image: &Image) -> Option<Vec<Id>> {
    let body = image.body.clone();
    match ImageKind::from_number(image.kind)? {
        ImageKind::GroupCreated | ImageKind::MembersJoined | ImageKind::MembersLeft | ImageKind::MembersRemoved => {
            groups::read_users(body).ok()
        }
        ImageKind::RolesChanged => groups::read_roles_changed(body).ok().map(|(_, users)| users),
        ImageKind::MembersMuted => groups::read_members_muted(body).ok().map(|(_, users)| users),
        ImageKind::OwnerChanged => groups::read_owner_changed(body).ok().map(|user| vec![user]),
        _ => None,
    }
}

impl fmt::Display for Line<'_> {
    /// For people: control characters are shown, not obeyed, so that a message cannot rule the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} {}: ", self.channel, self.seq, self.from)?;
        if let Some(event) = &self.event {
            write!(f, "[{event}] ")?;
        }
        if let Some(users) = &self.users {
            f.write_str(&users.join(" "))?;
        }
        for character in self.payload.unwrap_or_default().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        self.payload_base64.as_ref().map_or(Ok(()), |payload| write!(f, "base64:{payload}"))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postrider_protocol::{Channel, From, Sender, SenderKind, Tlvs};

    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn image(channel: Channel, kind: ImageKind, body: &'static [u8]) -> Image {
        Image {
            kind: kind.number(),
            flags: 0,
            seq: 3,
            time_ms: 1_700_000_000_000,
            from: From::of(&id("alice"), &channel),
            channel,
            sender: Sender::issue(SenderKind::Kept, 1),
            number: 1,
            tlvs: Tlvs::new(),
            body: Bytes::from_static(body),
        }
    }

    fn json(image: &Image) -> String {
        serde_json::to_string(&Line::of(image, &id("bob"))).unwrap()
    }

    #[test]
    fn a_message_has_exactly_the_keys_that_scripts_know() {
        let person = Channel::person(&id("alice"), &id("bob"));
        assert_eq!(
            json(&image(person.clone(), ImageKind::Message, "h\u{e9}\n".as_bytes())),
            r#"{"channel":"user:alice","from":"alice","seq":3,"time_ms":1700000000000,"payload":"hé\n"}"#
        );
        assert_eq!(
            json(&image(person, ImageKind::Message, b"\xff\x00")),
            r#"{"channel":"user:alice","from":"alice","seq":3,"time_ms":1700000000000,"payload_base64":"/wA="}"#
        );
    }

    #[test]
    fn a_change_of_members_is_an_event() {
        let group = Channel::group(&id("g1"));
        let change = image(group, ImageKind::MembersJoined, b"\x00\x02\x03bob\x05carol");
        assert_eq!(
            json(&change),
            r#"{"channel":"group:g1","from":"alice","seq":3,"time_ms":1700000000000,"event":"members_joined","users":["bob","carol"]}"#
        );
    }

    #[test]
    fn a_message_cannot_rule_the_terminal() {
        let person = Channel::person(&id("alice"), &id("bob"));
        let shown = Line::of(&image(person, ImageKind::Message, b"a\x1b[2Jb"), &id("bob")).to_string();
        assert_eq!(shown, "user:alice #3 alice: a\\u{1b}[2Jb");
    }
}
