//! Cases of methods.json about messages that are to be sent at a given time.

use bytes::Bytes;
use postrider_protocol::{
    Channel, CommandId, Sender, SenderKind, Tlvs,
    packet::schedule::{self, Plan, Scheduled, ScheduledPage},
    tag,
};

use crate::built as written;

/// Its name, what it is, and its bytes.
pub type Case = (&'static str, &'static str, Vec<u8>);

fn sample() -> (Channel, CommandId, Plan) {
    let pair = Channel::person(&"alice".parse().unwrap(), &"bob".parse().unwrap());
    let id = CommandId { sender: Sender::issue(SenderKind::Kept, 0x18bc_fe56_8007), number: 7 };
    (pair, id, Plan { due_ms: 1_700_000_100_000, flags: 1, body: Bytes::from_static(b"hi") })
}

pub fn valid() -> Vec<Case> {
    let (of, id, plan) = sample();
    let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/plain"[..])]);
    let refused = Scheduled { id, plan: plan.clone(), tlvs, refused: 23 };
    let waits = Scheduled { tlvs: Tlvs::new(), refused: 0, ..refused.clone() };
    let page = ScheduledPage { scheduled: vec![refused, waits], more: true };
    vec![
        ("schedule: hi", "schedule", written(|out| schedule::write_schedule(out, &of, &plan))),
        ("schedule edit: hi", "schedule_edit", written(|out| schedule::write_edit(out, &of, &id, &plan))),
        ("schedule cancel: 7", "schedule_named", written(|out| schedule::write_named(out, &of, &id))),
        ("scheduled: first page", "schedule_named", written(|out| schedule::write_named(out, &of, &CommandId::FIRST))),
        ("scheduled page: none", "scheduled_page", b"\0\0\0".to_vec()),
        ("scheduled page: refused, waits, more", "scheduled_page", written(|out| page.write(out))),
    ]
}

pub fn malformed() -> Vec<Case> {
    let (of, id, plan) = sample();
    let long =
        written(|out| schedule::write_schedule(out, &of, &Plan { body: vec![0; 65_537].into(), ..plan.clone() }));
    let mut more = written(|out| schedule::write_named(out, &of, &id));
    more.push(0);
    let mut none = written(|out| schedule::write_edit(out, &of, &id, &plan));
    none.truncate(none.len() - 6);
    vec![
        ("schedule: 65,537 bytes", "schedule", long),
        ("schedule cancel: a byte too many", "schedule_named", more),
        ("schedule edit: no body", "schedule_edit", none),
        ("scheduled page: 65,535 of them in no bytes", "scheduled_page", b"\xff\xff".to_vec()),
        ("scheduled page: more is 2", "scheduled_page", b"\0\0\x02".to_vec()),
    ]
}
