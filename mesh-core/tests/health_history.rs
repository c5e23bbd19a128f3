//! What is remembered of each instance, what counts as a flap, and how a service as a whole is doing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::health::{History, HistoryConfig, Ledger, Reason, ServiceVerdict, Status, StatusChange};
use mesh_core::service::InstanceKey;
use mesh_core::snapshot::RegistryStatus;
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn a_history_says_what_holds_since_when_and_why() {
    let (mut ledger, key) = ledger_of_one();
    let change = ledger.record(at(5), &key, Status::Ejected, Reason::Outlier("latency")).unwrap();
    assert_eq!((change.at, change.from, change.to), (at(5), Status::Unknown, Status::Ejected));
    assert_eq!(change.reason, Reason::Outlier("latency"));
    let history = ledger.of(&key).unwrap();
    assert_eq!((history.status(), history.since()), (Status::Ejected, at(5)));
    assert_eq!(history.reason(), &Reason::Outlier("latency"));
    assert_eq!(history.changes().collect::<Vec<_>>(), [&change]);
}

#[test]
fn it_begins_unknown_when_the_instance_is_enrolled() {
    let (mut ledger, key) = ledger_of_one();
    let history = ledger.of(&key).unwrap();
    assert_eq!((history.status(), history.since(), history.reason()), (Status::Unknown, at(0), &Reason::Unchecked));
    ledger.record(at(5), &key, Status::Healthy, passing());
    ledger.enrol(at(9), &key);
    assert_eq!(ledger.of(&key).unwrap().since(), at(5), "a history goes on when its instance is enrolled again");
    assert_eq!(ledger.aggregate().total(), 1);
}

#[test]
fn another_reason_for_the_same_status_is_noted_and_no_change() {
    let (mut ledger, key) = ledger_of_one();
    ledger.record(at(1), &key, Status::Unhealthy, Reason::Registry(RegistryStatus::Critical));
    let until = at(60);
    assert_eq!(ledger.record(at(2), &key, Status::Unhealthy, Reason::Damped { until }), None);
    let history = ledger.of(&key).unwrap();
    assert_eq!(history.reason(), &Reason::Damped { until });
    assert_eq!((history.since(), history.changes().len()), (at(1), 1));
}

#[test]
fn of_more_changes_than_are_kept_the_oldest_are_forgotten() {
    let mut config = HistoryConfig::default();
    assert_eq!(config.changes_max.get(), 16);
    config.changes_max = NonZeroU32::new(3).unwrap();
    let mut ledger = Ledger::new(&config);
    ledger.enrol(at(0), &key(1));
    for second in 1..=10 {
        let status = if second % 2 == 0 { Status::Healthy } else { Status::Degraded };
        ledger.record(at(second), &key(1), status, passing());
    }
    let kept: Vec<_> = ledger.of(&key(1)).unwrap().changes().map(|change| change.at).collect();
    assert_eq!(kept, [at(8), at(9), at(10)]);
}

#[test]
fn a_config_that_keeps_too_many_changes_is_refused_by_name() {
    let mut config = HistoryConfig::default();
    config.changes_max = NonZeroU32::new(1024).unwrap();
    assert!(config.validate().is_ok());
    config.changes_max = NonZeroU32::new(1025).unwrap();
    let said = config.validate().unwrap_err().to_string();
    assert_eq!(said, "changes_max: 1025 is not allowed: must be 1 to 1024");
}

#[test]
fn a_flap_is_a_fall_from_serving_and_nothing_else() {
    let falls = [
        (Status::Healthy, Status::Unhealthy),
        (Status::Healthy, Status::Ejected),
        (Status::Healthy, Status::Probing),
        (Status::Degraded, Status::Unhealthy),
        (Status::Degraded, Status::Ejected),
        (Status::Degraded, Status::Probing),
        (Status::Unknown, Status::Ejected),
        (Status::Unknown, Status::Probing),
    ];
    for from in ALL {
        for to in ALL {
            let (mut ledger, key) = ledger_of_one();
            ledger.record(at(1), &key, from, passing());
            let before = ledger.of(&key).unwrap().flaps();
            ledger.record(at(2), &key, to, passing());
            let flaps = ledger.of(&key).unwrap().flaps() - before;
            assert_eq!(flaps, u64::from(falls.contains(&(from, to))), "from {from:?} to {to:?}");
        }
    }
}

#[test]
fn the_time_down_adds_up_over_every_fault_and_runs_while_one_lasts() {
    let (mut ledger, key) = ledger_of_one();
    for (second, status) in [
        (10, Status::Unhealthy),
        (13, Status::Ejected),
        (15, Status::Probing),
        (20, Status::Healthy),
        (30, Status::Draining),
        (40, Status::Maintenance),
        (50, Status::Unhealthy),
    ] {
        ledger.record(at(second), &key, status, passing());
    }
    let history = ledger.of(&key).unwrap();
    assert_eq!(history.down_for(at(50)), Duration::from_secs(10));
    assert_eq!(history.down_for(at(57)), Duration::from_secs(17));
    assert_eq!(history.down_for(at(3)), Duration::from_secs(10), "time that goes back stands still");
}

#[test]
fn time_that_goes_back_stands_still() {
    let (mut ledger, key) = ledger_of_one();
    ledger.record(at(10), &key, Status::Unhealthy, passing());
    let change = ledger.record(at(4), &key, Status::Healthy, passing()).unwrap();
    assert_eq!(change.at, at(10));
    let history = ledger.of(&key).unwrap();
    assert_eq!((history.since(), history.down_for(at(20))), (at(10), Duration::ZERO));
}

