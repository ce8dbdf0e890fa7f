//! Broadcasts and tags, in the words of the golden vectors.

use postrider_protocol::{
    Id,
    packet::broadcast::{self, Announcement, Broadcast, Broadcasts, Reach},
};
use serde_json::{Value, json};

use super::{Method, hex, of_schedule::id, written};

/// The tag; none for everybody.
fn reach(it: &Reach) -> Value {
    match it {
        Reach::Everybody => Value::Null,
        Reach::Tagged(tag) => json!(tag.as_str()),
    }
}

fn tags(all: &[Id]) -> Value {
    all.iter().map(|tag| json!(tag.as_str())).collect()
}

/// The decoder of what these methods carry.
pub fn method(what: &str) -> Option<Method> {
    Some(match what {
        "broadcast" => |bytes| {
            let it = Announcement::decode(bytes)?;
            let fields = json!({ "tag": reach(&it.reach), "flags": it.flags, "body": hex(&it.body) });
            Ok((written(|out| it.write(out)), fields))
        },
        "broadcast_cancel" => |bytes| {
            let it = broadcast::read_id(bytes)?;
            Ok((written(|out| it.write(out)), json!({ "id": id(&it) })))
        },
        "broadcasts" => |bytes| {
            let all = Broadcasts::decode(bytes)?;
            let one = |it: &Broadcast| {
                json!({
                    "id": id(&it.id), "tag": reach(&it.reach), "made_ms": it.made_ms, "cancelled": it.is_cancelled,
                    "ended_ms": it.ended_ms, "sent": it.sent, "refused": it.refused,
                })
            };
            let told: Value = all.0.iter().map(one).collect();
            Ok((written(|out| all.write(out)), json!({ "broadcasts": told })))
        },
        "tags_set" => |bytes| {
            let (user, all) = broadcast::read_tagging(bytes)?;
            let fields = json!({ "user": user.as_str(), "tags": tags(&all) });
            Ok((written(|out| broadcast::write_tagging(out, &user, &all)), fields))
        },
        "tags" => |bytes| {
            let all = broadcast::read_tags(bytes)?;
            Ok((written(|out| broadcast::write_tags(out, &all)), json!({ "tags": tags(&all) })))
        },
        _ => return None,
    })
}
