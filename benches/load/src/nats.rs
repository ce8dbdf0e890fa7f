//! NATS, core and JetStream: lines of text.

use std::fmt::Write as _;

use crate::{
    options::{Scenario, Target},
    plan::{Plan, Stamp, To},
    sink::{How, Sink},
    template::Template,
};

/// Subscription of what others send.
const LIVE: &[u8] = b"1";

/// One connection.
#[derive(Debug)]
pub(crate) struct Nats {
    stream: bool,
    /// Whether the answer of the consumer's making is awaited.
    makes_consumer: bool,
}

impl Nats {
    pub(crate) const fn new(target: Target) -> Self {
        Self { stream: matches!(target, Target::Jetstream), makes_consumer: false }
    }

    /// Takes whole lines and messages off `input`; returns how many bytes they are.
    ///
    /// # Errors
    /// The server refused something, or said what is not understood.
    pub(crate) fn take(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(end) = find_line(rest) else { return Ok(at) };
            let line = rest.get(..end).unwrap_or_default();
            let after = end + 2;
            if let Some(fields) = line.strip_prefix(b"MSG ") {
                let mut fields = fields.split(|byte| *byte == b' ');
                let (subject, sid) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
                let len = number(fields.next_back().unwrap_or_default()).ok_or("a MSG without a length")?;
                let Some(body) = rest.get(after..after + len) else { return Ok(at) };
                if rest.len() < after + len + 2 {
                    return Ok(at);
                }
                at += after + len + 2;
                if sid == LIVE {
                    sink.delivered(body, How::Pushed);
                } else {
                    self.reply(subject, body, sink)?;
                }
                continue;
            }
            at += after;
            match line.get(..4).unwrap_or(line) {
                b"PING" => sink.out.extend_from_slice(b"PONG\r\n"),
                b"PONG" if !self.makes_consumer => sink.up = true,
                b"INFO" if !sink.up => self.hello(sink),
                b"-ERR" => return Err(String::from_utf8_lossy(line).into_owned()),
                _ => {}
            }
        }
    }

    fn hello(&mut self, sink: &mut Sink<'_>) {
        let (plan, me) = (sink.plan, sink.me);
        let mut hello =
            String::from("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"0\"");
        let secret = plan.secret(me);
        if !secret.is_empty() {
            let _ = write!(hello, ",\"auth_token\":\"{secret}\"");
        }
        hello.push_str("}\r\n");
        if self.stream {
            let _ = write!(hello, "SUB {}.* 2\r\n", inbox(plan, me));
        }
        let receives = plan.roles.get(me as usize).is_some_and(|role| role.receives);
        if receives {
            let from = subject(plan, self.stream, own(plan, me));
            let heard = if self.stream { format!("d.{}.{me}", plan.run) } else { from.clone() };
            let _ = write!(hello, "SUB {heard} 1\r\n");
            if self.stream {
                self.makes_consumer = true;
                let stream = stream_name(plan);
                let wish = format!(
                    "{{\"stream_name\":\"{stream}\",\"config\":{{\"deliver_subject\":\"{heard}\",\
                     \"filter_subject\":\"{from}\",\"ack_policy\":\"none\",\"deliver_policy\":\"new\",\
                     \"replay_policy\":\"instant\",\"mem_storage\":true,\"inactive_threshold\":600000000000}}}}"
                );
                let _ = write!(
                    hello,
                    "PUB $JS.API.CONSUMER.CREATE.{stream} {}.c {}\r\n{wish}\r\n",
                    inbox(plan, me),
                    wish.len()
                );
            }
        }
        hello.push_str("PING\r\n");
        sink.out.extend_from_slice(hello.as_bytes());
    }

    /// JetStream has answered a publish or the making of a consumer.
    fn reply(&mut self, subject: &[u8], body: &[u8], sink: &mut Sink<'_>) -> Result<(), String> {
        let refused = body.windows(8).any(|bytes| bytes == b"\"error\":");
        let last = subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        if last == b"c" {
            if refused {
                return Err(format!("no consumer: {}", String::from_utf8_lossy(body)));
            }
            self.makes_consumer = false;
            sink.up = true;
            return Ok(());
        }
        let low = std::str::from_utf8(last).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let number = sink.window.complete(low.ok_or("an acknowledgement of nothing")?, 0xffff);
        if refused {
            sink.failed(number);
        } else {
            sink.acknowledged(number);
        }
        Ok(())
    }

    /// The message of `me` to `to`.
    pub(crate) fn template(&self, plan: &Plan, me: u32, to: To, size: usize) -> Template {
        let mut head = format!("PUB {} ", subject(plan, self.stream, to));
        let mut mark = 0;
        if self.stream {
            let _ = write!(head, "{}.", inbox(plan, me));
            mark = head.len();
            head.push_str("0000 ");
        }
        let _ = write!(head, "{size}\r\n");
        Template::new(head.as_bytes(), size, b"\r\n", mark)
    }

    /// Appends a message.
    pub(crate) fn send(&self, template: &mut Template, stamp: Stamp, number: u64, out: &mut Vec<u8>) {
        let digit = |shift: u32| char::from_digit((number >> shift) as u32 & 15, 16).map_or(b'0', |digit| digit as u8);
        let digits = [digit(12), digit(8), digit(4), digit(0)];
        out.extend_from_slice(template.set(stamp, if self.stream { &digits } else { &[] }));
    }
}

/// Where a member of a fan-out, or a user, is written to.
fn own(plan: &Plan, me: u32) -> To {
    if plan.options.scenario == Scenario::Fanout { To::Group(0) } else { To::User(me) }
}

fn subject(plan: &Plan, stream: bool, to: To) -> String {
    let root = if stream { 'j' } else { 'c' };
    match to {
        To::User(user) => format!("{root}.{}.u{user}", plan.run),
        To::Group(group) => format!("{root}.{}.g{group}", plan.run),
    }
}

fn inbox(plan: &Plan, me: u32) -> String {
    format!("_INBOX.{}.{me}", plan.run)
}

/// The stream of this run.
pub(crate) fn stream_name(plan: &Plan) -> String {
    format!("S{}", plan.run)
}

/// The length of the line at the front, without its end.
fn find_line(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == b'\r')?;
        if *bytes.get(at + 1)? == b'\n' {
            return Some(at);
        }
        from = at + 1;
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0_usize, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(usize::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_numbers() {
        assert_eq!(find_line(b"PING\r\nPONG\r\n"), Some(4));
        assert_eq!(find_line(b"PING\r"), None);
        assert_eq!(find_line(b"a\rb\r\n"), Some(3));
        assert_eq!((number(b"128"), number(b"1a"), number(b"")), (Some(128), None, Some(0)));
    }
}
