//! What goes into a cache and what comes out of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use mesh_core::time::Instant;

use crate::entry::{Freshness, Record, Source, Version};
use crate::key::Tag;
use crate::lifetimes::Lifetimes;

/// What a loader found at the origin.
#[derive(Debug)]
pub enum Loaded<V> {
    /// A value.
    Found(Found<V>),
    /// That there is none; kept for a short while only. An error is something else: return it as one.
    Absent,
}

/// A value with what its origin says of it.
#[derive(Debug)]
pub struct Found<V> {
    pub(crate) value: Arc<V>,
    pub(crate) version: Version,
    pub(crate) age: Duration,
    pub(crate) tags: Vec<Tag>,
    pub(crate) lifetimes: Option<Arc<Lifetimes>>,
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Found(found) => Self::Found(found.clone()),
            Self::Absent => Self::Absent,
        }
    }
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        let (tags, lifetimes) = (self.tags.clone(), self.lifetimes.clone());
        Self { value: Arc::clone(&self.value), tags, lifetimes, ..*self }
    }
}

impl<V> Found<V> {
    /// The value, true now, with no version and no tags.
    #[must_use]
    pub fn new(value: impl Into<Arc<V>>) -> Self {
        Self { value: value.into(), version: Version::NONE, age: Duration::ZERO, tags: Vec::new(), lifetimes: None }
    }

    /// Sets its place in its origin's own count: of two values the one with the larger index wins.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets for how long it has been known to its origin already, as by an `Age` header. Where something that it is in
    /// changed since then, as far as this process or the second tier knows, it is not called fresh and not shared; where
    /// the second tier could not be asked, it is unheard at most.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Sets how long this value is good, in place of what its cache says of all of them. What is beyond the bounds of
    /// [`Lifetimes::validate`] is cut to them; fresh for zero it is never.
    #[must_use]
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = Some(Arc::new(lifetimes.clamped()));
        self
    }

    /// Adds a tag, by which it can be invalidated; beyond [`Tag::COUNT_MAX`] none is added.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        if self.tags.len() < Tag::COUNT_MAX {
            self.tags.push(tag);
        }
        self
    }
}

impl<V> From<Found<V>> for Loaded<V> {
    fn from(found: Found<V>) -> Self {
        Self::Found(found)
    }
}

/// A value as it was found in the cache, and what it is worth.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cached<V> {
    /// The value; `None` where the origin said that there is none.
    pub value: Option<Arc<V>>,
    /// How long ago it was true, at most: counted from when it was asked for.
    pub age: Duration,
    /// How much it can be relied on.
    pub freshness: Freshness,
    /// Where it came from.
    pub source: Source,
    /// Its place in its origin's own count.
    pub version: Version,
    /// Which of the changes of this cache brought it; 0 for what was not kept.
    pub generation: u64,
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V> Cached<V> {
    pub(crate) fn of(record: &Record<V>, freshness: Freshness, now: Instant) -> Self {
        Self {
            value: record.value.clone(),
            age: record.age(now),
            freshness,
            source: record.source,
            version: record.version,
            generation: record.generation,
        }
    }
}

/// A value in the cache, borrowed: nothing is cloned or counted until it is asked for.
///
/// To be dropped soon: an entry that is replaced lives on as long as it is borrowed.
pub struct Hit<V> {
    pub(crate) record: Guard<Arc<Record<V>>>,
    pub(crate) freshness: Freshness,
    pub(crate) now: Instant,
}

impl<V> Hit<V> {
    /// The value; `None` where the origin said that there is none.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        self.record.value.as_deref()
    }

    /// How much it can be relied on.
    #[must_use]
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// How long ago it was true, at most: counted from when it was asked for.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.record.age(self.now)
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.record.source
    }

    /// Its place in its origin's own count.
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version
    }

    /// All of it, to be kept.
    #[must_use]
    pub fn to_cached(&self) -> Cached<V> {
        Cached::of(&self.record, self.freshness, self.now)
    }
}

impl<V> fmt::Debug for Hit<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("record", &**self.record)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}
