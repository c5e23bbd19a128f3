//! How much of their weight instances keep: by what they did since the last sweep, and while they warm up.

use core::num::NonZeroU32;
use core::time::Duration;

use super::{Due, Judge};
use crate::balance::{Tally, View};
use crate::health::Signals;
use crate::health::outlier::median;
use crate::service::InstanceKey;
use crate::time::Instant;

impl Judge {
    /// Takes note of what every instance did, and weighs it by what it did since the last sweep.
    pub(super) fn weigh(&mut self, view: &View) {
        let is_on = self.scores.is_on();
        // Both are in the order of the keys, and nearly always of the same instances: a search for each would cost more than
        // all the rest.
        let mut wards = self.wards.iter_mut().peekable();
        self.latencies.clear();
        for endpoint in view.endpoints() {
            while wards.next_if(|(key, _)| *key < endpoint.key()).is_some() {}
            let Some((_, ward)) = wards.next_if(|(key, _)| *key == endpoint.key()) else { continue };
            ward.earlier = core::mem::replace(&mut ward.tally, endpoint.tally());
            if is_on {
                self.latencies.extend(mean_latency(&ward.tally, &ward.earlier));
            }
        }
        if !is_on {
            return;
        }
        let fleet_latency = median(&mut self.latencies).map(Tally::latency_of).unwrap_or_default();
        let overload_fails = self.overload_fails;
        for (key, ward) in &mut self.wards {
            let (before, tally) = (ward.earlier, ward.tally);
            let mut signals = Signals::new(ward.status);
            let succeeded = tally.successes.wrapping_sub(before.successes);
            let failed = failed(&tally, overload_fails).wrapping_sub(failed(&before, overload_fails));
            signals.succeeded = u32::try_from(succeeded).unwrap_or(u32::MAX);
            signals.ended = u32::try_from(succeeded.saturating_add(failed)).unwrap_or(u32::MAX);
            signals.latency = mean_latency(&tally, &before).map(Tally::latency_of).unwrap_or_default();
            signals.fleet_latency = fleet_latency;
            if ward.weight.update(&self.scores, &signals).is_some() {
                self.affected.push_back(key.clone());
            }
        }
    }

    /// Whether requests to the instance `key` went well for the most part since the sweep before the last.
    pub(in super::super) fn serves(&self, key: &InstanceKey, tally: &Tally) -> bool {
        self.wards.get(key).is_some_and(|ward| {
            let successes = tally.successes.wrapping_sub(ward.earlier.successes);
            let failed = |tally| failed(tally, self.overload_fails);
            successes > 0 && successes >= failed(tally).wrapping_sub(failed(&ward.earlier))
        })
    }

    /// Has an instance warm up that came back, from when it may be picked: one may come back while its check fails.
    pub(super) fn begin_to_warm(&mut self, now: Instant, key: &InstanceKey) {
        if let Some(ward) = self.wards.get_mut(key).filter(|ward| ward.is_cold) {
            ward.is_cold = false;
            ward.warms_since = Some(now);
            self.warm(now, key);
        }
    }

    /// Sets the time of the next step of an instance that warms up, until it is warm.
    pub(super) fn warm(&mut self, now: Instant, key: &InstanceKey) {
        let Some(ward) = self.wards.get_mut(key) else { return };
        let Some(since) = ward.warms_since else { return };
        if now.since(since) >= self.slow_start.window {
            ward.warms_since = None;
        } else {
            let step = (self.slow_start.window / WARMING_STEPS).max(Duration::from_nanos(1));
            self.timers.set(Due::Warmer(key.clone()), now + step);
        }
    }
}

const fn failed(tally: &Tally, overload_fails: bool) -> u64 {
    let overloaded = if overload_fails { tally.overloaded } else { 0 };
    tally.failures.wrapping_add(overloaded).wrapping_add(tally.timed_out).wrapping_add(tally.unreachable)
}

/// The logarithm of the geometric mean of the latencies between two tallies; none where nothing succeeded.
fn mean_latency(tally: &Tally, before: &Tally) -> Option<f64> {
    let count = NonZeroU32::new(u32::try_from(tally.successes.wrapping_sub(before.successes)).unwrap_or(u32::MAX))?;
    let sum = tally.latency_log2_sum.wrapping_sub(before.latency_log2_sum);
    Some(sum as f64 / f64::from(count.get()))
}

/// In how many steps a weight comes back: each is a new view.
const WARMING_STEPS: u32 = 10;
