//! A GET through the link that is kept, beside the same GET on the bare client's connection, to one real server.
//!
//! Both ask in turn, round by round, and the ratios are between the two halves of a round. Client and server share one
//! core: on two, the wake-ups between them take ten times what either client does, and hide it.

use std::future::Future;
use std::time::{Duration, Instant};

use mesh_cache::redis::{RedisConfig, RedisLink, RedisTier};
use mesh_cache::second::SecondTier as _;
use mesh_cache::{Environment, Key, Marks};
use mesh_testkit::RedisServer;
use redis::Cmd;
use redis::aio::MultiplexedConnection;

const ROUNDS: usize = 60;
const GETS: usize = 1_000;
const TASKS: usize = 64;
const GETS_OF_A_TASK: usize = 40;

pub(crate) fn measure() {
    // The server is started from here, and stays on the core of whoever started it.
    let core = core_affinity::get_core_ids().and_then(|cores| cores.first().copied());
    let _ = core.map(core_affinity::set_for_current);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(compare());
}

async fn compare() {
    let server = RedisServer::start().await;
    let client = redis::Client::open(server.url()).expect("an address");
    let mut bare = Bare(client.get_multiplexed_async_connection().await.expect("a connection"));
    bare.0.send_packed_command(redis::cmd("SET").arg(KEY).arg([7_u8; 64].as_slice())).await.expect("set");
    let environment = Environment::system();
    let config = RedisConfig::at(&server.url()).expect("an address");
    let mut link = Link(RedisLink::start(config.clone(), &environment, &[]).expect("valid"));
    link.0.ready().await.expect("a connection");
    let tier = RedisTier::start("mesh", config, &environment).expect("valid");
    tier.client().ready().await.expect("a connection");
    let mut tier = Tier(tier, Marks::new(&Key::new("svc/000/instance-000000").expect("a key"), &[]));

    let (mut of_bare, mut of_link, mut of_tier) = (Times::default(), Times::default(), Times::default());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            of_bare.take(&mut bare).await;
            of_link.take(&mut link).await;
        } else {
            of_link.take(&mut link).await;
            of_bare.take(&mut bare).await;
        }
        of_tier.take(&mut tier).await;
    }
    println!("\nRedis, client and server on one core: median of {ROUNDS} rounds, and quartiles");
    println!("  {:<26}{:>16}{:>18}{:>18}", "microseconds", "p50", "p99", "each of 64 tasks");
    for (subject, times) in [("bare GET", &of_bare), ("RedisLink GET", &of_link), ("RedisTier::fetch", &of_tier)] {
        show(subject, times.each().map(|samples| samples.iter().map(|time| time.as_secs_f64() * 1e6).collect()));
    }
    let ratios = |(mine, theirs): (&Vec<Duration>, &Vec<Duration>)| -> Vec<f64> {
        mine.iter().zip(theirs).map(|(mine, theirs)| mine.as_secs_f64() / theirs.as_secs_f64()).collect()
    };
    let [p50, p99, tasks] = of_link.each();
    let [bare_p50, bare_p99, bare_tasks] = of_bare.each();
    show("RedisLink / bare", [(p50, bare_p50), (p99, bare_p99), (tasks, bare_tasks)].map(ratios));
}

fn show(subject: &str, columns: [Vec<f64>; 3]) {
    let cells = columns.map(|mut column| {
        column.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| column[column.len() * percent / 100];
        format!("{:.2} ({:.2}-{:.2})", at(50), at(25), at(75))
    });
    println!("  {subject:<18}{:>20}{:>20}{:>20}", cells[0], cells[1], cells[2]);
}

/// Asks Redis for something small.
trait Asks: Clone + Send + 'static {
    fn ask(&mut self) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
struct Bare(MultiplexedConnection);

impl Asks for Bare {
    async fn ask(&mut self) {
        self.0.send_packed_command(&get()).await.expect("a reply");
    }
}

#[derive(Clone)]
struct Link(RedisLink);

impl Asks for Link {
    async fn ask(&mut self) {
        self.0.query(&get(), DEADLINE).await.expect("a reply");
    }
}

#[derive(Clone)]
struct Tier(RedisTier, Marks);

impl Asks for Tier {
    async fn ask(&mut self) {
        self.0.fetch(&self.1).await.expect("a reply");
    }
}

fn get() -> Cmd {
    let mut get = Cmd::with_capacity(2, 64);
    get.arg("GET").arg(KEY);
    get
}

/// What every round measured.
#[derive(Default)]
struct Times {
    p50: Vec<Duration>,
    p99: Vec<Duration>,
    /// The time of many tasks at once, shared out among their questions.
    tasks: Vec<Duration>,
}

impl Times {
    async fn take(&mut self, asks: &mut impl Asks) {
        let mut times = Vec::with_capacity(GETS);
        for _ in 0..GETS {
            let began = now();
            asks.ask().await;
            times.push(now().duration_since(began));
        }
        times.sort_unstable();
        self.p50.push(times[GETS / 2]);
        self.p99.push(times[GETS * 99 / 100]);

        let began = now();
        let tasks = (0..TASKS).map(|_| {
            let mut asks = asks.clone();
            tokio::spawn(async move {
                for _ in 0..GETS_OF_A_TASK {
                    asks.ask().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("replies");
        }
        self.tasks.push(now().duration_since(began) / (TASKS * GETS_OF_A_TASK) as u32);
    }

    const fn each(&self) -> [&Vec<Duration>; 3] {
        [&self.p50, &self.p99, &self.tasks]
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}

const KEY: &str = "svc/000/instance-000000";
/// The bare client's own.
const DEADLINE: Duration = Duration::from_millis(500);
