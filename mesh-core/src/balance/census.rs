//! How many instances of a service are in which state. Decides nothing.

use super::builder::Eligibility;

/// How many instances are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Instances in the registry.
    pub registered: u32,
    /// Those that may be picked.
    pub usable: u32,
    /// Those that are out because of what checks or the registry say of their health.
    pub unhealthy: u32,
    /// Those that are out because of how requests to them ended.
    pub ejected: u32,
    /// Those that get one request at a time, to see whether they are well again.
    pub probing: u32,
    /// Those that are out because of weight 0 or a drain.
    pub drained: u32,
}

impl Census {
    /// Counts `by` more instances of this eligibility.
    pub(super) fn count(&mut self, eligibility: Eligibility, by: i32) {
        let Self { registered, usable, unhealthy, ejected, probing, drained } = self;
        let state = match eligibility {
            Eligibility::Usable => usable,
            Eligibility::Unhealthy => unhealthy,
            Eligibility::Ejected => ejected,
            Eligibility::Probing => probing,
            Eligibility::Drained => drained,
        };
        *state = state.saturating_add_signed(by);
        *registered = registered.saturating_add_signed(by);
    }
}
