//! Redis as the second tier of caches.
//!
//! An entry is a string at `{prefix}:v1:e:{{mark}}`, the watermark of a scope a sorted set of one at
//! `{prefix}:v1:w:{{mark}}`; keys say marks only, which are hashes, so no name of a caller's is ever told. Watermarks are
//! followed by the server's tracking of the prefix `{prefix}:v1:w:`: whoever sets one need do nothing else. Every key has
//! a lifetime.
//!
//! A sorted set, because `ZADD GT` is the one command that lets a number only grow. A script would do it in one round
//! trip, but the server tells a client of what its own scripts changed, `NOLOOP` or not (7.0.15), and then whoever
//! publishes a value would be told to forget it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{Pipeline, Value, cmd};
use futures_util::future::{join_all, try_join_all};
use mesh_core::port::{BoxFuture, Clock};
use mesh_core::service::ConfigError;
use mesh_core::time::{Instant, saturating_nanos};

use super::client::LinkState;
use super::config::RedisConfig;
use super::error::RedisError;
use super::listener::{Neighbours, RedisListener};
use super::lua::STORE;
use super::names::Names;
use super::owed::{Debt, Owed, Told};
use super::reason::Epoch;
use super::route::RedisClient;
use super::script::Script;
use crate::env::Environment;
use crate::key::{Mark, Marks};
use crate::second::{Fetched, Listener, Reach, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark};

/// Redis as the second tier of the caches of one process, which share one connection. Cheap to clone.
///
/// Caches of one namespace hear of each other's changes, as those of other processes do.
///
/// It needs Redis 6.2 and these rights, for the prefix `mesh`:
///
/// ```text
/// resetkeys ~mesh:v1:* resetchannels -@all +hello +auth +select +ping +client|tracking +time +getrange +set +del
/// +zadd +zscore +pexpire +evalsha +script|load
/// ```
///
/// A server that must not learn scripts from its users can be taught them beforehand, in place of `+script|load`.
#[derive(Clone)]
pub struct RedisTier {
    client: RedisClient,
    names: Names,
    clock: Arc<dyn Clock>,
    read_deadline: Duration,
    write_deadline: Duration,
    store: Script,
    owed: Arc<Mutex<Owed>>,
    /// Held while what is owed is told again: by one listener for all.
    repaying: Arc<tokio::sync::Mutex<()>>,
    neighbours: Neighbours,
    /// The longest entry that is read.
    entry_bytes_max: usize,
    /// How many changes are told again at a time.
    repaid_at_once: usize,
}

impl RedisTier {
    /// Begins to connect; must be called within a tokio runtime. `prefix` is what all keys begin with: 1 to 64 letters,
    /// digits, `-`, `_` and `:`.
    ///
    /// # Errors
    /// What is wrong with `prefix` or `config`, the files that it names included.
    pub fn start(prefix: &str, mut config: RedisConfig, environment: &Environment) -> Result<Self, ConfigError> {
        let names = Names::new(prefix)?;
        config.tracking_prefix = Some(names.watermark_prefix.to_string());
        config.tracking_own = false;
        let store = Script::new(STORE);
        let (read_deadline, write_deadline) = (config.read_deadline, config.write_deadline);
        // Others ask too.
        let repaid_at_once = (config.in_flight_max.get() / 2).clamp(1, REPAID_AT_ONCE_MAX);
        let client = RedisClient::start(config, environment, std::slice::from_ref(&store))?;
        let (clock, neighbours, entry_bytes_max) = (Arc::clone(&environment.clock), Neighbours::new(), ENTRY_BYTES_MAX);
        let (owed, repaying) = (Arc::default(), Arc::default());
        Ok(Self {
            client,
            names,
            clock,
            read_deadline,
            write_deadline,
            store,
            owed,
            repaying,
            neighbours,
            entry_bytes_max,
            repaid_at_once,
        })
    }

    /// The connection, for what else is kept there.
    #[must_use]
    pub const fn client(&self) -> &RedisClient {
        &self.client
    }

