//! The texts that the laws are about.

use std::{fs, path::Path};

use crate::lexer;

/// One text file.
pub struct File {
    /// Its path from the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// For Rust: the text with comments, strings and test modules blanked, line for line.
    pub code: String,
}

/// Text files of a repository.
pub struct Tree(pub Vec<File>);

impl Tree {
    /// This repository, without what is built or fetched.
    pub fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        walk(root, root, &mut files);
        assert!(files.len() > 20, "the repository was not found at {}", root.display());
        Self(files)
    }

    pub fn of_samples(samples: &[(&str, &str)]) -> Self {
        Self(samples.iter().map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// The Rust files whose path begins with one of `places` (all for none).
    pub fn rust(&self, places: &[&str]) -> impl Iterator<Item = &File> {
        self.0.iter().filter(move |file| file.is("rs") && file.is_below(places))
    }

    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a File> {
        self.0.iter().filter(move |file| file.path.rsplit('/').next() == Some(name))
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        let code = if path.ends_with(".rs") { lexer::code(&text) } else { text.clone() };
        Self { path, text, code }
    }

    pub fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    pub fn is_below(&self, places: &[&str]) -> bool {
        places.is_empty() || places.iter().any(|place| self.path.starts_with(place))
    }

    /// A finding for each line of the code for which `bad` holds.
    pub fn lines_where(&self, law: &str, bad: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.code.lines().enumerate().filter(|(_, line)| bad(line));
        lines.map(|(at, line)| format!("{}:{}: {law}: {}", self.path, at + 1, line.trim())).collect()
    }
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<File>) {
    const NOT_OURS: [&str; 7] =
        ["target", "node_modules", ".git", "corpus", "artifacts", "proptest-regressions", "postrider-dev"];
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.push(File::new(path, text));
        }
    }
}

/// A sample of so many lines.
pub fn lines(count: usize) -> &'static str {
    "// a line\n".repeat(count).leak()
}

/// A sample function of so many lines.
pub fn function(count: usize) -> &'static str {
    format!("fn f() {{\n{}}}\n", "    step();\n".repeat(count - 2)).leak()
}
