//! What decodes has one spelling: input is a kind and a payload, so that no checksum stands in the way.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postrider_protocol::{
    Channel, HEADER_BYTES, Image, Tlvs,
    frame::Frame,
    packet::{
        ElementsPage, MembersPage, Packet, SyncItem,
        broadcast::{self, Announcement, Broadcasts},
        groups::{self, GroupInfo, RequestsPage},
        marks,
        schedule::{self, ScheduledPage},
        targets,
    },
};

fn image(bytes: Bytes) {
    if let Ok(image) = Image::decode(bytes.clone()) {
        let mut out = Vec::new();
        image.write(&mut out);
        assert_eq!(out, bytes);
        let _ = image.author();
    }
}

fn fields(bytes: &Bytes) {
    let mut out = Vec::new();
    if let Ok((group, users)) = groups::read_change(bytes.clone()) {
        groups::write_change(&mut out, &group, &users);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(users) = groups::read_users(bytes.clone()) {
        groups::write_users(&mut out, &users);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((group, after)) = groups::read_members(bytes.clone()) {
        groups::write_members(&mut out, &group, after.as_ref());
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(page) = MembersPage::decode(bytes.clone()) {
        page.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((group, users, tlvs)) = groups::read_create(bytes.clone()) {
        groups::write_create(&mut out, &group, &users, &tlvs);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((group, until_ms, users)) = groups::read_mute(bytes.clone()) {
        groups::write_mute(&mut out, &group, until_ms, &users);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(page) = RequestsPage::decode(bytes.clone()) {
        page.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(info) = GroupInfo::decode(bytes.clone()) {
        info.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((channel, seq)) = marks::read_mark(bytes.clone()) {
        marks::write_mark(&mut out, &channel, seq);
        assert_eq!(out, *bytes);
    }
    if let Some(channel) = Channel::new(bytes.clone()) {
        let (user, _) = channel.ids();
        if let Ok(again) = Channel::from_address(&user, &channel.address_for(&user)) {
            assert_eq!(again, channel);
        }
    }
    if let Ok(tlvs) = Tlvs::parse(bytes.clone(), 0) {
        assert_eq!(Tlvs::from_pairs(tlvs.iter()), tlvs);
    }
}

/// The fields of what is about a message that is there already.
fn target_fields(bytes: &Bytes) {
    let mut out = Vec::new();
    if let Ok((channel, seq)) = targets::read_revoke(bytes.clone()) {
        targets::write_revoke(&mut out, &channel, seq);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(edit) = targets::Edit::decode(bytes.clone()) {
        edit.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(react) = targets::React::decode(bytes.clone()) {
        react.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((channel, seq, is_on)) = targets::read_pin(bytes.clone()) {
        targets::write_pin(&mut out, &channel, seq, is_on);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((channel, from, to)) = targets::read_hide(bytes.clone()) {
        targets::write_hide(&mut out, &channel, (from, to));
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(page) = ElementsPage::decode(bytes.clone()) {
        page.write(&mut out);
        assert_eq!(out, *bytes);
    }
}

/// The fields of what is sent at a given time.
fn schedule_fields(bytes: &Bytes) {
    let mut out = Vec::new();
    if let Ok((channel, plan)) = schedule::read_schedule(bytes.clone()) {
        schedule::write_schedule(&mut out, &channel, &plan);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((channel, id, plan)) = schedule::read_edit(bytes.clone()) {
        schedule::write_edit(&mut out, &channel, &id, &plan);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(page) = ScheduledPage::decode(bytes.clone()) {
        page.write(&mut out);
        assert_eq!(out, *bytes);
    }
}

/// The fields of broadcasts and tags.
fn broadcast_fields(bytes: &Bytes) {
    let mut out = Vec::new();
    if let Ok(announcement) = Announcement::decode(bytes.clone()) {
        announcement.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(broadcasts) = Broadcasts::decode(bytes.clone()) {
        broadcasts.write(&mut out);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok((user, tags)) = broadcast::read_tagging(bytes.clone()) {
        broadcast::write_tagging(&mut out, &user, &tags);
        assert_eq!(out, *bytes);
    }
    out.clear();
    if let Ok(tags) = broadcast::read_tags(bytes.clone()) {
        broadcast::write_tags(&mut out, &tags);
        assert_eq!(out, *bytes);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, payload)) = data.split_first() else { return };
    let payload = Bytes::copy_from_slice(payload);
    if let Ok(Some(packet)) = Packet::decode(Frame { kind, payload: payload.clone() }) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(out.get(HEADER_BYTES..), Some(&payload[..]));
        match packet {
            Packet::Synced(synced) => synced.items.into_iter().for_each(|item| {
                if let SyncItem::Image(bytes) = item {
                    image(bytes);
                }
            }),
            Packet::Listed(listed) => listed.conversations.into_iter().for_each(|it| image(it.image)),
            Packet::Call(call) => {
                fields(&call.fields);
                target_fields(&call.fields);
                schedule_fields(&call.fields);
                broadcast_fields(&call.fields);
            }
            Packet::Reply(reply) => {
                fields(&reply.fields);
                target_fields(&reply.fields);
                schedule_fields(&reply.fields);
                broadcast_fields(&reply.fields);
            }
            _ => {}
        }
    }
    image(payload.clone());
    fields(&payload);
    target_fields(&payload);
    schedule_fields(&payload);
    broadcast_fields(&payload);
});
