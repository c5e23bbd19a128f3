//! How a run ends: what was counted becomes its result.

use mesh_core::balance::Strategy;
use mesh_core::time::Instant;
use serde_json::Value;

use super::metrics::overlap;
use super::{Course, Engine, Place};
use crate::model::observe::Observer;
use crate::model::result::{Requests, Run, ServerRun};
use crate::model::scenario::Discipline;

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// The result so far; `interrupted` says when, where it is not whole.
    pub(super) fn summary(mut self, strategy: &Strategy, interrupted: Option<Instant>) -> Run {
        self.account_for_the_rest();
        let mut requests = self.metrics.requests;
        if interrupted.is_some() {
            // Of a run that is not whole those count that came to an end, so that the classes add up all the same.
            let Requests { succeeded, failed, timed_out, rejected, refused, .. } = requests;
            requests.measured = succeeded + failed + timed_out + rejected + refused;
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Run {
            strategy: strategy.name().to_owned(),
            label: String::new(),
            params: Value::Null,
            seed: self.scenario.seed,
            digest: self.digest.text(),
            wall_s: 0.0,
            events: self.digest.events(),
            success_ratio: share(requests.succeeded, requests.measured),
            attempts: self.metrics.attempts,
            attempts_per_request: share(self.metrics.attempts, requests.measured),
            requests,
            retries: self.metrics.retries,
            hedges: self.metrics.hedges,
            retries_denied: self.metrics.retries_denied,
            latency_ms: self.metrics.latency(),
            wait_ms: self.metrics.wait(),
            imbalance: self.imbalance(),
            servers: self.server_runs(),
            interrupted_at_s: interrupted.map(|at| at.as_nanos() as f64 / 1e9),
        }
    }

    /// Counts the work that goes on at the end: nobody waits for it, and it keeps its workers busy until the duration.
    fn account_for_the_rest(&mut self) {
        for attempt in self.attempts.values().filter(|attempt| attempt.place == Place::InService) {
            let server = &mut self.servers[attempt.server as usize];
            if self.groups[server.group as usize].discipline != Discipline::ProcessorSharing {
                server.busy_nanos += overlap(attempt.started, self.window.1, self.window);
            }
        }
        for number in 0..self.servers.len() as u32 {
            self.now = self.now.max(self.window.1);
            self.advance(number);
        }
    }

    /// The largest over the mean of the servers' attempts for their weight; those of weight 0 are left out.
    fn imbalance(&self) -> Option<f64> {
        let weighed = self.servers.iter().filter_map(|server| {
            let weight = self.scenario.servers[server.group as usize].weight;
            (weight > 0).then(|| server.attempts as f64 / f64::from(weight))
        });
        let (mut largest, mut sum, mut count) = (0.0_f64, 0.0, 0.0);
        for attempts in weighed {
            (largest, sum, count) = (largest.max(attempts), sum + attempts, count + 1.0);
        }
        (sum > 0.0).then(|| largest / (sum / count))
    }

    fn server_runs(&self) -> Vec<ServerRun> {
        let total: u64 = self.servers.iter().map(|server| server.attempts).sum();
        let measured = (self.window.1 - self.window.0).as_nanos() as f64;
        let mut first = 0;
        let mut runs = Vec::with_capacity(self.servers.len());
        for group in &self.scenario.servers {
            let workers = match group.discipline {
                Discipline::Fifo => Some(f64::from(group.workers.get())),
                Discipline::ProcessorSharing => Some(1.0),
                Discipline::Delay => None,
            };
            let servers = &self.servers[first..first + group.count as usize];
            first += group.count as usize;
            runs.extend((0..).zip(servers).map(|(index, server)| ServerRun {
                group: group.group.clone(),
                index,
                zone: group.zone.clone(),
                attempts: server.attempts,
                share: (total > 0).then(|| server.attempts as f64 / total as f64),
                utilisation: workers.map(|workers| server.busy_nanos as f64 / (workers * measured)),
                in_flight_max: server.inside_max,
            }));
        }
        runs
    }
}
