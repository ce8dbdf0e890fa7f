//! MQTT 3.1.1 with QoS 1 in both directions.

use crate::{
    options::Scenario,
    plan::{Plan, Stamp, To},
    sink::{How, Sink},
    template::Template,
};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
/// Bits of the flags of PUBLISH that say QoS 1.
const QOS1: u8 = 2;
/// The server gives a connection up after one and a half times so many seconds of silence.
const KEEP_ALIVE_S: u16 = 60;
/// Numbers of publishes are told by so many bits.
const IDS: u64 = 0x7fff;

/// Appends the CONNECT of connection `me`.
pub(crate) fn hello(plan: &Plan, me: u32, out: &mut Vec<u8>) {
    let secret = plan.secret(me);
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, if secret.is_empty() { 0x02 } else { 0xc2 }];
    body.extend_from_slice(&KEEP_ALIVE_S.to_be_bytes());
    let user = plan.user(me);
    text(&user, &mut body);
    if !secret.is_empty() {
        text("bench", &mut body);
        text(&secret, &mut body);
    }
    packet(CONNECT, &body, out);
}

/// Takes whole packets off `input`; returns how many bytes they are.
///
/// # Errors
/// The server refused something, or said what is not understood.
pub(crate) fn take(input: &[u8], sink: &mut Sink<'_>) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let Some((kind, len, head)) = head(rest) else { return Ok(at) };
        let Some(body) = rest.get(head..head + len) else { return Ok(at) };
        at += head + len;
        match kind & 0xf0 {
            PUBLISH => publish(kind, body, sink)?,
            PUBACK => {
                let id = body.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)).ok_or("PUBACK of nothing")?;
                sink.acknowledged(sink.window.complete(u64::from(id) - 1, IDS));
            }
            CONNACK if body.get(1) == Some(&0) => subscribe(sink),
            CONNACK => return Err(format!("CONNACK refuses with {:?}", body.get(1))),
            SUBACK if body.get(2) == Some(&1) => sink.up = true,
            SUBACK => return Err("SUBACK refuses QoS 1".to_owned()),
            _ => {}
        }
    }
}

fn publish(kind: u8, body: &[u8], sink: &mut Sink<'_>) -> Result<(), String> {
    let (topic, rest) = body.split_first_chunk::<2>().ok_or("PUBLISH without a topic")?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*topic))..).ok_or("PUBLISH without a topic")?;
    if kind & QOS1 == 0 {
        return Err("PUBLISH with QoS 0".to_owned());
    }
    let (id, body) = rest.split_first_chunk::<2>().ok_or("PUBLISH without an id")?;
    sink.delivered(body, How::Pushed);
    sink.out.extend_from_slice(&[PUBACK, 2]);
    sink.out.extend_from_slice(id);
    Ok(())
}

fn subscribe(sink: &mut Sink<'_>) {
    let receives = sink.plan.roles.get(sink.me as usize).is_some_and(|role| role.receives);
    if !receives {
        sink.up = true;
        return;
    }
    let own = if sink.plan.options.scenario == Scenario::Fanout { To::Group(0) } else { To::User(sink.me) };
    let mut body = vec![0, 1];
    text(&topic(sink.plan, own), &mut body);
    body.push(1);
    packet(SUBSCRIBE, &body, sink.out);
}

/// The message to `to`.
pub(crate) fn template(plan: &Plan, to: To, size: usize) -> Template {
    let topic = topic(plan, to);
    let len = 2 + topic.len() + 2 + size;
    let mut head = vec![PUBLISH | QOS1];
    length(len, &mut head);
    text(&topic, &mut head);
    let mark = head.len();
    head.extend_from_slice(&[0, 0]);
    Template::new(&head, size, &[], mark)
}

/// Appends a message.
pub(crate) fn send(template: &mut Template, stamp: Stamp, number: u64, out: &mut Vec<u8>) {
    let id = ((number & IDS) + 1) as u16;
    out.extend_from_slice(template.set(stamp, &id.to_be_bytes()));
}

/// Appends a sign of life.
pub(crate) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PINGREQ, 0]);
}

fn topic(plan: &Plan, to: To) -> String {
    match to {
        To::User(user) => format!("{}/u{user}", plan.run),
        To::Group(group) => format!("{}/g{group}", plan.run),
    }
}

/// Kind, length of the rest, and length of these two.
fn head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&kind, rest) = bytes.split_first()?;
    let mut len = 0;
    for (at, &byte) in rest.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((kind, len, 2 + at));
        }
    }
    None
}

fn length(mut len: usize, out: &mut Vec<u8>) {
    loop {
        let low = (len & 0x7f) as u8;
        len >>= 7;
        out.push(if len > 0 { low | 0x80 } else { low });
        if len == 0 {
            return;
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    length(body.len(), out);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for len in [0, 127, 128, 16_383, 16_384, 2_000_000] {
            let mut bytes = vec![PUBLISH];
            length(len, &mut bytes);
            assert_eq!(head(&bytes), Some((PUBLISH, len, bytes.len())));
            assert_eq!(head(&bytes[..bytes.len() - 1]), None);
        }
    }
}
