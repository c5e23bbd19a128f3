//! Which instance gets the next request: a published view, read without a lock.
//!
//! The control plane builds an immutable [`View`] with a [`ViewBuilder`] and publishes it through a
//! [`Balancer`] with one atomic swap. The data plane picks from it through [`Handle`]s: no lock, no
//! allocation, and, but for policies that scan by nature, hardly more cost for 10,000 instances than for 10.
//! A pick returns a lease that counts as one request in flight until it is finished or dropped.
//!
//! Nothing here reads a clock, draws from the system's randomness or waits.

mod balancer;
mod builder;
mod census;
mod context;
mod endpoint;
mod error;
mod explain;
mod facts;
mod hold;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod lease;
mod lineup;
mod outcome;
pub mod policy;
mod probation;
mod roster;
mod runs;
mod shortcut;
mod slab;
mod stats;
mod strategy;
#[cfg(feature = "suites")]
pub mod suite;
mod tally;
mod tried;
mod view;
mod window;

pub use balancer::{Balancer, Handle};
pub use builder::{Change, Eligibility, Member, ViewBuilder};
pub use census::Census;
pub use context::{Bars, PickContext, Route};
pub use endpoint::Endpoint;
pub use error::PickError;
pub use explain::{Considered, Explanation, Reason};
pub use lease::{Lease, LeaseRef};
pub use outcome::{Outcome, Wake};
pub use policy::{hash_key, ketama_key};
pub use runs::{Runs, WakeRules};
pub use slab::EndpointRef;
pub use stats::{BalancerStats, EndpointStats};
pub use strategy::Strategy;
pub use tally::Tally;
pub use tried::{EndpointId, Tried};
pub use view::{Knowledge, Lineup, View};
