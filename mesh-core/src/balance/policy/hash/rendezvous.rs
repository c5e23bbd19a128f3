//! Weighted rendezvous: every instance draws a score for the key, and the highest owns it.

use crate::balance::policy::{Draw, Picker};
use crate::balance::view::Lineup;

#[derive(Debug)]
pub(in crate::balance) struct Rendezvous;

impl Rendezvous {
    pub(in crate::balance) fn build(_lineup: &Lineup<'_>) -> Self {
        Self
    }
}

impl Picker for Rendezvous {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
