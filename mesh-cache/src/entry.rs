//! What is kept under a key, and what it is worth at a given time.
//!
//! Decides whether an entry is fresh. It is so by age *and* by hearing: an entry that was loaded over a connection that
//! has broken since may have been invalidated by somebody whom nobody heard, and is never called fresh again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_core::time::Instant;

use crate::key::{Key, Marks};
use crate::lifetimes::Lifetimes;

/// How much a cached value can be relied on, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Within its time, and no invalidation can have been missed.
    Fresh,
    /// Within its time, but other processes' invalidations could not be heard since it was loaded.
    Unheard,
    /// Past its time; it is being renewed.
    Stale,
    /// Past its time, and it could not be renewed: the last load failed.
    StaleOnError,
}

impl Freshness {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Unheard => "unheard",
            Self::Stale => "stale",
            Self::StaleOnError => "stale-on-error",
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// This process loaded it from its origin.
    Origin,
    /// This process was given it.
    Inserted,
    /// Another process loaded it, or this one earlier, and the second tier kept it.
    SecondTier,
    /// The snapshot on disk had it.
    Disk,
}

impl Source {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Inserted => "inserted",
            Self::SecondTier => "second-tier",
            Self::Disk => "disk",
        }
    }
}

/// Which of two values of a key is the newer, by their origin's own count, such as Consul's index.
///
/// Of two with the same epoch the one with the larger index wins, whenever it comes. Epochs tell counts apart that have
/// nothing to do with one another, as after a registry began anew; between them the later to come wins. So does what has
/// no version at all, [`Version::NONE`], such as an absence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version {
    /// Which count it is.
    pub epoch: u64,
    /// Where in the count it is.
    pub index: u64,
}

impl Version {
    /// The version of what has no count of its own: whoever comes later wins.
    pub const NONE: Self = Self { epoch: 0, index: 0 };

    /// Whether it is older than `other` for certain.
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        let is_none = self.epoch == 0 && self.index == 0;
        !is_none && self.epoch == other.epoch && self.index < other.index
    }
}

/// Which connection to the second tier an entry was loaded over, so that nothing was missed since; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    /// Nothing is heard.
    pub(crate) const DEAF: Self = Self(0);
}

/// A value as its loader describes it.
pub(crate) struct Fresh<V> {
    pub(crate) value: Option<Arc<V>>,
    pub(crate) version: Version,
    pub(crate) source: Source,
    /// How old it is already.
    pub(crate) age: Duration,
    /// How long it was on its way: it may have been read at any time of that. It makes it older, and not stale sooner.
    pub(crate) transit: Duration,
    pub(crate) marks: Marks,
    /// How long it is good, where it is not as the cache says.
    pub(crate) lifetimes: Option<Arc<Lifetimes>>,
    /// What it counts towards the cap on bytes.
    pub(crate) weight: u64,
    pub(crate) load_time: Option<Duration>,
    pub(crate) claim: Claim,
}

/// How much is made of a value, whatever its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// What its age says.
    Full,
    /// What its age says, but that something changed since it was true may not have been told: at most unheard.
    Unvouched,
    /// It may be older than a change that is known: at most stale.
    Outdated,
    /// It is used only because the origin fails: in the place of nothing, or of what was read clearly earlier.
    StandIn,
    /// It is used only because the origin fails, and anybody may have written it: in the place of nothing.
    Hint,
}

impl Claim {
    /// Whether it is used only because the origin fails.
    pub(crate) const fn stands_in(self) -> bool {
        match self {
            Self::Full | Self::Unvouched | Self::Outdated => false,
            Self::StandIn | Self::Hint => true,
        }
    }
}

impl<V> Clone for Fresh<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), marks: self.marks.clone(), lifetimes: self.lifetimes.clone(), ..*self }
    }
}

/// What is kept under a key. Never changed, but for two flags.
///
/// In the order of its fields, so that what a hit looks at stands together: 64 bytes, from the key to the value.
#[repr(C, align(64))]
pub(crate) struct Record<V> {
    key: Key,
    pub(crate) dead_at: Instant,
    pub(crate) fresh_until: Instant,
    pub(crate) epoch: Epoch,
    /// Whether it was read since it was asked last.
    read: AtomicBool,
    /// Whether it could not be renewed.
    failed: AtomicBool,
    pub(crate) source: Source,
    pub(crate) claim: Claim,
    pub(crate) value: Option<Arc<V>>,
    /// When it came here.
    pub(crate) stored_at: Instant,
    /// How old it was when it came here.
    age: Duration,
    pub(crate) version: Version,
    /// Which change of the cache brought it.
    pub(crate) generation: u64,
    pub(crate) load_time: Duration,
    stale_until: Instant,
    /// How long it was on its way here.
    transit: Duration,
    pub(crate) marks: Marks,
    pub(crate) weight: u64,
}

/// What the time makes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It may be served as this.
    Serve(Freshness),
    /// It may be served only if it cannot be renewed.
    Fallback,
    /// It is as if it were not there.
    Dead,
}

