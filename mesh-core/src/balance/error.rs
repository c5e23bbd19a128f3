//! Why no instance could be picked.

use thiserror::Error;

use crate::route::RouteId;

/// Why no instance could be picked. Nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PickError {
    /// No view has been published yet: the registry has not answered so far.
    #[error("the registry has not answered yet")]
    Pending,
    /// The registry does not know the service's name.
    #[error("the registry does not know the service")]
    UnknownService,
    /// The registry knows the service, and it has no instance.
    #[error("no instance is registered")]
    NoneRegistered,
    /// Instances are registered, and none may be used.
    #[error("none of {registered} registered instances is usable: {unhealthy} unhealthy, {drained} drained")]
    NoneHealthy {
        /// Instances in the registry.
        registered: u32,
        /// Those that are out because of their health.
        unhealthy: u32,
        /// Those that are out because of weight 0 or a drain.
        drained: u32,
    },
    /// Usable instances exist, and none matches the route.
    #[error("none of {usable} usable instances matches the route")]
    NoneMatching {
        /// Instances that may be used by other requests.
        usable: u32,
    },
    /// Every instance that could serve the request is excluded by it.
    #[error("all {matching} matching instances were tried already")]
    AllExcluded {
        /// Usable instances that match the route.
        matching: u32,
    },
    /// The route was never registered with the machine that built this view.
    #[error("route {} is not registered", .0.index())]
    UnknownRoute(RouteId),
}

impl PickError {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::UnknownService => "unknown-service",
            Self::NoneRegistered => "none-registered",
            Self::NoneHealthy { .. } => "none-healthy",
            Self::NoneMatching { .. } => "none-matching",
            Self::AllExcluded { .. } => "all-excluded",
            Self::UnknownRoute(_) => "unknown-route",
        }
    }
}
