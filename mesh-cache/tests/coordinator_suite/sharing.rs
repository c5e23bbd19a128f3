//! Processes and their budgets: what is one's is not another's.

use mesh_cache::mesh_retry::coordinator::store::Settle;

use super::Bench;
use super::settle::{first, limits};

super::cases![
    processes_share_a_budget_and_are_counted,
    budgets_are_apart,
    what_one_process_told_says_nothing_of_another,
    a_budget_that_is_made_smaller_holds_no_more_than_that,
    many_at_once_get_no_more_than_there_is,
    the_time_of_the_store_goes_on,
];

async fn processes_share_a_budget_and_are_counted(bench: Bench) {
    let budget = bench.key();
    let granted = [(3, 3, 1), (3, 3, 2), (3, 1, 3), (3, 0, 4)];
    for (want, granted, processes) in granted {
        let one = Settle { want, ..first(budget, bench.process(), limits(7_000, 0, 0)) };
        let settled = bench.settle(one).await;
        assert_eq!((settled.granted, settled.processes), (granted, processes));
        let again = bench.settle(Settle { epoch: 2, want: 0, ..one }).await;
        assert_eq!(again.processes, processes, "one counts once");
    }
}

async fn budgets_are_apart(bench: Bench) {
    let (process, limits) = (bench.process(), limits(2_000, 1_000, 0));
    for _ in 0..3 {
        let settled = bench.settle(Settle { want: 2, ..first(bench.key(), process, limits) }).await;
        assert_eq!((settled.granted, settled.processes), (2, 1));
    }
}

async fn what_one_process_told_says_nothing_of_another(bench: Bench) {
    let (budget, limits) = (bench.key(), limits(9_000, 1_000, 0));
    let (one, two) = (first(budget, bench.process(), limits), first(budget, bench.process(), limits));
    assert_eq!(bench.settle(Settle { epoch: 5, want: 9, ..one }).await.granted, 9);
    assert_eq!(bench.settle(two).await.left_milli, 0);
    assert_eq!(bench.settle(Settle { epoch: 6, cumulative_requests: 3, kept: 9, ..one }).await.left_milli, 3_000);
    assert_eq!(bench.settle(Settle { epoch: 2, cumulative_requests: 3, ..two }).await.left_milli, 6_000);
    let settled = bench.settle(Settle { epoch: 3, cumulative_requests: 3, returned: 9, ..two }).await;
    assert_eq!(settled.left_milli, 6_000, "the other holds them");
}

async fn a_budget_that_is_made_smaller_holds_no_more_than_that(bench: Bench) {
    let one = first(bench.key(), bench.process(), limits(50_000, 0, 0));
    assert_eq!(bench.settle(one).await.left_milli, 50_000);
    let settled = bench.settle(Settle { epoch: 2, limits: limits(4_000, 0, 0), want: 9, ..one }).await;
    assert_eq!((settled.granted, settled.left_milli), (4, 0));
    let settled = bench.settle(Settle { epoch: 3, want: 9, ..one }).await;
    assert_eq!(settled.granted, 0, "a larger one fills as it should");
}

async fn many_at_once_get_no_more_than_there_is(bench: Bench) {
    let (budget, limits) = (bench.key(), limits(100_000, 0, 0));
    let settled = (0..40).map(|_| {
        let (bench, one) = (bench.clone(), Settle { want: 3, ..first(budget, bench.process(), limits) });
        tokio::spawn(async move { bench.settle(one).await.granted })
    });
    let mut granted = 0;
    for one in settled.collect::<Vec<_>>() {
        granted += one.await.unwrap();
    }
    assert_eq!(granted, 100);
}

async fn the_time_of_the_store_goes_on(bench: Bench) {
    let one = first(bench.key(), bench.process(), limits(1_000, 0, 0));
    let mut last = bench.settle(one).await.at;
    for epoch in 2..20 {
        super::pass(1).await;
        let at = bench.settle(Settle { epoch, ..one }).await.at;
        assert!(at > last, "{at:?} after {last:?}");
        last = at;
    }
}
