//! What a caller says of the request it wants an instance for.

use super::tried::Tried;
use crate::route::{RouteId, Selector};
use crate::service::Zone;

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
        matches!(self.route, Route::All) && self.excluded.is_empty()
    }
}

impl Default for PickContext<'_> {
    fn default() -> Self {
        static NONE: Tried = Tried::new();
        Self { hash_key: None, route: Route::All, zone: None, excluded: &NONE }
    }
}