#[test]
fn late_news_of_an_instance_that_left_begins_nothing() {
    let (mut ledger, key) = ledger_of_one();
    ledger.record(at(1), &key, Status::Healthy, passing());
    assert_eq!(ledger.forget(&key).map(|history| history.status()), Some(Status::Healthy));
    assert_eq!(ledger.record(at(2), &key, Status::Unhealthy, passing()), None);
    assert!(ledger.of(&key).is_none() && ledger.forget(&key).is_none());
    assert_eq!(ledger.aggregate().total(), 0);
}

#[test]
fn the_verdict_weighs_those_that_are_down_against_those_that_serve() {
    use Status::{Degraded, Draining, Ejected, Healthy, Maintenance, Probing, Unhealthy, Unknown};
    let cases: [(&[Status], ServiceVerdict); 14] = [
        (&[], ServiceVerdict::Empty),
        (&[Unknown], ServiceVerdict::Healthy),
        (&[Healthy, Healthy], ServiceVerdict::Healthy),
        (&[Healthy, Draining, Maintenance], ServiceVerdict::Healthy),
        (&[Healthy, Degraded], ServiceVerdict::Degraded),
        (&[Healthy, Unhealthy], ServiceVerdict::Degraded),
        (&[Healthy, Ejected], ServiceVerdict::Degraded),
        (&[Healthy, Probing], ServiceVerdict::Degraded),
        (&[Healthy, Unhealthy, Ejected], ServiceVerdict::Critical),
        (&[Healthy, Healthy, Draining, Unhealthy, Probing], ServiceVerdict::Degraded),
        (&[Unhealthy], ServiceVerdict::Critical),
        (&[Probing], ServiceVerdict::Critical),
        (&[Draining], ServiceVerdict::Critical),
        (&[Maintenance, Draining], ServiceVerdict::Critical),
    ];
    for (statuses, verdict) in cases {
        assert_eq!(fleet(statuses).aggregate().verdict(), verdict, "{statuses:?}");
    }
    let names = [ServiceVerdict::Empty, ServiceVerdict::Healthy, ServiceVerdict::Degraded, ServiceVerdict::Critical];
    assert_eq!(names.map(ServiceVerdict::name), ["empty", "healthy", "degraded", "critical"]);
}

#[test]
fn a_change_takes_as_little_as_is_said() {
    assert!(size_of::<StatusChange>() <= 40, "{}", size_of::<StatusChange>());
    assert!(16 * size_of::<StatusChange>() + size_of::<History>() <= 1024);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_counts_are_those_of_the_histories_and_changes_join_up(acts in prop::collection::vec(act(), 0..200)) {
        let mut ledger = Ledger::new(&HistoryConfig::default());
        for (second, act) in (0..).zip(acts) {
            match act {
                Act::Enrol(number) => ledger.enrol(at(second), &key(number)),
                Act::Forget(number) => drop(ledger.forget(&key(number))),
                Act::Record(number, status) => drop(ledger.record(at(second), &key(number), status, passing())),
            }
            let aggregate = ledger.aggregate();
            for status in ALL {
                let counted = ledger.iter().filter(|(_, history)| history.status() == status).count();
                prop_assert_eq!(aggregate.count(status), counted);
            }
            prop_assert_eq!(aggregate.total(), ledger.iter().len());
            prop_assert_eq!(aggregate.counts().map(|(_, count)| count).sum::<usize>(), aggregate.total());
            for (_, history) in ledger.iter() {
                prop_assert!(history.changes().len() <= 16);
                let changes: Vec<_> = history.changes().collect();
                prop_assert!(changes.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].at <= pair[1].at));
                prop_assert!(changes.iter().all(|change| change.from != change.to));
                prop_assert!(changes.last().is_none_or(|last| (last.to, last.at) == (history.status(), history.since())));
                prop_assert!(history.down_for(at(second)) <= Duration::from_secs(second));
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Enrol(u16),
    Forget(u16),
    Record(u16, Status),
}

fn act() -> impl Strategy<Value = Act> {
    let number = 0..4_u16;
    prop_oneof![
        2 => number.clone().prop_map(Act::Enrol),
        1 => number.clone().prop_map(Act::Forget),
        8 => (number, prop::sample::select(ALL.to_vec())).prop_map(|(number, status)| Act::Record(number, status)),
    ]
}

const ALL: [Status; 8] = [
    Status::Unknown,
    Status::Healthy,
    Status::Degraded,
    Status::Unhealthy,
    Status::Ejected,
    Status::Probing,
    Status::Draining,
    Status::Maintenance,
];

fn ledger_of_one() -> (Ledger, InstanceKey) {
    let mut ledger = Ledger::new(&HistoryConfig::default());
    ledger.enrol(at(0), &key(1));
    (ledger, key(1))
}

fn fleet(statuses: &[Status]) -> Ledger {
    let mut ledger = Ledger::new(&HistoryConfig::default());
    for (number, status) in (0..).zip(statuses) {
        ledger.enrol(at(0), &key(number));
        ledger.record(at(1), &key(number), *status, passing());
    }
    ledger
}

fn key(number: u16) -> InstanceKey {
    InstanceKey::local(format!("i{number}").parse().unwrap())
}

const fn passing() -> Reason {
    Reason::Registry(RegistryStatus::Passing)
}

const fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}
