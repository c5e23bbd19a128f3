//! How a call is made: its retries, what its results mean, and where it may go.

use mesh_core::route::RouteId;
use mesh_retry::classify::{ErrorsAreTransient, Idempotency};
use mesh_retry::policy::{PolicyError, RetryPolicy};

/// How a call is made. One value serves any number of calls.
///
/// The default retries three times at the most and takes every error for one that another attempt may not
/// have: right for operations that may be repeated. Give operations that may not
/// [`RetryPolicy::never`], or a classifier that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPolicy<C = ErrorsAreTransient> {
    pub(super) retry: RetryPolicy,
    pub(super) classifier: C,
    pub(super) route: Option<RouteId>,
    pub(super) hash_key: Option<u64>,
    pub(super) idempotency: Idempotency,
}

impl CallPolicy {
    /// Retries by `retry`, and takes every error for transient.
    ///
    /// # Errors
    /// Names the number of `retry` that breaks its rule.
    pub fn new(retry: RetryPolicy) -> Result<Self, PolicyError> {
        retry.validate()?;
        Ok(Self {
            retry,
            classifier: ErrorsAreTransient,
            route: None,
            hash_key: None,
            idempotency: Idempotency::Idempotent,
        })
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
        let Self { retry, route, hash_key, idempotency, .. } = self;
        CallPolicy { retry, classifier, route, hash_key, idempotency }
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

    /// The retries.
    #[must_use]
    pub const fn retry(&self) -> &RetryPolicy {
        &self.retry
    }
}
