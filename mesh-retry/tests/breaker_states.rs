//! Every state of a breaker under every event, the states by order, and that what was let through before a transition
//! counts for nothing after it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::collections::BTreeSet;

use breaker_support::model::told;
use breaker_support::*;
use mesh_retry::breaker::{Breaker, Forced, Permit, Reason, State, Transition, Verdict};

const ALL: [State; 6] =
    [State::Closed, State::Open, State::HalfOpen, State::ForcedOpen, State::Disabled, State::MetricsOnly];

const FORCED: [(Forced, State); 3] =
    [(Forced::Open, State::ForcedOpen), (Forced::Disabled, State::Disabled), (Forced::MetricsOnly, State::MetricsOnly)];

/// A breaker in `state` at 1 s, with a permit of that state where it gives any, and one of the state before.
///
/// It opens at two failures in a row, and has two probes.
fn in_state(state: State) -> (Breaker, Option<Permit>, Permit) {
    let mut config = consecutive(2);
    config.half_open.probes = number(2);
    let breaker = breaker(config);
    let old = permit(&breaker, at(0));
    match state {
        State::Closed => drop(breaker.reset()),
        State::Open | State::HalfOpen => drop(calls(&breaker, at(if state == State::Open { 500 } else { 0 }), 2, 2)),
        State::ForcedOpen | State::Disabled | State::MetricsOnly | _ => {
            let forced = FORCED.iter().find(|(_, to)| *to == state).unwrap().0;
            assert_eq!(breaker.force(forced).unwrap().to, state);
        }
    }
    let current = breaker.permit(at(1_000)).ok();
    assert_eq!(breaker.state(at(1_000)), state);
    (breaker, current, old)
}

/// What came of it, and the state at 1 s then.
type After = (Option<Transition>, State);

fn after(state: State, event: impl Fn(&Breaker, Option<Permit>, Permit) -> Option<Transition>) -> After {
    let (breaker, current, old) = in_state(state);
    let told = event(&breaker, current, old);
    let state = breaker.state(at(1_000));
    assert!(told.is_none_or(|told| told.to == state || told.to == State::Open));
    (told, state)
}

#[test]
fn calls_are_let_through_where_they_should() {
    let expected = [true, false, true, false, true, true];
    for (state, expected) in ALL.into_iter().zip(expected) {
        let (breaker, current, _) = in_state(state);
        assert_eq!(current.is_some(), expected, "{state}");
        assert_eq!(current.is_some_and(|permit| permit.is_probe()), state == State::HalfOpen);
        let again = breaker.permit(at(1_000));
        assert_eq!(again.is_ok(), expected, "{state}");
        if let Err(refused) = again {
            assert_eq!(refused.state, state);
            assert_eq!(refused.retry_at, (state == State::Open).then(|| at(1_500)));
            assert_eq!(refused.retry_at, breaker.next_transition_at());
        }
    }
}

#[test]
fn a_success_changes_no_state_but_the_last_probes() {
    for state in ALL {
        let (told, to) = after(state, |breaker, current, _| breaker.record(at(1_000), current?, OK));
        assert_eq!((told, to), (None, state));
    }
    let (told, to) = after(State::HalfOpen, |breaker, current, _| {
        let other = permit(breaker, at(1_000));
        assert_eq!(breaker.record(at(1_000), current.unwrap(), OK), None);
        breaker.record(at(1_000), other, OK)
    });
    assert_eq!((told.unwrap().reason.name(), to), ("probes-passed", State::Closed));
}

#[test]
fn failures_open_a_closed_breaker_and_a_half_open_one_and_no_other() {
    for state in ALL {
        let (told, to) = after(state, |breaker, current, _| {
            let first = breaker.record(at(1_000), current?, FAILED);
            first.or_else(|| call(breaker, at(1_000), FAILED))
        });
        let expected = match state {
            State::Closed => (Some("failures-in-row"), State::Open),
            State::HalfOpen => (Some("probes-failed"), State::Open),
            State::MetricsOnly => (Some("failures-in-row"), State::MetricsOnly),
            State::Open | State::ForcedOpen | State::Disabled | _ => (None, state),
        };
        assert_eq!((told.map(|told| told.reason.name()), to), expected);
    }
}

#[test]
fn what_was_let_through_before_a_transition_counts_for_nothing_after_it() {
    for state in ALL {
        for verdict in [OK, FAILED, Verdict::Ignored] {
            let (breaker, _current, old) = in_state(state);
            let before = breaker.counts(at(1_000));
            assert_eq!(breaker.record(at(1_000), old, verdict), None);
            assert_eq!((breaker.state(at(1_000)), breaker.counts(at(1_000))), (state, before));
        }
        let (breaker, _current, old) = in_state(state);
        breaker.give_back(old);
        assert_eq!(breaker.state(at(1_000)), state);
    }
}

