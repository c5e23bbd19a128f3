//! A policy of one's own: of two instances drawn at random, the one that has failed less since its last success.

use std::sync::Arc;

use mesh_core::balance::policy::{Draw, Picker, Policy};
use mesh_core::balance::{Lineup, Reason};

/// The policy, as a configuration names it.
#[derive(Debug)]
pub(crate) struct FewestFailures;

/// What it builds whenever the candidates change; it has nothing to remember, because endpoints count failures.
#[derive(Debug)]
struct OfTwo;

impl Policy for FewestFailures {
    fn name(&self) -> &str {
        "fewest-failures"
    }

    fn build(&self, _: &Lineup<'_>, _: Option<&dyn Picker>) -> Arc<dyn Picker> {
        Arc::new(OfTwo)
    }
}

impl Picker for OfTwo {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let (one, other) = (draw.scan()?, draw.scan()?);
        let failures = |at: usize| draw.lineup().endpoint(at).failures_in_row();
        let (of_one, of_other) = (failures(one), failures(other));
        draw.consider(one, || f64::from(of_one));
        draw.consider(other, || f64::from(of_other));
        draw.because(Reason::Lowest);
        Some(if of_other < of_one { other } else { one })
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}
