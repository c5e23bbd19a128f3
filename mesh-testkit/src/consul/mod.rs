//! Real Consul agents, each with a loopback address of its own.

mod builder;
mod cluster;

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use builder::{ConsulBuilder, Tls};
pub use cluster::ConsulCluster;
use http::Method;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::http::{Reply, send};
use crate::ip;
use crate::process::{Process, find};
use builder::Role;

/// A Consul agent that runs, or was killed and can be started again on the same address.
#[derive(Debug)]
pub struct ConsulServer {
    builder: ConsulBuilder,
    directory: TempDir,
    node: String,
    ip: Ipv4Addr,
    process: Option<Process>,
}

impl ConsulServer {
    /// Starts an agent in development mode, which is its own server and forgets everything when it ends.
    ///
    /// # Panics
    /// Where Consul is not installed, with the command that does, or the agent does not become ready.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Begins an agent in development mode.
    pub fn builder() -> ConsulBuilder {
        ConsulBuilder::default()
    }

    async fn begin(builder: ConsulBuilder) -> Self {
        let mut server = Self::prepare(builder, ip::next());
        for _ in 0..ADDRESSES_MAX {
            server.launch();
            match server.ready().await {
                Ready::Yes => return server,
                Ready::AddressTaken => server.readdress(ip::next()),
                Ready::No(why) => server.fail(&why),
            }
        }
        server.fail("every address is taken")
    }

    pub(crate) fn prepare(builder: ConsulBuilder, ip: Ipv4Addr) -> Self {
        let made = TempDir::with_prefix("mesh-consul-");
        let directory = made.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let node = format!("node-{}", ip.to_string().replace('.', "-"));
        Self { builder, directory, node, ip, process: None }
    }

    fn readdress(&mut self, ip: Ipv4Addr) {
        let builder = self.builder.clone();
        *self = Self::prepare(builder, ip);
    }

    /// Starts it, on the same address with what it kept, and does not wait.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn launch(&mut self) {
        self.kill();
        let program = program();
        if self.builder.tls.is_some() && !self.ca_file().exists() {
            self.make_certificates(&program);
        }
        let file = self.directory.path().join("agent.json");
        let config = self.builder.configuration(&self.node, self.ip, self.directory.path());
        fs::write(&file, config.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut arguments = vec!["agent".to_owned()];
        if self.builder.role == Role::Dev {
            arguments.push("-dev".to_owned());
        }
        arguments.push("-config-file".to_owned());
        arguments.push(file.display().to_string());
        let started = Process::start(&program, &arguments, &self.log());
        self.process = Some(started.unwrap_or_else(|error| panic!("consul does not start: {error}")));
    }

    fn make_certificates(&self, program: &Path) {
        let datacenter = &self.builder.datacenter;
        let ip = format!("-additional-ipaddress={}", self.ip);
        for arguments in [
            vec!["tls", "ca", "create"],
            vec!["tls", "cert", "create", "-server", "-dc", datacenter, &ip],
            vec!["tls", "cert", "create", "-client", "-dc", datacenter],
        ] {
            let made = Command::new(program).args(&arguments).current_dir(self.directory.path()).output();
            match made {
                Ok(output) if output.status.success() => {}
                other => panic!("consul {} failed: {other:?}", arguments.join(" ")),
            }
        }
    }

    /// Waits until it knows a leader and has its own node in the catalogue.
    pub(crate) async fn ready(&mut self) -> Ready {
        let waited = tokio::time::timeout(READY_WITHIN, async {
            loop {
                if self.process.as_mut().is_none_or(Process::has_ended) {
                    let taken = self.log_tail(50).contains("address already in use");
                    return if taken { Ready::AddressTaken } else { Ready::No("the agent ended".to_owned()) };
                }
                if self.is_ready().await {
                    return Ready::Yes;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        waited.await.unwrap_or_else(|_| Ready::No(format!("not ready within {READY_WITHIN:?}")))
    }

    /// Whether it knows a leader and has its own node in the catalogue.
    pub async fn is_ready(&self) -> bool {
        let asked = tokio::time::timeout(Duration::from_secs(2), self.get("/v1/catalog/nodes"));
        let Ok(Ok(reply)) = asked.await else { return false };
        let leader = reply.headers.get("x-consul-knownleader").is_some_and(|known| known == "true");
        reply.status == 200 && leader && reply.body.contains(&self.node)
    }

    /// Waits until it knows a leader and has its own node in the catalogue.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn become_ready(&mut self) {
        match self.ready().await {
            Ready::Yes => {}
            Ready::AddressTaken => self.fail("its address is taken"),
            Ready::No(why) => self.fail(&why),
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("consul on {}: {why}; its log ends:\n{}", self.ip, self.log_tail(30))
    }

    /// `http://127.x.y.z:8500`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `https://127.x.y.z:8501`, where it speaks TLS.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://{}:8501", self.ip)
    }

    /// Where it takes plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip, 8500))
    }

    /// Its loopback address.
    #[must_use]
    pub const fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// A directory that goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("consul-agent-ca.pem")
    }

    /// A client's certificate and key.
    #[must_use]
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        let file =
            |ending| self.directory.path().join(format!("{}-client-consul-0{ending}.pem", self.builder.datacenter));
        (file(""), file("-key"))
    }

    /// The id of its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// Where it does not end within 10 s.
    pub async fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            while !process.has_ended() {
                tokio::time::sleep(POLL).await;
            }
        });
        let ended = ended.await.is_ok();
        if !ended {
            self.fail("it does not stop");
        }
        self.process = None;
    }

    /// Lets it stand still; connections to it are taken by the kernel and never answered.
    pub fn freeze(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::SIGSTOP);
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::SIGCONT);
        }
    }

    /// Starts it again on the same address with what it kept, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_again(&mut self) {
        self.launch();
        self.become_ready().await;
    }

    /// As [`ConsulServer::start_again`], without what it kept.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_empty(&mut self) {
        self.kill();
        // An agent without data has no such directory.
        let _ = fs::remove_dir_all(self.directory.path().join("data"));
        self.launch();
        self.become_ready().await;
    }

    /// Reads `target` as one who may do everything.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&self, target: &str) -> io::Result<Reply> {
        send(self.address(), Method::GET, target, self.headers(), "").await
    }

    /// Sends `body` to `target` as one who may do everything.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn put(&self, target: &str, body: &str) -> io::Result<Reply> {
        send(self.address(), Method::PUT, target, self.headers(), body).await
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.builder.acl { &[("x-consul-token", "root")] } else { &[] }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let read = || -> io::Result<String> {
            let mut file = fs::File::open(self.log())?;
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(end.saturating_sub(64 * 1024)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_else(|error| format!("(no log: {error})"));
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("agent.log")
    }
}

impl Drop for ConsulServer {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what the server said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of consul on {} ends:\n{}", self.ip, self.log_tail(30));
        }
    }
}

pub(crate) enum Ready {
    Yes,
    AddressTaken,
    No(String),
}

fn program() -> PathBuf {
    find("consul", "CONSUL_BIN")
        .unwrap_or_else(|| panic!("Consul is not installed: run scripts/install-servers, or name it in CONSUL_BIN"))
}

const POLL: Duration = Duration::from_millis(5);
const READY_WITHIN: Duration = Duration::from_secs(30);
const ADDRESSES_MAX: usize = 8;
