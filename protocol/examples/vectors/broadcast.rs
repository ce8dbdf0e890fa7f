//! Cases of methods.json about broadcasts and tags.

use bytes::Bytes;
use postrider_protocol::{
    CommandId, Id, Sender, SenderKind,
    packet::broadcast::{self, Announcement, Broadcast, Broadcasts, Reach},
};

use crate::{built as written, schedule::Case};

fn ids(texts: &[&str]) -> Vec<Id> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn announcement(reach: Reach) -> Announcement {
    Announcement { reach, flags: 1, body: Bytes::from_static(b"hi") }
}

pub fn valid() -> Vec<Case> {
    let id = CommandId { sender: Sender::issue(SenderKind::Kept, 0x18bc_fe56_8007), number: 7 };
    let (user, paid) = (ids(&["alice"]).remove(0), || Reach::Tagged(ids(&["paid"]).remove(0)));
    let ended = Broadcast {
        id,
        reach: Reach::Everybody,
        made_ms: 1_700_000_000_000,
        is_cancelled: true,
        ended_ms: 1_700_000_000_500,
        sent: 1_000,
        refused: 1,
    };
    let under_way = Broadcast { reach: paid(), is_cancelled: false, ended_ms: 0, refused: 0, ..ended.clone() };
    let all = Broadcasts(vec![ended, under_way]);
    vec![
        ("broadcast: to all", "broadcast", written(|out| announcement(Reach::Everybody).write(out))),
        ("broadcast: to who paid", "broadcast", written(|out| announcement(paid()).write(out))),
        ("broadcast cancel: 7", "broadcast_cancel", written(|out| id.write(out))),
        ("broadcasts: none", "broadcasts", b"\0\0".to_vec()),
        ("broadcasts: cancelled, under way", "broadcasts", written(|out| all.write(out))),
        ("tags set: two", "tags_set", written(|out| broadcast::write_tagging(out, &user, &ids(&["beta", "paid"])))),
        ("tags set: none", "tags_set", written(|out| broadcast::write_tagging(out, &user, &[]))),
        ("tags: one", "tags", written(|out| broadcast::write_tags(out, &ids(&["paid"])))),
    ]
}

pub fn malformed() -> Vec<Case> {
    let tags = |texts: &[&str]| written(|out| broadcast::write_tags(out, &ids(texts)));
    let many: Vec<String> = (0..33).map(|at| format!("tag-{at:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        ("broadcast: to nobody", "broadcast", b"\0\0\x01\0\0\0\x02hi".to_vec()),
        ("broadcast: an empty tag", "broadcast", b"\x02\0\0\x01\0\0\0\x02hi".to_vec()),
        ("broadcast cancel: a byte too many", "broadcast_cancel", vec![1; 17]),
        ("broadcasts: 65,535 of them in no bytes", "broadcasts", b"\xff\xff".to_vec()),
        ("tags: not ascending", "tags", tags(&["paid", "beta"])),
        ("tags: one twice", "tags", tags(&["paid", "paid"])),
        ("tags: 33 of them", "tags", tags(&many)),
        ("tags: of 33 bytes", "tags", tags(&["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])),
    ]
}