    /// Whether it is served.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.client.state()
    }

    async fn read(&self, marks: &Marks) -> Result<Fetched, RedisError> {
        let own = marks.own();
        let entry = self.names.entry(own);
        let is_cluster = matches!(self.client, RedisClient::Cluster(_));
        // In a cluster only the entry's own watermark is sure to be where the entry is.
        let (here, elsewhere) = if is_cluster { marks.all().split_at(1) } else { (marks.all(), [].as_slice()) };
        let mut pipeline = Pipeline::with_capacity(here.len() + 2);
        pipeline.cmd("TIME").cmd("GETRANGE").arg(&entry).arg(0).arg(self.entry_bytes_max);
        for mark in here {
            pipeline.cmd("ZSCORE").arg(self.names.watermark(*mark)).arg(MEMBER);
        }
        let replies = self.client.pipeline(entry.as_bytes(), &pipeline, self.read_deadline);
        // All at once, since there is one deadline for all of it.
        let (replies, elsewhere) = tokio::join!(replies, self.each_watermark(elsewhere, u64::MAX));
        let mut replies = replies?.into_iter();
        let now_micros = replies.next().ok_or(RedisError::Hostile)?.and_then(|time| time_of(&time))?;
        let bytes = replies.next().ok_or(RedisError::Hostile)?;
        // One of another type is no entry; the next to store puts that right.
        let bytes = bytes.ok().and_then(bytes_of).filter(|bytes| !bytes.is_empty());
        let mut watermarks: Vec<Watermark> = replies.map(|reply| watermark_of(reply, now_micros)).collect();
        watermarks.extend(elsewhere?.into_iter().map(|watermark| watermark.map(|at| at.min(now_micros))));
        Ok(Fetched { now_micros, bytes, watermarks })
    }

    /// The watermarks of `marks`, asked for at once, wherever they are.
    async fn each_watermark(&self, marks: &[Mark], now_micros: u64) -> Result<Vec<Watermark>, RedisError> {
        try_join_all(marks.iter().map(|mark| self.watermark(*mark, now_micros))).await
    }

    async fn watermark(&self, mark: Mark, now_micros: u64) -> Result<Watermark, RedisError> {
        let name = self.names.watermark(mark);
        let mut zscore = cmd("ZSCORE");
        zscore.arg(&name).arg(MEMBER);
        match self.client.query(name.as_bytes(), &zscore, self.read_deadline).await {
            Err(RedisError::WrongType) => Ok(Some(now_micros)),
            reply => Ok(watermark_of(Ok(reply?), now_micros)),
        }
    }

    async fn read_watermarks(&self, marks: &[Mark]) -> Result<Vec<Watermark>, RedisError> {
        let Some(first) = marks.first() else { return Ok(Vec::new()) };
        let mut watermarks = Vec::with_capacity(marks.len());
        if matches!(self.client, RedisClient::Cluster(_)) {
            return self.each_watermark(marks, u64::MAX).await;
        }
        let mut pipeline = Pipeline::with_capacity(marks.len());
        marks.iter().for_each(|mark| {
            pipeline.cmd("ZSCORE").arg(self.names.watermark(*mark)).arg(MEMBER);
        });
        let first = self.names.watermark(*first);
        let replies = self.client.pipeline(first.as_bytes(), &pipeline, self.read_deadline).await?;
        watermarks.extend(replies.into_iter().map(|reply| watermark_of(reply, u64::MAX)));
        Ok(watermarks)
    }

    async fn keep(&self, store: Store<'_>) -> Result<Stored, RedisError> {
        let names = [self.names.entry(store.own), self.names.watermark(store.own)];
        let mut version = [0; 16];
        version[..8].copy_from_slice(&store.version.epoch.to_be_bytes());
        version[8..].copy_from_slice(&store.version.index.to_be_bytes());
        let (keep_for, kept) = (millis(store.keep_for.min(ENTRY_KEPT_MAX)), millis(ENTRY_WATERMARK_KEPT));
        let replaces = store.replaces.unwrap_or_default();
        let args = (store.begun_micros, store.bytes, &version, keep_for, kept, store.as_of_micros, replaces);
        let reply = self.client.invoke(&self.store, &names, args, self.write_deadline).await?;
        let Value::Int(number) = reply else { return Err(RedisError::Hostile) };
        match number {
            1 => Ok(Stored::Yes),
            0 => Ok(Stored::Overtaken),
            -1 => Ok(Stored::Older),
            _ => Err(RedisError::Hostile),
        }
    }

    /// Sets a watermark, and remembers that it did.
    async fn mark(&self, mark: Mark, reach: Reach) -> Result<u64, TierError> {
        let told = self.beginning_now();
        let watermark = self.set(mark, reach).await?;
        if !self.owed().note(mark, reach, told) {
            // It would not be told again: whoever asked keeps it for later.
            let reason = "was told, and either lost since or told of more lately than can be remembered";
            return Err(TierError::new(TierErrorKind::Silent, reason));
        }
        Ok(watermark)
    }

    async fn set(&self, mark: Mark, reach: Reach) -> Result<u64, RedisError> {
        let (name, until) = (self.names.watermark(mark), self.clock.now() + self.write_deadline);
        let time = self.client.query(name.as_bytes(), &cmd("TIME"), self.write_deadline).await?;
        // Whatever is begun later reads what was changed before this was asked.
        let watermark = time_of(&time)?;
        match self.grow(&name, mark, reach, watermark, until).await {
            // What is no watermark has no business there.
            Err(RedisError::WrongType) => {
                let mut del = cmd("DEL");
                self.client.query(name.as_bytes(), del.arg(&name), until.since(self.clock.now())).await?;
                self.grow(&name, mark, reach, watermark, until).await?;
            }
            grown => grown?,
        }
        Ok(watermark)
    }

    /// Lets the watermark `name` of `mark` grow to `watermark` at least, and takes away the entry of its name.
    async fn grow(
        &self,
        name: &str,
        mark: Mark,
        reach: Reach,
        watermark: u64,
        until: Instant,
    ) -> Result<(), RedisError> {
        let kept = match reach {
            Reach::Entry => ENTRY_WATERMARK_KEPT,
            Reach::Many => WATERMARK_KEPT,
        };
        let mut pipeline = Pipeline::with_capacity(3);
        pipeline.cmd("ZADD").arg(name).arg("GT").arg(watermark).arg(MEMBER);
        pipeline.cmd("PEXPIRE").arg(name).arg(millis(kept));
        pipeline.cmd("DEL").arg(self.names.entry(mark));
        let replies = self.client.pipeline(name.as_bytes(), &pipeline, until.since(self.clock.now())).await?;
        replies.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// Tells the server what it may not know, however often that takes; whoever listens is not told to hear before. Dropped
    /// half-way, another listener goes on from there.
    pub(super) async fn repay(&self) {
        let _turn = self.repaying.lock().await;
        let mut wait = REPAID_AGAIN;
        // That the connection is lost is news, at which this is dropped.
        while !self.repay_each().await {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(REPAID_AGAIN_MAX);
        }
    }

    /// Tries each that is owed once, so that one that cannot be told keeps no other from it; returns whether all were told.
    async fn repay_each(&self) -> bool {
        let (mut last, mut is_over) = (None, true);
        loop {
            let due = self.owed().due(last, self.repaid_at_once);
            let Some((mark, _)) = due.last() else { return is_over };
            last = Some(*mark);
            let told = join_all(due.into_iter().map(|(mark, debt)| self.repay_one(mark, debt))).await;
            is_over &= told.into_iter().all(|is_told| is_told);
        }
    }

    async fn repay_one(&self, mark: Mark, debt: Debt) -> bool {
        let told = self.beginning_now();
        self.set(mark, debt.reach).await.is_ok() && self.owed().repaid(mark, debt, told)
    }

    /// When, and on which connection at the earliest, what is begun now is told.
    fn beginning_now(&self) -> Told {
        let epoch = match self.client.state() {
            LinkState::Up { epoch } => epoch,
            LinkState::Down { .. } => Epoch::default(),
        };
        Told { since: self.clock.now(), epoch }
    }

    /// The connection `epoch` is lost, or tells of nothing for a while.
    pub(super) fn mute(&self, epoch: Epoch) {
        self.owed().mute(epoch, self.clock.now());
    }

    /// There is the connection `epoch`, still or anew.
    pub(super) fn rise(&self, epoch: Epoch) {
        self.owed().rise(epoch);
    }

    /// The mark of the scope whose watermark is at `key`.
    pub(super) fn mark_of(&self, key: &[u8]) -> Option<Mark> {
        self.names.mark_of(key)
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecondTier for RedisTier {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        Box::pin(async move { self.read(marks).await.map_err(TierError::from) })
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        Box::pin(async move { self.read_watermarks(marks).await.map_err(TierError::from) })
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        Box::pin(async move { self.keep(store).await.map_err(TierError::from) })
    }

    fn invalidate(&self, mark: Mark, reach: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        Box::pin(async move {
            let told = self.mark(mark, reach).await;
            // Not before: who looked here meanwhile may have found what is out of date now.
            self.neighbours.tell(mark);
            told
        })
    }

    fn discard(&self, own: Mark) -> BoxFuture<'_, Result<(), TierError>> {
        Box::pin(async move {
            let (name, mut del) = (self.names.entry(own), cmd("DEL"));
            self.client.query(name.as_bytes(), del.arg(&name), self.write_deadline).await?;
            Ok(())
        })
    }

    fn listen(&self) -> Box<dyn Listener> {
        Box::new(RedisListener::new(self.clone(), self.client.events(), self.neighbours.listen()))
    }

    fn join(&self, entry_bytes_max: usize) -> Option<Arc<dyn SecondTier>> {
        // The server counts no further, and has no string that is longer.
        let entry_bytes_max = entry_bytes_max.min(STRING_BYTES_MAX);
        Some(Arc::new(Self { neighbours: self.neighbours.join(), entry_bytes_max, ..self.clone() }))
    }

    fn read_deadline(&self) -> Option<Duration> {
        Some(self.read_deadline)
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("names", &self.names).field("state", &self.state()).finish_non_exhaustive()
    }
}

