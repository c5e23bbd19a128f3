//! One process and its budget: what is granted, credited and taken back, and what counts once.

use mesh_cache::mesh_retry::budget::TokenBucketConfig;
use mesh_cache::mesh_retry::coordinator::store::{ProcessId, Settle, Settlement, StateKey};

use super::{Bench, pass, until};

super::cases![
    a_new_budget_is_full_and_grants_what_is_wanted_at_most,
    a_settlement_that_comes_twice_is_carried_out_once,
    an_earlier_settlement_grants_nothing_and_changes_nothing,
    epochs_may_be_left_out,
    a_process_that_is_not_known_is_credited_nothing_at_first,
    what_was_told_before_is_not_credited_again,
    credit_never_goes_beyond_the_burst,
    no_more_comes_back_than_is_held,
    what_was_spent_does_not_come_back,
    a_process_that_is_not_known_gives_nothing_back,
    the_largest_numbers_do_no_harm,
    time_brings_what_it_should,
    the_wait_is_as_long_as_time_takes,
    without_a_trickle_there_is_nothing_to_wait_for,
];

/// Thousandths, as they stand in the configuration.
pub(crate) fn limits(burst: u32, ratio: u32, per_second: u32) -> TokenBucketConfig {
    let mut limits = TokenBucketConfig::default();
    (limits.burst_milli, limits.ratio_milli, limits.per_second_milli) = (burst, ratio, per_second);
    limits
}

/// The first settlement of `process`, that wants nothing.
pub(crate) const fn first(budget: StateKey, process: ProcessId, limits: TokenBucketConfig) -> Settle {
    Settle {
        budget,
        limits,
        process,
        epoch: 1,
        cumulative_requests: 0,
        reported_requests: 0,
        want: 0,
        kept: 0,
        returned: 0,
    }
}

fn new(bench: &Bench, limits: TokenBucketConfig) -> Settle {
    first(bench.key(), bench.process(), limits)
}

async fn a_new_budget_is_full_and_grants_what_is_wanted_at_most(bench: Bench) {
    let one = Settle { want: 2, ..new(&bench, limits(3_500, 0, 0)) };
    let settled = bench.settle(one).await;
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Applied, 2, 1_500));
    assert_eq!((settled.wait, settled.processes), (Some(std::time::Duration::ZERO), 1));
    let settled = bench.settle(Settle { epoch: 2, want: 5, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (1, 500), "what is less than one retry is none");
    let settled = bench.settle(Settle { epoch: 3, want: 0, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (0, 500));
}

async fn a_settlement_that_comes_twice_is_carried_out_once(bench: Bench) {
    let one = Settle { want: 2, ..new(&bench, limits(10_000, 1_000, 0)) };
    let settled = bench.settle(one).await;
    let again = bench.settle(one).await;
    assert_eq!((again.settlement, again.granted, again.left_milli), (Settlement::Repeated, 2, settled.left_milli));
    let two = Settle { epoch: 2, cumulative_requests: 4, want: 3, kept: 1, returned: 1, ..one };
    let settled = bench.settle(two).await;
    assert_eq!((settled.granted, settled.left_milli), (3, 7_000), "of 8, four requests and one returned, and the cap");
    for _ in 0..3 {
        let again = bench.settle(two).await;
        assert_eq!((again.settlement, again.granted, again.left_milli), (Settlement::Repeated, 3, 7_000));
    }
}

async fn an_earlier_settlement_grants_nothing_and_changes_nothing(bench: Bench) {
    let two = Settle { epoch: 2, want: 4, ..new(&bench, limits(10_000, 1_000, 0)) };
    bench.settle(two).await;
    let late = Settle { epoch: 1, cumulative_requests: 3, want: 5, kept: 0, returned: 4, ..two };
    let settled = bench.settle(late).await;
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Stale, 0, 6_000));
    let settled = bench.settle(Settle { epoch: 3, want: 0, kept: 0, returned: 4, ..two }).await;
    assert_eq!((settled.settlement, settled.left_milli), (Settlement::Applied, 10_000), "it still held all four");
}

async fn epochs_may_be_left_out(bench: Bench) {
    let one = new(&bench, limits(10_000, 1_000, 0));
    bench.settle(Settle { want: 10, ..one }).await;
    let settled = bench.settle(Settle { epoch: 7, cumulative_requests: 2, want: 5, ..one }).await;
    assert_eq!((settled.settlement, settled.granted), (Settlement::Applied, 2));
    assert_eq!(bench.settle(Settle { epoch: 6, ..one }).await.settlement, Settlement::Stale);
}

async fn a_process_that_is_not_known_is_credited_nothing_at_first(bench: Bench) {
    let one = new(&bench, limits(5_000, 1_000, 0));
    assert_eq!(bench.settle(Settle { want: 5, ..one }).await.granted, 5);
    let other = Settle { process: bench.process(), epoch: 9, cumulative_requests: 100, want: 5, ..one };
    let settled = bench.settle(other).await;
    assert_eq!((settled.settlement, settled.granted), (Settlement::Applied, 0));
    let settled = bench.settle(Settle { epoch: 10, cumulative_requests: 103, ..other }).await;
    assert_eq!((settled.granted, settled.left_milli), (3, 0));
}

