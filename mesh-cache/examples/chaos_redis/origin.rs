//! Where the values come from, and the books of who was told of which change when.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_cache::mesh_core::rng::{mix, scale};
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::{Found, Key, Prefix, Tag, Version};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::weather::Watch;

/// Rows of versions that only grow. Reading one takes a while, there and back.
pub(crate) struct Origin {
    watch: Watch,
    rows: Vec<Row>,
    fails: AtomicBool,
    draws: AtomicU64,
}

/// A row as somebody read it: the value that is cached.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) row: usize,
    pub(crate) version: u64,
    /// When the origin had it, in nanoseconds of the run; its loader had it later.
    pub(crate) true_at: u64,
    pub(crate) is_published: bool,
}

struct Row {
    key: Key,
    branch: Prefix,
    tag: Tag,
    version: AtomicU64,
    /// What is published is true while it is: others write before or after.
    turn: tokio::sync::Mutex<()>,
    told: Mutex<VecDeque<Told>>,
    /// The version before which each process was told by itself to forget everything.
    own: Vec<AtomicU64>,
}

/// From when on everybody was told to forget what is older than a version. Both only grow from one to the next.
struct Told {
    at: Instant,
    version: u64,
}

/// The origin does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the origin fails")]
pub(crate) struct OriginFails;

impl Origin {
    pub(crate) fn new(watch: Watch, processes: usize, seed: u64) -> Result<Self, Failure> {
        let counters = || (0..processes).map(|_| AtomicU64::new(0)).collect();
        let row = |number: usize| -> Result<Row, Failure> {
            let branch = format!("shop/{}/", number / ROWS_A_BRANCH);
            Ok(Row {
                key: Key::new(format!("{branch}{number}"))?,
                branch: Prefix::new(branch)?,
                tag: Tag::new(format!("colour:{}", number % TAGS))?,
                version: AtomicU64::new(1),
                turn: tokio::sync::Mutex::default(),
                told: Mutex::default(),
                own: counters(),
            })
        };
        let rows = (0..ROWS).map(row).collect::<Result<_, _>>()?;
        Ok(Self { watch, rows, fails: AtomicBool::new(false), draws: AtomicU64::new(mix(seed)) })
    }

    pub(crate) fn key(&self, row: usize) -> &Key {
        &self.rows[row].key
    }

    pub(crate) fn branch(&self, row: usize) -> &Prefix {
        &self.rows[row].branch
    }

    pub(crate) fn tag(&self, row: usize) -> &Tag {
        &self.rows[row].tag
    }

    /// From now on it answers nobody, or everybody again.
    pub(crate) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Reads a row: 1 to 20 ms, and now and then much longer; one in 500 fails.
    pub(crate) async fn load(&self, row: usize) -> Result<Found<Item>, OriginFails> {
        let is_slow = self.draw(100) == 0;
        let (there, back) = (self.draw(10_000), if is_slow { 100_000 + self.draw(200_000) } else { self.draw(10_000) });
        tokio::time::sleep(Duration::from_micros(500 + there)).await;
        let (true_at, version) = (self.nanos(), self.version(row));
        tokio::time::sleep(Duration::from_micros(500 + back)).await;
        if self.fails.load(Ordering::SeqCst) || self.draw(500) == 0 {
            return Err(OriginFails);
        }
        Ok(self.found(Item { row, version, true_at, is_published: false }))
    }

    /// What a cache is given of `item`. Half the rows say their version, the others must do without.
    pub(crate) fn found(&self, item: Item) -> Found<Item> {
        let found = Found::new(item).tag(self.tag(item.row).clone());
        if item.row.is_multiple_of(2) { found.version(Version { epoch: 1, index: item.version }) } else { found }
    }

    pub(crate) fn version(&self, row: usize) -> u64 {
        self.rows[row].version.load(Ordering::SeqCst)
    }

    /// Waits until nobody publishes the row, and keeps others from writing it.
    pub(crate) async fn turn(&self, row: usize) -> tokio::sync::MutexGuard<'_, ()> {
        self.rows[row].turn.lock().await
    }

    /// Changes a row, for whoever has its turn, and returns it.
    pub(crate) fn write(&self, row: usize, _: &tokio::sync::MutexGuard<'_, ()>) -> Item {
        let version = self.rows[row].version.fetch_add(1, Ordering::SeqCst) + 1;
        Item { row, version, true_at: self.nanos(), is_published: true }
    }

    /// The process `by` has told itself, and everybody where it `is_told`, that `item` changed.
    pub(crate) fn told(&self, item: &Item, by: usize, is_told: bool) {
        let row = &self.rows[item.row];
        row.own[by].fetch_max(item.version, Ordering::SeqCst);
        if !is_told {
            return;
        }
        let at = self.watch.now();
        let mut told = lock(&row.told);
        if told.back().is_none_or(|last| last.version < item.version) {
            told.push_back(Told { at, version: item.version });
        }
        while told.front().is_some_and(|first| first.at + REMEMBERED < at) && told.len() > 1 {
            told.pop_front();
        }
    }

    /// The first version of a row that the process `by` may still be served as fresh, by what it told itself.
    pub(crate) fn own(&self, row: usize, by: usize) -> u64 {
        self.rows[row].own[by].load(Ordering::SeqCst)
    }

    /// For how long, at `now`, everybody has been told that `version` of a row is out of date.
    pub(crate) fn outdated(&self, row: usize, version: u64, now: Instant) -> Option<Duration> {
        let told = lock(&self.rows[row].told);
        let first = told.partition_point(|told| told.version <= version);
        told.get(first).filter(|told| told.at <= now).map(|told| now.since(told.at))
    }

    fn draw(&self, bound: u64) -> u64 {
        scale(mix(self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)), bound)
    }

    fn nanos(&self) -> u64 {
        self.watch.now().as_nanos()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) const ROWS: usize = 64;
const ROWS_A_BRANCH: usize = 8;
pub(crate) const TAGS: usize = 8;
/// The longest that a load takes.
pub(crate) const LOAD_MAX: Duration = Duration::from_millis(311);
/// For how long it is remembered who was told what; what is served fresh for longer is out of date by that at least.
const REMEMBERED: Duration = Duration::from_secs(120);
