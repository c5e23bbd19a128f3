//! What a keeper asks of the registry and what it is told back.

use alloc::sync::Arc;
use core::fmt;

use super::parts::{Part, Standing};
use crate::port::RegistryError;
use crate::service::{InstanceId, ServiceConfig, ServiceName};

/// Identifies one operation of one keeper; the answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(u64);

impl OpId {
    /// The operation numbered `number`.
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number: operations count from 0.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}", self.0)
    }
}

/// What a [`RegistrationKeeper`](super::RegistrationKeeper) asks of the world: operations of the
/// [`Registry`](crate::port::Registry), one at a time.
///
/// The keeper keeps the time itself; the driver may drop an operation when the next one is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistrationEffect {
    /// Create the entry, or replace it.
    Register {
        /// Goes into the answer.
        op: OpId,
        /// What is to stand.
        config: Arc<ServiceConfig>,
    },
    /// Read what stands, compared with `config`.
    Inspect {
        /// Goes into the answer.
        op: OpId,
        /// What should stand.
        config: Arc<ServiceConfig>,
    },
    /// Take one part of the entry away.
    Deregister {
        /// Goes into the answer.
        op: OpId,
        /// The service that the entry belongs to.
        service: ServiceName,
        /// The entry's id.
        instance: InstanceId,
        /// What is to go.
        part: Part,
    },
}

/// What the world tells a [`RegistrationKeeper`](super::RegistrationKeeper).
#[derive(Clone, Debug)]
pub enum RegistrationInput {
    /// The answer to [`RegistrationEffect::Register`].
    Registered {
        /// From the effect.
        op: OpId,
        /// Whether the registry took the order.
        result: Result<(), RegistryError>,
    },
    /// The answer to [`RegistrationEffect::Inspect`].
    Inspected {
        /// From the effect.
        op: OpId,
        /// What stands.
        result: Result<Standing, RegistryError>,
    },
    /// The answer to [`RegistrationEffect::Deregister`].
    Deregistered {
        /// From the effect.
        op: OpId,
        /// Whether the registry took the order.
        result: Result<(), RegistryError>,
    },
    /// There is reason to believe that what stands is lost: it is looked at now and not at the next verification.
    Doubted,
}