impl<V> Record<V> {
    pub(crate) fn new(key: Key, fresh: Fresh<V>, lifetimes: &Lifetimes, stamp: Stamp) -> Self {
        let Stamp { now, epoch, generation, entropy } = stamp;
        // Counted from now on: a clock that is younger than the value has no instant at which it was true.
        let until = |age: Duration| now + age.saturating_sub(fresh.age);
        let (fresh_until, stale_until, dead_at) = if fresh.value.is_some() {
            let fresh_for = lifetimes.jittered(entropy);
            let stale_for = fresh_for.saturating_add(lifetimes.stale);
            (until(fresh_for), until(stale_for), until(stale_for.saturating_add(lifetimes.stale_on_error)))
        } else {
            let until = until(lifetimes.absent);
            (until, until, until)
        };
        // However young it says that it is.
        let (fresh_until, epoch) = match fresh.claim {
            Claim::Full => (fresh_until, epoch),
            Claim::Unvouched => (fresh_until, Epoch::DEAF),
            Claim::Outdated | Claim::StandIn | Claim::Hint => (now, epoch),
        };
        Self {
            key,
            value: fresh.value,
            dead_at,
            fresh_until,
            stale_until,
            epoch,
            read: AtomicBool::new(false),
            failed: AtomicBool::new(fresh.claim.stands_in()),
            source: fresh.source,
            claim: fresh.claim,
            stored_at: now,
            age: fresh.age,
            version: fresh.version,
            generation,
            load_time: crate::early::load_time(fresh.load_time, lifetimes.fresh),
            transit: fresh.transit,
            marks: fresh.marks,
            weight: fresh.weight,
        }
    }

    /// What stands where there is nothing: it has the key that no entry has, and is dead at any time.
    pub(crate) fn vacant() -> Self {
        Self {
            key: Key::none(),
            value: None,
            dead_at: Instant::ZERO,
            fresh_until: Instant::ZERO,
            stale_until: Instant::ZERO,
            epoch: Epoch::DEAF,
            read: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            source: Source::Inserted,
            claim: Claim::Full,
            stored_at: Instant::ZERO,
            age: Duration::ZERO,
            version: Version::NONE,
            generation: 0,
            load_time: Duration::ZERO,
            transit: Duration::ZERO,
            marks: Marks::none(),
            weight: 0,
        }
    }

    /// What it is kept under.
    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    /// It was read.
    pub(crate) fn note_read(&self) {
        // A flag that is set already is not written again: the line stays in every reader's cache.
        if !self.read.load(Ordering::Relaxed) {
            self.read.store(true, Ordering::Relaxed);
        }
    }

    /// It takes the place of `earlier`, and what is known of how that was used.
    pub(crate) fn succeed(&self, earlier: &Self) {
        self.read.store(earlier.read.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether it was read since it was asked last.
    pub(crate) fn take_read(&self) -> bool {
        self.read.swap(false, Ordering::Relaxed)
    }

    /// What it is worth at `now`, to one who hears over the connection `heard`.
    pub(crate) fn state(&self, now: Instant, heard: Epoch) -> State {
        if now >= self.dead_at {
            return State::Dead;
        }
        if now < self.fresh_until {
            return State::Serve(self.within_its_time(heard));
        }
        let failed = self.failed.load(Ordering::Relaxed);
        match (now < self.stale_until, failed) {
            (_, true) => State::Serve(Freshness::StaleOnError),
            (true, false) => State::Serve(Freshness::Stale),
            (false, false) => State::Fallback,
        }
    }

    /// What it is worth within its time, to one who hears over the connection `heard`.
    pub(crate) fn within_its_time(&self, heard: Epoch) -> Freshness {
        let heard = heard == self.epoch && heard != Epoch::DEAF;
        if heard { Freshness::Fresh } else { Freshness::Unheard }
    }

    /// How long ago it was true: counted from when it was asked for, as RFC 9111 (4.2.3) has it, since nobody knows when
    /// on its way it was read.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(self.transit).saturating_add(now.since(self.stored_at))
    }

    /// Whether it gives way to a value that its loader describes as `fresh`, which came at `now`.
    pub(crate) fn gives_way_to(&self, fresh: &Fresh<V>, now: Instant) -> bool {
        match fresh.claim {
            Claim::Hint => false,
            Claim::StandIn => {
                let age = fresh.age.saturating_add(fresh.transit);
                !fresh.version.is_before(self.version) && self.compare(age, now) == Reading::Later
            }
            // What stands in for the origin does not keep out what the origin says, whatever version it claims.
            Claim::Full | Claim::Unvouched | Claim::Outdated => {
                self.claim.stands_in() || !fresh.version.is_before(self.version)
            }
        }
    }

    /// How its reading compares with one that is `age` old now.
    pub(crate) fn compare(&self, age: Duration, now: Instant) -> Reading {
        let own = self.age(now);
        if age.saturating_add(SAME_WITHIN) < own {
            Reading::Later
        } else if age <= own.saturating_add(SAME_WITHIN) {
            Reading::Same
        } else {
            Reading::Earlier
        }
    }

    /// Notes whether it could be renewed.
    pub(crate) fn set_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Relaxed);
    }

    /// Whether it is served because its origin fails, so that evicting it would lose what cannot be had again.
    pub(crate) fn is_irreplaceable(&self, now: Instant) -> bool {
        self.failed.load(Ordering::Relaxed) && now >= self.fresh_until && now < self.dead_at
    }
}

impl<V> fmt::Debug for Record<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, source, epoch, generation, age, stored_at, fresh_until, dead_at, .. } = self;
        let mut shown = f.debug_struct("Record");
        shown.field("version", version).field("source", source).field("epoch", epoch).field("generation", generation);
        shown.field("age", age).field("stored_at", stored_at).field("fresh_until", fresh_until);
        shown.field("dead_at", dead_at).finish_non_exhaustive()
    }
}

/// When another value of a key was read, as compared with the one that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Before it.
    Earlier,
    /// With it, as far as can be told: it is the same value on another way.
    Same,
    /// After it.
    Later,
}

/// How far two ages of one value are apart that were taken on two ways, with two clocks.
const SAME_WITHIN: Duration = Duration::from_millis(10);

/// When and how a record comes to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) now: Instant,
    pub(crate) epoch: Epoch,
    pub(crate) generation: u64,
    pub(crate) entropy: u64,
}
