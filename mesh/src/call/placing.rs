//! Where an attempt goes: an instance that the balancer picks and whose own breaker lets it pass.

use mesh_core::balance::{Bars, PickContext, Route};
use mesh_core::machine::Machine as _;
use mesh_core::route::RouteId;
use mesh_core::time::Instant;
use mesh_retry::call::{AttemptId, CallInput, Unavailable};

use super::Call;
use super::instances::Placed;

impl<C> Call<'_, C> {
    /// Finds an instance for an attempt, or tells the machine that there is none.
    pub(super) fn place(&mut self, id: AttemptId) -> Option<Placed> {
        let now = self.now;
        if self.deadline.has_passed(now) {
            self.machine.handle_input(now, CallInput::Unavailable { attempt: id, reason: Unavailable::None });
            return None;
        }
        match self.find(now) {
            Ok(placed) => {
                let endpoint = placed.endpoint().id();
                self.machine.handle_input(now, CallInput::Picked { attempt: id, endpoint });
                Some(placed)
            }
            Err(reason) => {
                self.machine.handle_input(now, CallInput::Unavailable { attempt: id, reason });
                self.explain(now);
                None
            }
        }
    }

    /// Picks until an instance lets the attempt pass. Only where the first does not are the breakers of the others looked
    /// at before the pick; one that is refused all the same has met another call, or an end of its own.
    fn find(&mut self, now: Instant) -> Result<Placed, Unavailable> {
        let (followed, tried) = (self.followed, *self.machine.tried());
        let breakers = followed.calls.instance_breakers();
        let route = self.policy.route.map_or(Route::All, Route::Registered);
        let mut context =
            PickContext { excluded: &tried, route, hash_key: self.policy.hash_key, ..PickContext::default() };
        for _ in 0..PICKS_MAX {
            let lease = match self.inner.pick(followed, now, &context) {
                Ok(lease) => lease,
                Err(error) => {
                    self.refused = Some(error);
                    let reason = Unavailable::from(error);
                    // Those that were tried may be tried again; the machine asks anew once it has forgotten them.
                    if context.barred.is_some() && reason == Unavailable::AllExcluded && tried.is_empty() {
                        break;
                    }
                    return Err(reason);
                }
            };
            let Some(breakers) = breakers else { return Ok(Placed::unguarded(lease)) };
            match breakers.admit(now, lease) {
                Some(placed) => return Ok(placed),
                None => context.barred = Some(breakers as &dyn Bars),
            }
        }
        let Some(breakers) = breakers else { return Err(Unavailable::None) };
        let route = self.policy.route.unwrap_or(RouteId::ALL);
        Err(Unavailable::Shut(breakers.shut(now, &followed.balancer.view(), route)))
    }
}

/// Picks of one attempt that are made at most: more than as many threads would have to be quicker each time.
const PICKS_MAX: u32 = 64;
