//! What a decision that waits looks like: a state machine that is told what happened and asked what to do.
//!
//! A machine never does anything itself. Its driver hands it inputs and the time, carries out the effects it
//! asks for, tells its owner the events it reports, and comes back at the deadline it names. The tokio driver
//! in `mesh` and the simulator in `mesh-sim` drive the same values.
//!
//! # The order to drive in
//!
//! After every `handle_*`: `poll_effect` until `None`, then `poll_event` until `None`, then `poll_timeout`
//! once. `handle_timeout` is called when that deadline has come; earlier calls are harmless.
//!
//! # The laws
//!
//! `machine::laws` (feature `suites`) checks them for any machine, over a whole script of inputs:
//!
//! 1. `handle_timeout` before the deadline changes nothing.
//! 2. After `handle_timeout` at the deadline, the next one is strictly later.
//! 3. Time that goes back is clamped.
//! 4. The same seed and inputs give the same effects and events.
//! 5. Polling comes to an end.

#[cfg(feature = "suites")]
pub mod laws;
mod service;

use crate::time::Instant;

pub use service::{
    DeregisterId, Deregistration, ServiceEffect, ServiceEvent, ServiceInput, ServiceMachine, ServiceMachineConfig,
};

/// A Sans-IO state machine.
///
/// Inputs from the world never fail: what went wrong is an event. An effect that wants an answer carries an
/// id, and the answer carries it back; late and unknown ids are ignored.
pub trait Machine {
    /// What the world tells it.
    type Input;
    /// What it asks the world to do.
    type Effect;
    /// What it tells its owner.
    type Event;

    /// Takes in what happened at `now`.
    fn handle_input(&mut self, now: Instant, input: Self::Input);
    /// Does what is due at `now`; nothing, when nothing is.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing that the world is to do.
    fn poll_effect(&mut self) -> Option<Self::Effect>;
    /// The next thing that the owner is to know.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When to call `handle_timeout`, if ever.
    fn poll_timeout(&self) -> Option<Instant>;
}
