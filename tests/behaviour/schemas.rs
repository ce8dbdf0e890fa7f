//! JSON Schemas for bodies, by tenant and content type.

use postrider_protocol::{
    Channel, Reason, Tlvs, image_flag,
    packet::{Packet, SendPacket, SendackPacket, schedule, targets},
    tag,
};

use crate::harness::{Client, Place, Server, channel_of, ends, on_all};

const ORDER: &str = r#"{"type": "object", "required": ["price"], "properties": {"price": {"type": "integer"}}}"#;

fn served() -> Server {
    let place = Place::new();
    let file = place.write("order.json", ORDER);
    Server::start_in(place, &[&format!("messages.schemas=0:app/order={}", file.display())])
}

fn send(client: &mut Client, channel: &Channel, content_type: &str, body: &str) -> SendackPacket {
    let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, content_type.as_bytes())]);
    let packet = SendPacket { tlvs, ..client.next_send(channel, body) };
    client.resend(&packet)
}

#[test]
fn what_does_not_follow_its_schema_is_refused_with_the_place_and_stored_nowhere() {
    let server = served();
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let refused = send(&mut alice, &channel, "app/order", r#"{"price": "secret"}"#);
        assert_eq!(refused.reason, Reason::InvalidContent);
        assert_eq!(refused.tlvs.get_text(tag::DETAIL), Some("/price does not follow \"type\""));
        assert_eq!(send(&mut alice, &channel, "app/order", "not JSON").reason, Reason::InvalidContent);
        assert_eq!(send(&mut alice, &channel, "app/order", r#"{"price": 5}"#).seq, 1);
        assert_eq!(send(&mut alice, &channel, "text/plain", "not JSON").seq, 2);
        let order = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"app/order"[..])]);
        // An edit and what is scheduled are content too.
        let edit = |body: &'static str| {
            let mut fields = Vec::new();
            targets::Edit { channel: channel.clone(), seq: 1, version: 0, body: body.into() }.write(&mut fields);
            fields
        };
        let reply = alice.call_with(postrider_protocol::Method::Edit, edit("{}").into(), order.clone());
        assert_eq!(reply.reason, Reason::InvalidContent);
        let reply = alice.call_with(postrider_protocol::Method::Edit, edit(r#"{"price": 6}"#).into(), order.clone());
        assert_eq!(reply.reason, Reason::Ok);
        let plan = schedule::Plan { due_ms: 0, flags: image_flag::COUNTABLE, body: "{}".into() };
        let mut fields = Vec::new();
        schedule::write_schedule(&mut fields, &channel, &plan);
        let reply = alice.call_with(postrider_protocol::Method::Schedule, fields.into(), order);
        assert_eq!(reply.reason, Reason::InvalidContent);
        assert_eq!(alice.listed(&channel).unwrap().head, 3);
    });
}

#[test]
fn a_repetition_is_known_also_when_the_schema_has_changed_since() {
    let mut server = served();
    let (mut alice, channel) =
        (Client::connect(&server, crate::harness::Via::Tcp, "alice", ""), channel_of("alice", "bob"));
    let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"app/order"[..])]);
    let packet = SendPacket { tlvs, ..alice.next_send(&channel, r#"{"price": 5}"#) };
    assert_eq!(alice.resend(&packet).seq, 1);
    server.stop();
    server.place.write("order.json", r#"{"required": ["currency"]}"#);
    server.start_again();
    let sender = alice.sender;
    let mut alice = Client::connect_with(&server, crate::harness::Via::Tcp, "alice", "", sender);
    assert_eq!(alice.resend(&packet).seq, 1, "it is the same message");
    let next = SendPacket { number: 2, oldest: 1, ..packet };
    alice.say(&Packet::Send(next));
    assert_eq!(alice.sendack(2).reason, Reason::InvalidContent);
}

#[test]
fn a_schema_that_cannot_be_used_is_a_configuration_error() {
    let place = Place::new();
    let file = place.write("order.json", r#"{"type": 7}"#);
    let out = ends(place.serve(&[format!("messages.schemas=0:app/order={}", file.display())]));
    let log = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && log.contains("messages.schemas") && log.contains("order.json"), "{log}");
}
