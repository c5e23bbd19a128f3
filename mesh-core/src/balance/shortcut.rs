//! The way that nearly every pick takes: any candidate may serve, and one random word says which.
//!
//! A handle keeps the shortcut of its view at hand, so that such a pick goes from the handle to the candidates'
//! counters in one step. It chooses as the policy itself would; where a policy has no shortcut, or a request asks
//! for more, the policy is asked.

use alloc::sync::Arc;

use super::context::PickContext;
use super::endpoint::Endpoint;
use super::error::PickError;
use super::policy::{Cursor, distinct};
use super::slab::Blocks;
use super::view::{Placed, View};
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
    /// Places a request in `view`, whose shortcut this is; it is not counted yet. It goes where the policy would send it.
    #[inline]
    pub(super) fn place<'a>(
        &'a self,
        view: &'a View,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        cursors: &mut [Cursor],
        window: Option<&'a Window>,
    ) -> Result<Placed<'a>, PickError> {
        match self.choose(now, context, entropy, window) {
            Some((position, endpoint, informed)) => {
                Ok(Placed { part: 0, position: position as u32, endpoint, informed })
            }
            None => view.place(now, context, entropy, cursors, window),
        }
    }

    #[inline]
    fn choose(
        &self,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
        window: Option<&Window>,
    ) -> Option<(usize, &Endpoint, bool)> {
        if self.way == Way::None || !context.is_plain() {
            return None;
        }
        let (len, bits) = (self.slots.len(), Draws::new(entropy).next_u64());
        if self.way == Way::Any {
            let position = scale(bits, len as u64) as usize;
            return Some((position, self.endpoint(position)?, true));
        }
        let (first, second) = distinct(bits, len);
        let (one, other) = (self.endpoint(first)?, self.endpoint(second)?);
        let loads = match window {
            None => (one.load(now), other.load(now)),
            Some(window) => (self.load(first, now, window)?, self.load(second, now, window)?),
        };
        let (position, endpoint) = if loads.1 < loads.0 { (second, other) } else { (first, one) };
        Some((position, endpoint, loads != (0, 0)))
    }

    /// The load at `position` as a handle sees it that holds back what is in `window`.
    fn load(&self, position: usize, now: Instant, window: &Window) -> Option<u64> {
        let slot = *self.slots.get(position)?;
        let endpoint = self.blocks.get(slot);
        Some(u64::from(endpoint.in_flight_and(window.held_back(slot))) + u64::from(endpoint.held(now)))
    }

    #[inline]
    fn endpoint(&self, position: usize) -> Option<&Endpoint> {
        self.slots.get(position).map(|slot| self.blocks.get(*slot))
    }
}
