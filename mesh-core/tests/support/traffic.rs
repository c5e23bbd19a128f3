//! A service machine, and requests to its instances.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Balancer, Handle, Lease, Outcome, PickContext, Tried, Wake};
use mesh_core::health::Status;
use mesh_core::machine::{ServiceInput, ServiceMachineConfig};
use mesh_core::service::Instance;
use mesh_core::snapshot::{Entry, RegistryStatus};

use super::rig::Rig;
use super::{heard, key, number};

/// A machine, and requests to its instances.
pub(crate) struct Traffic {
    pub(crate) rig: Rig,
    pub(crate) balancer: Balancer,
    pub(crate) handle: Handle,
    entropy: u64,
}

impl Traffic {
    pub(crate) fn of(count: u16) -> Self {
        Self::over(listed(count), ServiceMachineConfig::default())
    }

    pub(crate) fn over(entries: Vec<Entry>, config: ServiceMachineConfig) -> Self {
        let mut rig = Rig::new(config);
        rig.observe(heard(entries));
        let balancer = Balancer::new();
        let mut traffic = Self { handle: balancer.handle(), rig, balancer, entropy: 0 };
        traffic.follow();
        traffic
    }

    pub(crate) fn follow(&mut self) {
        self.balancer.publish(Arc::clone(self.rig.machine.view()));
    }

    pub(crate) fn pick(&mut self) -> Lease {
        self.follow();
        self.entropy += 1;
        let word = mesh_core::rng::mix(self.entropy);
        self.handle.pick_owned(self.rig.now, &PickContext::default(), word).unwrap()
    }

    pub(crate) fn end(&mut self, lease: Lease, outcome: Outcome) {
        if lease.finish(self.rig.now, outcome) == Wake::Sweep {
            self.rig.tell(ServiceInput::Sweep);
        }
        self.follow();
    }

    /// Who got a request.
    pub(crate) fn request(&mut self, outcome: Outcome) -> u16 {
        let lease = self.pick();
        let who = number(lease.instance());
        self.end(lease, outcome);
        who
    }

    /// Lets requests to an instance end so, as long as it gets any.
    pub(crate) fn end_all(&mut self, wanted: u16, times: u32, outcome: Outcome) {
        for word in 0..u64::from(times) {
            self.follow();
            let mut others = Tried::new();
            let view = Arc::clone(self.rig.machine.view());
            for (endpoint, instance) in view.registered() {
                if number(instance) != wanted {
                    others.insert(endpoint.id());
                }
            }
            let context = PickContext { excluded: &others, ..PickContext::default() };
            let Ok(lease) = self.handle.pick_owned(self.rig.now, &context, word) else { return };
            self.end(lease, outcome);
        }
    }

    pub(crate) fn fail(&mut self, wanted: u16, times: u32) {
        self.end_all(wanted, times, Outcome::Failure);
    }

    pub(crate) fn status(&self, number: u16) -> Status {
        self.rig.machine.history(&key(number)).unwrap().status()
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        let instances = self.rig.machine.snapshot().iter();
        instances.map(|entry| self.rig.machine.history(entry.key()).unwrap().status()).collect()
    }

    pub(crate) fn weights(&mut self) -> Vec<u16> {
        self.follow();
        self.balancer.stats(self.rig.now).endpoints.iter().map(|endpoint| endpoint.weight.get()).collect()
    }
}

/// Instances that the registry says nothing of, the odd ones with a tag.
pub(crate) fn listed(count: u16) -> Vec<Entry> {
    let tagged = |number: u16| {
        let built = Instance::builder("api", "127.0.0.1", 10_000 + number);
        let built = if number % 2 == 1 { built.tag("odd") } else { built };
        Entry::new(Arc::new(built.build().unwrap()), RegistryStatus::Unknown, None)
    };
    (0..count).map(tagged).collect()
}

pub(crate) fn passing(instance: Instance) -> Entry {
    Entry::new(Arc::new(instance), RegistryStatus::Passing, None)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
