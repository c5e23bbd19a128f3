//! Each thread's own handles: its cached view of every service it calls, and its own randomness.
//!
//! Picking from a thread-local handle writes nothing that two threads share but the chosen endpoint's counter.

use std::cell::RefCell;
use std::sync::Arc;

use mesh_core::balance::{Handle, PickContext, PickError};
use mesh_core::port::Clock;
use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use crate::lease::Lease;
use crate::service::Followed;
use mesh_cache::Environment;

/// One thread's way into one service.
#[derive(Debug)]
struct Local {
    followed: Arc<Followed>,
    handle: Handle,
    rng: Rng,
    /// What leases hold on to: cloned by this thread alone, so that the count is not fought over.
    owner: Arc<Owner>,
}

/// What a lease needs of its service when it ends.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) followed: Arc<Followed>,
    pub(crate) clock: Arc<dyn Clock>,
}

thread_local! {
    static LOCALS: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
}

/// Picks an instance of `followed`, and draws a word of randomness for the caller's own use.
pub(crate) fn pick(
    followed: &Arc<Followed>,
    environment: &Environment,
    now: Instant,
    context: &PickContext<'_>,
) -> Result<Lease, PickError> {
    with(followed, environment, |local| {
        let word = local.rng.next_u64();
        let lease = local.handle.pick_owned(now, context, word)?;
        Ok(Lease::new(lease, Arc::clone(&local.owner)))
    })
}

/// A random word from this thread's generator for `followed`.
pub(crate) fn random(followed: &Arc<Followed>, environment: &Environment) -> u64 {
    with(followed, environment, |local| local.rng.next_u64())
}

/// Runs `use_it` on this thread's handle. Where the thread is ending, or is inside another pick already (a
/// policy that calls the mesh), it works on a handle made for the occasion.
fn with<R>(followed: &Arc<Followed>, environment: &Environment, mut use_it: impl FnMut(&mut Local) -> R) -> R {
    let done = LOCALS.try_with(|locals| {
        let mut locals = locals.try_borrow_mut().ok()?;
        let at = locals.iter().position(|local| Arc::ptr_eq(&local.followed, followed));
        let at = at.unwrap_or_else(|| {
            locals.retain(|local| !local.followed.has_ended());
            locals.push(Local::new(followed, environment));
            locals.len() - 1
        });
        Some(use_it(&mut locals[at]))
    });
    done.ok().flatten().unwrap_or_else(|| use_it(&mut Local::new(followed, environment)))
}

impl Local {
    fn new(followed: &Arc<Followed>, environment: &Environment) -> Self {
        Self {
            followed: Arc::clone(followed),
            handle: followed.balancer.handle(),
            rng: Rng::from_seed(environment.entropy.next_u64()),
            owner: Arc::new(Owner { followed: Arc::clone(followed), clock: Arc::clone(&environment.clock) }),
        }
    }
}
