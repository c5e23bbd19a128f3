//! The server: it reads commands, answers most as Redis does, and lets a test write anything else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::{Dial, Stream};
use mesh_core::port::BoxFuture;
use mesh_core::service::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::stream::Breakable;

/// What becomes of one attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is served.
    Serve,
    /// It is served, a second later.
    ServeLate,
    /// Nothing listens.
    Refuse,
    /// The packets vanish.
    Hang,
    /// It is accepted, and nothing is ever answered.
    Mute,
    /// The dialler has a bug.
    Panic,
}

/// Says what a command is answered, where it is not what Redis would say; an empty answer is silence.
pub(crate) type Answer = Box<dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync>;

/// A server, and the network on the way to it.
pub(crate) struct FakeRedis {
    plans: Mutex<VecDeque<Plan>>,
    plan: Mutex<Plan>,
    /// Of those to one address, whatever was planned.
    plans_of: Mutex<BTreeMap<String, Plan>>,
    answer: Mutex<Arc<Answer>>,
    connections: Mutex<Vec<Arc<Connection>>>,
    dials: Mutex<Vec<String>>,
}

/// One connection, from the server's side.
pub(crate) struct Connection {
    frozen: AtomicBool,
    reset: Arc<AtomicBool>,
    closed: AtomicBool,
    commands: Mutex<Vec<Vec<String>>>,
    writes: mpsc::UnboundedSender<Option<Vec<u8>>>,
}

impl FakeRedis {
    pub(crate) fn new() -> Arc<Self> {
        Self::answering(|_| None)
    }

    pub(crate) fn answering(answer: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            plans: Mutex::default(),
            plan: Mutex::new(Plan::Serve),
            plans_of: Mutex::default(),
            answer: Mutex::new(Arc::new(Box::new(answer))),
            connections: Mutex::default(),
            dials: Mutex::default(),
        })
    }

    /// What becomes of the next attempts.
    pub(crate) fn plan(&self, plans: impl IntoIterator<Item = Plan>) {
        self.plans.lock().unwrap().extend(plans);
    }

    /// What becomes of those after them.
    pub(crate) fn plan_for_good(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    /// What becomes of those to `host`.
    pub(crate) fn plan_of(&self, host: &str, plan: Plan) {
        self.plans_of.lock().unwrap().insert(host.to_owned(), plan);
    }

    pub(crate) fn answer(&self, answer: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(Box::new(answer));
    }

    /// How often somebody tried to connect.
    pub(crate) fn dials(&self) -> usize {
        self.dials.lock().unwrap().len()
    }

    /// Where to, each time.
    pub(crate) fn dialled(&self) -> Vec<String> {
        self.dials.lock().unwrap().clone()
    }

    /// The connection that was accepted last.
    pub(crate) fn last(&self) -> Arc<Connection> {
        Arc::clone(self.connections.lock().unwrap().last().expect("nobody has connected"))
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.connections.lock().unwrap().iter().filter(|connection| !connection.is_closed()).count()
    }

    fn accept(self: &Arc<Self>, plan: Plan) -> Box<dyn Stream> {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (writes, to_write) = mpsc::unbounded_channel();
        let connection = Arc::new(Connection {
            frozen: AtomicBool::new(plan == Plan::Mute),
            reset: Arc::default(),
            closed: AtomicBool::new(false),
            commands: Mutex::default(),
            writes,
        });
        self.connections.lock().unwrap().push(Arc::clone(&connection));
        let reset = Arc::clone(&connection.reset);
        tokio::spawn(serve(Arc::clone(self), connection, server, to_write));
        Box::new(Breakable { inner: client, reset })
    }
}

impl fmt::Debug for FakeRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeRedis")
    }
}

/// Dials itself: `Arc<FakeRedis>` as a value, since a connection's task shares it.
#[derive(Debug)]
pub(crate) struct FakeDial(pub(crate) Arc<FakeRedis>);