async fn what_was_told_before_is_not_credited_again(bench: Bench) {
    let one = new(&bench, limits(50_000, 500, 0));
    assert_eq!(bench.settle(Settle { want: 50, ..one }).await.granted, 50);
    // Those of epoch 2, whose settlement never came, are lost.
    let three = Settle { epoch: 3, cumulative_requests: 10, reported_requests: 6, ..one };
    assert_eq!(bench.settle(three).await.left_milli, 2_000);
    // What the store has counted already counts, whatever was told.
    let four = Settle { epoch: 4, cumulative_requests: 13, reported_requests: 2, ..one };
    assert_eq!(bench.settle(four).await.left_milli, 3_500);
    let five = Settle { epoch: 5, cumulative_requests: 13, reported_requests: 99, ..one };
    assert_eq!(bench.settle(five).await.left_milli, 3_500);
}

async fn credit_never_goes_beyond_the_burst(bench: Bench) {
    let one = new(&bench, limits(5_000, 200, 0));
    assert_eq!(bench.settle(Settle { want: 5, ..one }).await.left_milli, 0);
    assert_eq!(bench.settle(Settle { epoch: 2, cumulative_requests: 24, ..one }).await.left_milli, 4_800);
    let settled = bench.settle(Settle { epoch: 3, cumulative_requests: 1_000_000, want: 9, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (5, 0));
}

async fn no_more_comes_back_than_is_held(bench: Bench) {
    let one = new(&bench, limits(9_000, 0, 0));
    assert_eq!(bench.settle(Settle { want: 4, ..one }).await.left_milli, 5_000);
    assert_eq!(bench.settle(Settle { epoch: 2, kept: 1, returned: 3, ..one }).await.left_milli, 8_000);
    assert_eq!(bench.settle(Settle { epoch: 3, kept: 1, returned: 3, ..one }).await.left_milli, 9_000);
    let settled = bench.settle(Settle { epoch: 4, want: 9, returned: 3, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (9, 0), "it holds none any more");
    assert_eq!(bench.settle(Settle { epoch: 5, returned: u32::MAX, ..one }).await.left_milli, 9_000);
}

async fn what_was_spent_does_not_come_back(bench: Bench) {
    let one = new(&bench, limits(9_000, 0, 0));
    assert_eq!(bench.settle(Settle { want: 4, ..one }).await.left_milli, 5_000);
    let settled = bench.settle(Settle { epoch: 2, want: 2, kept: 1, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (2, 3_000), "three of four are spent");
    assert_eq!(bench.settle(Settle { epoch: 3, kept: 9, returned: 9, ..one }).await.left_milli, 6_000);
}

async fn a_process_that_is_not_known_gives_nothing_back(bench: Bench) {
    let one = new(&bench, limits(9_000, 0, 0));
    assert_eq!(bench.settle(Settle { want: 9, ..one }).await.left_milli, 0);
    let other = Settle { process: bench.process(), epoch: 4, kept: 5, returned: 5, ..one };
    assert_eq!(bench.settle(other).await.left_milli, 0);
}

async fn the_largest_numbers_do_no_harm(bench: Bench) {
    let one = new(&bench, limits(1_000_000_000, 1_000_000, 1_000_000_000));
    let most = Settle { want: u32::MAX, kept: u32::MAX, returned: u32::MAX, ..one };
    assert_eq!(bench.settle(most).await.granted, 1_000_000);
    let settled = bench.settle(Settle { epoch: 1 << 52, cumulative_requests: 1 << 52, ..most }).await;
    assert_eq!((settled.granted, settled.left_milli), (1_000_000, 0), "no more than the burst");
}

async fn time_brings_what_it_should(bench: Bench) {
    let one = new(&bench, limits(1_000_000, 0, 100_000));
    let drained = bench.settle(Settle { want: 1_000, ..one }).await;
    assert_eq!(drained.granted, 1_000);
    pass(60).await;
    let settled = bench.settle(Settle { epoch: 2, want: 1_000, ..one }).await;
    let passed = settled.at.since(drained.at);
    assert!(passed.as_millis() >= 59, "{passed:?}");
    // A hundred a second is one in ten milliseconds.
    assert_eq!(u128::from(settled.granted), passed.as_micros() / 10_000, "{passed:?}");
    assert_eq!(u128::from(settled.left_milli), passed.as_micros() / 10 % 1_000, "{passed:?}");
}

async fn the_wait_is_as_long_as_time_takes(bench: Bench) {
    let one = new(&bench, limits(10_000, 0, 20_000));
    let settled = bench.settle(Settle { want: 12, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (10, 0));
    assert_eq!(settled.wait, Some(std::time::Duration::from_millis(100)));
    let (mut epoch, mut granted) = (1, 0);
    while granted < 2 {
        pass(5).await;
        epoch += 1;
        let next = bench.settle(Settle { epoch, want: 2 - granted, kept: 10 + granted, ..one }).await;
        granted += next.granted;
        let is_over = next.at.since(settled.at) >= std::time::Duration::from_millis(100);
        assert_eq!(granted == 2, is_over, "{granted} after {:?}", next.at.since(settled.at));
    }
}

async fn without_a_trickle_there_is_nothing_to_wait_for(bench: Bench) {
    let one = new(&bench, limits(1_000, 0, 0));
    let settled = until(|| bench.settle(Settle { want: 2, ..one }), |_| true).await;
    assert_eq!((settled.granted, settled.wait), (1, None));
}
