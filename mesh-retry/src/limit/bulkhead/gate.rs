//! Who is inside and who waits, in one word; and the way in for whoever needs not wait.

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};

use super::config::BulkheadConfig;
use super::reason::BulkheadFull;
use crate::sync::{AtomicU64, Ordering};

/// How many calls are inside, and how many wait: shared by all calls, and by the
/// [`BulkheadMachine`](super::BulkheadMachine) of those that wait.
///
/// Both numbers stand in one word: nobody goes past those who wait, and who leaves knows whether anybody does.
#[derive(Debug)]
pub struct Bulkhead {
    config: BulkheadConfig,
    /// Inside in the upper half, waiting in the lower.
    word: AtomicU64,
    /// The smoothed time inside in nanoseconds; zero before the first.
    service: AtomicU64,
}

/// That one call is inside. It is to be given back to its bulkhead, once, when the call has ended or was given up: one
/// that is lost keeps its place for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a pass that is lost keeps its place for ever"]
pub struct Pass {
    since: Instant,
}

/// What is left to do for whoever has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "those who wait are not told by themselves"]
pub enum Left {
    /// Nothing.
    Unawaited,
    /// Somebody waits for the place: tell the machine ([`BulkheadInput::Left`](super::BulkheadInput::Left)).
    Awaited,
}

impl Bulkhead {
    /// A bulkhead with nobody inside.
    ///
    /// A configuration that breaks its rules is followed as far as it goes: see [`BulkheadConfig::validate`].
    #[must_use]
    pub fn new(config: BulkheadConfig) -> Self {
        Self { config, word: AtomicU64::new(0), service: AtomicU64::new(0) }
    }

    /// How it was configured.
    #[must_use]
    pub const fn config(&self) -> &BulkheadConfig {
        &self.config
    }

    /// Goes in, if there is room and nobody waits for it.
    ///
    /// # Errors
    /// There is none. Nothing was changed; where calls may wait, the machine decides whether this one does.
    pub fn enter(&self, now: Instant) -> Result<Pass, BulkheadFull> {
        match self.change(|inside, waiting| (waiting == 0 && self.has_room(inside)).then(|| (inside + 1, 0))) {
            Ok(_) => Ok(Pass { since: now }),
            Err((inside, waiting)) => Err(self.full(now, inside, waiting)),
        }
    }

    /// Goes out at `now`, and takes note of how long that took.
    pub fn leave(&self, now: Instant, pass: Pass) -> Left {
        self.learn(now, &pass);
        self.withdraw(pass)
    }

    /// How many calls are inside.
    #[must_use]
    pub fn inside(&self) -> u32 {
        inside(self.word.load(Ordering::Relaxed))
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        waiting(self.word.load(Ordering::Relaxed))
    }

    /// How long calls are inside, smoothed (gain 1/8, as TCP's round trip in RFC 6298); none before the first has left.
    #[must_use]
    pub fn service_time(&self) -> Option<Duration> {
        let nanos = self.service.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Goes out without a word on how long that took: the call never began.
    pub(super) fn withdraw(&self, _pass: Pass) -> Left {
        // Nobody goes out where nobody is inside: a pass of another bulkhead would take from the number of those who wait.
        match self.change(|inside, waiting| (inside > 0).then(|| (inside - 1, waiting))) {
            Ok((_, 0)) | Err(_) => Left::Unawaited,
            Ok(_) => Left::Awaited,
        }
    }

    /// Waits, if there is no room; else goes in.
    pub(super) fn join(&self, now: Instant) -> Option<Pass> {
        let joined = |inside, waiting| {
            let goes_in = waiting == 0 && self.has_room(inside);
            Some(if goes_in { (inside + 1, 0) } else { (inside, waiting + 1) })
        };
        match self.change(joined) {
            Ok((inside, 0)) if self.has_room(inside) => Some(Pass { since: now }),
            Ok(_) | Err(_) => None,
        }
    }

    /// Lets one go in who waited, if there is room.
    pub(super) fn admit(&self, now: Instant) -> Option<Pass> {
        let admitted = |inside, waiting: u32| {
            let goes_in = waiting > 0 && self.has_room(inside);
            goes_in.then(|| (inside + 1, waiting - 1))
        };
        self.change(admitted).is_ok().then_some(Pass { since: now })
    }

    /// One who waited does so no more.
    pub(super) fn give_up(&self) {
        // Refused where nobody waits.
        let _ = self.change(|inside, waiting: u32| Some((inside, waiting.checked_sub(1)?)));
    }

    /// How long it is until `places` are free, as often as calls leave.
    pub(super) fn time_until_free(&self, places: u32) -> Option<Duration> {
        let service = u128::from(saturating_nanos(self.service_time()?));
        let nanos = service * u128::from(places) / u128::from(self.config.concurrent_max.get());
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    const fn has_room(&self, inside: u32) -> bool {
        inside < self.config.concurrent_max.get()
    }

    /// Smooths the time inside. Two threads may overwrite each other, which an estimate can bear.
    fn learn(&self, now: Instant, pass: &Pass) {
        if now < pass.since {
            return;
        }
        let took = saturating_nanos(now.since(pass.since));
        let before = self.service.load(Ordering::Relaxed);
        let after = if before == 0 { took } else { before - before / GAIN + took / GAIN };
        self.service.store(after.max(1), Ordering::Relaxed);
    }

    #[cold]
    fn full(&self, now: Instant, inside: u32, waiting: u32) -> BulkheadFull {
        let wait = self.time_until_free(waiting.saturating_add(1));
        let retry_at = wait.map(|wait| now.after(wait));
        BulkheadFull { concurrent_max: self.config.concurrent_max.get(), inside, waiting, retry_at }
    }

    /// Changes both numbers at once, and returns what they were; refused where `change` says so.
    fn change(&self, change: impl Fn(u32, u32) -> Option<(u32, u32)>) -> Result<(u32, u32), (u32, u32)> {
        let changed = |word| {
            let (inside, waiting) = change(inside(word), waiting(word))?;
            Some(u64::from(inside) << HALF | u64::from(waiting))
        };
        let unpacked = |word| (inside(word), waiting(word));
        // The word is all that is shared: nothing is handed over with it.
        self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).map(unpacked).map_err(unpacked)
    }
}

const fn inside(word: u64) -> u32 {
    (word >> HALF) as u32
}

const fn waiting(word: u64) -> u32 {
    word as u32
}

const HALF: u32 = 32;
/// The inverse of what a new time inside weighs.
const GAIN: u64 = 8;
