//! What a service machine makes of all that is known of its instances: who is out for how requests to it ended, who is
//! tried again and how, who is held out because it flaps, and whose word counts when most of a service is called ill.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_core::balance::{Outcome, PickContext, Strategy};
use mesh_core::health::outlier::{OutlierConfig, OutlierEvent, Standing};
use mesh_core::health::{Health, Reason, SlowStartConfig, Status};
use mesh_core::machine::{ServiceEvent, ServiceMachineConfig};
use mesh_core::route::Selector;
use mesh_core::service::{Instance, Weight, Weights};
use mesh_core::snapshot::RegistryStatus;
use support::rig::*;
use support::traffic::*;
use support::*;

#[test]
fn five_failures_in_a_row_take_an_instance_out_at_once() {
    let mut traffic = Traffic::of(5);
    traffic.fail(3, 4);
    assert_eq!(traffic.statuses(), [Status::Unknown; 5]);
    traffic.fail(3, 1);
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 4]);
    assert_eq!(traffic.rig.machine.view().census().ejected, 1);
    assert_eq!(traffic.status(3), Status::Ejected);
    let history = traffic.rig.machine.history(&key(3)).unwrap();
    assert_eq!((history.since(), history.reason()), (traffic.rig.now, &Reason::Outlier("failures-in-row")));
    let events = traffic.rig.take().events;
    let told = |event: &ServiceEvent| matches!(event, ServiceEvent::Outlier(OutlierEvent::Ejected { key: who, .. }) if *who == key(3));
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1, "{events:?}");
    let changed =
        |event: &ServiceEvent| matches!(event, ServiceEvent::Status { change, .. } if change.to == Status::Ejected);
    assert!(events.iter().any(changed), "{events:?}");
    assert!((0..200).all(|_| traffic.request(Outcome::Success) != 3));
}

#[test]
fn one_request_shows_whether_it_is_well_and_its_share_comes_back_bit_by_bit() {
    let mut traffic = Traffic::of(5);
    traffic.fail(3, 5);
    traffic.rig.pass(secs(29));
    assert_eq!(traffic.status(3), Status::Ejected);
    traffic.rig.pass(secs(4));
    assert_eq!(traffic.status(3), Status::Probing);
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 4]);
    // While it has not answered its one request, all others go elsewhere.
    let trial = traffic.pick();
    assert_eq!(number(trial.instance()), 3);
    assert!((0..100).all(|_| traffic.request(Outcome::Success) != 3));
    assert_eq!(traffic.status(3), Status::Probing);
    traffic.end(trial, Outcome::Success);
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 3, 4]);
    assert_eq!(traffic.weights(), [100, 100, 100, 10, 100]);
    let share = |traffic: &mut Traffic| (0..2_000).filter(|_| traffic.request(Outcome::Success) == 3).count();
    assert!(share(&mut traffic) < 120, "a tenth of a share");
    traffic.rig.pass(secs(5));
    assert_eq!(traffic.weights()[3], 50);
    traffic.rig.pass(secs(5));
    assert_eq!(traffic.weights(), [1; 5], "warm, and weights are what they were");
    assert!(share(&mut traffic) > 300);
}

#[test]
fn a_trial_that_fails_takes_it_out_for_longer_and_one_that_is_given_up_says_nothing() {
    let mut traffic = Traffic::of(4);
    traffic.fail(1, 5);
    traffic.rig.pass(secs(33));
    let trial = traffic.pick();
    assert_eq!(number(trial.instance()), 1);
    traffic.end(trial, Outcome::Cancelled);
    assert_eq!(traffic.status(1), Status::Probing);
    let again = traffic.pick();
    assert_eq!(number(again.instance()), 1);
    let ejected = traffic.rig.now;
    traffic.end(again, Outcome::TimedOut);
    let Standing::Ejected { until, .. } = traffic.rig.machine.standing(&key(1)) else { panic!("it is out") };
    assert!(until.since(ejected) >= secs(55) && until.since(ejected) <= secs(63), "{:?}", until.since(ejected));
    assert_eq!(traffic.rig.usable(), [0, 2, 3]);
}

#[test]
fn a_trial_honours_routes_and_exclusions() {
    let mut traffic = Traffic::of(4);
    let odd = traffic.rig.machine.route(Selector::any().tag("odd").unwrap()).unwrap();
    traffic.rig.listen();
    traffic.follow();
    traffic.fail(0, 5);
    traffic.rig.pass(secs(33));
    traffic.follow();
    let odd_only = PickContext { route: mesh_core::balance::Route::Registered(odd), ..PickContext::default() };
    for entropy in 0..50 {
        let lease = traffic.handle.pick(traffic.rig.now, &odd_only, entropy).unwrap();
        assert_eq!(number(lease.instance()) % 2, 1);
        drop(lease);
    }
    assert_eq!(number(traffic.pick().instance()), 0);
}

