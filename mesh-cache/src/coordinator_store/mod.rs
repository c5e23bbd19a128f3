//! The store that processes share to coordinate their retries: where the [commands](StoreCommand) of mesh-retry's
//! coordinator are carried out.
//!
//! Decides nothing but what is known of a command that failed. [`RedisCoordinator`] carries commands to Redis, one script
//! each; [`MemoryCoordinator`] is for one process, and for tests.
//!
//! ```no_run
//! use mesh_cache::Environment;
//! use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
//! use mesh_cache::redis::RedisConfig;
//! use mesh_cache::mesh_retry::coordinator::store::{StateKey, StoreCommand, TakeSlots};
//!
//! # async fn take() -> Result<(), Box<dyn std::error::Error>> {
//! let config = RedisConfig::at("redis://127.0.0.1:6379")?;
//! let store = RedisCoordinator::start("mesh", config, &Environment::system())?;
//! store.client().ready().await?;
//! let counter = StateKey::new(0x5EED);
//! let reply = store.apply(StoreCommand::TakeSlots(TakeSlots { counter, count: 1 })).await?;
//! # drop(reply);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "redis")]
mod call;
#[cfg(feature = "redis")]
mod lua;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod reply;

use std::fmt::Debug;
use std::sync::Arc;

use mesh_core::port::BoxFuture;
use mesh_retry::coordinator::store::{Fingerprint, StateKey, StoreCommand, StoreFailure, StoreReply};
use sha2::{Digest as _, Sha256};

pub use memory::MemoryCoordinator;
#[cfg(feature = "redis")]
pub use redis::{CoordinatorStats, RedisCoordinator};

/// Carries out what processes ask of the state that they share.
///
/// An implementation carries out a command as a whole or not at all, at one moment of a clock of its own, and sends none
/// twice that may have been carried out. It answers within a time of its own choice: what takes longer is
/// [unknown](StoreFailure::Unknown). A future that is dropped half-way leaves it unknown, too.
pub trait CoordinatorStore: Debug + Send + Sync {
    /// Carries `command` out.
    ///
    /// # Errors
    /// [`StoreFailure::NotDone`] where it is certain that it was not carried out and will not be, else
    /// [`StoreFailure::Unknown`].
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>>;
}

impl<S: CoordinatorStore + ?Sized> CoordinatorStore for Arc<S> {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        (**self).apply(command)
    }
}

/// The name in a store of what its users call by `parts`, such as a fleet, a service and what of it is meant: the first half
/// of the SHA-256 of them, each after its length in eight bytes, so that no two lists of parts are the same text.
#[must_use]
pub fn state_key(parts: &[&str]) -> StateKey {
    StateKey::new(half_of_sha256(parts))
}

/// As [`state_key`], for parts that need be no text. One that is has the same name by either.
#[must_use]
pub fn state_key_of_bytes(parts: &[&[u8]]) -> StateKey {
    StateKey::new(half_of_sha256(parts))
}

/// What tells the operation `key` from others under that key, by `request`, which is all that makes it what it is: hashed as
/// the parts of a key are. Whoever reads it in a store can find a request that is easily guessed by guessing.
#[must_use]
pub fn fingerprint(key: StateKey, request: &[u8]) -> Fingerprint {
    Fingerprint::new(half_of_sha256(&[b"fingerprint", key.bits().to_be_bytes().as_slice(), request]))
}

fn half_of_sha256<P: AsRef<[u8]>>(parts: &[P]) -> u128 {
    let hash = |hash: Sha256, part: &P| {
        let part = part.as_ref();
        hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
    };
    let digest = parts.iter().fold(Sha256::new(), hash).finalize();
    digest.iter().take(16).fold(0, |bits, byte| (bits << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_hash_of_its_parts_and_tells_where_they_end() {
        let name = state_key(&["mesh", "api", "retry-budget"]);
        assert_eq!(name.to_string(), "0e7703b1a703d454b87a5aa59874f552");
        for other in [&["mesh", "apiretry-budget"][..], &["mesh", "api", "", "retry-budget"], &["mesh", "api"]] {
            assert_ne!(state_key(other), name);
        }
        assert_eq!(state_key_of_bytes(&[b"mesh", b"api", b"retry-budget"]), name);
    }

    #[test]
    fn a_fingerprint_tells_requests_apart_and_is_another_under_another_key() {
        let key = state_key(&["a"]);
        let print = fingerprint(key, b"100 EUR");
        assert_eq!(print, fingerprint(key, b"100 EUR"));
        for other in [fingerprint(key, b"101 EUR"), fingerprint(key, b""), fingerprint(state_key(&["b"]), b"100 EUR")] {
            assert_ne!(print, other);
        }
    }
}