#[test]
fn a_call_from_before_it_opened_counts_neither_while_open_nor_half_open_nor_closed_again() {
    for config in [
        mesh_retry::breaker::BreakerConfig::resilience4j(),
        mesh_retry::breaker::BreakerConfig::hystrix(),
        consecutive(2),
    ] {
        let breaker = breaker(config);
        let mut old: Vec<Permit> = (0..6).map(|_| permit(&breaker, at(0))).collect();
        let mut late = |now| {
            let before = (breaker.state(now), breaker.counts(now));
            assert_eq!(breaker.record(now, old.pop().unwrap(), FAILED), None);
            assert_eq!(breaker.record(now, old.pop().unwrap(), OK), None);
            assert_eq!((breaker.state(now), breaker.counts(now)), before);
        };
        while call(&breaker, at(0), FAILED).is_none() {}
        late(at(1));
        let mut now = breaker.next_transition_at().unwrap();
        let first = permit(&breaker, now);
        late(now);
        now += secs(20);
        breaker.record(now, first, OK);
        while breaker.state(now) != State::Closed {
            call(&breaker, now, OK);
        }
        late(now);
        assert_eq!(breaker.counts(now), mesh_retry::breaker::Counts::default());
    }
}

#[test]
fn an_order_holds_in_any_state_and_only_time_and_order_end_what_they_should() {
    for state in ALL {
        for (forced, to) in FORCED {
            let (breaker, current, _) = in_state(state);
            let told = breaker.force(forced).map(told);
            let expected = (state, to, ("ordered", (0, 0, 0)));
            assert_eq!(told, (state != to).then_some(expected));
            assert_eq!(breaker.next_transition_at(), None);
            for now in [at(0), at(1_000_000_000)] {
                assert_eq!(breaker.state(now), to);
            }
            if let Some(permit) = current {
                assert_eq!(breaker.record(at(1_000), permit, FAILED), None);
                let counts_it = state == to && to != State::ForcedOpen;
                assert_eq!(breaker.counts(at(1_000)).failures_in_row, u32::from(counts_it));
            }
        }
        let (breaker, ..) = in_state(state);
        assert_eq!(told(breaker.reset()), (state, State::Closed, ("ordered", (0, 0, 0))));
        assert_eq!(breaker.state(at(1_000)), State::Closed);
        assert_eq!(calls(&breaker, at(1_000), 2, 2).unwrap().until, Some(at(2_000)), "nothing is left of before");
    }
}

#[test]
fn a_breaker_forced_open_refuses_until_the_next_order() {
    let (breaker, ..) = in_state(State::ForcedOpen);
    let refused = breaker.permit(at(1_000_000_000)).unwrap_err();
    assert_eq!((refused.state, refused.retry_at, refused.transition), (State::ForcedOpen, None, None));
    assert_eq!(refused.to_string(), "the breaker is forced-open: of 0 calls 0 failed and 0 were slow");
}

#[test]
fn a_disabled_breaker_counts_and_never_opens() {
    let breaker = breaker(mesh_retry::breaker::BreakerConfig::default());
    breaker.force(Forced::Disabled);
    assert_eq!(calls(&breaker, at(0), 1_000, 1_000), None);
    assert_eq!(numbers(breaker.counts(at(0))), (1_000, 1_000, 0));
    assert_eq!(breaker.counts(at(0)).failures_in_row, 1_000);
}

#[test]
fn a_breaker_for_metrics_only_tells_when_it_would_have_opened_and_counts_anew() {
    let breaker = breaker(mesh_retry::breaker::BreakerConfig::hystrix());
    breaker.force(Forced::MetricsOnly);
    for _ in 0..3 {
        let would = calls(&breaker, at(0), 20, 10).unwrap();
        assert_eq!(told(would), (State::MetricsOnly, State::MetricsOnly, ("failure-rate", (20, 10, 0))));
        assert_eq!(would.until, None);
        assert_eq!(breaker.counts(at(0)).calls, 0);
    }
}

#[test]
fn orders_without_end_come_to_no_old_numbers() {
    let breaker = breaker(mesh_retry::breaker::BreakerConfig::resilience4j());
    for order in 0..5_000 {
        assert_eq!(breaker.counts(at(0)).calls, 0, "after {order} orders");
        call(&breaker, at(0), FAILED);
        breaker.reset();
    }
}

#[test]
fn an_outage_of_many_failed_probes_leaves_nothing_behind() {
    let breaker = breaker(consecutive(1));
    let mut until = call(&breaker, at(0), FAILED).unwrap().until.unwrap();
    let old = {
        let probe = permit(&breaker, until);
        until = breaker.record(until, probe, FAILED).unwrap().until.unwrap();
        permit(&breaker, until)
    };
    breaker.give_back(old);
    for _ in 0..10_000 {
        let probe = permit(&breaker, until);
        assert!(breaker.permit(until).is_err());
        until = breaker.record(until, probe, FAILED).unwrap().until.unwrap();
    }
    let probe = permit(&breaker, until);
    assert_eq!(breaker.record(until, probe, OK).unwrap().to, State::Closed);
    assert_eq!(breaker.counts(until).failures_in_row, 0);
}

#[test]
fn every_state_and_every_reason_has_a_name_of_its_own() {
    let counts = mesh_retry::breaker::Counts::default();
    let reasons = [
        Reason::FailuresInRow { failures: 1 },
        Reason::FailureRate(counts),
        Reason::SlowRate(counts),
        Reason::OpenTimeOver,
        Reason::ProbesPassed(counts),
        Reason::ProbesFailed(counts),
        Reason::HalfOpenTimeOver(counts),
        Reason::Ordered,
    ];
    let names: BTreeSet<&str> = reasons.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), reasons.len());
    let states: BTreeSet<String> = ALL.iter().map(|state| state.to_string()).collect();
    assert_eq!(states.len(), ALL.len());
}
