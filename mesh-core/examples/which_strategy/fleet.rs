//! A fleet in virtual time: instances with workers and a queue, and one client that balances over them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mesh_core::balance::{Balancer, Handle, Lease, Member, Outcome, PickContext, Strategy, ViewBuilder};
use mesh_core::rng::Rng;
use mesh_core::service::{Instance, Weight};
use mesh_core::time::Instant;

/// A kind of instance.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    weight: u16,
    /// The mean time of a request, milliseconds.
    service: u64,
    fails: bool,
}

pub(crate) const INSTANCES: [Kind; 5] = [
    Kind { name: "big", weight: 4, service: 20, fails: false },
    Kind { name: "normal", weight: 1, service: 20, fails: false },
    Kind { name: "normal", weight: 1, service: 20, fails: false },
    Kind { name: "slow", weight: 1, service: 200, fails: false },
    Kind { name: "failing", weight: 1, service: 1, fails: true },
];

/// What came of a run.
pub(crate) struct Tally {
    /// Of all requests, those that went to each instance.
    pub(crate) shares: Vec<f64>,
    /// The mean number of requests in flight at each.
    pub(crate) in_flight: Vec<f64>,
    /// Of all requests, those that succeeded within a second.
    pub(crate) success: f64,
    /// The 99th percentile of the times of all requests, milliseconds.
    pub(crate) p99: u64,
    /// Why the last request went where it did.
    pub(crate) why: String,
}

pub(crate) struct Fleet {
    _views: ViewBuilder,
    handle: Handle,
    rng: Rng,
    /// When each worker of each instance is free again.
    workers: Vec<BinaryHeap<Reverse<u64>>>,
    /// What is under way: its end, its number, its instance.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    leases: Vec<Option<(Lease, usize, u64)>>,
    picks: Vec<u64>,
    times: Vec<u64>,
    good: u64,
    area: Vec<u64>,
    why: String,
}

impl Fleet {
    pub(crate) fn of(strategy: Strategy) -> Result<Self, Box<dyn std::error::Error>> {
        let mut views = ViewBuilder::new(strategy);
        let mut members = Vec::new();
        for (kind, port) in INSTANCES.iter().zip(8001..) {
            let instance = Instance::builder("api", "10.0.0.7", port).build()?;
            members.push(Member { weight: Weight::new(kind.weight), ..Member::usable(instance) });
        }
        let balancer = Balancer::new();
        balancer.publish(views.build(members));
        let workers = INSTANCES.iter().map(|kind| (0..4 * kind.weight).map(|_| Reverse(0)).collect()).collect();
        Ok(Self {
            _views: views,
            handle: balancer.handle(),
            rng: Rng::from_seed(7),
            workers,
            running: BinaryHeap::new(),
            leases: Vec::new(),
            picks: vec![0; INSTANCES.len()],
            times: Vec::new(),
            good: 0,
            area: vec![0; INSTANCES.len()],
            why: String::new(),
        })
    }

    pub(crate) fn run(mut self) -> Result<Tally, Box<dyn std::error::Error>> {
        let mut now = 0;
        while now < END {
            // Between two arrivals of a Poisson process, the exponential drawn by its distribution's inverse.
            now += (-libm::log(1.0 - self.rng.unit()) * MEAN_GAP) as u64;
            self.end_until(now);
            self.send(now)?;
        }
        self.end_until(u64::MAX);
        self.times.sort_unstable();
        let total = self.times.len() as f64;
        let p99 = self.times[self.times.len() * 99 / 100] / 1_000_000;
        Ok(Tally {
            shares: self.picks.iter().map(|picks| *picks as f64 / total).collect(),
            in_flight: self.area.iter().map(|area| *area as f64 / END as f64).collect(),
            success: self.good as f64 / total,
            p99,
            why: self.why,
        })
    }

    fn send(&mut self, now: u64) -> Result<(), Box<dyn std::error::Error>> {
        let key = self.rng.below(1_000).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let context = PickContext { hash_key: Some(key), ..PickContext::default() };
        let (lease, why) = self.handle.pick_explained(Instant::from_nanos(now), &context, self.rng.next_u64())?;
        let at = usize::from(lease.instance().port() - 8001);
        self.why = format!("{} because {}", INSTANCES[at].name, why.reason);
        let mean = (INSTANCES[at].service * 1_000_000) as f64;
        let service = (mean * (0.5 + self.rng.unit())) as u64;
        let free = self.workers[at].pop().map_or(0, |free| free.0);
        let end = free.max(now) + service;
        self.workers[at].push(Reverse(end));
        self.picks[at] += 1;
        self.running.push(Reverse((end, self.leases.len())));
        self.leases.push(Some((lease, at, now)));
        Ok(())
    }

    /// Ends what ends by `now`.
    fn end_until(&mut self, now: u64) {
        while let Some(Reverse((end, number))) = self.running.peek().copied().filter(|next| next.0.0 <= now) {
            self.running.pop();
            let Some((lease, at, began)) = self.leases.get_mut(number).and_then(Option::take) else { continue };
            let fails = INSTANCES[at].fails;
            lease.finish(Instant::from_nanos(end), if fails { Outcome::Failure } else { Outcome::Success });
            self.times.push(end - began);
            self.area[at] += end.min(END) - began.min(END);
            self.good += u64::from(!fails && Duration::from_nanos(end - began) <= Duration::from_secs(1));
        }
    }
}

/// A minute.
const END: u64 = 60_000_000_000;
/// 600 requests a second.
const MEAN_GAP: f64 = 1_000_000_000.0 / 600.0;