#[test]
fn a_passing_check_is_no_trial_and_a_failing_one_keeps_it_out() {
    let mut traffic = Traffic::over(all_checked(3), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    traffic.fail(2, 5);
    traffic.rig.pass(secs(10));
    assert_eq!((traffic.status(2), traffic.rig.health(2)), (Status::Ejected, Health::Healthy));
    traffic.rig.fate(2, fails());
    traffic.rig.pass(secs(25));
    assert_eq!(
        traffic.status(2),
        Status::Unhealthy,
        "nobody's request is to be the trial of one that is known to fail"
    );
    assert!((0..50).all(|_| traffic.request(Outcome::Success) != 2));
}

#[test]
fn checks_that_saw_an_illness_and_its_end_let_it_be_tried_at_once() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    traffic.rig.fate(2, fails());
    traffic.fail(2, 5);
    traffic.rig.pass(secs(2));
    assert_eq!((traffic.status(2), traffic.rig.health(2)), (Status::Ejected, Health::Unhealthy));
    traffic.rig.fate(2, passes());
    traffic.rig.pass(secs(1));
    assert_eq!((traffic.status(2), traffic.rig.health(2)), (Status::Probing, Health::Healthy));
    // The registry's agent is as good.
    let said = |status| vec![entry(0, RegistryStatus::Passing), entry(1, status), entry(2, RegistryStatus::Passing)];
    let mut traffic = Traffic::over(said(RegistryStatus::Passing), ServiceMachineConfig::default());
    traffic.fail(1, 5);
    traffic.rig.observe(certain(said(RegistryStatus::Critical)));
    assert_eq!(traffic.status(1), Status::Ejected);
    traffic.rig.observe(certain(said(RegistryStatus::Passing)));
    assert_eq!(traffic.status(1), Status::Probing);
}

#[test]
fn never_more_than_half_and_never_the_only_one() {
    for (fleet, most) in [(1, 0), (2, 1), (3, 1), (5, 2), (8, 4)] {
        let mut traffic = Traffic::of(fleet);
        for number in 0..fleet {
            traffic.fail(number, 5);
        }
        assert_eq!(traffic.rig.machine.view().census().ejected, most, "of {fleet}");
        assert_eq!(traffic.rig.usable().len(), usize::from(fleet) - most as usize);
    }
}

#[test]
fn one_that_comes_back_at_another_address_is_another() {
    let mut traffic = Traffic::of(3);
    traffic.fail(1, 5);
    let moved = Instance::builder("api", "127.0.0.2", 10_001).id(instance(1).id().as_str()).build().unwrap();
    let entries = vec![entry(0, RegistryStatus::Passing), passing(moved), entry(2, RegistryStatus::Passing)];
    traffic.rig.observe(heard(entries));
    assert_eq!(traffic.rig.machine.view().census().usable, 3);
}

#[test]
fn an_instance_that_keeps_falling_is_held_out_until_it_has_been_quiet() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for fall in 1..=3 {
        traffic.rig.fate(0, fails());
        traffic.rig.pass(secs(1));
        assert_eq!(traffic.status(0), Status::Unhealthy);
        traffic.rig.fate(0, passes());
        traffic.rig.pass(secs(1));
        assert_eq!(traffic.rig.health(0), Health::Healthy);
        assert_eq!(traffic.rig.usable().contains(&0), fall < 3, "fall {fall}");
    }
    let reason = traffic.rig.machine.history(&key(0)).unwrap().reason().clone();
    let Reason::Damped { until } = reason else { panic!("{reason:?}") };
    let rest = until.since(traffic.rig.now);
    assert!(rest > secs(30) && rest < secs(240), "{rest:?}");
    traffic.rig.pass(rest - ms(1));
    assert!(!traffic.rig.usable().contains(&0));
    traffic.rig.pass(ms(1));
    assert!(traffic.rig.usable().contains(&0));
    assert_eq!(traffic.rig.machine.history(&key(0)).unwrap().flaps(), 3);
}

