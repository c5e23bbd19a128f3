//! Which instances of one service are unlike the others, by how requests to them end; and for how long they are out.
//!
//! Pure arithmetic: it is given readings and looks at no endpoint; it asks for no effect and moves no request. The
//! machine of the service owns one, turns its events into views, and hands it readings when it asks for a sweep.
//!
//! - **Inputs**: who is enrolled, readings at sweeps and in between, passed checks, how probes ended.
//! - **Events**: ejected, spared, released to be probed, restored ([`OutlierEvent`]).
//! - **Timers**: the sweep, ends of ejections, ends of probing.
//! - **Bounds**: one entry for each enrolled instance; events ([`OutlierDetector::EVENTS_PER_INSTANCE_MAX`]).
//!
//! Two detectors look at one instance alone (failures in a row, share of failures), three against the fleet (success
//! rate, latency, correlated failure). [`OutlierConfig`] says which look, and has Envoy's and gRPC's rules as presets.
//!
//! ```
//! use mesh_core::health::outlier::{OutlierConfig, OutlierDetector, OutlierEvent, Reading};
//! use mesh_core::service::Instance;
//! use mesh_core::time::Instant;
//!
//! let mut outliers = OutlierDetector::new(OutlierConfig::default(), 7);
//! let sick = Instance::builder("api", "10.0.0.1", 80).build()?;
//! let well = Instance::builder("api", "10.0.0.2", 80).build()?;
//! for instance in [&sick, &well] {
//!     outliers.enrol(Instant::ZERO, instance.key().clone());
//! }
//! let reading = Reading { failures: 5, failures_in_row: 5, ..Reading::default() };
//! outliers.heed(Instant::from_millis(10), sick.key(), &reading);
//! assert!(matches!(outliers.poll_event(), Some(OutlierEvent::Ejected { key, .. }) if key == *sick.key()));
//! # Ok::<(), mesh_core::service::ConfigError>(())
//! ```

mod config;
mod detectors;
mod event;
mod fleet;
mod host;
mod rates;
mod reading;
mod verdict;

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::rng::Rng;
use crate::service::InstanceKey;
use crate::time::{Instant, Monotonic};
use crate::timers::Timers;

pub use config::{Comeback, Ejection, Growth, OutlierConfig, Release, ShareRule, UnejectOnCheck};
pub use detectors::{CorrelatedFailure, FailurePercentage, InRow, LatencyOutlier, SuccessRate};
pub use event::{Cause, OutlierEvent, Reprieve, Restoration, Run, Standing};
use fleet::Fleet;
use rates::Scratch;
pub(crate) use rates::median;
pub use reading::{Origin, Reading};

/// The outlier detector of one service.
#[derive(Debug)]
pub struct OutlierDetector {
    config: OutlierConfig,
    clock: Monotonic,
    rng: Rng,
    fleet: Fleet,
    /// When the time of each ejected instance is served: those that are in it are out.
    ejected: Timers<InstanceKey>,
    /// Until when each instance is probed.
    probing: Timers<InstanceKey>,
    sweep_due: Option<Instant>,
    sweeps: u64,
    scratch: Scratch,
    events: VecDeque<OutlierEvent>,
}

impl OutlierDetector {
    /// How many events wait to be fetched, for each enrolled instance; of more, the oldest are forgotten. One call
    /// makes fewer, so an owner that fetches after each misses none.
    pub const EVENTS_PER_INSTANCE_MAX: usize = 16;

    /// A detector that knows nobody yet. `seed` draws jitter and lots.
    #[must_use]
    pub fn new(config: OutlierConfig, seed: u64) -> Self {
        Self {
            config,
            clock: Monotonic::default(),
            rng: Rng::from_seed(seed),
            fleet: Fleet::default(),
            ejected: Timers::new(),
            probing: Timers::new(),
            sweep_due: None,
            sweeps: 0,
            scratch: Scratch::default(),
            events: VecDeque::new(),
        }
    }

    /// Judges the instance `key` from now on, whose counters began at zero: of one that has counted before,
    /// [`OutlierDetector::rebase`] says how far. One that is enrolled already stays as it is.
    pub fn enrol(&mut self, now: Instant, key: InstanceKey) {
        let now = self.clock.observe(now);
        if !self.config.is_off() && self.fleet.add(now, key) {
            self.sweep_due.get_or_insert(now + self.interval());
        }
    }

