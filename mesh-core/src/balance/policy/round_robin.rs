//! Round robin: every candidate in turn, in the order of their keys, whatever their weights.

mod rotation;

use core::any::Any;

use super::weighting::draw_admitted;
use super::{Draw, Picker};
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;
use crate::rng::scale;

pub(super) use rotation::{Rotation, Turn};

/// One turn each, in the order of the keys.
///
/// As long as the candidates stay, the rotation goes on exactly where it was. When they change it moves to another
/// place, chosen so that over many changes everybody is met equally often.
///
/// A pick that excludes what it has tried takes no turn: it draws, so that retries leave the rotation of first
/// attempts as it is. If they took turns, two instances of which one fails would see every first attempt go to the one
/// that fails and every retry take the other's turn. A pick with a selector takes turns and passes over up to eight
/// that do not match before it draws.
#[derive(Debug)]
pub(in crate::balance) struct RoundRobin {
    rotation: Rotation,
}

impl RoundRobin {
    pub(super) fn build(lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Self {
        let previous = previous.and_then(|picker| (picker as &dyn Any).downcast_ref::<Self>());
        let previous = previous.map(|previous| &previous.rotation);
        Self { rotation: Rotation::build(lineup, lineup.len(), lineup.print(false), previous) }
    }
}

impl Picker for RoundRobin {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let len = draw.lineup().len();
        if len == 0 {
            return None;
        }
        let turn = take_turns(draw, |draw| self.rotation.next(draw).place as usize);
        turn.or_else(|| draw_admitted(draw, |bits| scale(bits, len as u64) as usize, |_| 1))
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

/// The first of a few turns that falls to a candidate which the call admits; none where a draw must decide.
#[inline]
pub(super) fn take_turns(draw: &mut Draw<'_>, mut next: impl FnMut(&mut Draw<'_>) -> usize) -> Option<usize> {
    draw.because(Reason::Turn);
    if draw.admits_all() {
        return Some(next(draw));
    }
    if !draw.context().keeps_nobody_out() {
        return None;
    }
    for _ in 0..TURNS_MAX {
        let position = next(draw);
        if draw.admits(position) {
            return Some(position);
        }
    }
    None
}

/// Turns that a pick with a selector takes at most.
const TURNS_MAX: usize = 8;
