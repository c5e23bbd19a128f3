//! What is known of a service's instances, how sure that is, and what is served meanwhile.
//!
//! Keeps the last list that was good: a registry that cannot be reached takes nothing away. An empty list from
//! a registry that may be wrong (a restarted agent, a filtered answer) is not believed at once, nor is one that takes
//! most instances away. It never asks a registry itself and never looks whether an instance is well.

mod outage;

use alloc::sync::Arc;
use core::time::Duration;

use crate::port::Resolution;
use crate::snapshot::Snapshot;
use crate::time::Instant;

/// What discovery believes, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct DiscoveryConfig {
    /// How long an empty list is doubted when instances were known before and the registry is not certain of
    /// it. Meanwhile the last good list is served. Default 30 s, in which a registry that restarts has heard of its
    /// instances again; 0 believes at once.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub empty_hold: Duration,
    /// How long it is doubted when a registry that is not certain calls critical, or lacks, more instances at once than
    /// it leaves. Meanwhile those stay as they were. Default 10 s, the time in which an agent that restarts has run its
    /// checks again; 0 believes at once.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub outage_hold: Duration,
    /// How old a list may be that the registry sends and still be what it says now. Default 10 s: what is older came out
    /// of a cache whose keeper lost its registry, and counts as what was said last.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub age_max: Duration,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            empty_hold: Duration::from_secs(30),
            outage_hold: Duration::from_secs(10),
            age_max: Duration::from_secs(10),
        }
    }
}

/// How sure the list that is served is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// The registry has not answered yet; nothing is served.
    #[default]
    Pending,
    /// The registry has not answered yet; this is what was remembered of it.
    Recalled {
        /// When it was true; time that went by before the process began is left out where its clock cannot say it.
        as_of: Instant,
    },
    /// The registry is watched, and this is what it says.
    Live,
    /// The registry cannot be reached; this is what it said last.
    Stale {
        /// When it was lost.
        since: Instant,
    },
    /// The registry says that there is nobody to call, or hardly anybody, which is doubted; this is what it said before.
    Doubted {
        /// When it began to say so.
        since: Instant,
    },
}

/// What a word from the registry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Neither the list that is served nor whether the name is known.
    Nothing,
    /// The list that is served, or whether the name is known.
    Served,
}

/// The last good list of one service and its freshness.
#[derive(Debug)]
pub(crate) struct Discovery {
    config: DiscoveryConfig,
    served: Arc<Snapshot>,
    known: bool,
    answered: bool,
    /// Since when what is served has been true, where nobody but a memory says so.
    recalled: Option<Instant>,
    confirmed_at: Instant,
    lost_since: Option<Instant>,
    doubt: Option<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    since: Instant,
    said: Resolution,
    hold: Duration,
}

impl Discovery {
    pub(crate) fn new(config: DiscoveryConfig) -> Self {
        Self {
            config,
            served: Arc::new(Snapshot::default()),
            known: false,
            answered: false,
            recalled: None,
            confirmed_at: Instant::ZERO,
            lost_since: None,
            doubt: None,
        }
    }

    /// The registry sent a list.
    pub(crate) fn observe(&mut self, now: Instant, resolution: Resolution) -> Change {
        let as_of = now - resolution.age;
        if resolution.age > self.config.age_max {
            self.lost_since.get_or_insert(as_of);
        } else {
            self.hear(now);
        }
        if let Some((meanwhile, hold)) = self.doubt(&resolution).filter(|(_, hold)| !hold.is_zero()) {
            let since = self.doubt.as_ref().map_or(now, |doubt| doubt.since);
            self.doubt = Some(Doubt { since, said: resolution, hold });
            return meanwhile.map_or(Change::Nothing, |meanwhile| self.accept(meanwhile));
        }
        self.doubt = None;
        self.confirmed_at = as_of;
        self.accept(resolution)
    }

    /// Somebody remembers a list of a registry that has not answered yet.
    pub(crate) fn recall(&mut self, as_of: Instant, snapshot: Arc<Snapshot>) -> Change {
        if self.answered || snapshot.is_empty() {
            return Change::Nothing;
        }
        (self.served, self.known, self.recalled) = (snapshot, true, Some(as_of));
        Change::Served
    }

    /// The registry said that nothing changed.
    pub(crate) fn confirm(&mut self, now: Instant) {
        self.hear(now);
        // While a list is doubted, it is that list which is confirmed and not the one that is served.
        if self.doubt.is_none() {
            self.confirmed_at = now;
        }
    }

    /// The registry cannot be reached.
    pub(crate) fn lose(&mut self, now: Instant) {
        self.lost_since.get_or_insert(now);
    }

    /// Believes a list that has been doubted for long enough, unless the registry is lost.
    pub(crate) fn believe(&mut self, now: Instant) -> Change {
        if self.due().is_none_or(|due| due > now) {
            return Change::Nothing;
        }
        match self.doubt.take() {
            Some(doubt) => {
                self.confirmed_at = now;
                self.accept(doubt.said)
            }
            None => Change::Nothing,
        }
    }

    /// When a list that is doubted is believed.
    pub(crate) fn due(&self) -> Option<Instant> {
        // A registry that was lost meanwhile cannot confirm what it said.
        let doubt = self.doubt.as_ref().filter(|_| self.lost_since.is_none())?;
        Some(doubt.since + doubt.hold)
    }

    pub(crate) fn served(&self) -> &Arc<Snapshot> {
        &self.served
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.known
    }

    /// Whether there is anything to serve, by the registry's word or by a memory of it.
    pub(crate) const fn has_list(&self) -> bool {
        self.answered || self.recalled.is_some()
    }

    /// When the registry last said or confirmed what is served.
    pub(crate) fn confirmed_at(&self) -> Option<Instant> {
        if self.answered { Some(self.confirmed_at) } else { self.recalled }
    }

    pub(crate) fn freshness(&self) -> Freshness {
        match (self.answered, self.lost_since, &self.doubt) {
            (false, ..) => self.recalled.map_or(Freshness::Pending, |as_of| Freshness::Recalled { as_of }),
            (true, Some(since), _) => Freshness::Stale { since },
            (true, None, Some(doubt)) => Freshness::Doubted { since: doubt.since },
            (true, None, None) => Freshness::Live,
        }
    }

    /// The registry is heard again. What it said before it was lost has to stand for the whole hold anew: a
    /// registry that restarts is what the hold is for.
    fn hear(&mut self, now: Instant) {
        if self.lost_since.take().is_some()
            && let Some(doubt) = &mut self.doubt
        {
            doubt.since = now;
        }
    }

    /// What is served while `resolution` is doubted, and for how long it is; `None` where it is believed.
    fn doubt(&self, resolution: &Resolution) -> Option<(Option<Resolution>, Duration)> {
        if resolution.authoritative {
            return None;
        }
        if resolution.snapshot.is_empty() {
            return (!self.served.is_empty()).then_some((None, self.config.empty_hold));
        }
        let softened = outage::softened(&self.served, &resolution.snapshot)?;
        let softened = Resolution { snapshot: Arc::new(softened), ..resolution.clone() };
        Some((Some(softened), self.config.outage_hold))
    }

    fn accept(&mut self, resolution: Resolution) -> Change {
        let same = self.answered && self.known == resolution.known && self.served == resolution.snapshot;
        (self.answered, self.recalled) = (true, None);
        self.known = resolution.known;
        if same {
            return Change::Nothing;
        }
        self.served = resolution.snapshot;
        Change::Served
    }
}
