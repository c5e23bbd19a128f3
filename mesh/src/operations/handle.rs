//! One kind of operation, as its users hold it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore, fingerprint, state_key_of_bytes};
use mesh_core::recorder::Recorder;
use mesh_retry::coordinator::idempotency::{Operation, OperationConfig, OperationMachine};
use mesh_retry::coordinator::store::OwnerToken;

use super::carried::{Carried, Failed};
use super::claim::{Claim, Unfinished};
use super::driver::{Answer, OperationDriver, Seat};
use super::error::{OperationError, RunError};
use super::ownership::{Ownership, is_without_forerunner};
use super::results::Results;
use super::telling::Telling;
use crate::service_mesh::Inner;

/// Operations of one kind, each of which is carried out once as far as that can be had, whoever of the fleet begins it: see
/// [the module](crate::operations) for what that means. Cloning it shares it.
///
/// It keeps neither its mesh alive nor the connection to the store: once the mesh was shut down or dropped, nothing can be
/// begun.
pub struct Operations<T> {
    shared: Arc<Shared<T>>,
}

/// What becomes of an operation that was begun.
#[must_use = "a claim that is dropped is handed over"]
pub enum Begun<T> {
    /// It was carried out before, with this result.
    Done(T),
    /// It is to be carried out now.
    Run(Claim<T>),
}

/// What all operations of a kind have in common.
pub(super) struct Shared<T> {
    pub(super) name: Arc<str>,
    /// The name of the fleet.
    pub(super) fleet: String,
    pub(super) config: OperationConfig,
    pub(super) results: Results<T>,
    /// Held by the mesh, and by the tasks of operations.
    pub(super) store: Weak<dyn CoordinatorStore>,
    pub(super) environment: Environment,
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) mesh: Weak<Inner>,
}

impl<T: Send + Sync + 'static> Operations<T> {
    pub(super) fn new(shared: Shared<T>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The name that was given to them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Begins the operation that is called `key`, and waits for somebody else who is at it, for
    /// [`wait_max`](OperationConfig::wait_max) at most. `request` is all that makes it what it is, such as the body of the
    /// request: another one under the same key is refused. Both may be any bytes; only their hashes leave the process.
    ///
    /// Dropping the future calls it off: it was not carried out, and the next one need not wait; where this one was to take
    /// over, the next is. Where the store's answer to it does not come, the next waits for the lease, and is told that the
    /// outcome is unknown.
    ///
    /// # Errors
    /// Says why it is not to be carried out now.
    pub async fn begin(&self, key: impl AsRef<[u8]>, request: impl AsRef<[u8]>) -> Result<Begun<T>, OperationError> {
        let operation = self.shared.operation(key.as_ref(), request.as_ref());
        let Seat { answer, orders } = self.shared.begin(operation)?;
        match answer.await {
            Ok(Answer::Run(ownership)) => {
                Ok(Begun::Run(Claim::new(Arc::clone(&self.shared), operation, ownership, orders)))
            }
            Ok(Answer::Done(bytes)) => self.shared.opened(&operation, &bytes).map(Begun::Done),
            Ok(Answer::Refused(why)) => Err(OperationError::refused(Arc::clone(&self.shared.name), why)),
            Err(_) => Err(self.shared.unanswered()),
        }
    }

    /// Begins an operation as [`begin`](Self::begin) does, carries it out by `work` if it was not before, and ends it.
    ///
    /// A result is finished with, and returned even where the store did not keep it: [`Carried`] says so. A failure that was
    /// [certainly not carried out](Failed::NotCarriedOut) is abandoned, any other handed over, as it is where the future is
    /// dropped or `work` panics. `work` is to look at the [right](Ownership::right) that it is given: somebody may have
    /// carried the operation out already. It is not stopped where that right is [lost](Ownership::lost).
    ///
    /// The end is waited for until the store knows it, or for [`end_within`](OperationConfig::end_within).
    ///
    /// # Errors
    /// Why it was not to be carried out, or how `work` failed.
    pub async fn run<E, F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        request: impl AsRef<[u8]>,
        work: F,
    ) -> Result<Carried<T>, RunError<E>>
    where
        F: FnOnce(Ownership) -> Fut,
        Fut: Future<Output = Result<T, Failed<E>>>,
    {
        let claim = match self.begin(key, request).await? {
            Begun::Done(value) => return Ok(Carried::before(value)),
            Begun::Run(claim) => claim,
        };
        let (error, is_undone) = match work(claim.ownership().clone()).await {
            Ok(value) => return Ok(finished(claim, value).await),
            Err(Failed::NotCarriedOut(error)) => (error, is_without_forerunner(claim.right())),
            Err(Failed::Unknown(error)) => (error, false),
        };
        let end = if is_undone { claim.abandon().await } else { claim.hand_over().await };
        Err(RunError::Failed { error, end })
    }
}

async fn finished<T: Send + Sync + 'static>(claim: Claim<T>, value: T) -> Carried<T> {
    match claim.finish(&value).await {
        Ok(end) => Carried::now(value, end, None),
        Err(Unfinished { claim, reason }) => Carried::now(value, claim.hand_over().await, Some(reason)),
    }
}

impl<T> Shared<T> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn results(&self) -> &Results<T> {
        &self.results
    }

    /// The operation called `key`, begun by an owner of its own.
    fn operation(&self, key: &[u8], request: &[u8]) -> Operation {
        let key = state_key_of_bytes(&[self.fleet.as_bytes(), b"operations", self.name.as_bytes(), key]);
        let word = || u128::from(self.environment.entropy.next_u64());
        let owner = OwnerToken::new((word() << 64) | word());
        Operation { key, fingerprint: fingerprint(key, request), owner }
    }

    /// Begins `operation`, in a task of the mesh.
    fn begin(&self, operation: Operation) -> Result<Seat, OperationError> {
        let (Some(mesh), Some(store)) = (self.mesh.upgrade(), self.store.upgrade()) else {
            return Err(OperationError::ShutDown);
        };
        let Environment { clock, entropy, .. } = &self.environment;
        let now = clock.now();
        let machine = OperationMachine::new(self.config, operation, entropy.next_u64(), now);
        let telling = Telling::new(Arc::clone(&self.name), operation.key, Arc::clone(&self.recorder), now);
        let reply_within = self.config.reply_within;
        let (driver, seat) = OperationDriver::new(machine, store, Arc::clone(clock), reply_within, telling);
        if mesh.operate(driver.run()) { Ok(seat) } else { Err(OperationError::ShutDown) }
    }

    /// Why a task has ended before it had an answer.
    fn unanswered(&self) -> OperationError {
        match self.mesh.upgrade() {
            Some(mesh) if !mesh.is_stopped() => OperationError::Unattended { operation: Arc::clone(&self.name) },
            Some(_) | None => OperationError::ShutDown,
        }
    }

    /// The result of `operation` that the store had.
    fn opened(&self, operation: &Operation, bytes: &[u8]) -> Result<T, OperationError> {
        self.results.open(operation, bytes).map_err(|reason| {
            tracing::warn!(operation = &*self.name, key = %operation.key, %reason, "the result of an operation cannot be read");
            OperationError::Unreadable { operation: Arc::clone(&self.name), reason }
        })
    }
}

impl<T> Clone for Operations<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// Never shows the result.
impl<T> fmt::Debug for Begun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done(..)"),
            Self::Run(claim) => f.debug_tuple("Run").field(claim).finish(),
        }
    }
}

impl<T> fmt::Debug for Operations<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations")
            .field("name", &self.shared.name)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
