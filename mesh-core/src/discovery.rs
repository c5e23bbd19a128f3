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
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { empty_hold: Duration::from_secs(30), outage_hold: Duration::from_secs(10) }
    }
}

/// How sure the list that is served is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// The registry has not answered yet; nothing is served.
    #[default]
    Pending,
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
            confirmed_at: Instant::ZERO,
            lost_since: None,
            doubt: None,
        }
    }

    /// The registry sent a list.
    pub(crate) fn observe(&mut self, now: Instant, resolution: Resolution) -> Change {
        self.hear(now);
        if let Some((meanwhile, hold)) = self.doubt(&resolution).filter(|(_, hold)| !hold.is_zero()) {
            let since = self.doubt.as_ref().map_or(now, |doubt| doubt.since);
            self.doubt = Some(Doubt { since, said: resolution, hold });
            return meanwhile.map_or(Change::Nothing, |meanwhile| self.accept(meanwhile));
        }
        self.doubt = None;
        self.confirmed_at = now;
        self.accept(resolution)
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

    pub(crate) const fn has_answered(&self) -> bool {
        self.answered
    }

    /// When the registry last said or confirmed what is served.
    pub(crate) fn confirmed_at(&self) -> Option<Instant> {
        self.answered.then_some(self.confirmed_at)
    }

    pub(crate) fn freshness(&self) -> Freshness {
        match (self.answered, self.lost_since, &self.doubt) {
            (false, ..) => Freshness::Pending,
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
        self.answered = true;
        self.known = resolution.known;
        if same {
            return Change::Nothing;
        }
        self.served = resolution.snapshot;
        Change::Served
    }
}
