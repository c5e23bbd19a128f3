//! What a service machine is told, asks for and reports. Decides nothing.

use alloc::sync::Arc;
use core::time::Duration;

use super::reaper::{DeregisterId, Deregistration};
use crate::balance::View;
use crate::balance::policy::LoadReport;
use crate::discovery::Freshness;
use crate::health::outlier::OutlierEvent;
use crate::health::{Health, Probe, ProbeId, ProbeReport, ProbeVerdict, StatusChange};
use crate::port::Resolution;
use crate::service::{Instance, InstanceKey};
use crate::snapshot::Snapshot;
use crate::time::Instant;

/// What a service machine is told.
#[derive(Clone, Debug)]
pub enum ServiceInput {
    /// The registry sent a list.
    Observed(Resolution),
    /// A memory of the registry has a list that was true `age` ago. It counts until the registry has answered.
    Recalled {
        /// The list; an empty one says nothing.
        snapshot: Arc<Snapshot>,
        /// How long ago it was true.
        age: Duration,
    },
    /// The registry is reachable, and nothing changed.
    Confirmed,
    /// The registry cannot be reached.
    Lost,
    /// A probe ended.
    Probed(ProbeId, ProbeReport),
    /// A probe cannot be run now, because too much is going on. It is asked for again later, and nothing is learnt.
    Postponed(ProbeId),
    /// An instance said how loaded it is.
    Load(InstanceKey, LoadReport),
    /// An attempt asked for a look at the endpoints ([`Wake::Sweep`](crate::balance::Wake::Sweep)).
    Sweep,
    /// A deregistration ended.
    Deregistered(DeregisterId, Deregistration),
}

/// What a service machine asks for.
#[derive(Clone, Debug)]
pub enum ServiceEffect {
    /// Run a probe and answer with [`ServiceInput::Probed`].
    Probe(Probe),
    /// Take an instance that was critical for too long out of the registry and answer with
    /// [`ServiceInput::Deregistered`].
    Deregister(DeregisterId, Arc<Instance>),
    /// Publish a view to those who pick.
    Publish(Arc<View>),
}

/// What a service machine reports.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// How sure the list of instances is has changed.
    Freshness {
        /// How sure it was.
        from: Freshness,
        /// How sure it is.
        to: Freshness,
    },
    /// Active checks changed their mind about an instance.
    Health {
        /// The instance.
        key: InstanceKey,
        /// What was thought of it.
        from: Health,
        /// What is thought of it.
        to: Health,
        /// The answer that decided.
        verdict: ProbeVerdict,
    },
    /// What is thought of an instance has changed, all that is known of it taken together.
    Status {
        /// The instance.
        key: InstanceKey,
        /// From what to what, and why.
        change: StatusChange,
        /// How long what was thought before had been thought.
        lasted: Duration,
    },
    /// What became of an instance that fails unlike the others.
    Outlier(OutlierEvent),
    /// An instance that was critical for too long is being taken out of the registry.
    Deregistering {
        /// The instance.
        key: InstanceKey,
        /// Since when it has been unhealthy.
        since: Instant,
    },
    /// A deregistration was answered.
    Deregistered {
        /// The instance.
        key: InstanceKey,
        /// How it ended.
        answer: Deregistration,
    },
}
