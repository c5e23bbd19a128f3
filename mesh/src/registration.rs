//! A registered instance, as its owner holds it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

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

    /// Whether it is kept: the registry showed it, and neither was it deregistered since nor the mesh shut down.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(*self.kept.state.borrow(), KeptState::Registered) && !self.kept.has_ended()
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
    /// Calling it again, or at the same time, is harmless; dropping the future does not stop it. Where the entry
    /// may still stand afterwards, another call tries again.
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
        let state = state.wait_for(|state| !matches!(state, KeptState::Pending | KeptState::Leaving)).await;
        let (service, instance) = (self.config.service().clone(), self.config.id().clone());
        match state.as_deref() {
            Ok(KeptState::Registered) => Ok(()),
            Ok(KeptState::Failed(failure)) => {
                Err(RegisterError::Failed { service, instance, source: Arc::clone(failure) })
            }
            Ok(KeptState::Deregistered { confirmed, .. }) => {
                Err(RegisterError::Deregistered { service, instance, confirmed: *confirmed })
            }
            Ok(KeptState::Pending | KeptState::Leaving) | Err(_) => Err(RegisterError::ShutDown),
        }
    }

    /// Orders the deregistration without waiting for it.
    pub(crate) fn begin_deregistration(&self) {
        // Full means that such orders are under way already, closed that there is nothing to deregister.
        if let Ok(permit) = self.orders.try_reserve() {
            self.leaving.fetch_add(1, Ordering::Relaxed);
            permit.send(Order::Deregister(oneshot::channel().0));
        }
    }

    pub(crate) async fn deregister(&self) -> Result<(), DeregisterError> {
        if let Ok(permit) = self.orders.reserve().await {
            let (accepted, answer) = oneshot::channel();
            self.leaving.fetch_add(1, Ordering::Relaxed);
            permit.send(Order::Deregister(accepted));
            // No answer means that it ended before, as no room means; the state says how.
            let _ = answer.await;
        }
        let mut state = self.state.clone();
        let over = state.wait_for(|state| state.is_gone() || matches!(state, KeptState::Deregistered { .. })).await;
        let instance = self.config.id().clone();
        match over.as_deref() {
            Ok(KeptState::Deregistered { confirmed: false, error }) => {
                Err(DeregisterError::Unconfirmed { instance, source: error.clone() })
            }
            Ok(_) => Ok(()),
            // The task was aborted before it could confirm.
            Err(_) => Err(DeregisterError::Unconfirmed { instance, source: None }),
        }
    }

    /// Whether it is on its way out, so that another of its id must wait.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) > 0 || self.is_over()
    }

    /// Whether it may be replaced by another of its id.
    pub(crate) fn is_resting(&self) -> bool {
        self.state.borrow().is_resting()
    }

    /// Whether there is nothing left to take away, or nobody who could.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended() || self.state.borrow().is_gone()
    }

    /// Whether no task drives it any more, so that nothing of it can reach the registry.
    pub(crate) fn has_ended(&self) -> bool {
        self.orders.is_closed()
    }

    /// Waits until it has ended, or rests with something that may still stand, so that another may follow it.
    pub(crate) async fn gave_way(&self) {
        let mut state = self.state.clone();
        // An error means that it has ended.
        let gone =
            state.wait_for(|state| state.is_gone() || state.is_resting()).await.is_ok_and(|state| state.is_gone());
        if gone {
            self.orders.closed().await;
        }
        // One that rests may have an order waiting that its task has yet to see.
        tokio::task::yield_now().await;
    }
}
