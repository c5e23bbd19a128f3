//! Child processes that cannot outlive whoever started them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `program`, with what it says going to the end of `log`.
    ///
    /// The kernel kills it when the thread that started it ends, so that thread is one that lives as long as the process.
    pub(crate) fn start(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        let mut command = Command::new("setpriv");
        let output = File::options().create(true).append(true).open(log)?;
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (answer, answered) = channel();
        let gone = || io::Error::other("the thread that starts servers is gone");
        starter().send(Order { command, answer }).map_err(|_| gone())?;
        Ok(Self { child: answered.recv().map_err(|_| gone())?? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // One that is gone already needs no signal.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    /// Lets it stand still, and returns when all of its threads do.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let stands_or_ended = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED;
        // Left as it is for whoever waits for its end.
        let _ = waitid(Id::Pid(pid), stands_or_ended | WaitPidFlag::WNOWAIT);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Ends it for good.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

fn starter() -> &'static Sender<Order> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for mut order in orders {
                let _ = order.answer.send(order.command.spawn());
            }
        });
        sender
    })
}

/// Where `program` is; a failure that says how to install it, where it is not.
pub(crate) fn installed(program: &str, title: &str, variable: &str) -> PathBuf {
    find(program, variable)
        .unwrap_or_else(|| panic!("{title} is not installed: run scripts/install-servers, or name it in {variable}"))
}

/// Where `program` is: named by the variable, on the path, or where `scripts/install-servers` puts it.
fn find(program: &str, variable: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = set(variable) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let path = set("PATH").unwrap_or_default();
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    let private = cache.map(|cache| cache.join("mesh-servers/usr/bin"));
    std::env::split_paths(&path).chain(private).map(|directory| directory.join(program)).find(|path| path.is_file())
}
