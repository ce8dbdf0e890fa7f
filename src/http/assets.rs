//! The files of the chat page, in the binary: the page itself, and the JavaScript client below `client/`.

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

macro_rules! page {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../console/chat/", $name)))
    };
}

macro_rules! client {
    ($name:literal) => {
        (concat!("client/", $name), include_bytes!(concat!("../../clients/js/", $name)))
    };
}

static FILES: &[(&str, &[u8])] = &[
    page!("answers.js"),
    page!("banner.js"),
    page!("chat.css"),
    page!("chat.js"),
    page!("compose.js"),
    page!("contents.js"),
    page!("deeds.js"),
    page!("dialogs.js"),
    page!("dom.js"),
    page!("events.js"),
    page!("facts.js"),
    page!("group-panel.js"),
    page!("groups.js"),
    page!("head.js"),
    page!("icon.svg"),
    page!("index.html"),
    page!("lines.js"),
    page!("list.css"),
    page!("list.js"),
    page!("menu.js"),
    page!("message.css"),
    page!("message.js"),
    page!("panels.css"),
    page!("pins.js"),
    page!("receipts.js"),
    page!("schedule.js"),
    page!("settings.js"),
    page!("thread.css"),
    page!("thread.js"),
    page!("timeline.js"),
    page!("words.js"),
    client!("base64.js"),
    client!("caller.js"),
    client!("client.js"),
    client!("codec.js"),
    client!("connection.js"),
    client!("elements.js"),
    client!("fields-groups.js"),
    client!("fields-marks.js"),
    client!("fields-notices.js"),
    client!("fields-people.js"),
    client!("fields-broadcast.js"),
    client!("fields-schedule.js"),
    client!("fields-targets.js"),
    client!("fields.js"),
    client!("groups.js"),
    client!("image.js"),
    client!("inbox.js"),
    client!("link.js"),
    client!("live.js"),
    client!("made.js"),
    client!("messages.js"),
    client!("outbox.js"),
    client!("people.js"),
    client!("registry.js"),
    client!("requests.js"),
    client!("broadcasts.js"),
    client!("schedule.js"),
    client!("storage.js"),
    client!("stream.js"),
    client!("unread.js"),
    client!("wire.js"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Names of the files in `folder` that a browser is given.
    fn served(folder: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| mime(name) != "application/octet-stream").collect()
    }

    #[test]
    fn every_file_of_the_page_and_the_client_is_in_the_binary() {
        for name in served("console/chat") {
            assert!(assets(&name).is_some(), "console/chat/{name} is not in the table");
        }
        for name in served("clients/js") {
            assert!(assets(&format!("client/{name}")).is_some(), "clients/js/{name} is not in the table");
        }
    }

    #[test]
    fn every_import_of_a_script_is_served() {
        for (name, bytes) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
            let text = std::str::from_utf8(bytes).unwrap();
            let imports = text.lines().filter(|line| !line.trim_start().starts_with('*') && !line.contains("/**"));
            for path in imports.filter_map(|line| line.split_once("from './")?.1.split_once('\'')).map(|(path, _)| path)
            {
                let folder = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                assert!(assets(&format!("{folder}{path}")).is_some(), "{name} imports {path}");
            }
        }
    }
}
