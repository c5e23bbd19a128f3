//! One pass of a load: from before its first read to what is served of what it brought.
//!
//! Decides what stands in for an origin that fails. That is known before the origin is asked, and kept apart from the
//! asking: an origin that hangs or panics takes nothing with it.

use std::time::Duration;

use super::Inner;
use super::dating::Dating;
use super::held::Held;
use super::stats::count;
use super::tiered::Seen;
use super::value::{Cached, Found, Loaded};
use crate::early;
use crate::entry::{Claim, Fresh, Freshness, Source, Version};
use crate::key::{Key, Marks};
use crate::local::Kept;

/// What a pass has before its origin is asked.
pub(crate) struct Pass<V> {
    /// Begun before the first read.
    pub(crate) held: Held<V>,
    /// What the second tier said before the origin is read.
    pub(crate) dating: Option<Dating>,
    /// What may be served if the origin fails.
    pub(crate) fallback: Option<Seen<V>>,
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// What a loader found, as the first tier keeps it.
    pub(crate) fn describe(&self, key: &Key, loaded: Loaded<V>, took: Duration) -> Fresh<V> {
        let before = self.local.read(key.as_str(), self.now()).map(|(record, _)| record.load_time);
        let load_time = Some(early::smoothed(before, took));
        Fresh { transit: took, ..self.fresh(key, loaded, Source::Origin, load_time) }
    }

    pub(super) fn fresh(&self, key: &Key, loaded: Loaded<V>, source: Source, load_time: Option<Duration>) -> Fresh<V> {
        let (value, version, age, tags, lifetimes) = match loaded {
            Loaded::Found(Found { value, version, age, tags, lifetimes }) => {
                (Some(value), version, age, tags, lifetimes)
            }
            Loaded::Absent => (None, Version::NONE, Duration::ZERO, Vec::new(), None),
        };
        let weight = self.weigh(key, value.as_deref());
        let marks = Marks::new(key, &tags);
        Fresh {
            value,
            version,
            source,
            age,
            transit: Duration::ZERO,
            marks,
            weight,
            load_time,
            lifetimes,
            claim: Claim::Full,
        }
    }

    /// What those who waited are served of what a load brought; `None` where it may be out of date.
    pub(crate) fn landed(&self, kept: Kept<V>) -> Option<Cached<V>> {
        let now = self.now();
        let (record, freshness) = match kept {
            Kept::Overtaken => return None,
            Kept::Stored(record) => return Some(Cached::of(&record, self.worth(&record), now)),
            Kept::Older(record) => {
                count(&self.counters.older);
                return Some(Cached::of(&record, self.worth(&record), now));
            }
            Kept::Refused(record) => {
                count(&self.counters.refused);
                let freshness = self.worth(&record);
                (record, freshness)
            }
            // An absence that is not to be kept was true a moment ago; a value that is past its time was not.
            Kept::Spent(record) if record.value.is_none() => {
                let freshness = record.within_its_time(self.local.heard());
                (record, freshness)
            }
            Kept::Spent(record) => (record, Freshness::Stale),
        };
        Some(Cached { generation: 0, ..Cached::of(&record, freshness, now) })
    }

    /// What is served of `key` when the origin failed after `pass`: what the second tier has, unless what is here is to be
    /// preferred by now.
    pub(crate) fn stand_in(&self, key: &Key, pass: Pass<V>) -> Option<Cached<V>> {
        let Pass { mut held, fallback, .. } = pass;
        let Some(Seen { mut fresh, at }) = fallback else { return self.fallback(key) };
        let now = self.now();
        // It has grown older while the origin was waited for.
        fresh.age = fresh.age.saturating_add(now.since(at));
        match held.settle(key, fresh, now) {
            kept @ (Kept::Stored(_) | Kept::Refused(_)) => self.landed(kept),
            Kept::Older(_) | Kept::Overtaken | Kept::Spent(_) => self.fallback(key),
        }
    }

    /// What may be served of `key` after its load failed.
    pub(crate) fn fallback(&self, key: &Key) -> Option<Cached<V>> {
        let now = self.now();
        let (record, _) = self.local.read(key.as_str(), now)?;
        Some(Cached::of(&record, self.worth(&record), now))
    }
}

impl<V> Pass<V> {
    /// The second tier's time from which on others may count what was kept as `kept`, if they may have it.
    pub(crate) fn to_share_from(&self, kept: &Kept<V>) -> Option<u64> {
        let Kept::Stored(record) = kept else { return None };
        let dating = self.dating.as_ref().filter(|_| record.value.is_some() && record.claim != Claim::Outdated)?;
        Some(dating.begun_micros)
    }
}

/// What is served of a value that is not kept.
pub(super) fn unkept<V>(fresh: Fresh<V>, freshness: Freshness) -> Cached<V> {
    let Fresh { value, version, source, age, transit, .. } = fresh;
    Cached { value, age: age.saturating_add(transit), freshness, source, version, generation: 0 }
}
