//! A fleet whose requests end as a test says, and the detector that is told.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_core::balance::Tally;
use mesh_core::health::outlier::{
    Cause, OutlierConfig, OutlierDetector, OutlierEvent, Reading, Reprieve, Restoration, Standing,
};
use mesh_core::service::{Instance, InstanceKey};
use mesh_core::time::Instant;

pub(crate) struct Rig {
    pub(crate) detector: OutlierDetector,
    pub(crate) now: Instant,
    pub(crate) fleet: Vec<(InstanceKey, Reading)>,
}

impl Rig {
    pub(crate) fn new(config: OutlierConfig, count: usize) -> Self {
        config.validate().unwrap();
        let mut detector = OutlierDetector::new(config, 1);
        let fleet: Vec<_> = (0..count).map(|number| (key(number), Reading::default())).collect();
        for (key, _) in &fleet {
            detector.enrol(Instant::ZERO, key.clone());
        }
        Self { detector, now: Instant::ZERO, fleet }
    }

    /// So many requests to instance `number` end well, and so many with an error.
    pub(crate) fn serve(&mut self, number: usize, succeeded: u64, failed: u64) {
        let reading = &mut self.fleet[number].1;
        reading.failures_in_row = if succeeded > 0 { 0 } else { reading.failures_in_row };
        reading.successes += succeeded;
        reading.failures += failed;
    }

    /// The same for everybody: of each hundred requests, this percentage ends well.
    pub(crate) fn serve_rates(&mut self, rates: &[u64]) {
        for (number, rate) in rates.iter().enumerate() {
            self.serve(number, *rate, 100 - rate);
        }
    }

    /// A request to instance `number` fails, and the detector hears of the run.
    pub(crate) fn fail(&mut self, number: usize) {
        let (key, reading) = &mut self.fleet[number];
        reading.failures += 1;
        reading.failures_in_row += 1;
        self.detector.heed(self.now, key, reading);
    }

    /// The same with an error on the way.
    pub(crate) fn lose(&mut self, number: usize) {
        let (key, reading) = &mut self.fleet[number];
        reading.unreachable += 1;
        reading.failures_in_row += 1;
        reading.local_in_row += 1;
        self.detector.heed(self.now, key, reading);
    }

    /// So many requests to instance `number` take so long.
    pub(crate) fn take(&mut self, number: usize, count: u64, latency: Duration) {
        let reading = &mut self.fleet[number].1;
        reading.latency_count += count;
        reading.latency_log2_sum += count * Tally::log2_of(latency);
        reading.successes += count;
    }

    /// Lets the time come to the next sweep, and sweeps. What is due before is done on its time.
    pub(crate) fn sweep(&mut self) {
        loop {
            self.now = self.now.max(self.detector.next().unwrap());
            if self.detector.is_sweep_due(self.now) {
                break;
            }
            self.detector.tick(self.now);
        }
        self.detector.sweep(self.now, self.fleet.iter().map(|(key, reading)| (key, *reading)));
    }

    /// Does what is due until `until`, sweeps among it.
    pub(crate) fn pass(&mut self, until: Instant) {
        while let Some(due) = self.detector.next().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if self.detector.is_sweep_due(self.now) {
                self.detector.sweep(self.now, self.fleet.iter().map(|(key, reading)| (key, *reading)));
            } else {
                self.detector.tick(self.now);
            }
        }
        self.now = until;
    }

    pub(crate) fn events(&mut self) -> Vec<OutlierEvent> {
        std::iter::from_fn(|| self.detector.poll_event()).collect()
    }

    /// The numbers of those that were ejected since the last call, in the order in which they were.
    pub(crate) fn ejected(&mut self) -> Vec<usize> {
        self.ejections().into_iter().map(|(number, _)| number).collect()
    }

    /// The same with the causes.
    pub(crate) fn ejections(&mut self) -> Vec<(usize, Cause)> {
        let ejected = self.events().into_iter().filter_map(|event| {
            let OutlierEvent::Ejected { key, cause, .. } = event else { return None };
            Some((number(&key), cause))
        });
        ejected.collect()
    }

    pub(crate) fn spared(&mut self) -> Vec<(usize, Reprieve)> {
        let spared = self.events().into_iter().filter_map(|event| {
            let OutlierEvent::Spared { key, because, .. } = event else { return None };
            Some((number(&key), because))
        });
        spared.collect()
    }

    pub(crate) fn restored(&mut self) -> Vec<(usize, Restoration)> {
        let restored = self.events().into_iter().filter_map(|event| {
            let OutlierEvent::Restored { key, by } = event else { return None };
            Some((number(&key), by))
        });
        restored.collect()
    }

    pub(crate) fn is_in(&self, number: usize) -> bool {
        self.detector.standing(&self.fleet[number].0) == Standing::In
    }

    /// Until when instance `number` is ejected.
    pub(crate) fn until(&self, number: usize) -> Option<Instant> {
        let Standing::Ejected { until, .. } = self.detector.standing(&self.fleet[number].0) else { return None };
        Some(until)
    }
}

/// Instance `number`; its key sorts by number.
pub(crate) fn key(number: usize) -> InstanceKey {
    let port = u16::try_from(10_000 + number).unwrap();
    Instance::builder("api", "10.0.0.1", port).build().unwrap().key().clone()
}

pub(crate) fn number(key: &InstanceKey) -> usize {
    key.id().as_str().rsplit('-').next().unwrap().parse::<usize>().unwrap() - 10_000
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The mesh's own detector without what tests of exact times would stumble over.
pub(crate) fn ours() -> OutlierConfig {
    let mut config = OutlierConfig::default();
    config.ejection.jitter_max = Duration::ZERO;
    config
}

/// The same, and everybody may go.
pub(crate) fn with_share(mut config: OutlierConfig, percent: u32) -> OutlierConfig {
    config.ejection.share_max_percent = percent;
    config
}
