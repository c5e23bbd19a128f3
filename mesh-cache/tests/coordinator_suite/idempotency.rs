//! Operations that are carried out once: who may begin, and what is told of one that is done.

use std::time::Duration;

use mesh_cache::mesh_retry::coordinator::store::{
    Abandon, Abandoned, Begin, Begun, Fence, Fingerprint, Finish, Finished, RESULT_BYTES_MAX, Renew, Renewed,
    StoreCommand,
};

use super::{Bench, MINUTE, pass, until};

super::cases![
    the_first_begins_and_others_wait,
    the_same_owner_is_answered_as_before,
    another_operation_under_the_same_key_is_refused,
    a_result_is_told_to_whoever_begins_again,
    results_of_all_lengths_come_back_as_they_were,
    a_result_that_is_too_long_is_not_kept,
    one_that_is_abandoned_is_begun_anew,
    one_that_is_done_is_not_abandoned,
    a_result_is_forgotten_when_its_time_is_over,
    of_many_at_once_one_begins,
];

/// A beginning by somebody new, with a lease and a memory of a minute.
pub(super) fn new(bench: &Bench) -> Begin {
    Begin { key: bench.key(), fingerprint: Fingerprint::new(7), owner: bench.owner(), lease: MINUTE, keep: MINUTE }
}

pub(super) fn another(bench: &Bench, begin: Begin) -> Begin {
    Begin { owner: bench.owner(), ..begin }
}

pub(super) async fn begin(bench: &Bench, begin: Begin) -> Begun {
    bench.begun(StoreCommand::Begin(begin)).await
}

/// Begins, and is the first.
pub(super) async fn fresh(bench: &Bench, command: Begin) -> Fence {
    let begun = begin(bench, command).await;
    let Begun::Fresh { fence } = begun else { panic!("{begun:?}") };
    fence
}

pub(super) fn finish(begin: &Begin, fence: Fence, result: &[u8]) -> StoreCommand {
    let Begin { key, owner, keep, .. } = *begin;
    StoreCommand::Finish(Finish { key, owner, fence, result: result.to_vec(), keep })
}

pub(super) const fn abandon(begin: &Begin, fence: Fence) -> StoreCommand {
    StoreCommand::Abandon(Abandon { key: begin.key, owner: begin.owner, fence })
}

pub(super) const fn renew(begin: &Begin, fence: Fence, lease: Duration) -> StoreCommand {
    StoreCommand::Renew(Renew { key: begin.key, owner: begin.owner, fence, lease })
}

pub(super) fn done(result: &[u8]) -> Begun {
    Begun::Done { result: result.to_vec() }
}

async fn the_first_begins_and_others_wait(bench: Bench) {
    let one = new(&bench);
    assert!(fresh(&bench, one).await >= Fence::new(1));
    for _ in 0..2 {
        let Begun::InFlight { lease_left } = begin(&bench, another(&bench, one)).await else { panic!("it begins") };
        assert!(lease_left > MINUTE / 2 && lease_left <= MINUTE, "{lease_left:?}");
    }
}

async fn the_same_owner_is_answered_as_before(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    for _ in 0..2 {
        assert_eq!(begin(&bench, one).await, Begun::Fresh { fence });
    }
    assert_eq!(bench.renewed(renew(&one, fence, MINUTE)).await, Renewed::Kept);
}

async fn another_operation_under_the_same_key_is_refused(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    let strange = Begin { fingerprint: Fingerprint::new(8), ..one };
    for stranger in [strange, another(&bench, strange)] {
        assert_eq!(begin(&bench, stranger).await, Begun::Mismatch);
    }
    assert_eq!(bench.finished(finish(&one, fence, b"r")).await, Finished::Kept);
    for stranger in [strange, another(&bench, strange)] {
        assert_eq!(begin(&bench, stranger).await, Begun::Mismatch);
    }
}

