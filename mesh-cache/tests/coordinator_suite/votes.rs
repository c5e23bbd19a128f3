//! What processes think of a subject, and who of them tries it.

use std::time::Duration;

use mesh_cache::mesh_retry::coordinator::store::{
    Probe, Probed, ProcessId, ReleaseProbe, StateKey, StoreCommand, Vote, Voted,
};

use super::{Bench, MINUTE, until};

super::cases![
    each_voter_has_one_vote_and_the_latest_counts,
    votes_on_other_subjects_do_not_count,
    a_vote_counts_for_its_time,
    a_short_vote_ends_no_longer_one,
    a_vote_that_is_given_again_counts_for_longer,
    one_of_all_may_try,
    whoever_tries_may_go_on,
    one_that_is_released_is_anybodys,
    one_whose_lease_is_over_is_anybodys,
    subjects_are_tried_apart,
];

const SHORT: Duration = Duration::from_millis(40);

async fn vote(bench: &Bench, subject: StateKey, voter: ProcessId, open: bool, live_for: Duration) -> (u32, u32) {
    let Voted { live, open } = bench.voted(StoreCommand::Vote(Vote { subject, voter, open, live_for })).await;
    (live, open)
}

async fn probe(bench: &Bench, subject: StateKey, holder: ProcessId, lease: Duration) -> Probed {
    bench.probed(StoreCommand::Probe(Probe { subject, holder, lease })).await
}

async fn release(bench: &Bench, subject: StateKey, holder: ProcessId) {
    let released = bench.probed(StoreCommand::ReleaseProbe(ReleaseProbe { subject, holder })).await;
    assert_eq!(released, Probed::Released);
}

async fn each_voter_has_one_vote_and_the_latest_counts(bench: Bench) {
    let (subject, voters) = (bench.key(), [(); 3].map(|()| bench.process()));
    let said = [(0, false, (1, 0)), (1, true, (2, 1)), (2, true, (3, 2)), (2, true, (3, 2)), (1, false, (3, 1))];
    for (voter, open, counts) in said.into_iter().chain([(0, true, (3, 2)), (2, false, (3, 1))]) {
        assert_eq!(vote(&bench, subject, voters[voter], open, MINUTE).await, counts, "{voter} {open}");
    }
}

async fn votes_on_other_subjects_do_not_count(bench: Bench) {
    let voter = bench.process();
    for open in [true, false, true] {
        assert_eq!(vote(&bench, bench.key(), voter, open, MINUTE).await, (1, u32::from(open)));
    }
}

async fn a_vote_counts_for_its_time(bench: Bench) {
    let (subject, one, two) = (bench.key(), bench.process(), bench.process());
    vote(&bench, subject, one, true, SHORT).await;
    let counts = until(|| vote(&bench, subject, two, false, MINUTE), |counts| *counts != (2, 1)).await;
    assert_eq!(counts, (1, 0));
}

async fn a_short_vote_ends_no_longer_one(bench: Bench) {
    let (subject, one, two, three) = (bench.key(), bench.process(), bench.process(), bench.process());
    vote(&bench, subject, one, true, MINUTE).await;
    vote(&bench, subject, two, true, SHORT).await;
    let counts = until(|| vote(&bench, subject, three, false, SHORT), |counts| *counts != (3, 2)).await;
    assert_eq!(counts, (2, 1));
    super::pass(60).await;
    assert_eq!(vote(&bench, subject, two, false, SHORT).await, (2, 1), "also where nobody votes meanwhile");
}

async fn a_vote_that_is_given_again_counts_for_longer(bench: Bench) {
    let (subject, one, two) = (bench.key(), bench.process(), bench.process());
    vote(&bench, subject, one, true, SHORT).await;
    vote(&bench, subject, one, true, MINUTE).await;
    super::pass(60).await;
    assert_eq!(vote(&bench, subject, two, true, MINUTE).await, (2, 2));
    vote(&bench, subject, one, false, SHORT).await;
    let counts = until(|| vote(&bench, subject, two, true, MINUTE), |counts| *counts != (2, 1)).await;
    assert_eq!(counts, (1, 1), "and for less");
}

async fn one_of_all_may_try(bench: Bench) {
    let subject = bench.key();
    let probes = (0..20).map(|_| {
        let (bench, holder) = (bench.clone(), bench.process());
        tokio::spawn(async move { probe(&bench, subject, holder, MINUTE).await })
    });
    let mut mine = 0;
    for probed in probes.collect::<Vec<_>>() {
        match probed.await.unwrap() {
            Probed::Mine => mine += 1,
            Probed::Others { lease_left } => assert!(lease_left > MINUTE / 2 && lease_left <= MINUTE),
            Probed::Released => panic!("nobody did that"),
        }
    }
    assert_eq!(mine, 1);
}

async fn whoever_tries_may_go_on(bench: Bench) {
    let (subject, one, two) = (bench.key(), bench.process(), bench.process());
    assert_eq!(probe(&bench, subject, one, Duration::from_secs(1)).await, Probed::Mine);
    assert_eq!(probe(&bench, subject, one, MINUTE).await, Probed::Mine);
    let Probed::Others { lease_left } = probe(&bench, subject, two, MINUTE).await else { panic!("two try") };
    assert!(lease_left > MINUTE / 2, "{lease_left:?}");
}

async fn one_that_is_released_is_anybodys(bench: Bench) {
    let (subject, one, two) = (bench.key(), bench.process(), bench.process());
    release(&bench, subject, one).await;
    assert_eq!(probe(&bench, subject, one, MINUTE).await, Probed::Mine);
    release(&bench, subject, two).await;
    assert!(matches!(probe(&bench, subject, two, MINUTE).await, Probed::Others { .. }), "it was not his");
    release(&bench, subject, one).await;
    assert_eq!(probe(&bench, subject, two, MINUTE).await, Probed::Mine);
    release(&bench, subject, one).await;
    assert!(matches!(probe(&bench, subject, one, MINUTE).await, Probed::Others { .. }), "it is not his any more");
}

async fn one_whose_lease_is_over_is_anybodys(bench: Bench) {
    let (subject, one, two) = (bench.key(), bench.process(), bench.process());
    assert_eq!(probe(&bench, subject, one, SHORT).await, Probed::Mine);
    let ask = || probe(&bench, subject, two, MINUTE);
    let probed = until(ask, |probed| !matches!(probed, Probed::Others { .. })).await;
    assert_eq!(probed, Probed::Mine);
    assert!(matches!(probe(&bench, subject, one, SHORT).await, Probed::Others { .. }));
}

async fn subjects_are_tried_apart(bench: Bench) {
    let (one, two) = (bench.process(), bench.process());
    for holder in [one, two, one] {
        assert_eq!(probe(&bench, bench.key(), holder, MINUTE).await, Probed::Mine);
    }
}
