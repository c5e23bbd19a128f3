//! Says why a registry did not do what it was asked, whether asking again can help, and whether something
//! may have changed. It never carries a request's secrets: adapters put none into reasons.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use thiserror::Error as ThisError;

use crate::service::escape;

/// Why a registry did not do what it was asked.
///
/// Reasons are the registry's own words; they are bounded and freed of control characters when shown.
#[derive(Clone, ThisError)]
#[non_exhaustive]
pub enum RegistryError {
    /// The request never reached the registry: no connection could be made. Transient; nothing changed.
    #[error("the registry cannot be reached")]
    Unreachable {
        /// What the connection failed on.
        source: Option<ErrorSource>,
    },
    /// The registry was reached but could not serve: no leader, an internal error, a connection that broke
    /// under way. Transient; the change may have been made.
    #[error("the registry is unavailable: {}", escape(reason))]
    Unavailable {
        /// The registry's words, or what broke.
        reason: Arc<str>,
        /// What the request failed on.
        source: Option<ErrorSource>,
    },
    /// No answer came in time. Transient; the change may have been made.
    #[error("the registry did not answer within {after:?}")]
    Timeout {
        /// How long the answer was waited for.
        after: Duration,
    },
    /// The registry asks for fewer requests. Transient; nothing changed.
    #[error("the registry throttles: {}", escape(reason))]
    Throttled {
        /// The registry's words.
        reason: Arc<str>,
        /// How long it asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// The registry refused for good. Permanent; part of the change may have been made (Consul 1.8 answers a
    /// bad check of an existing service with an error and has applied the new port).
    #[error("the registry refused: {}", escape(reason))]
    Refused {
        /// The registry's words.
        reason: Arc<str>,
        /// What the request failed on.
        source: Option<ErrorSource>,
    },
    /// The registry did part of it and refused the rest, and says so. Permanent.
    #[error("the registry did only part of it: {}", escape(reason))]
    Partial {
        /// The registry's words.
        reason: Arc<str>,
        /// What the request failed on.
        source: Option<ErrorSource>,
    },
    /// The caller may not do this. Permanent until its permissions change; nothing changed.
    #[error("access to the registry was denied: {}", escape(reason))]
    AccessDenied {
        /// The registry's words.
        reason: Arc<str>,
    },
    /// What was to be sent is not valid for this registry. Permanent; nothing was sent.
    #[error("not valid for this registry: {}", escape(reason))]
    Invalid {
        /// The field, its value and the rule.
        reason: Arc<str>,
    },
    /// The registry cannot do this at all. Permanent; nothing changed.
    #[error("this registry does not support {operation}")]
    Unsupported {
        /// What it cannot do.
        operation: &'static str,
    },
    /// The registry's answer could not be understood. Permanent: the same request gets the same kind of answer;
    /// the change may have been made.
    #[error("the registry's answer could not be understood: {}", escape(reason))]
    Malformed {
        /// What was wrong with it.
        reason: Arc<str>,
        /// What decoding failed on.
        source: Option<ErrorSource>,
    },
    /// The registry's handle has been shut down. Permanent; nothing changed.
    #[error("the registry has been closed")]
    Closed,
}

impl RegistryError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::Timeout { .. } | Self::Throttled { .. } => true,
            Self::Refused { .. }
            | Self::Partial { .. }
            | Self::AccessDenied { .. }
            | Self::Invalid { .. }
            | Self::Unsupported { .. }
            | Self::Malformed { .. }
            | Self::Closed => false,
        }
    }

    /// Whether the request may have changed what the registry holds.
    #[must_use]
    pub const fn state_changed(&self) -> StateChange {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::Refused { .. } | Self::Malformed { .. } => {
                StateChange::Maybe
            }
            Self::Partial { .. } => StateChange::Yes,
            Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::AccessDenied { .. }
            | Self::Invalid { .. }
            | Self::Unsupported { .. }
            | Self::Closed => StateChange::No,
        }
    }

    /// How long the registry asks to wait before the next request, where it says so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::Throttled { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// The message, and that of what it failed on; both bounded and freed of control characters, since this is what
/// comes into logs.
impl fmt::Debug for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryError({self}")?;
        if let Some(source) = self.source() {
            write!(f, ", caused by: {}", escape(&source.to_string()))?;
        }
        f.write_str(")")
    }
}

/// What an adapter's request failed on, kept so that nothing is swallowed.
pub type ErrorSource = Arc<dyn Error + Send + Sync>;

/// Whether a failed request changed what the registry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateChange {
    /// It certainly did not.
    No,
    /// Nobody knows: only an inspection tells.
    Maybe,
    /// It certainly did, at least in part.
    Yes,
}
