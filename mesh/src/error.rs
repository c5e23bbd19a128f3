//! What can go wrong at the facade, told apart by what the caller can do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::PickError;
use mesh_core::port::RegistryError;
use mesh_core::registration::Failure;
use mesh_core::service::{ConfigError, InstanceId, ServiceName};
use mesh_retry::call::GiveUpReason;
use mesh_retry::limit::bulkhead::Refusal;
use thiserror::Error;

/// Why a mesh was not built. Nothing was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A number of the configuration breaks its rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Why a service has no instance for the caller. Nothing was counted or changed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The name is not one that a service can have.
    #[error(transparent)]
    Name(#[from] ConfigError),
    /// No instance may be picked.
    #[error("{service}: {source}")]
    Pick {
        /// The service that was asked for.
        service: ServiceName,
        /// Why none may be picked.
        source: PickError,
    },
    /// The registry has not answered for this service yet.
    #[error("{service}: the registry has not answered within {waited:?}")]
    Silent {
        /// The service that was asked for.
        service: ServiceName,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// The registry could not be read.
    #[error("{service}: {source}")]
    Registry {
        /// The service that was asked for.
        service: ServiceName,
        /// Why it could not be read.
        source: RegistryError,
    },
    /// As many services are followed as the configuration allows.
    #[error("{service}: services_max: {services_max} services are followed already")]
    TooManyServices {
        /// The service that was asked for.
        service: ServiceName,
        /// The limit.
        services_max: u32,
    },
    /// No further selector can be registered for this service.
    #[error("{service}: {source}")]
    Routes {
        /// The service that was asked for.
        service: ServiceName,
        /// The limit that was reached.
        source: mesh_core::route::RoutesFull,
    },
    /// The mesh was shut down.
    #[error("the mesh was shut down")]
    ShutDown,
}

impl ServiceError {
    /// Whether the same question may have an answer later, without anything being put right by hand.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Pick { source, .. } => !matches!(source, PickError::UnknownRoute(_)),
            Self::Silent { .. } => true,
            Self::Registry { source, .. } => source.is_transient(),
            Self::Name(_) | Self::TooManyServices { .. } | Self::Routes { .. } | Self::ShutDown => false,
        }
    }

    /// Why no instance may be picked, where that is what went wrong.
    #[must_use]
    pub const fn pick(&self) -> Option<PickError> {
        match self {
            Self::Pick { source, .. } => Some(*source),
            Self::Name(_)
            | Self::Silent { .. }
            | Self::Registry { .. }
            | Self::TooManyServices { .. }
            | Self::Routes { .. }
            | Self::ShutDown => None,
        }
    }
}

/// Why an instance was not registered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The registry does not show it; the failure says what stands and what was rolled back.
    #[error("{service} {instance}: {source}")]
    Failed {
        /// The service it was to offer.
        service: ServiceName,
        /// Its id.
        instance: InstanceId,
        /// Why, what stands, and what was rolled back.
        source: Arc<Failure>,
    },
    /// A number of the mesh's configuration breaks its rule. Nothing changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This mesh keeps an instance of that id already. Nothing changed.
    #[error("{service} {instance}: registered already; deregister it first, or update its registration")]
    AlreadyRegistered {
        /// The service.
        service: ServiceName,
        /// The id.
        instance: InstanceId,
    },
    /// It was deregistered before the registry showed it, by its id or by a shutdown.
    #[error("{service} {instance}: deregistered before the registry showed it{}", if *confirmed { "" } else { "; may still stand there" })]
    Deregistered {
        /// The service.
        service: ServiceName,
        /// The id.
        instance: InstanceId,
        /// Whether the registry was seen to hold nothing of it; it may still stand otherwise.
        confirmed: bool,
    },
    /// The mesh was shut down, and nothing was registered or its fate is unknown because the grace was too short.
    #[error("the mesh was shut down")]
    ShutDown,
}

/// Why an instance may still be registered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeregisterError {
    /// This mesh keeps no instance of that id. Nothing changed.
    #[error("{instance}: not registered by this mesh")]
    NotRegistered {
        /// The id.
        instance: InstanceId,
    },
    /// The registry was not seen to hold nothing any more: the entry may still stand.
    #[error("{instance}: may still stand in the registry: {}", source.as_ref().map_or("not confirmed".to_owned(), ToString::to_string))]
    Unconfirmed {
        /// The id.
        instance: InstanceId,
        /// What stood in the way.
        source: Option<RegistryError>,
    },
}

/// Why a call has no reply. `E` is the error of the caller's own attempts.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E> {
    /// There was no instance to make an attempt at.
    NoInstance {
        /// Why not.
        reason: ServiceError,
        /// How many attempts were made before.
        attempts: u32,
        /// How the last of them failed; none where it timed out, or none was made.
        last: Option<E>,
    },
    /// As many calls to the service go on as may, and this one waits no longer, or not at all. No attempt was made.
    NotAdmitted {
        /// Why not, and when asking again may help.
        reason: Refusal,
    },
    /// Attempts were made, and no further one is.
    GaveUp {
        /// Why not.
        reason: GiveUpReason,
        /// How many attempts were made.
        attempts: u32,
        /// How the last of them failed; none where it timed out.
        last: Option<E>,
    },
}

impl<E> CallError<E> {
    /// How the last attempt failed; none where it timed out, or none was made.
    #[must_use]
    pub const fn last(&self) -> Option<&E> {
        match self {
            Self::NoInstance { last, .. } | Self::GaveUp { last, .. } => last.as_ref(),
            Self::NotAdmitted { .. } => None,
        }
    }

    /// As [`CallError::last`], by value: for errors that are none to the standard library, such as
    /// `Box<dyn Error>`, whose `CallError` is none either.
    #[must_use]
    pub fn into_last(self) -> Option<E> {
        match self {
            Self::NoInstance { last, .. } | Self::GaveUp { last, .. } => last,
            Self::NotAdmitted { .. } => None,
        }
    }

    /// How many attempts were made.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::NoInstance { attempts, .. } | Self::GaveUp { attempts, .. } => *attempts,
            Self::NotAdmitted { .. } => 0,
        }
    }

    /// Whether the same call made anew, later, could succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NoInstance { reason, .. } => reason.is_transient(),
            Self::NotAdmitted { .. } => true,
            Self::GaveUp { reason, .. } => reason.is_transient(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInstance { reason, attempts: 0, .. } => write!(f, "{reason}")?,
            Self::NoInstance { reason, attempts: 1, .. } => write!(f, "{reason}, after 1 attempt")?,
            Self::NoInstance { reason, attempts, .. } => write!(f, "{reason}, after {attempts} attempts")?,
            Self::NotAdmitted { reason } => write!(f, "not let in: {reason}")?,
            Self::GaveUp { reason, attempts: 1, .. } => write!(f, "given up after 1 attempt: {reason}")?,
            Self::GaveUp { reason, attempts, .. } => write!(f, "given up after {attempts} attempts: {reason}")?,
        }
        match self.last() {
            Some(last) => write!(f, "; the last failed: {last}"),
            None if self.attempts() > 0 => f.write_str("; the last timed out"),
            None => Ok(()),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoInstance { reason, last, .. } => last.as_ref().map_or(Some(reason), |last| Some(last)),
            Self::NotAdmitted { reason } => Some(reason),
            Self::GaveUp { last, .. } => last.as_ref().map(|last| last as _),
        }
    }
}
