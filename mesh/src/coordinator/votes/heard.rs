//! What a breaker has become that its voter has not looked at yet.

use std::sync::atomic::{AtomicU8, Ordering};

use mesh_core::time::Instant;
use mesh_retry::breaker::{Breaker, State};

/// Put by calls that brought a transition about, taken by the voter. Of transitions that follow one another at once the voter
/// sees the last.
///
/// **Orderings**: threads may come here in another order than their transitions were made in. So each puts the state that the
/// breaker has, not the one it made, and looks again: whoever puts an old state after a newer one has swapped with whoever put
/// that (acquire and release), and finds the newer one in the breaker.
#[derive(Debug, Default)]
pub(super) struct Heard(AtomicU8);

impl Heard {
    /// Takes note that `breaker` has changed.
    pub(super) fn put(&self, breaker: &Breaker) {
        loop {
            let state = code(entered(breaker));
            self.0.swap(state, Ordering::AcqRel);
            if code(entered(breaker)) == state {
                return;
            }
        }
    }

    /// The state that the breaker has come to since this was asked last, if it has changed.
    pub(super) fn take(&self) -> Option<State> {
        match self.0.swap(NOTHING, Ordering::AcqRel) {
            NOTHING => None,
            OPEN => Some(State::Open),
            HALF_OPEN => Some(State::HalfOpen),
            _ => Some(State::Closed),
        }
    }
}

/// The state that `breaker` came to with its last transition. At the beginning of time no time of its own is over, so that this
/// is not what a call would make of it.
fn entered(breaker: &Breaker) -> State {
    breaker.state(Instant::ZERO)
}

const fn code(state: State) -> u8 {
    match state {
        State::Open => OPEN,
        State::HalfOpen => HALF_OPEN,
        // What was ordered says nothing of the callee, and counts as well.
        State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly | _ => CLOSED,
    }
}

const NOTHING: u8 = 0;
const CLOSED: u8 = 1;
const OPEN: u8 = 2;
const HALF_OPEN: u8 = 3;

#[cfg(test)]
mod tests {
    use mesh_retry::breaker::{BreakerConfig, Verdict};

    use super::*;

    #[test]
    fn what_was_put_is_taken_once_and_time_makes_nothing_else_of_it() {
        let breaker = Breaker::new(&BreakerConfig::consecutive(std::num::NonZeroU32::MIN), 1).unwrap();
        let (heard, mut now) = (Heard::default(), Instant::from_millis(1));
        let fail = |now, permit| breaker.record(now, permit, Verdict::Failed(std::time::Duration::ZERO)).unwrap();
        assert_eq!(heard.take(), None);
        let opened = fail(now, breaker.permit(now).unwrap());
        heard.put(&breaker);
        now = opened.until.unwrap();
        assert_eq!(breaker.state(now), State::HalfOpen, "for a call");
        assert_eq!((heard.take(), heard.take()), (Some(State::Open), None));
        let probe = breaker.permit(now).unwrap();
        heard.put(&breaker);
        fail(now, probe);
        heard.put(&breaker);
        assert_eq!((heard.take(), heard.take()), (Some(State::Open), None), "the last of two");
        breaker.reset();
        heard.put(&breaker);
        assert_eq!(heard.take(), Some(State::Closed));
    }
}
