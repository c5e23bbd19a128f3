//! What a breaker learns of how attempts end: the same by the end of an attempt and by what the balancer learns.

use std::time::Duration;

use mesh_core::balance::Outcome;
use mesh_retry::breaker::Verdict;
use mesh_retry::call::AttemptEnd;
use mesh_retry::classify::{Class, Failure, FinalBy};

const TOOK: Duration = Duration::from_millis(7);

#[test]
fn a_failure_of_the_callee_s_counts_and_one_of_the_request_s_does_not() {
    for class in [Class::Success, Class::Permanent] {
        assert_eq!(Verdict::of(AttemptEnd::Ended(class), TOOK), Verdict::Succeeded(TOOK), "{class:?}");
    }
    let last = Class::Final { failure: Failure::Unreachable, by: FinalBy::Idempotency };
    for class in [Class::Transient, Class::Unreachable, Class::Throttled { retry_after: None }, last] {
        assert_eq!(Verdict::of(AttemptEnd::Ended(class), TOOK), Verdict::Failed(TOOK), "{class:?}");
    }
    assert_eq!(Verdict::of(AttemptEnd::TimedOut, TOOK), Verdict::Failed(TOOK));
}

#[test]
fn what_nobody_waited_for_and_what_was_not_made_say_nothing() {
    for end in [AttemptEnd::Cancelled, AttemptEnd::NotMade] {
        assert_eq!(Verdict::of(end, TOOK), Verdict::Ignored, "{end:?}");
    }
    assert_eq!(Verdict::of_outcome(Outcome::Cancelled, TOOK), Verdict::Ignored);
}
