//! A user's own policy beside the built-in ones: one of five instances fails everything.
//!
//! ```text
//! cargo run -p mesh-core --example custom_policy
//! ```

mod policy;

use std::sync::Arc;

use mesh_core::balance::{Balancer, Member, Outcome, PickContext, Strategy, ViewBuilder};
use mesh_core::rng::Rng;
use mesh_core::service::Instance;
use mesh_core::time::Instant;

use policy::FewestFailures;

#[expect(clippy::print_stdout, reason = "an example says what it does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    for strategy in [Strategy::Random, Strategy::default(), Strategy::Custom(Arc::new(FewestFailures))] {
        let mut views = ViewBuilder::new(strategy.clone());
        let members = (1..=5).map(|port| Instance::builder("api", "10.0.0.7", port).build().map(Member::usable));
        let balancer = Balancer::new();
        balancer.publish(views.build(members.collect::<Result<Vec<_>, _>>()?));

        let (mut handle, mut rng) = (balancer.handle(), Rng::from_seed(1));
        let mut failed = 0;
        for millis in 0..10_000 {
            let now = Instant::from_millis(millis);
            let lease = handle.pick(now, &PickContext::default(), rng.next_u64())?;
            let is_broken = lease.instance().port() == 3;
            failed += u32::from(is_broken);
            lease.finish(now, if is_broken { Outcome::Failure } else { Outcome::Success });
        }
        println!("{:<18} {failed:>5} of 10000 requests went to the instance that fails", strategy.name());
    }
    Ok(())
}
