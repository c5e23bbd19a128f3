//! Owners of operations who are not heard of any more, and those who take over.

use std::time::Duration;

use mesh_cache::mesh_retry::coordinator::store::{Abandoned, Begin, Begun, Fence, Finished, OwnerToken, Renewed};

use super::idempotency::{abandon, another, begin, done, finish, fresh, new, renew};
use super::{Bench, MINUTE, pass, until};

super::cases![
    one_whose_lease_is_over_is_taken_over_and_fenced,
    whoever_takes_over_can_be_taken_over,
    a_lease_that_is_over_costs_nobody_the_work_that_nobody_took_over,
    whoever_renews_is_not_taken_over,
    whoever_renews_is_not_forgotten,
    a_renewal_may_be_shorter_than_the_lease,
    whoever_is_not_the_owner_changes_nothing,
];

const SHORT: Duration = Duration::from_millis(40);

async fn takes_over(bench: &Bench, command: Begin) -> Fence {
    let begun = until(|| begin(bench, command), |begun| !matches!(begun, Begun::InFlight { .. })).await;
    let Begun::TakenOver { fence } = begun else { panic!("{begun:?}") };
    fence
}

async fn one_whose_lease_is_over_is_taken_over_and_fenced(bench: Bench) {
    let one = Begin { lease: SHORT, ..new(&bench) };
    let fence = fresh(&bench, one).await;
    let two = Begin { lease: MINUTE, ..another(&bench, one) };
    let later = takes_over(&bench, two).await;
    assert!(later > fence);
    assert_eq!(bench.renewed(renew(&one, fence, MINUTE)).await, Renewed::Fenced);
    assert_eq!(bench.finished(finish(&one, fence, b"late")).await, Finished::Fenced);
    assert_eq!(bench.abandoned(abandon(&one, fence)).await, Abandoned::Fenced);
    assert!(matches!(begin(&bench, one).await, Begun::InFlight { .. }), "it comes back as anybody else");
    assert_eq!(begin(&bench, two).await, Begun::TakenOver { fence: later }, "as before");
    assert_eq!(bench.finished(finish(&two, later, b"result")).await, Finished::Kept);
    assert_eq!(bench.finished(finish(&one, fence, b"late")).await, Finished::Fenced);
    assert_eq!(begin(&bench, one).await, done(b"result"));
}

async fn whoever_takes_over_can_be_taken_over(bench: Bench) {
    let one = Begin { lease: SHORT, ..new(&bench) };
    let mut fences = vec![fresh(&bench, one).await];
    for _ in 0..3 {
        fences.push(takes_over(&bench, another(&bench, one)).await);
    }
    assert!(fences.is_sorted_by(|one, other| one < other), "{fences:?}");
}

async fn a_lease_that_is_over_costs_nobody_the_work_that_nobody_took_over(bench: Bench) {
    let one = Begin { lease: Duration::from_millis(5), ..new(&bench) };
    let fence = fresh(&bench, one).await;
    pass(20).await;
    assert_eq!(bench.renewed(renew(&one, fence, Duration::from_millis(5))).await, Renewed::Kept);
    pass(20).await;
    assert_eq!(begin(&bench, one).await, Begun::Fresh { fence });
    pass(20).await;
    assert_eq!(bench.finished(finish(&one, fence, b"result")).await, Finished::Kept);
    assert_eq!(begin(&bench, another(&bench, one)).await, done(b"result"));
}

async fn whoever_renews_is_not_taken_over(bench: Bench) {
    let one = Begin { lease: Duration::from_secs(1), ..new(&bench) };
    let fence = fresh(&bench, one).await;
    assert_eq!(bench.renewed(renew(&one, fence, MINUTE * 2)).await, Renewed::Kept);
    let Begun::InFlight { lease_left } = begin(&bench, another(&bench, one)).await else { panic!("it begins") };
    assert!(lease_left > MINUTE && lease_left <= MINUTE * 2, "{lease_left:?}");
}

async fn whoever_renews_is_not_forgotten(bench: Bench) {
    // It would be forgotten soon: where the machine is slow it may be before it is renewed, and is begun anew then.
    let one = Begin { lease: Duration::from_millis(200), keep: SHORT, ..new(&bench) };
    let mut fence = fresh(&bench, one).await;
    while bench.renewed(renew(&one, fence, MINUTE)).await == Renewed::Fenced {
        fence = fresh(&bench, one).await;
    }
    pass(300).await;
    assert!(matches!(begin(&bench, another(&bench, one)).await, Begun::InFlight { .. }));
    assert_eq!(bench.finished(finish(&one, fence, b"result")).await, Finished::Kept);
}

async fn a_renewal_may_be_shorter_than_the_lease(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    assert_eq!(bench.renewed(renew(&one, fence, SHORT)).await, Renewed::Kept);
    assert!(takes_over(&bench, another(&bench, one)).await > fence);
}

async fn whoever_is_not_the_owner_changes_nothing(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    let later = Fence::new(fence.number() + 1);
    let stranger = Begin { owner: OwnerToken::new(1), ..one };
    let unknown = Begin { key: bench.key(), ..one };
    for (who, fence) in [(stranger, fence), (one, later), (one, Fence::new(0)), (unknown, fence)] {
        assert_eq!(bench.renewed(renew(&who, fence, MINUTE)).await, Renewed::Fenced);
        assert_eq!(bench.finished(finish(&who, fence, b"wrong")).await, Finished::Fenced);
        assert_eq!(bench.abandoned(abandon(&who, fence)).await, Abandoned::Fenced);
    }
    assert_eq!(begin(&bench, one).await, Begun::Fresh { fence });
    fresh(&bench, unknown).await;
}