#[test]
fn a_registry_whose_agent_restarts_again_and_again_has_nobody_held_out() {
    let mut config = ServiceMachineConfig::default();
    config.discovery.outage_hold = secs(0);
    let said =
        |status| (0..4).map(move |number| entry(number, if number < 2 { status } else { RegistryStatus::Passing }));
    let mut traffic = Traffic::over(said(RegistryStatus::Passing).collect(), config);
    for _ in 0..10 {
        for status in [RegistryStatus::Critical, RegistryStatus::Passing] {
            traffic.rig.observe(heard(said(status).collect()));
            traffic.rig.pass(secs(1));
        }
    }
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 3]);
    assert_eq!(traffic.rig.machine.history(&key(0)).unwrap().flaps(), 10, "it is told all the same");
}

#[test]
fn half_a_service_at_most_is_held_out_for_flapping() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for _ in 0..5 {
        for fate in [fails(), passes()] {
            traffic.rig.usually(fate);
            traffic.rig.pass(secs(1));
        }
    }
    // The first to be well again is let in at once, whatever it did: nobody else is.
    assert_eq!(traffic.rig.usable().len(), 3);
}

#[test]
fn weights_that_keep_keys_in_their_place_stay_as_they_are() {
    for (strategy, after) in [("p2c-least-loaded", 700 * 93 / 10), ("ring-hash", 700)] {
        let mut config = ServiceMachineConfig::default();
        config.strategy = Strategy::from_name(strategy).unwrap();
        config.outlier = OutlierConfig::default();
        let heavy = |number| {
            let weights = Weights::of(Weight::new(700));
            passing(Instance::builder("api", "127.0.0.1", 10_000 + number).weights(weights).build().unwrap())
        };
        let mut traffic = Traffic::over((0..3u16).map(heavy).collect(), config);
        traffic.fail(0, 5);
        traffic.rig.pass(secs(33));
        let trial = traffic.pick();
        traffic.end(trial, Outcome::Success);
        let weights = traffic.weights();
        assert!(weights[0] <= after && weights[0] * 9 >= after.min(700), "{strategy}: {weights:?}");
        assert_eq!(weights[1] > 700, strategy != "ring-hash");
    }
}

#[test]
fn nobody_warms_up_where_that_is_off_and_nothing_is_due_where_nobody_looks() {
    let mut config = ServiceMachineConfig::default();
    config.slow_start = SlowStartConfig::off();
    let mut traffic = Traffic::over(listed(3), config);
    traffic.fail(0, 5);
    traffic.rig.pass(secs(33));
    let trial = traffic.pick();
    traffic.end(trial, Outcome::Success);
    assert_eq!(traffic.weights(), [1; 3]);
    let mut idle = Traffic::over(listed(3), plain());
    idle.fail(0, 50);
    assert_eq!((idle.rig.usable().len(), mesh_core::machine::Machine::poll_timeout(&idle.rig.machine)), (3, None));
}

#[test]
fn one_that_cannot_be_reached_is_checked_at_once_wherever_that_is_counted() {
    for split in [false, true] {
        let mut config = ServiceMachineConfig::default();
        config.outlier = OutlierConfig::envoy();
        config.outlier.split_local_origin = split;
        let entries = (0..4).map(|number| with_check(number, quick().interval(secs(60)))).collect();
        let mut traffic = Traffic::over(entries, config);
        traffic.rig.pass(secs(61));
        traffic.rig.take();
        traffic.end_all(2, 4, Outcome::Unreachable);
        assert_eq!(traffic.rig.take().probed(), Vec::<u16>::new());
        traffic.end_all(2, 1, Outcome::Unreachable);
        assert_eq!(traffic.rig.take().probed(), [2], "split: {split}");
    }
}

#[test]
fn each_preset_asks_leases_to_tell_of_what_it_looks_at() {
    let mut config = ServiceMachineConfig::default();
    config.outlier = OutlierConfig::envoy();
    config.outlier.ejection.share_max_percent = 50;
    for outcome in
        [Outcome::Overloaded { retry_after: None }, Outcome::Unreachable, Outcome::TimedOut, Outcome::Failure]
    {
        let mut traffic = Traffic::over(listed(4), config.clone());
        traffic.end_all(2, 5, outcome);
        assert_eq!(traffic.status(2), Status::Ejected, "{outcome:?}");
    }
    let mut ours = Traffic::of(4);
    ours.end_all(2, 50, Outcome::Overloaded { retry_after: None });
    assert_eq!(ours.status(2), Status::Unknown, "too much to do is no sickness");
    config.outlier.split_local_origin = true;
    config.outlier.local_in_row = config.outlier.failures_in_row;
    let mut split = Traffic::over(listed(4), config);
    split.end_all(1, 4, Outcome::Unreachable);
    split.fail(1, 4);
    assert_eq!(split.status(1), Status::Unknown);
    split.end_all(1, 5, Outcome::Unreachable);
    assert_eq!(split.status(1), Status::Ejected);
}
