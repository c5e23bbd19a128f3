//! Counters whose numbers are each given once.

use std::collections::BTreeSet;

use mesh_cache::mesh_retry::coordinator::store::{StateKey, StoreCommand, TakeSlots};

use super::Bench;

super::cases![numbers_follow_each_other, counters_are_apart, no_number_is_given_to_two];

const fn take(counter: StateKey, count: u32) -> StoreCommand {
    StoreCommand::TakeSlots(TakeSlots { counter, count })
}

async fn numbers_follow_each_other(bench: Bench) {
    let counter = bench.key();
    let mut next = bench.slots(take(counter, 3)).await.first + 3;
    for count in [1, 1, 10, 1_000_000, 1] {
        assert_eq!(bench.slots(take(counter, count)).await.first, next);
        next += u64::from(count);
    }
    bench.slots(take(counter, 0)).await;
    assert_eq!(bench.slots(take(counter, 1)).await.first, next + 1, "none is taken for one");
}

async fn counters_are_apart(bench: Bench) {
    let (one, two) = (bench.key(), bench.key());
    let firsts = [bench.slots(take(one, 5)).await.first, bench.slots(take(two, 5)).await.first];
    assert_eq!(firsts, [0, 0]);
}

async fn no_number_is_given_to_two(bench: Bench) {
    let counter = bench.key();
    let takers = (0..40_u32).map(|taker| {
        let bench = bench.clone();
        tokio::spawn(async move { (bench.slots(take(counter, 1 + taker % 3)).await.first, 1 + taker % 3) })
    });
    let mut taken = BTreeSet::new();
    for taker in takers.collect::<Vec<_>>() {
        let (first, count) = taker.await.unwrap();
        assert!((first..first + u64::from(count)).all(|number| taken.insert(number)), "{first} is given twice");
    }
    assert_eq!(taken.len() as u64, taken.last().unwrap() + 1, "and none is left out");
}
