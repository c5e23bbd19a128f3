//! A registered instance, as its owner holds it.

use std::sync::Arc;

use mesh_core::registration::{RegistrationError, UpdateError};
use mesh_core::service::{InstanceId, ServiceConfig};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::driver::{Kept, KeptState, Order, UpdateFailure};
use crate::error::{DeregisterError, RegisterError};

/// An instance that this mesh keeps registered: verified from time to time, registered again when the registry
/// lost it.
///
/// Dropping it changes nothing: the mesh keeps the instance until it is deregistered or the mesh is shut down.
#[derive(Clone, Debug)]
pub struct Registration {
    kept: Kept,
}

/// Why an update of a registration does not stand.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateRegistrationError {
    /// The keeper did not accept it. Nothing changed.
    #[error(transparent)]
    Refused(#[from] UpdateError),
    /// The registry did not take it.
    #[error("update failed, the previous configuration {}: {source}", if *restored { "stands again" } else { "is being put back" })]
    Failed {
        /// Why.
        source: RegistrationError,
        /// Whether the previous configuration stands again. Where it does not, the keeper goes on putting it
        /// back.
        restored: bool,
    },
    /// The registration ended meanwhile.
    #[error("the registration ended")]
    Ended,
}

impl Registration {
    pub(crate) const fn new(kept: Kept) -> Self {
        Self { kept }
    }

    /// The id of the instance.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        self.kept.config.id()
    }

    /// What was registered at first.
    #[must_use]
    pub const fn config(&self) -> &Arc<ServiceConfig> {
        &self.kept.config
    }

    /// Whether it is kept: the registry showed it, and it was not deregistered since.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(*self.kept.state.borrow(), KeptState::Registered)
    }

    /// Registers a changed configuration of the same instance, and waits until the registry shows it.
    ///
    /// # Errors
    /// Says why it does not stand, and whether the previous configuration does.
    pub async fn update(&self, config: ServiceConfig) -> Result<(), UpdateRegistrationError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Update(Arc::new(config), reply);
        self.kept.orders.send(order).await.map_err(|_| UpdateRegistrationError::Ended)?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(UpdateFailure::Refused(error))) => Err(UpdateRegistrationError::Refused(error)),
            Ok(Err(UpdateFailure::Failed { error, restored })) => {
                Err(UpdateRegistrationError::Failed { source: error, restored })
            }
            Err(_) => Err(UpdateRegistrationError::Ended),
        }
    }

    /// Takes the instance out of the registry, and waits until the registry shows it no more.
    ///
    /// Calling it again, or at the same time, is harmless; dropping the future does not stop it.
    ///
    /// # Errors
    /// Says that the entry may still stand, and what was in the way.
    pub async fn deregister(&self) -> Result<(), DeregisterError> {
        self.kept.deregister().await
    }
}

impl Kept {
    /// Waits until the registration stands or will not.
    pub(crate) async fn registered(&self) -> Result<(), RegisterError> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, KeptState::Pending)).await;
        match state.as_deref() {
            Ok(KeptState::Registered) => Ok(()),
            Ok(KeptState::Failed(failure)) => Err(RegisterError::Failed {
                service: self.config.service().clone(),
                instance: self.config.id().clone(),
                source: Arc::clone(failure),
            }),
            Ok(KeptState::Pending | KeptState::Deregistered { .. }) | Err(_) => Err(RegisterError::ShutDown),
        }
    }

    /// Whether it failed for good, so that another may take its place.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), KeptState::Failed(_))
    }

    /// Orders the deregistration without waiting for it.
    pub(crate) fn begin_deregistration(&self) {
        // Full means that orders are under way already, closed that there is nothing to deregister.
        let _ = self.orders.try_send(Order::Deregister);
    }

    pub(crate) async fn deregister(&self) -> Result<(), DeregisterError> {
        // Closed means that it has ended; the state says how.
        let _ = self.orders.send(Order::Deregister).await;
        let mut state = self.state.clone();
        let is_over = |state: &KeptState| match state {
            KeptState::Deregistered { .. } => true,
            KeptState::Failed(failure) => failure.certain && failure.stands.is_empty(),
            KeptState::Pending | KeptState::Registered => false,
        };
        let over = state.wait_for(is_over).await;
        let instance = self.config.id().clone();
        match over.as_deref() {
            Ok(KeptState::Deregistered { confirmed: false, error }) => {
                Err(DeregisterError::Unconfirmed { instance, source: error.clone() })
            }
            // The task was aborted before it could confirm.
            Err(_) => Err(DeregisterError::Unconfirmed { instance, source: None }),
            Ok(KeptState::Pending | KeptState::Registered | KeptState::Failed(_) | KeptState::Deregistered { .. }) => {
                Ok(())
            }
        }
    }
}
