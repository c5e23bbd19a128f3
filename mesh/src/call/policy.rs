//! How a call is made: its retries, what its results mean, and where it may go.

use std::sync::Arc;

use mesh_core::route::RouteId;
use mesh_core::time::Instant;
use mesh_retry::budget::Budget;
use mesh_retry::classify::{ErrorsAreTransient, Idempotency};
use mesh_retry::deadline::Deadline;
use mesh_retry::policy::{PolicyError, RetryPolicy};

use super::incoming::IncomingCall;

/// How a call is made. One value serves any number of calls.
///
/// The default retries three times at the most and takes every error for one that another attempt may not
/// have: right for operations that may be repeated. Give operations that may not
/// [`RetryPolicy::never`], or a classifier that tells.
#[derive(Clone, Debug)]
pub struct CallPolicy<C = ErrorsAreTransient> {
    pub(super) retry: RetryPolicy,
    pub(super) classifier: C,
    pub(super) route: Option<RouteId>,
    pub(super) hash_key: Option<u64>,
    pub(super) idempotency: Idempotency,
    pub(super) budget: Option<Arc<dyn Budget>>,
    until: Deadline,
}

impl CallPolicy {
    /// Retries by `retry`, and takes every error for transient.
    ///
    /// # Errors
    /// Names the number of `retry` that breaks its rule.
    pub fn new(retry: RetryPolicy) -> Result<Self, PolicyError> {
        retry.validate()?;
        Ok(Self { retry, ..Self::default() })
    }
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            classifier: ErrorsAreTransient,
            route: None,
            hash_key: None,
            idempotency: Idempotency::Idempotent,
            budget: None,
            until: Deadline::NEVER,
        }
    }
}

impl TryFrom<RetryPolicy> for CallPolicy {
    type Error = PolicyError;

    fn try_from(retry: RetryPolicy) -> Result<Self, PolicyError> {
        Self::new(retry)
    }
}

impl<C> CallPolicy<C> {
    /// Lets `classifier` say what a result means: a closure `Fn(&Result<T, E>) -> Class`, or anything else
    /// that is [`Classify`](mesh_retry::classify::Classify).
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> CallPolicy<D> {
        let Self { retry, route, hash_key, idempotency, budget, until, classifier: _ } = self;
        CallPolicy { retry, classifier, route, hash_key, idempotency, budget, until }
    }

    /// Picks only among the instances of a route registered with
    /// [`ServiceMesh::route`](crate::ServiceMesh::route).
    #[must_use]
    pub fn route(mut self, route: RouteId) -> Self {
        self.route = Some(route);
        self
    }

    /// Gives the call a key, for strategies that keep a key with its instance.
    #[must_use]
    pub fn hash_key(mut self, key: u64) -> Self {
        self.hash_key = Some(key);
        self
    }

    /// Says whether the operation may be carried out more than once. One that may not is never hedged, and retried
    /// only where it is certain that it was not carried out.
    #[must_use]
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Pays retries and hedges from `budget`, in place of the one that all calls to the service share. Clones of the policy
    /// share it, and so does whatever else it is given to, calls to other services included.
    #[must_use]
    pub fn budget(mut self, budget: Arc<dyn Budget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Lets calls be over at `deadline`, if their own deadline is not sooner. It is an instant of the mesh's clock, such as
    /// that of an [`IncomingCall`] or an [`Attempt`](crate::Attempt), and a policy that has one serves one request. Of
    /// several the earliest counts.
    #[must_use]
    pub fn deadline_at(mut self, deadline: Deadline) -> Self {
        self.until = self.until.min(deadline);
        self
    }

    /// For the calls that are made to serve `incoming`: they are over when its caller stops waiting, if their own deadline
    /// is not sooner, and tell their callees of no more time than that. `policy.clone().within(&incoming)` is for one
    /// request what `policy` is for all.
    #[must_use]
    pub fn within(self, incoming: &IncomingCall) -> Self {
        self.deadline_at(incoming.deadline())
    }

    /// When a call has to be over that begins at `started`.
    pub(crate) fn deadline(&self, started: Instant) -> Deadline {
        self.retry.deadline.map_or(Deadline::NEVER, |own| Deadline::after(started, own)).min(self.until)
    }

    /// The retries.
    #[must_use]
    pub const fn retry(&self) -> &RetryPolicy {
        &self.retry
    }
}
