//! What several test files of this crate share: instances, members and snapshots in one line each.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../../examples/custom_policy/policy.rs"]
pub(crate) mod custom_policy;
pub(crate) mod rig;
pub(crate) mod traffic;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Balancer, Eligibility, Handle, Member, Strategy, Tried, View, ViewBuilder};
use mesh_core::port::Resolution;
use mesh_core::service::{HealthCheck, Instance, InstanceKey, Weight};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_core::time::Instant;

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Instance `number` of the service `api`; its key sorts by number.
pub(crate) fn instance(number: u16) -> Instance {
    Instance::builder("api", "127.0.0.1", 10_000 + number).build().unwrap()
}

pub(crate) fn key(number: u16) -> InstanceKey {
    instance(number).key().clone()
}

pub(crate) fn member(number: u16) -> Member {
    Member::usable(instance(number))
}

pub(crate) fn weighted(number: u16, weight: u16) -> Member {
    Member { weight: Weight::new(weight), ..member(number) }
}

pub(crate) fn unhealthy(number: u16) -> Member {
    Member { eligibility: Eligibility::Unhealthy, ..member(number) }
}

pub(crate) fn members(count: u16) -> Vec<Member> {
    (0..count).map(member).collect()
}

/// A published fleet: its builder, its balancer and a handle.
pub(crate) struct Fleet {
    pub(crate) views: ViewBuilder,
    pub(crate) balancer: Balancer,
    pub(crate) handle: Handle,
}

pub(crate) fn fleet(strategy: Strategy, members: Vec<Member>) -> Fleet {
    let mut views = ViewBuilder::new(strategy);
    let balancer = Balancer::new();
    balancer.publish(views.build(members));
    let handle = balancer.handle();
    Fleet { views, balancer, handle }
}

impl Fleet {
    pub(crate) fn publish(&mut self, members: Vec<Member>) -> Arc<View> {
        let view = self.views.build(members);
        assert!(self.balancer.publish(Arc::clone(&view)));
        view
    }

    pub(crate) fn in_flight(&self, number: u16) -> u32 {
        self.views.endpoint(&key(number)).unwrap().in_flight()
    }

    pub(crate) fn tried(&self, numbers: &[u16]) -> Tried {
        let mut tried = Tried::new();
        for &number in numbers {
            tried.insert(self.views.endpoint(&key(number)).unwrap().id());
        }
        tried
    }
}

/// The number of an instance made by [`instance`].
pub(crate) fn number(instance: &Instance) -> u16 {
    instance.port() - 10_000
}

pub(crate) fn entry(number: u16, status: RegistryStatus) -> Entry {
    Entry::new(Arc::new(instance(number)), status, None)
}

/// An entry whose check the registry leaves to the mesh: every 100 ms, 50 ms time, rise 2, fall 3.
pub(crate) fn checked(number: u16) -> Entry {
    let instance = Arc::new(instance(number));
    let check = HealthCheck::http("/health").run_by(mesh_core::service::CheckRunner::Mesh);
    let check = check.interval(ms(100)).timeout(ms(50)).build(&instance).unwrap();
    Entry::new(instance, RegistryStatus::Unknown, Some(Arc::new(check)))
}

pub(crate) fn heard(entries: Vec<Entry>) -> Resolution {
    Resolution::heard(Arc::new(Snapshot::new(entries)), true)
}

pub(crate) fn certain(entries: Vec<Entry>) -> Resolution {
    Resolution::certain(Arc::new(Snapshot::new(entries)), true)
}

/// Every built-in strategy, their variants, and the one that an example adds.
pub(crate) fn strategies() -> Vec<Strategy> {
    let mut all = Strategy::built_in();
    let text = [
        r#"{ "weighted-round-robin": { "sequence": "smooth" } }"#,
        r#"{ "p2c-least-loaded": { "choices": 3 } }"#,
        r#"{ "ring-hash": { "kind": "ketama" } }"#,
        r#"{ "ring-hash": { "kind": "xds" } }"#,
        r#"{ "bounded-load": { "of": { "maglev": { "size": 251 } } } }"#,
        r#"{ "bounded-load": { "factor": 1.0, "of": "rendezvous" } }"#,
    ];
    all.extend(text.map(|text| serde_json::from_str::<Strategy>(text).unwrap()));
    all.push(Strategy::Custom(Arc::new(custom_policy::FewestFailures)));
    all
}
