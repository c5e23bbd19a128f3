//! The retrial queue: whoever is turned away waits for an exponential time and tries again, for ever.
//!
//! Its wait is no production backoff, so it comes with a call machine of its own at the engine's seam.

use core::time::Duration;

use mesh_core::balance::Tried;
use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use mesh_retry::call::{AttemptId, AttemptKind, CallEffect, CallEvent, CallInput};
use mesh_retry::classify::Class;

use crate::model::engine::Course;

/// Calls that try again for ever, after exponential waits with this mean in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retrials {
    pub(super) wait: f64,
}

/// One such call.
#[derive(Debug)]
pub(super) struct Retrial {
    wait: f64,
    rng: Rng,
    attempts: u32,
    tried: Tried,
    effect: Option<CallEffect>,
    event: Option<CallEvent>,
    until: Option<Instant>,
}

impl Course for Retrials {
    type Call = Retrial;

    fn begin(&self, _: u32, entropy: u64, _: Instant) -> Retrial {
        let mut call = Retrial {
            wait: self.wait,
            rng: Rng::from_seed(entropy),
            attempts: 0,
            tried: Tried::new(),
            effect: None,
            event: None,
            until: None,
        };
        call.ask();
        call
    }

    fn tried(call: &Retrial) -> &Tried {
        &call.tried
    }

    fn hedges_denied(_: &Retrial) -> u32 {
        0
    }
}

impl Retrial {
    fn ask(&mut self) {
        self.attempts += 1;
        let attempt = AttemptId::from_number(u64::from(self.attempts));
        let kind = if self.attempts == 1 { AttemptKind::First } else { AttemptKind::Retry };
        self.effect = Some(CallEffect::Attempt { attempt, number: self.attempts, kind, timeout: None });
    }
}

impl Machine for Retrial {
    type Input = CallInput;
    type Effect = CallEffect;
    type Event = CallEvent;

    fn handle_input(&mut self, now: Instant, input: CallInput) {
        match input {
            CallInput::Picked { .. } => {}
            CallInput::Ended { class: Class::Success, .. } => {
                self.event = Some(CallEvent::Succeeded { attempts: self.attempts });
            }
            CallInput::Ended { .. } | CallInput::Unavailable { .. } | CallInput::TimedOut { .. } => {
                let nanos = -libm::log(1.0 - self.rng.unit()) * self.wait;
                self.until = Some(now + Duration::from_nanos(nanos as u64));
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            self.ask();
        }
    }

    fn poll_effect(&mut self) -> Option<CallEffect> {
        self.effect.take()
    }

    fn poll_event(&mut self) -> Option<CallEvent> {
        self.event.take()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }
}
