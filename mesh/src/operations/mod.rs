//! Operations that are carried out once, as far as that can be had, whoever of the fleet begins them: what idempotency keys
//! of payment services are for.
//!
//! Decides nothing: mesh-retry's [machine](mesh_retry::coordinator::idempotency) says what to tell the store that processes
//! share and when, a task of the mesh carries it there and back, and whoever began the operation holds a guard.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use mesh::mesh_cache::codec::JsonCodec;
//! use mesh::mesh_cache::coordinator_store::MemoryCoordinator;
//! use mesh::operations::{Begun, Failed, Right};
//! use mesh::{ServiceMesh, TokioClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One store for all processes: a Redis (`.redis(url)`), or the memory of this one.
//! let store = MemoryCoordinator::new(Arc::new(TokioClock::new()));
//! let mesh = ServiceMesh::builder().coordinator(store).build().await?;
//! let charges = mesh.operations::<String>("charges", JsonCodec::new(1)).open()?;
//!
//! let charged = AtomicU32::new(0);
//! let charge = |request: &'static str| {
//!     charges.run("order-17", request, async |owner| {
//!         if matches!(owner.right(), Right::TakenOver { .. }) {
//!             // Somebody began to and was never heard of: ask whether the card was charged before charging it.
//!         }
//!         charged.fetch_add(1, Ordering::Relaxed);
//!         Ok::<_, Failed<std::io::Error>>("receipt 1".to_owned())
//!     })
//! };
//! assert_eq!(charge("100 EUR").await?.value, "receipt 1");
//! let again = charge("100 EUR").await?;
//! assert!(again.replayed && again.value == "receipt 1");
//! assert_eq!(charged.load(Ordering::Relaxed), 1);
//! assert_eq!(charge("999 EUR").await.unwrap_err().to_string(), "charges: the key is that of another operation");
//!
//! // The same, step by step.
//! if let Begun::Run(claim) = charges.begin("order-18", "100 EUR").await? {
//!     let end = claim.finish(&"receipt 2".to_owned()).await?;
//!     assert_eq!(end.name(), "kept");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised, and what is not
//! As [the machine](mesh_retry::coordinator::idempotency) has it. Within [`keep`](OperationConfig::keep), and as long as the
//! store keeps its state, at most one result is kept for a key, and everybody is told that one. An owner who is not heard of
//! within his [`lease`](OperationConfig::lease) is taken over from, by somebody who is told that **the outcome is unknown**
//! ([`Right::TakenOver`]); nobody can know whether he was at the operation, is yet, or died before it. The operation's code has
//! to ask whatever it has an effect on, or give it the [fence](Ownership::fence) to compare.
//!
//! | what happens | what the next one to begin is told |
//! |---|---|
//! | the claim was finished | the result |
//! | it was abandoned | that he is the first, at once |
//! | the future of `begin` was dropped | what that one would have been: that he is the first, or takes over; at once |
//! | it was dropped, and what the store answered to it is lost | that he takes over, after the lease |
//! | it was carried out without the store ([`StoreLost::RunAnyway`]) | that he is the first; or that he takes over, after the lease, where the store had heard of it |
//! | it was handed over or dropped; `work` panicked, failed with an unknown outcome, or its future was dropped | that he takes over, at once |
//! | the process died; its mesh was dropped, or shut down with the claim still open | that he takes over, after the lease |
//! | the store lost its state, or evicted the operation | that he is the first; the fence is greater all the same while the store's clock goes on |
//! | the store is away | nothing: [`StoreLost`] is chosen beforehand |
//!
//! A Redis has to evict nothing (`maxmemory-policy noeviction`): an operation that is evicted is **carried out again**. One that
//! is full under that policy refuses to begin any, which is [`OperationError::StoreLost`] unless
//! [`StoreLost::RunAnyway`] is chosen.
//!
//! # Keys, tokens, results
//! A key is hashed with the names of the fleet and of the kind, a request with its key, and neither is ever sent, logged or
//! part of an error. An owner proves who he is by 128 bits of the [environment's entropy](crate::Environment::entropy), which is
//! the operating system's generator unless it was replaced: fit for secrets, as long as the system gives any
//! ([`OsEntropy`](crate::OsEntropy) says what happens else). Whoever may speak to the store can read the token there; what
//! must never be is that two processes draw the same words, as two with one seed do.
//!
//! Results are sealed with the [keys](crate::ServiceMeshBuilder::seal) of the mesh, for their operation alone, whatever the
//! store is: at most 64 KiB with some hundred bytes of the envelope. Without keys they stand in the store for all to read and
//! to make up. What cannot be read, be it for a key that is missing, a forged seal or a codec of another
//! [schema](mesh_cache::codec::Codec::schema), is [`OperationError::Unreadable`] and **not carried out again**: change the
//! schema only once results of the old one are no longer kept.
//!
//! # At a shutdown
//! Operations that go on are waited for within the grace, like requests in flight, and new ones can be begun until it ends.
//! A claim that is still open then is [unattended](Hold::Unattended): its lease ends by itself, and not at once, for its owner
//! may be at it yet.

mod builder;
mod carried;
mod claim;
mod driver;
mod error;
mod handle;
mod open;
mod ownership;
mod results;
mod telling;

pub use builder::OperationsBuilder;
pub(crate) use builder::World;
pub use carried::{Carried, Failed};
pub use claim::{Claim, Unfinished};
pub use error::{KeepError, OperationError, ReadError, RunError};
pub use handle::{Begun, Operations};
pub use mesh_retry::coordinator::idempotency::{OperationConfig, OperationEnd, Right, StoreLost};
pub use mesh_retry::coordinator::store::Fence;
pub(crate) use open::OpenOperations;
pub use ownership::{Hold, Ownership};
