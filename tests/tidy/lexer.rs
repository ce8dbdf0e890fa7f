//! Just enough of Rust's lexical grammar to look at code and not at prose.

/// `text` with comments, string and character literals and test modules replaced by spaces, line for line.
pub fn code(text: &str) -> String {
    let blanked = without_prose(text);
    without_tests(&blanked)
}

fn without_prose(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = prose_len(bytes, at);
        if len == 0 {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..at + len].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
            at += len;
        }
    }
    String::from_utf8(out).expect("only whole literals are blanked")
}

/// The length of the comment or literal that begins at `at`; 0 when none does.
fn prose_len(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => string_len(rest),
        [b'r', b'"' | b'#', ..] if !is_word(bytes, at.wrapping_sub(1)) => raw_string_len(rest),
        [b'b', b'r', b'"' | b'#', ..] if !is_word(bytes, at.wrapping_sub(1)) => 1 + raw_string_len(&rest[1..]),
        [b'\'', b'\\', ..] => 2 + rest[2..].iter().skip(1).position(|&b| b == b'\'').map_or(0, |end| end + 2),
        [b'\'', b'\'', ..] => 0,
        [b'\'', ..] => char_len(rest),
        _ => 0,
    }
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_len(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes)).into_bytes();
    let body = &rest[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len() - close.len());
    2 + hashes + end + close.len()
}

/// A character literal, not a lifetime: the quote closes after one character.
fn char_len(rest: &[u8]) -> usize {
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let valid = text.unwrap_or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]).expect("valid part"));
    let len = valid.chars().next().map_or(0, char::len_utf8);
    if len > 0 && rest.get(1 + len) == Some(&b'\'') { 2 + len } else { 0 }
}

/// Blanks each item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = item_end(&out, start + "#[cfg(test)]".len());
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Where the item that begins at `from` ends: at its first `;` outside braces, or with its first block.
fn item_end(code: &str, from: usize) -> usize {
    let rest = &code[from..];
    let open = rest.find('{').unwrap_or(rest.len());
    let semicolon = rest.find(';').unwrap_or(rest.len());
    if semicolon < open { from + semicolon + 1 } else { block_end(code, from + open) }
}

/// Where the block that opens at `open` ends, one past its brace.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The functions of `code` that have a body: name, line of `fn` (from 1), lines from there to the closing brace.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if is_word(code.as_bytes(), at.wrapping_sub(1)) {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let signature = &code[at..];
        let open = signature.find('{').unwrap_or(signature.len());
        if name.is_empty() || declaration_ends_before(signature, open) || open == signature.len() {
            continue;
        }
        let end = block_end(code, at + open);
        let line = code[..at].matches('\n').count() + 1;
        found.push((name, line, code[at..end].matches('\n').count() + 1));
    }
    found
}

/// Whether a `;` outside brackets ends the signature before `open`: a function of a trait, without a body.
fn declaration_ends_before(signature: &str, open: usize) -> bool {
    let mut depth = 0;
    for b in signature[..open].bytes() {
        match b {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[test]
fn prose_is_not_code() {
    let text = "let a = \"x{\\\"\"; // fn b() {\nlet c = '{'; let d: &'static str = r#\"}\"#; /* /* { */ } */ e();";
    let code = code(text);
    assert!(!code.contains('{') && !code.contains('}') && !code.contains("fn b"));
    assert!(code.contains("let a") && code.contains("&'static str") && code.contains("e();"));
    assert_eq!(code.matches('\n').count(), 1);
}

#[test]
fn functions_are_measured() {
    let found = functions("trait T { fn a(x: [u8; 2]); }\nfn b() {\n  if x {\n  }\n}\n");
    assert_eq!(found, [("b".to_owned(), 2, 4)]);
}
