//! What is impossible about a scenario (stub while the rest grows around it).

use super::Scenario;
use crate::model::{Invalid, Warning};

impl Scenario {
    /// Finds everything that is impossible about it, and what is possible and probably not meant.
    ///
    /// # Errors
    /// Everything that is impossible.
    pub fn validate(&self) -> Result<Vec<Warning>, Invalid> {
        Ok(Vec::new())
    }
}
