//! Random: every candidate alike, whatever its weight.

use super::weighting::draw_admitted;
use super::{Draw, Picker};
use crate::balance::explain::Reason;
use crate::rng::scale;

#[derive(Debug)]
pub(in crate::balance) struct Random;

impl Picker for Random {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let len = draw.lineup().len();
        if len > 0 && draw.admits_all() {
            draw.because(Reason::Drawn);
            return Some(draw.index(len));
        }
        draw_admitted(draw, |bits| scale(bits, len as u64) as usize, |_| 1)
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}
