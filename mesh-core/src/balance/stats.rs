//! What a balancer counts, for dashboards and debugging.

use alloc::sync::Arc;
use core::time::Duration;

use super::builder::Eligibility;
use super::census::Census;
use super::tally::Tally;
use super::tried::EndpointId;
use crate::service::{Instance, Weight};

/// The counts of a balancer at one moment. Counting them costs a pick nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BalancerStats {
    /// The version of the view.
    pub version: u64,
    /// The name of the strategy.
    pub strategy: String,
    /// What the strategy has in force, where it changes between several policies, or had to fall back on another:
    /// `rendezvous` where a Maglev table is too small for the instances, `stride` where a smooth cycle would be too long.
    pub in_force: Option<&'static str>,
    /// How many instances are in which state.
    pub census: Census,
    /// Picks of all time that were placed, but for those on instances that had left.
    pub picks: u64,
    /// Picks for which there was nothing to compare, because every candidate looked at was idle: how often the choice
    /// was luck (Finagle's `p2c/zero`). Handles report them in batches, so up to 63 a handle are missing.
    pub picks_uninformed: u64,
    /// Every registered instance, in the order of their keys.
    pub endpoints: Vec<EndpointStats>,
}

/// The counts of one instance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// Requests that were picked for it.
    pub picks: u64,
    /// Those of them that have not ended.
    pub in_flight: u32,
    /// Ended failures that still count as load.
    pub held: u32,
    /// Failures since its last success.
    pub failures_in_row: u32,
    /// How attempts on it ended since it joined, by kind, while that is counted.
    pub tally: Tally,
    /// The latency that it is taken to have; none where the policy measures none, or has seen none yet.
    pub latency: Option<Duration>,
    /// The weight in force.
    pub weight: Weight,
    /// Whether it may be picked, and if not, why.
    pub eligibility: Eligibility,
}
