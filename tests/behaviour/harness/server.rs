//! The real binary, on free ports over a directory of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tempfile::TempDir;

use super::{PATIENCE, SECRET, Via, Wire, until, wire};

/// What every server is told unless a test says otherwise: small files, so that segments and checkpoints turn over.
const SETTINGS: [&str; 13] = [
    "listeners.tcp.addr=127.0.0.1:0",
    "listeners.tls.addr=127.0.0.1:0",
    "listeners.ws.addr=127.0.0.1:0",
    "listeners.wss.addr=127.0.0.1:0",
    "http.addr=127.0.0.1:0",
    "storage.segment_bytes=1MiB",
    "storage.checkpoint_bytes=256KiB",
    "storage.window_bytes=4MiB",
    "storage.cache_bytes=4MiB",
    "storage.reserve_bytes=1MiB",
    "storage.ballast_bytes=64KiB",
    "commit.batch_bytes=256KiB",
    "limits.user_rate=0",
];

/// A directory with what a server needs: secret, certificate, key, data.
pub struct Place {
    dir: TempDir,
    /// The certificate that clients trust.
    pub certificate: CertificateDer<'static>,
}

impl Place {
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("postrider-test-").unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let place = Self { certificate: CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap(), dir };
        place.write("cert.pem", &made.cert.pem());
        place.write("key.pem", &made.signing_key.serialize_pem());
        place.write("secret", SECRET);
        place
    }

    /// A file beside the data that only its owner can read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// `postrider serve` here, with `settings` over those of all tests.
    pub fn serve(&self, settings: &[String]) -> Command {
        let mut command = cli(&["serve"]);
        let own = [("storage.path", "data"), ("tls.cert_file", "cert.pem"), ("tls.key_file", "key.pem")];
        let files = own.into_iter().chain([("auth.jwt.secret_file", "secret")]);
        let files = files.map(|(key, name)| format!("{key}={}", self.path(name).display()));
        for set in SETTINGS.map(str::to_owned).into_iter().chain(files).chain(settings.iter().cloned()) {
            command.args(["--set", &set]);
        }
        command.current_dir(self.dir.path());
        command
    }
}

/// Runs a command that is to end by itself; one that goes on is killed.
pub fn ends(mut command: Command) -> Output {
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = child.try_wait().unwrap().is_some();
    // It may have ended meanwhile.
    let _ = child.kill();
    let out = child.wait_with_output().unwrap();
    assert!(ended, "it goes on: {command:?}\n{}", String::from_utf8_lossy(&out.stderr));
    out
}

/// The binary with these arguments, and nothing of this process's environment that could configure it.
pub fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POSTRIDER_") {
            command.env_remove(name);
        }
    }
    command
}

/// A line of the log.
pub type Line = serde_json::Map<String, serde_json::Value>;

/// A running server. When it goes, it is killed, and its log must hold nothing that was not announced.
pub struct Server {
    pub place: Place,
    settings: Vec<String>,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
    addrs: BTreeMap<String, SocketAddr>,
    announced: Vec<String>,
}

impl Server {
    /// Starts a server with these settings and waits until it is ready.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(Place::new(), settings)
    }

    /// As [`Server::start`], over a place that is there already.
    pub fn start_in(place: Place, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|set| (*set).to_owned()).collect();
        let (child, log, listener) = spawn(&place, &settings);
        let addrs = BTreeMap::new();
        let announced = Vec::new();
        let mut server = Self { place, settings, child, log, listener: Some(listener), addrs, announced };
        server.wait_ready();
        server
    }

    /// Lets lines of the log that hold `text` be warnings or errors.
    pub fn announce(&mut self, text: &str) {
        self.announced.push(text.to_owned());
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Kills it and starts it again over the same data; everybody has to connect again.
    pub fn crash_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts it again over the same data.
    pub fn start_again(&mut self) {
        self.check_log();
        let (child, log, listener) = spawn(&self.place, &self.settings);
        (self.child, self.log, self.listener) = (child, log, Some(listener));
        self.wait_ready();
    }

    /// Tells it to stop, as an operator does.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = until("the end of the server", || self.child.try_wait().unwrap());
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        status
    }

    /// Tells it to stop and waits until it did, cleanly.
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log().join("\n"));
    }

    /// Where it listens.
    pub fn addr(&self, via: Via) -> SocketAddr {
        self.addrs[via.name()]
    }

    /// The address as the command line takes it.
    pub fn address(&self, via: Via) -> String {
        let addr = self.addr(via);
        if via.is_tls() {
            format!("{}://localhost:{}", via.name(), addr.port())
        } else {
            format!("{}://{addr}", via.name())
        }
    }

    pub fn http_addr(&self) -> SocketAddr {
        self.addrs["http"]
    }

    /// A transport with nothing said on it yet.
    pub fn wire(&self, via: Via) -> Wire {
        Wire::connect(self.addr(via), via, &self.place.certificate).unwrap()
    }

    /// A socket, under TLS or not, with no WebSocket on it yet.
    pub fn socket(&self, via: Via) -> wire::Stream {
        wire::open(self.addr(via), via, &self.place.certificate).unwrap()
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.http_addr(), path)
    }

    /// The value of a metric, by its name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).trim().parse().unwrap()
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap()
    }

    /// Runs a command of the binary with these arguments to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = cli(args);
        command.current_dir(self.place.dir.path());
        ends(command)
    }

    fn wait_ready(&mut self) {
        let (child, log) = (&mut self.child, &self.log);
        let lines = until("ready", || {
            let ended = child.try_wait().unwrap();
            let log = log.lock().unwrap();
            assert!(ended.is_none(), "the server ended: {}", log.join("\n"));
            let lines: Vec<Line> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            lines.iter().any(|line| line["message"] == "ready").then_some(lines)
        });
        for line in lines {
            let name = match line["message"].as_str() {
                Some("listening") => line["transport"].as_str().unwrap(),
                Some("http is listening") => "http",
                _ => continue,
            };
            self.addrs.insert(name.to_owned(), line["addr"].as_str().unwrap().parse().unwrap());
        }
    }

    /// Nothing is wrong that was not announced.
    fn check_log(&self) {
        for text in self.log().iter() {
            let level =
                serde_json::from_str::<Line>(text).ok().and_then(|line| line["level"].as_str().map(str::to_owned));
            let fine = matches!(level.as_deref(), Some("INFO" | "DEBUG" | "TRACE"));
            let announced = self.announced.iter().any(|announced| text.contains(announced));
            assert!(fine || announced, "the server logged: {text}");
            assert!(!text.contains("panicked"), "the server logged: {text}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log().join("\n"));
        } else {
            self.check_log();
        }
    }
}

fn spawn(place: &Place, settings: &[String]) -> (Child, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let mut child = place.serve(settings).spawn().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listener = std::thread::spawn({
        let log = Arc::clone(&log);
        move || {
            for line in lines.map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        }
    });
    (child, log, listener)
}

/// Status and body of a GET.
pub fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The files below `dir`, with their lengths.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                dirs.push(entry.path());
            } else {
                found.insert(entry.path(), meta.len());
            }
        }
    }
    found
}
