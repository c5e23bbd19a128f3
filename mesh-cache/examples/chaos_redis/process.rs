//! One process of the fleet: its connection, its cache, and those who read and write through it.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::mesh_core::rng::Rng;
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::redis::{RedisConfig, RedisTier};
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::{Cache, CacheConfig, Cached, Environment, Freshness, Lifetimes, LoadError, NotTold, Scope, Source};
use mesh_testkit::{FaultProxy, RedisServer};

use crate::Failure;
use crate::judge::{Judge, Tally};
use crate::origin::{Item, Origin, ROWS};
use crate::weather::{Silence, Watch};

/// One process of the fleet.
pub(crate) struct Process {
    pub(crate) index: usize,
    pub(crate) cache: Cache<Item>,
    /// What its connection goes through, unless it goes straight to the server.
    pub(crate) proxy: Option<FaultProxy>,
    /// Whether its link keeps what it is told from it.
    pub(crate) silence: Silence,
    pub(crate) stop_writing: AtomicBool,
    /// Whether nothing is changed for a while, and most rows are not read.
    pub(crate) is_idle: AtomicBool,
    pub(crate) stop_reading: AtomicBool,
    watch: Watch,
    origin: Arc<Origin>,
    _tier: RedisTier,
}

/// What one call came to.
pub(crate) struct Reading {
    pub(crate) row: usize,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// The first version that may be fresh, by what the process itself had changed before the call began.
    pub(crate) own: u64,
    /// Whether nothing was waited for.
    pub(crate) at_once: bool,
    /// What was served; nothing is what no row of the origin is.
    pub(crate) outcome: Result<Option<Served>, LoadError>,
}

/// What was served.
pub(crate) struct Served {
    pub(crate) item: Item,
    pub(crate) age: Duration,
    pub(crate) freshness: Freshness,
    pub(crate) source: Source,
}

/// How many changes the others were told of, and how many they may not have been told of.
#[derive(Clone, Copy, Default)]
pub(crate) struct Writes {
    pub(crate) told: u64,
    pub(crate) not_told: u64,
}

impl Process {
    pub(crate) async fn start(
        index: usize,
        server: &RedisServer,
        origin: &Arc<Origin>,
        watch: Watch,
    ) -> Result<Self, Failure> {
        let proxy = if index < STRAIGHT { None } else { Some(FaultProxy::start(server.address()).await) };
        let address = proxy.as_ref().map_or_else(|| server.address(), FaultProxy::address);
        let mut config = RedisConfig::at(&format!("redis://{address}"))?;
        // Trouble comes every second and not every month: whoever waited up to 10 s would hear nothing at all.
        config.link.stable_after = Duration::from_millis(500);
        config.link.retry_max = Duration::from_secs(1);
        if index == HARD_OF_HEARING {
            config.events_max = std::num::NonZeroUsize::MIN.saturating_add(1);
        }
        let tier = RedisTier::start("mesh", config, &Environment::system())?;
        let keys = KeyRing::new(SealKey::new(1, &[7; 32])?);
        let cache = Cache::builder()
            .config(numbers())
            .second_tier("chaos", tier.clone(), JsonCodec::new(1))
            .seal(Sealer::with_keys(keys))
            .build()?;
        let [stop_writing, is_idle, stop_reading] = [const { AtomicBool::new(false) }; 3];
        let origin = Arc::clone(origin);
        let silence = Silence::new(watch);
        Ok(Self { index, cache, proxy, silence, stop_writing, is_idle, stop_reading, watch, origin, _tier: tier })
    }

    /// Reads at random until it is told to stop.
    pub(crate) async fn reader(self: Arc<Self>, judge: Arc<Judge>, mut random: Rng) -> Tally {
        let mut tally = Tally::default();
        while !self.stop_reading.load(Ordering::Relaxed) {
            let rows = match self.index {
                QUIET => QUIET_ROWS,
                _ if self.is_idle.load(Ordering::Relaxed) => BUSY_ROWS,
                _ => ROWS,
            };
            let row = index(&mut random, rows);
            let reading = self.read(row, random.below(2) == 0).await;
            judge.judge(&self, &reading, &mut tally);
            tokio::time::sleep(Duration::from_micros(random.below(4_000))).await;
        }
        tally
    }

