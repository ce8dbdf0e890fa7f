//! What the methods about users say, in the words of the golden vectors.

use bytes::Bytes;
use postrider_protocol::{
    Writer as _,
    packet::{people, usage},
};
use serde_json::{Value, json};

use super::{Method, channel, text, tlvs};

fn utf8(text: &Bytes) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The decoder for `what` of methods.json.
pub fn method(what: &str) -> Method {
    match what {
        "user" => |bytes| {
            let user = people::read_user(bytes)?;
            let mut out = Vec::new();
            people::write_user(&mut out, &user);
            Ok((out, json!({ "user": user.to_string() })))
        },
        "optional" => |bytes| {
            let id = people::read_optional(bytes)?;
            let mut out = Vec::new();
            people::write_optional(&mut out, id.as_ref());
            Ok((out, json!({ "id": text(id.as_ref()) })))
        },
        "switch" => |bytes| {
            let (user, is) = people::read_switch(bytes)?;
            let mut out = Vec::new();
            people::write_switch(&mut out, &user, is);
            Ok((out, json!({ "user": user.to_string(), "is": is })))
        },
        "ask" | "note" => {
            if what == "ask" {
                |bytes| said(people::read_ask(bytes)?)
            } else {
                |bytes| said(people::read_note(bytes)?)
            }
        }
        "usage" => |bytes| {
            let asked = usage::read(bytes)?;
            let mut out = Vec::new();
            out.raw(asked.as_ref().map_or(&[], |channel| channel.as_bytes()));
            Ok((out, json!({ "channel": asked.as_ref().map(channel) })))
        },
        _ => answer(what),
    }
}

type Said = Result<(Vec<u8>, Value), postrider_protocol::DecodeError>;

fn said((user, said): (postrider_protocol::Id, Bytes)) -> Said {
    let mut out = Vec::new();
    people::write_text(&mut out, &user, &utf8(&said));
    Ok((out, json!({ "user": user.to_string(), "text": utf8(&said) })))
}

fn answer(what: &str) -> Method {
    match what {
        "profiles" => |bytes| {
            let people::Profiles(all) = people::Profiles::decode(bytes)?;
            let told: Value =
                all.iter().map(|(user, fields)| json!({ "user": user.to_string(), "fields": tlvs(fields) })).collect();
            let mut out = Vec::new();
            people::Profiles(all).write(&mut out);
            Ok((out, json!({ "profiles": told })))
        },
        "devices" => |bytes| {
            let people::Devices(all) = people::Devices::decode(bytes)?;
            let device = |it: &people::Device| {
                json!({
                    "device": it.device.to_string(), "first_ms": it.first_ms, "last_ms": it.last_ms,
                    "is_online": it.is_online, "is_this": it.is_this, "fields": tlvs(&it.fields),
                })
            };
            let told: Value = all.iter().map(device).collect();
            let mut out = Vec::new();
            people::Devices(all).write(&mut out);
            Ok((out, json!({ "devices": told })))
        },
        "blocked" => |bytes| {
            let page = people::BlockedPage::decode(bytes)?;
            let mut out = Vec::new();
            page.write(&mut out);
            let users: Value = page.users.iter().map(ToString::to_string).collect();
            Ok((out, json!({ "users": users, "more": page.more })))
        },
        "contacts" => |bytes| {
            let page = people::ContactsPage::decode(bytes)?;
            let mut out = Vec::new();
            page.write(&mut out);
            let contact = |it: &people::Contact| json!({ "user": it.user.to_string(), "state": it.state, "text": utf8(&it.text) });
            Ok((out, json!({ "contacts": page.contacts.iter().map(contact).collect::<Value>(), "more": page.more })))
        },
        "used" => |bytes| {
            let usage = usage::Usage::decode(bytes)?;
            let mut out = Vec::new();
            usage.write(&mut out);
            let quota = |it: usage::Used| json!({ "used": it.used, "most": it.most });
            let scope = |it: &usage::ScopeUsage| {
                json!({
                    "scope": it.scope, "minute": quota(it.minute), "day": quota(it.day), "month": quota(it.month),
                })
            };
            Ok((out, json!({ "scopes": usage.0.iter().map(scope).collect::<Value>() })))
        },
        _ => panic!("no such method vector: {what}"),
    }
}