    /// Judges the instance `key` no longer. Where fewer may be out now than are, the ones due first come back.
    pub fn forget(&mut self, key: &InstanceKey) {
        if !self.fleet.remove(key) {
            return;
        }
        self.ejected.clear(key);
        self.probing.clear(key);
        if self.fleet.len() == 0 {
            self.sweep_due = None;
        }
        self.give_way();
    }

    /// Another process answers to `key` from now on: as [`OutlierDetector::forget`] and [`OutlierDetector::enrol`], but
    /// that nobody comes back for there being one fewer in between.
    pub fn replace(&mut self, now: Instant, key: InstanceKey) {
        if self.fleet.remove(&key) {
            self.ejected.clear(&key);
            self.probing.clear(&key);
        }
        self.enrol(now, key);
        self.give_way();
    }

    /// Whether something else than this detector keeps requests from the instance `key`: a drain, a check that fails. What
    /// is set aside cannot serve in place of those that are out, so of the others fewer may be
    /// ([`ShareRule::RoundedDown`]), and where too many are, the ones due first come back.
    pub fn set_aside(&mut self, key: &InstanceKey, aside: bool) {
        if let Some(slot) = self.fleet.slot(key)
            && self.fleet.change(slot, |host| core::mem::replace(&mut host.aside, aside)) != aside
        {
            self.give_way();
        }
    }

    /// Holds nothing that happened up to `reading` against the instance `key`: for one that has just been enrolled,
    /// released or restored. Without it, the first reading after a fresh start is taken for this.
    pub fn rebase(&mut self, key: &InstanceKey, reading: &Reading) {
        if let Some(slot) = self.fleet.slot(key) {
            self.fleet.at(slot).rebase(reading);
        }
    }

