//! weighted-rs, which counts no requests and picks through `&mut self`: several threads share it behind a mutex.

use mesh_benches::fleet;
use mesh_benches::subject::{Lend, Subject};
use weighted_rs::{RoundrobinWeight, SmoothWeight, Weight};

/// nginx's smooth sequence over `size` instances, worked out at every pick; O(n).
pub(crate) fn smooth(size: usize) -> SmoothWeight<u32> {
    filled(SmoothWeight::new(), size)
}

/// LVS's weighted round robin over `size` instances.
pub(crate) fn lvs(size: usize) -> RoundrobinWeight<u32> {
    filled(RoundrobinWeight::new(), size)
}

/// `balancer` with `size` instances of differing weights.
fn filled<W: Weight<Item = u32>>(mut balancer: W, size: usize) -> W {
    (0..size).for_each(|number| balancer.add(number as u32, fleet::weight(number) as isize));
    balancer
}

/// Picks from a balancer.
pub(crate) struct Picks<L>(pub(crate) L);

impl<L: Lend<Lent: Weight<Item = u32>>> Subject for Picks<L> {
    type Lease = Option<u32>;

    #[inline]
    fn start(&mut self) -> Option<u32> {
        self.0.lend(Weight::next)
    }

    #[inline]
    fn end(&mut self, _: Option<u32>) {}
}
