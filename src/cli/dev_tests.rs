use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{auth::Verifier, config::Layers, net::tls::Certificates};

fn read(dir: &Path) -> Config {
    Layers { files: vec![dir.join("postrider.toml")], ..Layers::default() }.read().unwrap()
}

#[test]
fn what_dev_makes_can_be_served() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let config = read(dir.path());
    assert_eq!(config.validate(), Ok(Vec::new()), "not even a warning");
    assert!(Verifier::load(&config.auth.jwt).is_ok());
    let tls = config.tls.clone();
    assert!(Certificates::load(&tls.cert_file.unwrap(), &tls.key_file.unwrap()).is_ok());
    assert_eq!(config.listeners.wss.addr.unwrap().port(), 8795);
    for file in ["secret", "key.pem"] {
        let mode = fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_second_start_keeps_what_the_first_made() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let before: Vec<Vec<u8>> = ["secret", "key.pem", "cert.pem"].map(|f| fs::read(dir.path().join(f)).unwrap()).into();
    prepare(dir.path()).unwrap();
    let after: Vec<Vec<u8>> = ["secret", "key.pem", "cert.pem"].map(|f| fs::read(dir.path().join(f)).unwrap()).into();
    assert_eq!(before, after);
    let other = tempfile::tempdir().unwrap();
    prepare(other.path()).unwrap();
    assert_ne!(before[0], fs::read(other.path().join("secret")).unwrap(), "every directory has its own secret");
}

#[test]
fn both_users_have_tokens_that_the_server_takes() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let config = read(dir.path());
    let verifier = Verifier::load(&config.auth.jwt).unwrap();
    let files = write_tokens(dir.path(), &config).unwrap();
    assert_eq!(files.len(), 2);
    for (user, file) in files {
        let token = fs::read_to_string(&file).unwrap();
        let identity = verifier.verify(token.trim().as_bytes(), now_s()).unwrap();
        assert_eq!(identity.user.as_str(), user);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn dev_lets_its_own_pages_in() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let mut config = read(dir.path());
    add_origins(&mut config);
    for origin in ["http://127.0.0.1:8793", "http://localhost:8793", "http://127.0.0.1:8792", "https://localhost:8795"]
    {
        assert!(config.listeners.ws.origins.iter().any(|known| known == origin), "{origin}");
    }
}

#[test]
fn the_instructions_name_what_to_open_and_type() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let config = read(dir.path());
    let tokens = write_tokens(dir.path(), &config).unwrap();
    let text = instructions(dir.path(), &config, &tokens);
    for part in
        ["http://127.0.0.1:8793/chat?user=alice", "bob.token", "--to user:bob", "tls://localhost:8791", "cert.pem"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}
