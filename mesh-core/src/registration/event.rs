//! What a keeper tells its owner: what became of a registration, and why.

use core::time::Duration;

use thiserror::Error;

use super::parts::Parts;
use crate::port::RegistryError;
use crate::service::InstanceId;

/// What a [`RegistrationKeeper`](super::RegistrationKeeper) tells its owner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The registry shows the instance for the first time.
    Registered {
        /// How many attempts it took.
        attempts: u32,
        /// From the keeper's beginning.
        elapsed: Duration,
    },
    /// An attempt failed and will be repeated.
    Retrying {
        /// Why it failed.
        error: RegistrationError,
        /// How many attempts were made so far.
        attempts: u32,
        /// How long the next one waits.
        delay: Duration,
    },
    /// The first registration failed for good; the keeper rests until it is told to deregister.
    Failed(Failure),
    /// A verification found parts absent or different; they are registered again, for as long as it takes.
    Lost {
        /// The parts that were not as they should be.
        parts: Parts,
    },
    /// After [`RegistrationEvent::Lost`] or an update that could not be undone: everything stands again.
    Restored {
        /// How many attempts it took.
        attempts: u32,
    },
    /// A verification could not be made; said once until one succeeds.
    Unconfirmed {
        /// Why not.
        error: RegistryError,
    },
    /// After [`RegistrationEvent::Unconfirmed`]: what stands was seen to be right.
    Confirmed,
    /// An update stands.
    Updated,
    /// An update failed.
    UpdateFailed {
        /// Why.
        error: RegistrationError,
        /// The parts that the attempt had changed.
        changed: Parts,
        /// Whether the previous configuration stands again. Where it does not,
        /// [`RegistrationEvent::Restored`] says when it does.
        restored: bool,
    },
    /// A deregistration ended.
    Deregistered {
        /// Whether the registry was seen to hold nothing any more.
        confirmed: bool,
        /// What stood in the way, where something did.
        error: Option<RegistryError>,
    },
}

impl RegistrationEvent {
    /// The name of the event, for logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Retrying { .. } => "retrying",
            Self::Failed(_) => "failed",
            Self::Lost { .. } => "lost",
            Self::Restored { .. } => "restored",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Confirmed => "confirmed",
            Self::Updated => "updated",
            Self::UpdateFailed { .. } => "update-failed",
            Self::Deregistered { .. } => "deregistered",
        }
    }
}

/// How a first registration failed and what it left behind.
#[derive(Clone, Debug, Error)]
#[error("registration failed: {error}; rolled back: {rolled_back}; {}: {stands}", if *certain { "still stands" } else { "may still stand" })]
#[non_exhaustive]
pub struct Failure {
    /// Why the registration failed.
    #[source]
    pub error: RegistrationError,
    /// The parts that still stand.
    pub stands: Parts,
    /// The parts that stood and were taken away.
    pub rolled_back: Parts,
    /// Whether `stands` is what the registry showed after the last change; otherwise it is what may stand.
    pub certain: bool,
    /// Why the roll-back ended before nothing stood, where it did.
    pub rollback_error: Option<RegistryError>,
}

/// Why a registration or an update failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The registry said no, or could not be asked; the registry may have changed as the error says.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry failed until the attempts or the time were used up; it may have changed.
    #[error("given up after {attempts} attempts in {elapsed:?}: {last}")]
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// From the first attempt to the last failure.
        elapsed: Duration,
        /// The last failure.
        #[source]
        last: RegistryError,
    },
    /// The registry acknowledged the registration but did not show it; it has changed, or will.
    #[error("acknowledged, but the registry did not show it within {within:?}: {parts} missing or different")]
    NotVisible {
        /// How long it was looked for.
        within: Duration,
        /// What was not as it should be when it was last seen.
        parts: Parts,
        /// Why it could not be looked at in the end, where it could not.
        #[source]
        last: Option<RegistryError>,
    },
}

impl RegistrationError {
    /// Whether another registration may succeed later without anything being put right by hand.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::GaveUp { .. } | Self::NotVisible { .. } => true,
        }
    }
}

/// Why an update was not accepted. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The configuration describes another instance than the one that is kept.
    #[error("id: {given} is not allowed: must be the registered {registered}")]
    OtherInstance {
        /// The id of the instance that is kept.
        registered: InstanceId,
        /// The id of the configuration.
        given: InstanceId,
    },
    /// The configuration describes an instance of another service than the one that is kept.
    #[error("service: {given} is not allowed: must be the registered {registered}")]
    OtherService {
        /// The service of the instance that is kept.
        registered: crate::service::ServiceName,
        /// The service of the configuration.
        given: crate::service::ServiceName,
    },
    /// An earlier update has not ended yet.
    #[error("an earlier update has not ended yet")]
    Busy,
    /// The registration failed, or is being or has been taken away.
    #[error("the instance is not registered")]
    NotRegistered,
}
