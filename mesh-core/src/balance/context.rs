//! What a caller says of the request it wants an instance for.

use core::fmt::Debug;

use super::endpoint::Endpoint;
use super::tried::Tried;
use crate::route::{RouteId, Selector};
use crate::service::Zone;
use crate::time::Instant;

/// The request that is to be placed. `PickContext::default()` asks for any instance.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The hash of the request's key, for policies that keep a key with its instance.
    pub hash_key: Option<u64>,
    /// Which instances may serve it.
    pub route: Route<'a>,
    /// The zone that the caller is in.
    pub zone: Option<&'a Zone>,
    /// The endpoints that this call has tried already; none of them is picked.
    pub excluded: &'a Tried,
    /// Who keeps further endpoints from being picked. A pick that has it asks it about every candidate that it looks at,
    /// and scans where most are kept from it: O(n). Ask without it first.
    pub barred: Option<&'a dyn Bars>,
}

/// Keeps endpoints from being picked, for reasons that change too often for a view.
pub trait Bars: Debug + Send + Sync {
    /// Whether `endpoint` must not be picked at `now`.
    fn bars(&self, now: Instant, endpoint: &Endpoint) -> bool;
}

/// Which instances may serve a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route<'a> {
    /// Every eligible one.
    #[default]
    All,
    /// Those of a selector registered with the service machine: resolved when the view was built, so it costs
    /// nothing at the pick.
    Registered(RouteId),
    /// Those of a selector given with the request. Every instance looked at is matched, and when few match the
    /// pick scans: O(n).
    Selector(&'a Selector),
}

impl PickContext<'_> {
    /// Whether any candidate at all may be picked.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.route, Route::All) && self.keeps_nobody_out()
    }

    /// Whether every endpoint may be picked that serves the route.
    #[inline]
    pub(super) const fn keeps_nobody_out(&self) -> bool {
        self.excluded.is_empty() && self.barred.is_none()
    }

    /// Whether `endpoint` must not be picked at `now`, whatever it serves.
    #[inline]
    pub(super) fn keeps_out(&self, now: Instant, endpoint: &Endpoint) -> bool {
        self.excluded.contains(endpoint.id()) || self.barred.is_some_and(|barred| barred.bars(now, endpoint))
    }
}

impl Default for PickContext<'_> {
    fn default() -> Self {
        static NONE: Tried = Tried::new();
        Self { hash_key: None, route: Route::All, zone: None, excluded: &NONE, barred: None }
    }
}