    /// One call: `get`, and then a load where there is nothing; or that together.
    pub(crate) async fn read(&self, row: usize, looks_first: bool) -> Reading {
        let key = self.origin.key(row);
        let own = self.origin.own(row, self.index);
        let began = self.watch.now();
        if looks_first && let Some(hit) = self.cache.get(key.as_str()) {
            let outcome = Ok(served(hit.to_cached()));
            return Reading { row, began, took: self.watch.now().since(began), own, at_once: true, outcome };
        }
        let origin = Arc::clone(&self.origin);
        let load = move || {
            let origin = Arc::clone(&origin);
            async move { origin.load(row).await }
        };
        let mut call = pin!(self.cache.get_or_load(key, load));
        let at_once = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        let (at_once, outcome) = match at_once {
            Poll::Ready(outcome) => (true, outcome),
            Poll::Pending => (false, call.await),
        };
        let took = self.watch.now().since(began);
        Reading { row, began, took, own, at_once, outcome: outcome.map(served) }
    }

    /// Changes the origin at random, and says so, until it is told to stop.
    pub(crate) async fn writer(self: Arc<Self>, mut random: Rng) -> Writes {
        let mut writes = Writes::default();
        while !self.stop_writing.load(Ordering::Relaxed) {
            if self.is_idle.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            let change = Change::draw(&mut random);
            match self.change(change).await {
                Ok(()) => writes.told += 1,
                Err(_) => writes.not_told += 1,
            }
            tokio::time::sleep(Duration::from_millis(20 + random.below(80))).await;
        }
        writes
    }

    /// Changes a row or two, told or not.
    pub(crate) async fn change_once(self: Arc<Self>, mut random: Rng) {
        // What comes of it the readers see.
        let _ = self.change(Change::draw(&mut random)).await;
    }

    async fn change(&self, change: Change) -> Result<(), NotTold> {
        let origin = &self.origin;
        let (scope, rows): (_, Vec<usize>) = match change {
            Change::Publish(row) => return self.publish(row).await,
            Change::Key(row) => (Scope::Key(origin.key(row).clone()), vec![row]),
            Change::Branch(row) => {
                let branch = origin.branch(row);
                (Scope::Prefix(branch.clone()), (0..ROWS).filter(|row| origin.branch(*row) == branch).collect())
            }
            Change::Tag(row) => {
                let tag = origin.tag(row);
                (Scope::Tag(tag.clone()), (0..ROWS).filter(|row| origin.tag(*row) == tag).collect())
            }
            Change::All => (Scope::All, (0..ROWS).collect()),
        };
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let turn = origin.turn(row).await;
            items.push(origin.write(row, &turn));
        }
        let told = self.cache.invalidate(&scope).await;
        items.iter().for_each(|item| origin.told(item, self.index, told.is_ok()));
        told.map(drop)
    }

    async fn publish(&self, row: usize) -> Result<(), NotTold> {
        let turn = self.origin.turn(row).await;
        let item = self.origin.write(row, &turn);
        let told = self.cache.publish(self.origin.key(row), self.origin.found(item)).await;
        self.origin.told(&item, self.index, told.is_ok());
        told.map(drop)
    }
}

/// A change of the origin, aimed at one row or at all that have something in common with one.
#[derive(Clone, Copy)]
enum Change {
    Key(usize),
    Publish(usize),
    Branch(usize),
    Tag(usize),
    All,
}

impl Change {
    /// Mostly a single row, and mostly one of a few that change all the time.
    fn draw(random: &mut Rng) -> Self {
        let bound = if random.below(4) == 0 { ROWS } else { BUSY_ROWS };
        let row = index(random, bound);
        match random.below(100) {
            0..60 => Self::Key(row),
            60..80 => Self::Publish(row),
            80..90 => Self::Branch(index(random, ROWS)),
            90..98 => Self::Tag(index(random, ROWS)),
            _ => Self::All,
        }
    }
}

fn served(cached: Cached<Item>) -> Option<Served> {
    let Cached { value, age, freshness, source, .. } = cached;
    Some(Served { item: *value?, age, freshness, source })
}

fn numbers() -> CacheConfig {
    let mut config = CacheConfig::default();
    config.lifetimes = Lifetimes::discovery();
    // Short enough to be met in a run of a minute, long enough to matter when they are wrong.
    config.lifetimes.fresh = FRESH;
    config.lifetimes.stale = Duration::from_secs(20);
    config
}

fn index(random: &mut Rng, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap_or(0)
}

pub(crate) const FRESH: Duration = Duration::from_secs(30);
/// How many processes reach the server without a proxy.
pub(crate) const STRAIGHT: usize = 2;
/// The process whose cache may be no more than two pieces of news behind.
const HARD_OF_HEARING: usize = 5;
/// The process that changes nothing and reads next to nothing. It has no call that goes unanswered, and finds out by its
/// PINGs alone that its link is silent.
pub(crate) const QUIET: usize = 4;
const QUIET_ROWS: usize = 2;
const BUSY_ROWS: usize = 16;
