//! The files of the pages, in the binary.

/// The media type and the bytes of a file below `/chat/`.
#[must_use]
pub fn assets(path: &str) -> Option<(&'static str, &'static [u8])> {
    FILES.iter().find(|(name, _)| *name == path).map(|(name, bytes)| (mime(name), *bytes))
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

static FILES: &[(&str, &[u8])] = &[];