    /// Judges what happened since the last sweep, if one is due. Of the same instance the first reading counts, of
    /// unknown ones none; one without a reading is not judged. In the order of keys readings are found fastest.
    pub fn sweep<'a>(&mut self, now: Instant, readings: impl IntoIterator<Item = (&'a InstanceKey, Reading)>) {
        let now = self.clock.observe(now);
        if !self.is_sweep_due(now) {
            return;
        }
        self.sweeps += 1;
        self.sweep_due = Some(now + self.interval());
        self.end_what_is_due(now);
        if self.config.ejection.release == Release::SweepBefore {
            self.release_until(now, now);
        }
        self.judge(now, readings);
        let (growth, interval) = (self.config.ejection.growth, self.config.interval);
        for host in self.fleet.hosts_mut() {
            host.decay(now, growth, interval);
            host.refused &= host.found;
            host.found = false;
        }
        if self.config.ejection.release == Release::SweepAfter {
            self.release_until(now, now - Duration::from_nanos(1));
        }
    }

    /// Judges the runs of the instance `key` at once: for when one reached a threshold between sweeps.
    pub fn heed(&mut self, now: Instant, key: &InstanceKey, reading: &Reading) {
        let now = self.clock.observe(now);
        if let Some(slot) = self.fleet.slot(key) {
            self.fleet.at(slot).notice(reading);
            self.judge_runs(now, slot);
        }
    }

    /// An active check of the instance `key` ended. One that passed may end its ejection
    /// ([`Ejection::uneject_on_check`]); one that failed says nothing here.
    pub fn checked(&mut self, now: Instant, key: &InstanceKey, passed: bool) {
        let now = self.clock.observe(now);
        let Some(host) = self.fleet.host(key).filter(|_| passed) else { return };
        let Standing::Ejected { cause, .. } = host.standing else { return };
        let ends = match self.config.ejection.uneject_on_check {
            UnejectOnCheck::Never => false,
            UnejectOnCheck::Unreachable => matches!(cause, Cause::InRow { run: Run::Local, .. }),
            UnejectOnCheck::Always => true,
        };
        if ends {
            self.ejected.clear(key);
            self.come_back(now, key.clone(), Restoration::Check);
        }
    }

    /// Checks of the instance `key` failed before and pass now: they have seen its illness, and its end. That ends any
    /// ejection, but for [`UnejectOnCheck::Never`]; checks that passed all the while would say nothing.
    pub fn recovered(&mut self, now: Instant, key: &InstanceKey) {
        let now = self.clock.observe(now);
        if self.config.ejection.uneject_on_check != UnejectOnCheck::Never && self.ejected.clear(key).is_some() {
            self.come_back(now, key.clone(), Restoration::Check);
        }
    }

    /// The request that was let through to the instance `key` while it was probed ended. If it failed, the instance
    /// is out again, for longer.
    pub fn probed(&mut self, now: Instant, key: &InstanceKey, passed: bool) {
        let now = self.clock.observe(now);
        if self.probing.clear(key).is_none() {
            return;
        }
        if passed {
            self.restore(now, key.clone(), Restoration::Probe);
        } else if let Some(slot) = self.fleet.slot(key) {
            self.eject(now, slot, Cause::Probe);
        }
    }

    /// The request that is let through to the instance `key` while it is probed was sent at `started` and has not ended: one
    /// that does not within [`Ejection::probing_max`] has failed. None where no request is under way: the one that was has
    /// been given up, which says nothing.
    pub fn tried(&mut self, key: &InstanceKey, started: Option<Instant>) {
        let Some((due, slot)) = self.probing.get(key).zip(self.fleet.slot(key)) else { return };
        self.fleet.at(slot).is_tried = started.is_some();
        if let Some(started) = started {
            self.probing.set(key.clone(), due.max(started + self.config.ejection.probing_max));
        }
    }

    /// Ends the ejections and probes that are due. Sweeps are the owner's to start.
    pub fn tick(&mut self, now: Instant) {
        let now = self.clock.observe(now);
        self.end_what_is_due(now);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<OutlierEvent> {
        self.events.pop_front()
    }

    /// When there is something to do next: a sweep, or [`OutlierDetector::tick`].
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let served = self.ejected.next().filter(|_| self.config.ejection.release == Release::OnTime);
        [self.sweep_due, served, self.probing.next()].into_iter().flatten().min()
    }

    /// Whether a sweep is due: always an interval after the one before, as long as anybody is enrolled.
    #[must_use]
    pub fn is_sweep_due(&self, now: Instant) -> bool {
        self.sweep_due.is_some_and(|due| due <= now)
    }

    /// Where the instance `key` stands.
    #[must_use]
    pub fn standing(&self, key: &InstanceKey) -> Standing {
        self.fleet.host(key).map_or(Standing::In, |host| host.standing)
    }

    /// How many instances are enrolled.
    #[must_use]
    pub fn enrolled_count(&self) -> usize {
        self.fleet.len()
    }

    /// How many are ejected.
    #[must_use]
    pub fn ejected_count(&self) -> usize {
        self.ejected.len()
    }

    /// How many are being probed.
    #[must_use]
    pub fn probing_count(&self) -> usize {
        self.probing.len()
    }

    /// When the instance `key` will stand differently by the passing of time alone: the end of its ejection, of which
    /// a sweep says when it is one that ends it, or of its probing. None of one that is in.
    #[must_use]
    pub fn next_transition_at(&self, key: &InstanceKey) -> Option<Instant> {
        let Some(until) = self.ejected.get(key) else { return self.probing.get(key) };
        let first_sweep = self.sweep_due?;
        let wait = match self.config.ejection.release {
            Release::OnTime => return Some(until),
            Release::SweepBefore => until.since(first_sweep),
            Release::SweepAfter => (until + Duration::from_nanos(1)).since(first_sweep),
        };
        let interval = self.interval().as_nanos();
        let sweeps = wait.as_nanos().div_ceil(interval);
        Some(first_sweep + Duration::from_nanos(u64::try_from(sweeps * interval).unwrap_or(u64::MAX)))
    }

    fn interval(&self) -> Duration {
        self.config.interval.max(Duration::from_nanos(1))
    }

    fn tell(&mut self, event: OutlierEvent) {
        let most = Self::EVENTS_PER_INSTANCE_MAX * self.fleet.len().max(1);
        while self.events.len() >= most {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
