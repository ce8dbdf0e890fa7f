//! The real server as a child process: started with flags alone, watched, stopped in every way there is.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use postrider_client::{Address, Tls, Transport};

use crate::{Result, step};

/// How long a start may take, recovery included.
const START: Duration = Duration::from_secs(60);

/// A place where a server runs: its program, its data, its addresses, its secret.
pub struct Site {
    /// The program.
    pub program: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Where secret and logs are, outside the data.
    pub run: PathBuf,
    /// Listens here, one address for each transport asked for.
    pub addresses: Vec<Address>,
    /// Whom clients trust.
    pub tls: Tls,
    /// Listens for HTTP here.
    pub http: SocketAddr,
    /// Further `--set key=value`.
    pub settings: Vec<String>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
}

impl Site {
    /// A site with free ports and a new secret.
    pub fn new(program: PathBuf, run: &Path, data: PathBuf, environment: Vec<(String, String)>) -> Result<Self> {
        fs::create_dir_all(run)?;
        let secret = run.join("secret");
        if !secret.exists() {
            let mut bytes = [0; 32];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&secret)?
                .write_all(text.as_bytes())?;
        }
        let (cert, key) = (run.join("cert.pem"), run.join("key.pem"));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(&cert, made.cert.pem())?;
        write_private(&key, &made.signing_key.serialize_pem())?;
        let settings = ["limits.user_rate=0", "log.level=warn"].map(str::to_owned).to_vec();
        let (tls, http) = (Tls::with_ca_file(&cert)?, free_port()?);
        let mut site =
            Self { program, data, run: run.to_owned(), addresses: Vec::new(), tls, http, settings, environment };
        site.listen("tcp")?;
        Ok(site)
    }

    /// Listens on these transports, `tcp,tls,ws,wss`, and on no other.
    pub fn listen(&mut self, transports: &str) -> Result {
        self.addresses.clear();
        for transport in transports.split(',') {
            self.addresses.push(format!("{transport}://{}", free_port()?).parse()?);
        }
        Ok(())
    }

    /// The address for the client number `at`: the transports in turn.
    pub fn address(&self, at: u32) -> Result<&Address> {
        let at = usize::try_from(at)? % self.addresses.len().max(1);
        Ok(self.addresses.get(at).ok_or("no listener")?)
    }

    /// The arguments of `postrider serve`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["serve".to_owned()];
        let mut set = |setting: String| arguments.extend(["--set".to_owned(), setting]);
        set(format!("storage.path={}", self.data.display()));
        for address in &self.addresses {
            let transport = match address.transport() {
                Transport::Tcp => "tcp",
                Transport::Tls => "tls",
                Transport::Ws => "ws",
                Transport::Wss => "wss",
            };
            set(format!("listeners.{transport}.addr={}", address.authority()));
        }
        set(format!("tls.cert_file={}", self.run.join("cert.pem").display()));
        set(format!("tls.key_file={}", self.run.join("key.pem").display()));
        set(format!("http.addr={}", self.http));
        set(format!("auth.jwt.secret_file={}", self.run.join("secret").display()));
        self.settings.iter().cloned().for_each(set);
        arguments
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self) -> Result<Server> {
        self.start_under(Command::new(&self.program))
    }

    /// Starts it by `command`, which the server's arguments complete.
    pub fn start_under(&self, mut command: Command) -> Result<Server> {
        let log = File::options().create(true).append(true).open(self.run.join("server.log"))?;
        command.args(self.arguments()).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        let mut server = Server { child: child.map_err(|error| format!("cannot start the server: {error}"))? };
        let start = Instant::now();
        while !self.is_ready() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended at its start: {status}; {}", self.last_words()).into());
            }
            if start.elapsed() > START {
                return Err(format!("the server is not ready after {START:?}; {}", self.last_words()).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Whether `/readyz` says so.
    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: postrider\r\nconnection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer.starts_with(b"HTTP/1.1 200"))
        };
        ask().unwrap_or(false)
    }

    /// A token for a user, by the server's own command.
    pub fn token(&self, user: &str, device: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("token").arg("--secret-file").arg(self.run.join("secret"));
        let token = step::output(command.args(["--user", user, "--device", device, "--ttl", "24h"]))?;
        Ok(token.trim().to_owned())
    }

    /// What `postrider store check` says; none when that is nothing.
    pub fn store_check(&self) -> Result<Option<String>> {
        let output = Command::new(&self.program).args(["store", "check"]).arg(&self.data).output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((!output.status.success()).then_some(told))
    }

    /// The last lines of the server's log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.run.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        format!("its last words: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
}

impl Server {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait(Duration::from_secs(30))?.ok_or_else(|| "the server does not stop".into())
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) -> Result {
        step::run(Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()))
    }

    /// Waits so long for its end.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Under a tracer the server is a child of this child, and would live on.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = Command::new("pkill").args(["-KILL", "-P", &self.pid().to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a file that nobody else may read.
fn write_private(path: &Path, text: &str) -> Result {
    let _ = fs::remove_file(path);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// An address on loopback that nobody listens on now.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
