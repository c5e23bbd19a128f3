//! Random: every candidate alike, whatever its weight.

use super::{Draw, Picker};
use crate::balance::explain::Reason;

#[derive(Debug)]
pub(in crate::balance) struct Random;

impl Picker for Random {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Drawn);
        let len = draw.lineup().len();
        if len == 0 {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let position = draw.index(len);
            if draw.admits_all() || draw.admits(position) {
                return Some(position);
            }
        }
        // Uniform over those admitted, where a scan from a random place would favour the one after a gap.
        let admitted = (0..len).filter(|&at| draw.admits(at)).count();
        let chosen = draw.index(admitted);
        (0..len).filter(|&at| draw.admits(at)).nth(chosen)
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

const DRAWS_MAX: usize = 4;
