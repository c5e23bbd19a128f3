//! What the coordinator costs a call: no allocation.

mod coordinator_support;

use std::hint::black_box;
use std::sync::Arc;

use coordinator_support::{Bell, at};
use mesh_retry::Rng;
use mesh_retry::breaker::{Breaker, BreakerConfig, Verdict};
use mesh_retry::coordinator::slots::{RetrySlots, SlotsConfig, SlotsInput, SlotsMachine};
use mesh_retry::coordinator::store::{Slots, StateKey, StoreReply, StoreTime};
use mesh_retry::coordinator::votes::{Evidence, VotesConfig};
use mesh_retry::{Instant, Machine as _};

#[test]
fn a_retry_takes_its_slot_or_its_jitter_without_an_allocation() {
    let config = SlotsConfig::default();
    let slots = Arc::new(RetrySlots::new(&config, Arc::new(Bell::default())));
    let mut machine = SlotsMachine::new(config, StateKey::new(1), Arc::clone(&slots), 1, Instant::ZERO);
    let Some(send) = machine.poll_effect() else { unreachable!("it asks for a block") };
    let answer = Ok(StoreReply::Slots(Slots { at: StoreTime::default(), first: 5 }));
    machine.handle_input(at(1), SlotsInput::Answered { id: send.id, answer });
    let mut rng = Rng::from_seed(1);
    assert_eq!(slots.left(), 11);
    let counted = allocation_counter::measure(|| {
        for _ in 0..1000 {
            black_box(slots.take(&mut rng));
        }
    });
    assert_eq!((counted.count_total, slots.left()), (0, 0));
}

#[test]
fn a_breaker_with_evidence_allocates_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let evidence = Arc::new(Evidence::new(&VotesConfig::default(), Arc::new(Bell::default())));
    let breaker = Breaker::with_evidence(&BreakerConfig::default(), 1, evidence)?;
    let counted = allocation_counter::measure(|| {
        for step in 0..20_000 {
            let now = at(step);
            if let Ok(permit) = breaker.permit(now) {
                breaker.record(now, permit, Verdict::Failed(std::time::Duration::ZERO));
            }
        }
    });
    assert_eq!(counted.count_total, 0);
    Ok(())
}
