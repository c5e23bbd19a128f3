//! Fleets to measure on: instances that differ in nothing but their ports.

use std::sync::Arc;

use mesh_core::balance::{Balancer, Member, Strategy, View, ViewBuilder};
use mesh_core::service::{ConfigError, Instance};

/// The members of a fleet of `size` instances with weight 1, all usable.
///
/// # Errors
/// When `size` is beyond the ports that there are.
pub fn members(size: usize) -> Result<Vec<Member>, ConfigError> {
    (0..size).map(member).collect()
}

/// The member `number` of a fleet.
///
/// # Errors
/// When `number` is beyond the ports that there are.
pub fn member(number: usize) -> Result<Member, ConfigError> {
    let port = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(10_000);
    Ok(Member::usable(Instance::builder("api", "127.0.0.1", port).build()?))
}

/// The address of the member `number`, for peers that know an instance by it.
#[must_use]
pub fn address(number: usize) -> String {
    format!("127.0.0.1:{}", number.saturating_add(10_000))
}

/// A balancer over a fleet of `size` instances.
///
/// # Errors
/// When `size` is beyond the ports that there are.
pub fn balancer(strategy: Strategy, size: usize) -> Result<Balancer, ConfigError> {
    let view: Arc<View> = ViewBuilder::new(strategy).build(members(size)?);
    let balancer = Balancer::new();
    balancer.publish(view);
    Ok(balancer)
}
