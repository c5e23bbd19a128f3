//! The seam at which a call's decisions come in: production's call machine, or a model's own.

use alloc::sync::Arc;

use mesh_core::balance::Tried;
use mesh_core::machine::Machine;
use mesh_core::time::Instant;
use mesh_retry::call::{CallEffect, CallEvent, CallInput};
use mesh_retry::coordinator::budget::FleetBudget;

use super::fleet::Bells;

/// Makes the machines that decide the course of calls.
pub(crate) trait Course {
    /// The machine of one call.
    type Call: Machine<Input = CallInput, Effect = CallEffect, Event = CallEvent>;

    /// The machine of a call of `client` that begins at `now`, and asks for its first attempt.
    fn begin(&self, client: u32, entropy: u64, now: Instant) -> Self::Call;

    /// The endpoints that the next attempt of `call` is to avoid.
    fn tried(call: &Self::Call) -> &Tried;

    /// The budgets of the clients, where they share one, and who of them has just woken.
    fn fleet(&self) -> Option<(&[Arc<FleetBudget>], &Bells)> {
        None
    }

    /// How many copies of the attempts of `call` were kept from being sent.
    fn hedges_denied(call: &Self::Call) -> u32;
}
