//! What the calls to one service share, and what each of them goes by.

use std::sync::Arc;

use mesh_retry::budget::Budget;
use mesh_retry::call::Terms;
use mesh_retry::classify::{Idempotency, UnsafeRules};
use mesh_retry::policy::RetryPolicy;

use super::config::CallsConfig;

/// What the calls to one service share.
#[derive(Debug, Default)]
pub(crate) struct SharedByCalls {
    budget: Option<Arc<dyn Budget>>,
}

impl SharedByCalls {
    pub(crate) fn new(config: &CallsConfig) -> Self {
        Self { budget: config.budget.map(|budget| budget.build()) }
    }
}

/// What one call goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTerms<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) idempotency: Idempotency,
    pub(super) shared: &'a SharedByCalls,
}

impl Terms for CallTerms<'_> {
    fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        self.shared.budget.as_deref()
    }

    fn may_repeat(&self) -> bool {
        self.idempotency.may_repeat(UnsafeRules::default())
    }
}
