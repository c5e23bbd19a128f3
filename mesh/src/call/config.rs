//! What bounds the calls to a service, whatever the policy of each.

use mesh_core::service::ConfigError;
use mesh_retry::budget::BudgetConfig;

/// What bounds the calls to a service. All calls to one service share it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CallsConfig {
    /// What retries and hedges are paid from: by default a token bucket of a fifth of the calls, one in ten seconds and
    /// ten at once. `"off"` in a file, or `None`, leaves the policies alone to limit them.
    #[serde(with = "mesh_core::text::or_off")]
    pub budget: Option<BudgetConfig>,
}

impl CallsConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.budget.map(|budget| budget.validate()) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(ConfigError::new("calls.budget", error.to_string(), "must keep its own rules")),
        }
    }
}

impl Default for CallsConfig {
    fn default() -> Self {
        Self { budget: Some(BudgetConfig::default()) }
    }
}
