//! One service as the mesh follows it: what its driver publishes and what callers wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::call::SharedByCalls;
use crate::service_health::ServiceHealth;
use mesh_core::balance::{Balancer, EndpointRef};
use mesh_core::discovery::Freshness;
use mesh_core::port::RegistryError;
use mesh_core::route::{RouteId, RoutesFull, Selector};
use mesh_core::service::{Instance, InstanceKey, ServiceName};
use mesh_core::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What is shared between the callers of a service and the task that drives its machine.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) name: ServiceName,
    pub(crate) balancer: Balancer,
    pub(crate) state: watch::Sender<ServiceState>,
    pub(crate) sweep: Notify,
    pub(crate) commands: mpsc::Sender<Command>,
    /// What all calls to it share.
    pub(crate) calls: SharedByCalls,
    ended: AtomicBool,
}

/// What a driver tells of its service besides the view.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceState {
    pub(crate) freshness: Freshness,
    pub(crate) confirmed_at: Option<Instant>,
    /// Why the registry cannot be heard, while it cannot.
    pub(crate) lost: Option<RegistryError>,
    /// Where the list came from that is served until the registry answers.
    pub(crate) recalled: Option<Source>,
    /// Endpoints that left the view with requests still in flight.
    pub(crate) leaving: Vec<EndpointRef>,
}

/// What the owner tells a driver.
#[derive(Debug)]
pub(crate) enum Command {
    Route(Selector, oneshot::Sender<Result<RouteId, RoutesFull>>),
    Drain(InstanceKey, oneshot::Sender<()>),
    Undrain(InstanceKey, oneshot::Sender<()>),
    Health(oneshot::Sender<ServiceHealth>),
}

impl Followed {
    pub(crate) fn new(
        name: ServiceName,
        count_window: Duration,
        calls: SharedByCalls,
    ) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let followed = Self {
            name,
            balancer: Balancer::with_window(count_window),
            state: watch::Sender::new(ServiceState::default()),
            sweep: Notify::new(),
            commands,
            calls,
            ended: AtomicBool::new(false),
        };
        (Arc::new(followed), inbox)
    }

    /// Marks that nothing drives it any more, so that caches of it may be thrown away, and wakes who waits for it.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.calls.fleet().leave();
        self.state.send_modify(|_| {});
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Requests in flight, those to instances that left included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.balancer.settle();
        let view = self.balancer.view();
        let present: u64 = view.registered().map(|(endpoint, _)| u64::from(endpoint.in_flight())).sum();
        let leaving = self.state.borrow().leaving.iter().map(|endpoint| u64::from(endpoint.in_flight())).sum::<u64>();
        present + leaving
    }
}

/// The healthy instances of a service, and how much they can be relied on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CachedService {
    /// The service.
    pub name: ServiceName,
    /// The instances that may be picked, in the order of their keys; never empty.
    pub instances: Vec<Arc<Instance>>,
    /// How long ago the registry said so or confirmed it.
    pub age: Duration,
    /// How sure the list is.
    pub freshness: Freshness,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The list that discovery keeps by following the registry.
    Watch,
    /// The same list after the registry was lost or began to be doubted: the last one that was good.
    LastKnownGood,
    /// What the fleet remembers, because the registry has not answered this process yet.
    SecondTier,
    /// What this machine's disk remembers, likewise.
    Disk,
}

impl Source {
    pub(crate) fn of(state: &ServiceState) -> Self {
        match state.freshness {
            Freshness::Live => Self::Watch,
            Freshness::Recalled { .. } => state.recalled.unwrap_or(Self::LastKnownGood),
            Freshness::Pending | Freshness::Stale { .. } | Freshness::Doubted { .. } | _ => Self::LastKnownGood,
        }
    }
}

const COMMANDS_MAX: usize = 64;
