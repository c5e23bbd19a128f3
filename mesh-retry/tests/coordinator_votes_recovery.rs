//! How long it takes until the breakers of a whole fleet have closed that share one probe, once their subject is well again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use core::time::Duration;

use coordinator_support::callers::{Fleet, Path, breaker};
use coordinator_support::{Faults, at, ms};
use mesh_retry::Instant;
use mesh_retry::breaker::{BreakerConfig, OpenJitter, State};

#[test]
fn processes_that_all_wait_for_the_same_one_close_soon_after_one_another() {
    // All are open from one moment to another, and want to try for the first time when the subject is well again.
    let mut breaking = breaker();
    breaking.open.jitter = OpenJitter::None;
    (breaking.open.base, breaking.open.max) = (OPEN_MAX, OPEN_MAX);
    for (processes, seed) in [(1, 1), (2, 2), (10, 3), (40, 4)] {
        let took = recovery(&breaking, at(1_500), Faults::NONE, seed, processes);
        assert!(took <= OPEN_MAX + TURN_MAX * processes, "{processes} took {took:?}");
    }
}

#[test]
fn many_that_wait_leave_hardly_a_gap_between_turns() {
    let took = recovery(&breaker(), at(10_000), Faults::NONE, 5, 60);
    // To ask, to try with the next call, and to let go.
    assert!(took <= OPEN_MAX + ms(130) * 60, "{took:?}");
}

#[test]
fn all_close_as_well_where_answers_are_lost() {
    let faults = Faults { lost_milli: 100, repeated_milli: 50, refused_milli: 50, delay_max: ms(20) };
    for seed in 6..10 {
        // A turn whose release was lost is waited for until its lease ends.
        let took = recovery(&breaker(), at(10_000), faults, seed, 10);
        assert!(took <= OPEN_MAX + (TURN_MAX + ms(2000)) * 10, "{took:?}");
    }
}

/// How long it takes from when the subject is well again until all have closed.
fn recovery(breaking: &BreakerConfig, well_at: Instant, faults: Faults, seed: u64, processes: u32) -> Duration {
    let mut fleet = Fleet::with(breaking, faults, seed, &vec![Path::DownUntil(well_at); processes as usize]);
    fleet.run_until(well_at.before(Duration::from_nanos(1)));
    assert_eq!(fleet.count(State::Closed), 0, "all have found it down");
    while fleet.count(State::Closed) < processes as usize {
        fleet.run_until(fleet.now + ms(10));
        assert!(fleet.now < at(300_000), "{} have not closed", processes as usize - fleet.count(State::Closed));
    }
    fleet.now.since(well_at)
}

/// For how long a breaker is open at most before it wants to try.
const OPEN_MAX: Duration = ms(2000);

/// From one turn's end to the next one's: an eighth of a lease until somebody asks again, twice the time between two calls,
/// an answer of the store and the way of a release.
const TURN_MAX: Duration = ms(250 + 2 * 50 + 10 + 5);
