//! What can go wrong with a cache.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::second::TierError;

/// Why there is no value. Nothing was changed; that the origin has none is no error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The loader failed.
    #[error("the loader failed")]
    Failed(#[source] OriginError),
    /// The loader panicked.
    #[error("the loader panicked")]
    Panicked,
    /// The load took longer than it may.
    #[error("the load did not end within {0:?}")]
    TimedOut(Duration),
    /// The cache was shut down.
    #[error("the cache is shut down")]
    ShutDown,
}

impl LoadError {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut(_) => "timed-out",
            Self::ShutDown => "shut-down",
        }
    }

    /// Whether another try may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Failed(_) | Self::TimedOut(_) => true,
            Self::Panicked | Self::ShutDown => false,
        }
    }
}

/// What an origin's loader failed with, shared by all who waited for it.
#[derive(Clone)]
pub struct OriginError(Arc<dyn Error + Send + Sync>);

impl OriginError {
    /// Wraps what a loader returned.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }

    /// The error as the loader returned it.
    #[must_use]
    pub fn get(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for OriginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Other processes may not have been told of an invalidation yet. In this process it was carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalidated in this process; others may go on with what they have until they can be told")]
pub struct NotTold {
    /// Why they may not have been told.
    #[source]
    pub source: TierError,
}
