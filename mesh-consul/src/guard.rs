//! Guards what this process registered: notices within a moment that the agent went away and came back, perhaps without it.
//!
//! One query of the agent's for all that is registered there: an agent that restarts breaks it, and one that came back is
//! doubted as a whole. It never registers: whoever keeps the registrations hears of the doubt and looks.

use std::sync::Weak;
use std::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::service::InstanceId;

use crate::error::ErrorClass;
use crate::registry::Shared;

/// Guards until the registry is gone or nothing is registered any more.
pub(crate) async fn run(shared: Weak<Shared>, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let mut watched: Option<(InstanceId, Option<String>)> = None;
    let mut away = false;
    loop {
        let Some((consul, first)) = shared.upgrade().and_then(|shared| shared.first_registered()) else { return };
        let hash = watched.take().filter(|(id, _)| *id == first).and_then(|(_, hash)| hash);
        let pause = match consul.changed(&first, hash.as_deref()).await {
            Ok(now) => {
                let changed = hash.is_some() && now != hash;
                if (away || changed) && !doubt(&shared) {
                    return;
                }
                (away, watched) = (false, Some((first, now)));
                PAUSE
            }
            Err(error) => {
                tracing::debug!(%error, "the agent cannot be heard, or lost what was registered");
                away = error.class() != ErrorClass::LostRegistration;
                if !away && !doubt(&shared) {
                    return;
                }
                RETRY / 2 + rng.up_to(RETRY / 2)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Doubts all that is registered; false where there is no registry any more.
fn doubt(shared: &Weak<Shared>) -> bool {
    shared.upgrade().is_some_and(|shared| {
        shared.doubt_all();
        true
    })
}

/// Between two queries that are answered, lest an agent that answers at once be asked without end.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest wait for an agent that cannot be heard.
const RETRY: Duration = Duration::from_millis(500);
