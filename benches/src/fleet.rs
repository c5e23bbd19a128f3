//! Fleets to measure on: instances that differ in nothing but their ports, or in their weights too.

use std::sync::Arc;
use std::time::Duration;

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
    Ok(Member::usable(Instance::builder("api", "127.0.0.1", port(number)).build()?))
}

/// The port of the member `number`.
fn port(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).saturating_add(10_000)
}

/// The members of a fleet of `size` instances with weights from 1 to 7 in turn, all usable.
///
/// # Errors
/// When `size` is beyond the ports that there are.
pub fn weighted_members(size: usize) -> Result<Vec<Member>, ConfigError> {
    let weighted = |number| {
        let instance = Instance::builder("api", "127.0.0.1", port(number)).weight(weight(number));
        Ok(Member::usable(instance.build()?))
    };
    (0..size).map(weighted).collect()
}

/// The weight of the member `number` of a fleet whose weights differ.
#[must_use]
pub const fn weight(number: usize) -> u32 {
    number as u32 % 7 + 1
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
    Ok(balancer_of(strategy, members(size)?))
}

/// A balancer over `members`.
#[must_use]
pub fn balancer_of(strategy: Strategy, members: Vec<Member>) -> Balancer {
    balancer_with(strategy, Duration::ZERO, members)
}

/// A balancer over `members` whose handles hold counts back for `window`.
#[must_use]
pub fn balancer_with(strategy: Strategy, window: Duration, members: Vec<Member>) -> Balancer {
    let view: Arc<View> = ViewBuilder::new(strategy).build(members);
    let balancer = Balancer::with_window(window);
    balancer.publish(view);
    balancer
}