fn bytes_of(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

/// A number as Redis writes one: digits only.
fn number_of(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The reply of TIME: seconds and microseconds.
fn time_of(reply: &Value) -> Result<u64, RedisError> {
    let Value::Array(parts) = reply else { return Err(RedisError::Hostile) };
    let mut parts = parts.iter().map(|part| bytes_of(part.clone()).and_then(|bytes| number_of(&bytes)));
    match (parts.next().flatten(), parts.next().flatten(), parts.next()) {
        (Some(seconds), Some(micros), None) if micros < 1_000_000 => {
            seconds.checked_mul(1_000_000).and_then(|all| all.checked_add(micros)).ok_or(RedisError::Hostile)
        }
        _ => Err(RedisError::Hostile),
    }
}

/// A watermark as it was read at `now_micros`. One that makes no sense is taken for one of just now: whatever was begun
/// before is not believed.
fn watermark_of(reply: Result<Value, RedisError>, now_micros: u64) -> Watermark {
    match reply {
        Ok(Value::Nil) => None,
        Ok(Value::Double(score)) if score >= 0.0 => Some((score as u64).min(now_micros)),
        Ok(_) | Err(_) => Some(now_micros),
    }
}

fn millis(duration: Duration) -> u64 {
    (saturating_nanos(duration) / 1_000_000).max(1)
}

/// The one member of a watermark's sorted set.
const MEMBER: &str = "t";
/// The longest entry that is read where no cache has said: an envelope of the longest payload that the default limits allow
/// is shorter.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// The longest string that Redis has.
const STRING_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How long an entry is kept at most: as long as the watermarks that may be against it.
const ENTRY_KEPT_MAX: Duration = Duration::from_secs(4 * 86_400);
/// How long the watermark of many entries is kept: an hour longer than an entry may be.
const WATERMARK_KEPT: Duration = Duration::from_secs(4 * 86_400 + 3_600);
/// How long an entry's own is: the entry is taken away with it, and what was begun a minute ago is not stored any more.
const ENTRY_WATERMARK_KEPT: Duration = Duration::from_secs(120);
/// How long after one could not be told again it is tried once more.
const REPAID_AGAIN: Duration = Duration::from_millis(100);
/// After how long at most, where that fails again and again.
const REPAID_AGAIN_MAX: Duration = Duration::from_secs(1);
/// How many are told again at a time.
const REPAID_AT_ONCE_MAX: usize = 64;
