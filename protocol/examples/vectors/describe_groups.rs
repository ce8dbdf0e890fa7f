//! Fields and bodies of groups by name.

use bytes::Bytes;
use postrider_protocol::{
    DecodeError, Id,
    packet::{
        MembersPage,
        groups::{self, GroupInfo, RequestsPage},
    },
};
use serde_json::{Value, json};

use super::{hex, ids, text, tlvs};

type Described = Result<(Vec<u8>, Value), DecodeError>;

fn again(fields: Value, write: impl FnOnce(&mut Vec<u8>)) -> Described {
    let mut out = Vec::new();
    write(&mut out);
    Ok((out, fields))
}

/// The decoder for `what` of methods.json, if it is one of groups.
pub fn method(what: &str) -> Option<super::Method> {
    Some(match what {
        "change" => change,
        "create" => create,
        "settings" => settings,
        "group" => group,
        "roles" => roles,
        "roles_changed" => roles_changed,
        "transfer" => transfer,
        "owner_changed" => owner_changed,
        "mute" => mute,
        "members_muted" => members_muted,
        "join" => join,
        "answer" => answer,
        "nickname" => nickname,
        "members" => members,
        "members_page" => members_page,
        "requests_page" => requests_page,
        "info" => info,
        "users" => users,
        _ => return None,
    })
}

fn change(bytes: Bytes) -> Described {
    let (group, users) = groups::read_change(bytes)?;
    let fields = json!({ "group": group.to_string(), "users": ids(&users) });
    again(fields, |out| groups::write_change(out, &group, &users))
}

fn create(bytes: Bytes) -> Described {
    let (group, users, with) = groups::read_create(bytes)?;
    let fields = json!({ "group": group.to_string(), "users": ids(&users), "tlvs": tlvs(&with) });
    again(fields, |out| groups::write_create(out, &group, &users, &with))
}

fn settings(bytes: Bytes) -> Described {
    let (group, with) = groups::read_settings(bytes)?;
    let fields = json!({ "group": group.to_string(), "tlvs": tlvs(&with) });
    again(fields, |out| groups::write_settings(out, &group, &with))
}

fn group(bytes: Bytes) -> Described {
    let group = groups::read_group(bytes)?;
    again(json!({ "group": group.to_string() }), |out| out.extend(bytes8(&group)))
}

fn roles(bytes: Bytes) -> Described {
    let (group, role, users) = groups::read_roles(bytes)?;
    let fields = json!({ "group": group.to_string(), "role": role, "users": ids(&users) });
    again(fields, |out| groups::write_roles(out, &group, role, &users))
}

fn roles_changed(bytes: Bytes) -> Described {
    let (role, users) = groups::read_roles_changed(bytes)?;
    again(json!({ "role": role, "users": ids(&users) }), |out| groups::write_roles_changed(out, role, &users))
}

fn transfer(bytes: Bytes) -> Described {
    let (group, user) = groups::read_transfer(bytes)?;
    let fields = json!({ "group": group.to_string(), "user": user.to_string() });
    again(fields, |out| groups::write_transfer(out, &group, &user))
}

fn owner_changed(bytes: Bytes) -> Described {
    let user = groups::read_owner_changed(bytes)?;
    again(json!({ "user": user.to_string() }), |out| out.extend(bytes8(&user)))
}

fn mute(bytes: Bytes) -> Described {
    let (group, until_ms, users) = groups::read_mute(bytes)?;
    let fields = json!({ "group": group.to_string(), "until_ms": until_ms, "users": ids(&users) });
    again(fields, |out| groups::write_mute(out, &group, until_ms, &users))
}

fn members_muted(bytes: Bytes) -> Described {
    let (until_ms, users) = groups::read_members_muted(bytes)?;
    let fields = json!({ "until_ms": until_ms, "users": ids(&users) });
    again(fields, |out| groups::write_members_muted(out, until_ms, &users))
}

fn join(bytes: Bytes) -> Described {
    let (group, said) = groups::read_join(bytes)?;
    let fields = json!({ "group": group.to_string(), "text": hex(&said) });
    again(fields, |out| groups::write_join(out, &group, &said))
}

fn answer(bytes: Bytes) -> Described {
    let (group, accept, users) = groups::read_answer(bytes)?;
    let fields = json!({ "group": group.to_string(), "accept": accept, "users": ids(&users) });
    again(fields, |out| groups::write_answer(out, &group, accept, &users))
}

fn nickname(bytes: Bytes) -> Described {
    let (group, nickname) = groups::read_nickname(bytes)?;
    let fields = json!({ "group": group.to_string(), "nickname": hex(&nickname) });
    again(fields, |out| groups::write_nickname(out, &group, &nickname))
}

fn members(bytes: Bytes) -> Described {
    let (group, after) = groups::read_members(bytes)?;
    let fields = json!({ "group": group.to_string(), "after": text(after.as_ref()) });
    again(fields, |out| groups::write_members(out, &group, after.as_ref()))
}

fn members_page(bytes: Bytes) -> Described {
    let page = MembersPage::decode(bytes)?;
    let member = |it: &groups::Member| {
        json!({
            "user": it.user.to_string(), "role": it.role, "joined": it.joined, "joined_ms": it.joined_ms,
            "muted_until_ms": it.muted_until_ms, "nickname": hex(&it.nickname),
            "inviter": text(it.inviter.as_ref()),
        })
    };
    let fields = json!({ "members": page.members.iter().map(member).collect::<Value>(), "more": page.more });
    again(fields, |out| page.write(out))
}

fn requests_page(bytes: Bytes) -> Described {
    let page = RequestsPage::decode(bytes)?;
    let waiting = |it: &groups::Waiting| {
        json!({
            "user": it.user.to_string(), "what": it.what, "by": it.by.to_string(), "time_ms": it.time_ms,
            "text": hex(&it.text),
        })
    };
    let fields = json!({ "waiting": page.waiting.iter().map(waiting).collect::<Value>(), "more": page.more });
    again(fields, |out| page.write(out))
}

fn info(bytes: Bytes) -> Described {
    let it = GroupInfo::decode(bytes)?;
    let fields = json!({
        "flags": it.flags, "role": it.role, "members": it.members, "muted_until_ms": it.muted_until_ms,
        "all_muted_until_ms": it.all_muted_until_ms, "tlvs": tlvs(&it.tlvs),
    });
    again(fields, |out| it.write(out))
}

fn users(bytes: Bytes) -> Described {
    let users = groups::read_users(bytes)?;
    again(json!({ "users": ids(&users) }), |out| groups::write_users(out, &users))
}

fn bytes8(id: &Id) -> Vec<u8> {
    [&[u8::try_from(id.as_bytes().len()).unwrap()], id.as_bytes()].concat()
}
