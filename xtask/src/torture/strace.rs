//! Reads what strace wrote: which system call of which thread began and ended at which line, and the bytes it moved.

/// A system call, or the part of one that stands on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// What strace says of the file: `5</tmp/x/log/0001>` or `9<socket:[77]>`.
    pub file: String,
    /// The bytes it moved, of all buffers.
    pub bytes: Vec<u8>,
    /// The line at which it began.
    pub began: usize,
    /// The line at which it ended; none when the trace ends first.
    pub ended: Option<usize>,
    /// What it returned, if that is a number.
    pub result: Option<i64>,
}

/// All calls of a trace written by `strace -f -y -xx`, in the order of their beginnings.
pub fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = thread_of(line) else { continue };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(call) = open.remove(&thread).and_then(|index| calls.get_mut(index)) else { continue };
            call.bytes.extend(quoted(resumed));
            call.ended = Some(at);
            call.result = result(resumed);
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let file = unescaped(arguments.split([',', ')', ' ']).next().unwrap_or_default());
            let is_whole = !rest.ends_with("<unfinished ...>");
            if !is_whole {
                open.insert(thread, calls.len());
            }
            calls.push(Call {
                thread,
                name: name.to_owned(),
                file,
                bytes: quoted(arguments),
                began: at,
                ended: is_whole.then_some(at),
                result: if is_whole { result(rest) } else { None },
            });
        }
    }
    calls
}

fn thread_of(line: &str) -> Option<(u32, &str)> {
    let line = line.strip_prefix("[pid ").unwrap_or(line).trim_start();
    let (thread, rest) = line.split_once(' ')?;
    Some((thread.trim_end_matches(']').parse().ok()?, rest.trim_start()))
}

/// A name as it is: strace writes every byte of it as `\x41`.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.extend(u8::from_str_radix(code, 16).map(char::from));
        text.push_str(rest);
    }
    text
}

fn result(line: &str) -> Option<i64> {
    line.rsplit_once(" = ")?.1.split(' ').next()?.parse().ok()
}

/// The bytes of all strings in `text`, which strace wrote as `"\x00\x01…"`.
fn quoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in text.split('"').skip(1).step_by(2) {
        let codes = string.split("\\x").filter(|code| code.len() == 2);
        bytes.extend(codes.filter_map(|code| u8::from_str_radix(code, 16).ok()));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn calls_that_others_interrupt_are_put_together() {
        let trace = "\
10 recvfrom(9<\\x73\\x3a[1]>, \"\\x00\\x41\", 8192, 0, NULL, NULL) = 2\n\
11 fdatasync(5</d/log/1> <unfinished ...>\n\
10 sendto(9<TCP:[1]>, \"\\x04\", 1, 0, NULL, 0) = 1\n\
11 <... fdatasync resumed>) = 0\n\
11 fdatasync(5</d/log/1>) = -1 EIO (Input/output error)\n\
12 +++ exited with 0 +++\n";
        let calls = parse(trace);
        assert_eq!(calls.len(), 4);
        assert_eq!(calls[0].file, "9<s:[1]>");
        assert_eq!(
            (calls[0].name.as_str(), calls[0].bytes.as_slice(), calls[0].result),
            ("recvfrom", &[0, 0x41][..], Some(2))
        );
        assert_eq!(
            (calls[1].file.as_str(), calls[1].began, calls[1].ended, calls[1].result),
            ("5</d/log/1>", 1, Some(3), Some(0))
        );
        assert_eq!((calls[2].ended, calls[3].result), (Some(2), Some(-1)));
    }

    #[test]
    fn a_buffer_that_is_filled_later_counts_when_it_is_full() {
        let trace = "\
7 read(9<TCP:[1]>,  <unfinished ...>\n\
8 write(4</d/log/1>, \"\\x01\", 1) = 1\n\
7 <... read resumed>\"\\x02\\x03\", 100) = 2\n";
        let calls = parse(trace);
        assert_eq!((calls[0].bytes.as_slice(), calls[0].ended), (&[2, 3][..], Some(2)));
    }
}
