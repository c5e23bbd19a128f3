//! The seam at which a call's decisions come in: production's call machine, or a model's own.

use mesh_core::balance::Tried;
use mesh_core::machine::Machine;
use mesh_core::time::Instant;
use mesh_retry::call::{CallEffect, CallEvent, CallInput, CallMachine};
use mesh_retry::policy::RetryPolicy;

/// Makes the machines that decide the course of calls.
pub(crate) trait Course {
    /// The machine of one call.
    type Call: Machine<Input = CallInput, Effect = CallEffect, Event = CallEvent>;

    /// The machine of a call that begins at `now`, and asks for its first attempt.
    fn begin(&self, entropy: u64, now: Instant) -> Self::Call;

    /// The endpoints that the next attempt of `call` is to avoid.
    fn tried(call: &Self::Call) -> &Tried;
}

/// Production's.
impl<'p> Course for &'p RetryPolicy {
    type Call = CallMachine<&'p RetryPolicy>;

    #[inline]
    fn begin(&self, entropy: u64, now: Instant) -> Self::Call {
        CallMachine::new(self, entropy, now)
    }

    #[inline]
    fn tried(call: &Self::Call) -> &Tried {
        call.tried()
    }
}
