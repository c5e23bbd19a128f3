//! The way that nearly every pick takes: any candidate may serve, and one random word says which.
//!
//! A handle keeps the shortcut of its view at hand, so that such a pick goes from the handle to the candidates'
//! counters in one step. It chooses as the policy itself would; where a policy has no shortcut, or a request asks
//! for more, the policy is asked.

use alloc::sync::Arc;

use super::balancer::Vantage;
use super::context::PickContext;
use super::endpoint::Endpoint;
use super::error::PickError;
use super::policy::{Cursor, distinct};
use super::slab::Blocks;
use super::view::Placed;
use super::window::Window;
use crate::rng::{Draws, scale};
use crate::time::Instant;

/// The usable endpoints of a view, and how one of them is chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortcut {
    pub(super) slots: Arc<[u32]>,
    pub(super) blocks: Blocks,
    pub(super) way: Way,
}

/// How a policy chooses when it needs to know nothing but its candidates' loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// Not at all: it must be asked.
    #[default]
    None,
    /// Any candidate; there is one at least.
    Any,
    /// The less loaded of two that are drawn alike; there are two at least.
    LessLoadedOfTwo,
}

impl Shortcut {
    /// Places a request as it looks from `vantage`, whose view's shortcut this is; it is not counted yet. It goes where the
    /// policy would send it.
    #[inline]
    pub(super) fn place<'a>(
        &'a self,
        vantage: &'a Vantage,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        cursors: &mut [Cursor],
    ) -> Result<Placed<'a>, PickError> {
        let (chosen, spot) = match &vantage.window {
            None => self.choose(context, entropy, |_, endpoint| endpoint.load(now)),
            Some(window) => self.choose_seen_through(window, now, context, entropy),
        };
        match chosen {
            Some(endpoint) => Ok(spot.placed(endpoint)),
            None => vantage.view.place(now, context, entropy, cursors, vantage.window.as_deref()),
        }
    }

    /// As `choose`, as a handle sees it that holds back what is in `window`.
    #[inline(never)]
    fn choose_seen_through(
        &self,
        window: &Window,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
    ) -> (Option<&Endpoint>, Spot) {
        self.choose(context, entropy, |slot, endpoint| {
            u64::from(endpoint.in_flight_and(window.held_back(slot))) + u64::from(endpoint.held(now))
        })
    }

    /// Whom it chooses, if it can, and where that is. Both come back in registers: put into memory and read at once in
    /// other pieces they would be waited for.
    #[inline]
    fn choose(
        &self,
        context: &PickContext<'_>,
        entropy: u64,
        load: impl Fn(u32, &Endpoint) -> u64,
    ) -> (Option<&Endpoint>, Spot) {
        let len = self.slots.len();
        if self.way == Way::None || !context.is_plain() || len == 0 {
            return (None, Spot(0));
        }
        let bits = Draws::new(entropy).next_u64();
        if self.way == Way::Any {
            let position = scale(bits, len as u64) as usize;
            return (Some(self.endpoint(position).1), Spot::new(position, true));
        }
        let (first, second) = distinct(bits, len);
        let (one, other) = (self.endpoint(first), self.endpoint(second));
        let loads = (load(one.0, one.1), load(other.0, other.1));
        let (position, endpoint) = if loads.1 < loads.0 { (second, other.1) } else { (first, one.1) };
        (Some(endpoint), Spot::new(position, loads != (0, 0)))
    }

    /// Who is at `position`, and in which slot.
    #[inline]
    fn endpoint(&self, position: usize) -> (u32, &Endpoint) {
        let slot = self.slots[position];
        (slot, self.blocks.get(slot))
    }
}

/// A position, and whether there was anything to compare, in one word.
#[derive(Clone, Copy, Debug)]
struct Spot(u64);

impl Spot {
    #[inline]
    const fn new(position: usize, informed: bool) -> Self {
        Self((position as u64) << 1 | informed as u64)
    }

    #[inline]
    const fn placed(self, endpoint: &Endpoint) -> Placed<'_> {
        Placed { part: 0, position: (self.0 >> 1) as u32, endpoint, informed: self.0 & 1 == 1 }
    }
}
