//! Round robin: every candidate in turn, in the order of their keys, whatever their weights.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::AtomicU64;

use super::{Draw, Picker};
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;

/// The turn goes on where it was when the candidates change, so that frequent changes favour nobody.
#[derive(Debug)]
pub(in crate::balance) struct RoundRobin {
    turn: Arc<AtomicU64>,
}

impl RoundRobin {
    pub(super) fn build(_lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Self {
        let previous = previous.and_then(|picker| (picker as &dyn Any).downcast_ref::<Self>());
        Self { turn: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.turn)) }
    }
}

impl Picker for RoundRobin {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Turn);
        let len = draw.lineup().len();
        for _ in 0..len {
            let position = (draw.ticket(&self.turn) % len as u64) as usize;
            if draw.admits_all() || draw.admits(position) {
                return Some(position);
            }
        }
        draw.scan()
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}