impl Dial for FakeDial {
    fn dial<'a>(&'a self, host: &'a Host, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            self.0.dials.lock().unwrap().push(host.authority(port));
            let planned = self.0.plans_of.lock().unwrap().get(host.as_str()).copied();
            let plan = planned.or_else(|| self.0.plans.lock().unwrap().pop_front());
            let plan = plan.unwrap_or(*self.0.plan.lock().unwrap());
            match plan {
                Plan::Serve | Plan::Mute => Ok(self.0.accept(plan)),
                Plan::ServeLate => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(self.0.accept(plan))
                }
                Plan::Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                Plan::Hang => std::future::pending().await,
                Plan::Panic => panic!("a bug of the dialler's"),
            }
        })
    }
}

impl Connection {
    /// From now on nothing is answered, and nothing tells: a half-open connection.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Answers what comes from now on.
    pub(crate) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
    }

    /// Writes `bytes`, whatever was asked.
    pub(crate) fn write(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.writes.send(Some(bytes.into()));
    }

    /// Ends it, as a server that stops does.
    pub(crate) fn close(&self) {
        let _ = self.writes.send(None);
    }

    /// Ends it, as a network that has forgotten it does.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        self.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The commands that came, each with its words joined.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().iter().map(|words| words.join(" ")).collect()
    }
}

async fn serve(
    fake: Arc<FakeRedis>,
    connection: Arc<Connection>,
    mut stream: DuplexStream,
    mut writes: mpsc::UnboundedReceiver<Option<Vec<u8>>>,
) {
    let mut read = Vec::new();
    loop {
        tokio::select! {
            count = stream.read_buf(&mut read) => if count.unwrap_or(0) == 0 { break },
            write = writes.recv() => match write.flatten() {
                Some(bytes) => if stream.write_all(&bytes).await.is_err() { break },
                None => break,
            },
        }
        while let Some(words) = take_command(&mut read) {
            connection.commands.lock().unwrap().push(words.clone());
            if connection.frozen.load(Ordering::SeqCst) {
                continue;
            }
            let answer = Arc::clone(&fake.answer.lock().unwrap());
            let bytes = answer(&words).unwrap_or_else(|| as_redis_would(&words));
            if stream.write_all(&bytes).await.is_err() {
                break;
            }
        }
    }
    connection.closed.store(true, Ordering::SeqCst);
}

fn as_redis_would(words: &[String]) -> Vec<u8> {
    match words[0].as_str() {
        "HELLO" => b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
        "PING" => b"+PONG\r\n".to_vec(),
        "GET" => bulk(&words[1]),
        "SCRIPT" => bulk(&"0".repeat(40)),
        _ => b"+OK\r\n".to_vec(),
    }
}

/// The first whole command of `read`, taken out of it.
fn take_command(read: &mut Vec<u8>) -> Option<Vec<String>> {
    let mut at = 0;
    let line = |at: &mut usize| {
        let end = read[*at..].windows(2).position(|pair| pair == b"\r\n")? + *at;
        let text = String::from_utf8_lossy(&read[*at + 1..end]).into_owned();
        *at = end + 2;
        Some(text.parse::<usize>().expect("a client sends counts"))
    };
    let count = line(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = line(&mut at)?;
        let word = read.get(at..at + length)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at += length + 2;
    }
    if at > read.len() {
        return None;
    }
    read.drain(..at);
    Some(words)
}

/// A bulk string.
pub(crate) fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// What a node says of the cluster: ranges of slots, each on port 7000 of its host.
pub(crate) fn slots(ranges: &[(u16, u16, &str)]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", ranges.len()).into_bytes();
    for (first, last, host) in ranges {
        bytes.extend(format!("*3\r\n:{first}\r\n:{last}\r\n*3\r\n").into_bytes());
        bytes.extend([bulk(host), b":7000\r\n".to_vec(), bulk("id")].concat());
    }
    bytes
}

/// The push message that names `keys`, or all of them.
pub(crate) fn push(keys: Option<&[&str]>) -> Vec<u8> {
    let mut bytes = b">2\r\n$10\r\ninvalidate\r\n".to_vec();
    match keys {
        Some(keys) => {
            bytes.extend(format!("*{}\r\n", keys.len()).into_bytes());
            keys.iter().for_each(|key| bytes.extend(bulk(key)));
        }
        None => bytes.extend(b"_\r\n"),
    }
    bytes
}