async fn a_result_is_told_to_whoever_begins_again(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    assert_eq!(bench.finished(finish(&one, fence, b"result")).await, Finished::Kept);
    assert_eq!(bench.finished(finish(&one, fence, b"another")).await, Finished::Kept, "it was before");
    for again in [one, another(&bench, one), another(&bench, one)] {
        assert_eq!(begin(&bench, again).await, done(b"result"));
    }
}

async fn results_of_all_lengths_come_back_as_they_were(bench: Bench) {
    let longest: Vec<u8> = (0..RESULT_BYTES_MAX).map(|at| (at * 7 % 256) as u8).collect();
    for result in [&[] as &[u8], b"\0", b"\r\n$-1\r\n", &[0xFF; 1000], &longest] {
        let one = new(&bench);
        let fence = fresh(&bench, one).await;
        assert_eq!(bench.finished(finish(&one, fence, result)).await, Finished::Kept);
        assert!(begin(&bench, another(&bench, one)).await == done(result), "{} bytes", result.len());
    }
}

async fn a_result_that_is_too_long_is_not_kept(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    let reply = bench.0.apply(finish(&one, fence, &vec![7; RESULT_BYTES_MAX + 1])).await;
    assert!(!matches!(reply, Ok(mesh_cache::mesh_retry::coordinator::store::StoreReply::Finished(Finished::Kept))));
    assert_eq!(begin(&bench, one).await, Begun::Fresh { fence });
    assert_eq!(bench.finished(finish(&one, fence, b"short")).await, Finished::Kept);
}

async fn one_that_is_abandoned_is_begun_anew(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    assert_eq!(bench.abandoned(abandon(&one, fence)).await, Abandoned::Forgotten);
    assert_eq!(bench.abandoned(abandon(&one, fence)).await, Abandoned::Fenced);
    assert_eq!(bench.finished(finish(&one, fence, b"late")).await, Finished::Fenced);
    assert_eq!(bench.renewed(renew(&one, fence, MINUTE)).await, Renewed::Fenced);
    let two = Begin { fingerprint: Fingerprint::new(9), ..another(&bench, one) };
    assert!(fresh(&bench, two).await > fence, "whoever comes later has a greater one");
    assert_eq!(bench.finished(finish(&one, fence, b"late")).await, Finished::Fenced);
}

async fn one_that_is_done_is_not_abandoned(bench: Bench) {
    let one = new(&bench);
    let fence = fresh(&bench, one).await;
    bench.finished(finish(&one, fence, b"result")).await;
    assert_eq!(bench.abandoned(abandon(&one, fence)).await, Abandoned::Fenced);
    assert_eq!(bench.renewed(renew(&one, fence, MINUTE)).await, Renewed::Fenced);
    assert_eq!(begin(&bench, one).await, done(b"result"));
}

async fn a_result_is_forgotten_when_its_time_is_over(bench: Bench) {
    let one = Begin { keep: Duration::from_millis(60), ..new(&bench) };
    let fence = fresh(&bench, one).await;
    assert_eq!(bench.finished(finish(&one, fence, b"result")).await, Finished::Kept);
    let two = another(&bench, one);
    let again = until(|| begin(&bench, two), |begun| *begun != done(b"result")).await;
    let Begun::Fresh { fence: later } = again else { panic!("{again:?}") };
    assert!(later > fence);
    pass(100).await;
    assert_eq!(begin(&bench, two).await, Begun::Fresh { fence: later }, "one that runs is kept for its lease besides");
}

async fn of_many_at_once_one_begins(bench: Bench) {
    let one = new(&bench);
    let begun = (0..20).map(|_| {
        let (bench, one) = (bench.clone(), another(&bench, one));
        tokio::spawn(async move { begin(&bench, one).await })
    });
    let mut fresh = 0;
    for begun in begun.collect::<Vec<_>>() {
        let begun = begun.await.unwrap();
        let is_fresh = matches!(begun, Begun::Fresh { .. });
        assert!(is_fresh || matches!(begun, Begun::InFlight { .. }), "{begun:?}");
        fresh += u32::from(is_fresh);
    }
    assert_eq!(fresh, 1);
}
