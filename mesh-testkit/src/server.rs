//! What every server of this crate is: a process on an address of its own, with a directory and a log.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::Ipv4Addr;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::time::Sleep;

use crate::ip;
use crate::process::Process;

/// What all servers can do, whatever they serve: to be found, to be ended and to stand still.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    directory: TempDir,
    ip: Ipv4Addr,
    process: Option<Process>,
}

impl Server {
    pub(crate) fn prepare(name: &'static str, ip: Ipv4Addr) -> Self {
        let made = TempDir::with_prefix(format!("mesh-{name}-"));
        let directory = made.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        Self { name, directory, ip, process: None }
    }

    /// Starts `program` in the place of what runs.
    pub(crate) fn run(&mut self, program: &Path, arguments: &[String]) {
        self.kill();
        let started = Process::start(program, arguments, &self.log());
        self.process = Some(started.unwrap_or_else(|error| panic!("{} does not start: {error}", self.name)));
    }

    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(Process::has_ended)
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("{} on {}: {why}; its log ends:\n{}", self.name, self.ip, self.log_tail(30))
    }

    /// Its loopback address.
    #[must_use]
    pub const fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A directory that goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
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
    /// Where it does not end within 20 s.
    pub async fn stop(&mut self) {
        if let Some(process) = &self.process {
            process.signal(Signal::SIGTERM);
        }
        let mut tries = Tries::within(STOPPED_WITHIN);
        while !self.has_ended() {
            if !tries.again().await {
                self.fail("it does not stop");
            }
        }
        self.process = None;
    }

    /// Lets it stand still; connections to it are taken by the kernel and never answered.
    pub fn freeze(&self) {
        if let Some(process) = &self.process {
            process.freeze();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::SIGCONT);
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log())?;
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
        self.directory.path().join("server.log")
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what the server said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of {} on {} ends:\n{}", self.name, self.ip, self.log_tail(30));
        }
    }
}

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The server alone.
    Server,
    /// Both sides.
    Mutual,
}

pub(crate) enum Ready {
    Yes,
    AddressTaken,
    No(String),
}

/// A server of one kind: how it is started, and when it is ready.
pub(crate) trait Serve: DerefMut<Target = Server> + Sized {
    /// Becomes one with the same settings on `ip`, without anything that it had.
    fn readdress(&mut self, ip: Ipv4Addr);

    /// Starts its process, on the same address with what it kept, and does not wait.
    fn spawn(&mut self);

    /// Whether it can be used.
    async fn answers(&self) -> bool;

    /// Starts it, on another address where one is taken, and waits until it is ready.
    async fn begin(mut self) -> Self {
        for _ in 0..ADDRESSES_MAX {
            self.spawn();
            match self.ready().await {
                Ready::Yes => return self,
                Ready::AddressTaken => self.readdress(ip::next()),
                Ready::No(why) => self.fail(&why),
            }
        }
        self.fail("every address is taken")
    }

    async fn ready(&mut self) -> Ready {
        let mut tries = Tries::within(READY_WITHIN);
        while tries.again().await {
            if self.has_ended() {
                let taken = self.log_tail(50).to_lowercase().contains("address already in use");
                return if taken { Ready::AddressTaken } else { Ready::No("it ended".to_owned()) };
            }
            if self.answers().await {
                return Ready::Yes;
            }
        }
        Ready::No(format!("not ready within {READY_WITHIN:?}"))
    }

    async fn wait_until_ready(&mut self) {
        match self.ready().await {
            Ready::Yes => {}
            Ready::AddressTaken => self.fail("its address is taken"),
            Ready::No(why) => self.fail(&why),
        }
    }
}

/// Starts `count` servers, each made of its address and those of all, and waits until all are ready.
pub(crate) async fn start_all<S: Serve>(count: usize, make: impl Fn(Ipv4Addr, &[Ipv4Addr]) -> S) -> Vec<S> {
    for _ in 0..ADDRESSES_MAX {
        let ips: Vec<Ipv4Addr> = (0..count).map(|_| ip::next()).collect();
        let mut servers: Vec<S> = ips.iter().map(|ip| make(*ip, &ips)).collect();
        servers.iter_mut().for_each(Serve::spawn);
        if all_ready(&mut servers).await {
            return servers;
        }
    }
    panic!("every address is taken")
}

/// Waits for all of `servers`; false where an address is taken.
async fn all_ready<S: Serve>(servers: &mut [S]) -> bool {
    for server in servers {
        match server.ready().await {
            Ready::Yes => {}
            Ready::AddressTaken => return false,
            Ready::No(why) => server.fail(&why),
        }
    }
    true
}

/// Waits between the attempts at something that takes a while, and tells when it took too long.
#[derive(Debug)]
pub(crate) struct Tries {
    over: Pin<Box<Sleep>>,
}

impl Tries {
    pub(crate) fn within(limit: Duration) -> Self {
        Self { over: Box::pin(tokio::time::sleep(limit)) }
    }

    /// Waits until the next attempt is due; false where there is to be none.
    pub(crate) async fn again(&mut self) -> bool {
        tokio::select! {
            biased;
            () = &mut self.over => false,
            () = tokio::time::sleep(POLL) => true,
        }
    }
}

const POLL: Duration = Duration::from_millis(5);
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
const ADDRESSES_MAX: usize = 8;
/// Redis alone waits 10 s for its replicas.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
