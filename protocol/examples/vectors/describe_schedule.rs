//! Messages that are to be sent at a given time, in the words of the golden vectors.

use postrider_protocol::{
    CommandId,
    packet::schedule::{self, Plan, Scheduled, ScheduledPage},
};
use serde_json::{Value, json};

use super::{Method, channel, hex, tlvs, written};

/// The id of what a command made.
pub fn id(it: &CommandId) -> Value {
    json!({ "sender": hex(it.sender.as_bytes()), "number": it.number })
}

fn plan(it: &Plan) -> Value {
    json!({ "due_ms": it.due_ms, "flags": it.flags, "body": hex(&it.body) })
}

/// The decoder of what these methods carry.
pub fn method(what: &str) -> Option<Method> {
    Some(match what {
        "schedule" => |bytes| {
            let (of, it) = schedule::read_schedule(bytes)?;
            let fields = json!({ "channel": channel(&of), "plan": plan(&it) });
            Ok((written(|out| schedule::write_schedule(out, &of, &it)), fields))
        },
        "schedule_edit" => |bytes| {
            let (of, which, it) = schedule::read_edit(bytes)?;
            let fields = json!({ "channel": channel(&of), "id": id(&which), "plan": plan(&it) });
            Ok((written(|out| schedule::write_edit(out, &of, &which, &it)), fields))
        },
        "schedule_named" => |bytes| {
            let (of, which) = schedule::read_named(bytes)?;
            let fields = json!({ "channel": channel(&of), "id": id(&which) });
            Ok((written(|out| schedule::write_named(out, &of, &which)), fields))
        },
        "scheduled_page" => |bytes| {
            let page = ScheduledPage::decode(bytes)?;
            let one = |it: &Scheduled| json!({ "id": id(&it.id), "plan": plan(&it.plan), "tlvs": tlvs(&it.tlvs), "refused": it.refused });
            let all: Value = page.scheduled.iter().map(one).collect();
            Ok((written(|out| page.write(out)), json!({ "scheduled": all, "more": page.more })))
        },
        _ => return None,
    })
}
