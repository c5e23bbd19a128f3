//! What each policy promises of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::policy::{Completion, Draw, LeastLoadedConfig, LoadReport, P2cConfig, Picker, Policy};
use mesh_core::balance::{Endpoint, Lease, Lineup, Outcome, PickContext, Strategy};
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use support::*;

#[test]
fn random_picks_everyone_alike_whether_or_not_others_are_excluded() {
    let mut fleet = fleet(Strategy::Random, members(10));
    let mut rng = Rng::from_seed(3);
    for (excluded, rest) in [(&[][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..]), (&[1, 2, 3, 4, 5, 6, 7], &[0, 8, 9])] {
        let tried = fleet.tried(excluded);
        let context = PickContext { excluded: &tried, ..PickContext::default() };
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 * rest.len() {
            let lease = fleet.handle.pick(at(0), &context, rng.next_u64()).unwrap();
            seen[usize::from(number(lease.instance()))] += 1;
        }
        for &number in rest {
            assert!(seen[number].abs_diff(10_000) < 500, "{seen:?}");
        }
    }
}

#[test]
fn words_of_entropy_that_only_count_up_still_spread_the_picks() {
    for strategy in [Strategy::Random, p2c(2, ms(0))] {
        let mut fleet = fleet(strategy.clone(), members(10));
        let mut seen = [0_u32; 10];
        for entropy in 0..10_000 {
            seen[usize::from(fleet.next(entropy))] += 1;
        }
        assert!(seen.iter().all(|&seen| seen.abs_diff(1_000) < 150), "{}: {seen:?}", strategy.name());
    }
}

#[test]
fn least_loaded_picks_the_least_load_per_weight_and_any_of_several_alike() {
    let mut fleet = fleet(least_loaded(ms(0)), vec![weighted(0, 4), weighted(1, 1), weighted(2, 1)]);
    let mut rng = Rng::from_seed(9);
    let held: Vec<Lease> = (0..24).map(|_| fleet.owned(0, rng.next_u64())).collect();
    assert_eq!([fleet.in_flight(0), fleet.in_flight(1), fleet.in_flight(2)], [16, 4, 4]);
    drop(held);

    fleet.publish(members(4));
    let mut seen = [0_u32; 4];
    for _ in 0..40_000 {
        seen[usize::from(fleet.next(rng.next_u64()))] += 1;
    }
    assert!(seen.iter().all(|&seen| seen.abs_diff(10_000) < 400), "ties are fair: {seen:?}");
}

#[test]
fn p2c_never_picks_the_busier_of_two() {
    let mut fleet = fleet(p2c(2, ms(0)), members(2));
    let mut rng = Rng::from_seed(4);
    let mut held = Vec::new();
    for pair in 1..=100 {
        held.push(fleet.owned(0, rng.next_u64()));
        held.push(fleet.owned(0, rng.next_u64()));
        assert_eq!([fleet.in_flight(0), fleet.in_flight(1)], [pair, pair]);
    }
}

#[test]
fn p2c_with_as_many_choices_as_instances_finds_the_least_loaded() {
    for weights in [[1; 6], [1, 2, 3, 4, 5, 6]] {
        let all = (0..6_u16).map(|number| weighted(number, weights[usize::from(number)])).collect();
        let mut fleet = fleet(p2c(6, ms(0)), all);
        let mut rng = Rng::from_seed(4);
        let mut held: Vec<Lease> = Vec::new();
        for _ in 0..400 {
            let least = (0..6_u16).map(|number| fleet.score(number, weights[usize::from(number)]));
            let least = least.fold(f64::INFINITY, f64::min);
            let lease = fleet.owned(0, rng.next_u64());
            if held.is_empty() {
                // Of idle ones the first drawn serves.
                held.push(lease);
                continue;
            }
            let picked = number(lease.instance());
            let before = f64::from(fleet.in_flight(picked)) / f64::from(weights[usize::from(picked)]);
            assert!((before - least).abs() < 1e-12, "picked {before}, least {least}");
            held.push(lease);
        }
    }
}

#[test]
fn a_light_instance_beside_a_heavy_one_has_its_share_of_single_requests() {
    // Compared by 1 / weight, a canary would have nothing of a service that seldom has two requests at a time.
    for strategy in [p2c(2, ms(0)), p2c(3, ms(0)), least_loaded(ms(0))] {
        let mut fleet = fleet(strategy.clone(), vec![weighted(0, 99), weighted(1, 1)]);
        let mut rng = Rng::from_seed(5);
        let seen = (0..20_000).filter(|_| fleet.next(rng.next_u64()) == 1).count();
        assert!(seen.abs_diff(200) < 60, "{strategy:?}: {seen} of 200");
    }
}

#[test]
fn a_weight_that_dwarfs_the_others_is_no_obstacle_to_two_distinct_choices() {
    let mut fleet = fleet(p2c(2, ms(0)), vec![weighted(0, 65_535), weighted(1, 1), weighted(2, 1)]);
    let mut rng = Rng::from_seed(6);
    for _ in 0..1_000 {
        fleet.next(rng.next_u64());
    }
    let tried = fleet.tried(&[0]);
    let context = PickContext { excluded: &tried, ..PickContext::default() };
    let mut seen = [0_u32; 3];
    for _ in 0..2_000 {
        let lease = fleet.handle.pick(at(0), &context, rng.next_u64()).unwrap();
        seen[usize::from(number(lease.instance()))] += 1;
    }
    assert!(seen[0] == 0 && seen[1].abs_diff(1_000) < 150, "{seen:?}");
}

#[test]
fn an_instance_that_fails_fast_attracts_nothing_while_its_failures_are_held() {
    for (strategy, at_most) in [(p2c(2, ms(1_000)), 0.02), (least_loaded(ms(1_000)), 0.02), (p2c(2, ms(0)), 0.25)] {
        let share = black_hole_share(strategy.clone());
        assert!(share <= at_most, "{strategy:?} gave the failing instance {share}");
    }
    // Without the hold it looks idle: the black hole of the peers, 2/n of all requests.
    assert!(black_hole_share(p2c(2, ms(0))) > 0.15);
}

#[test]
fn a_held_failure_adds_to_the_load_compared_and_never_to_the_requests_in_flight() {
    let mut fleet = fleet(p2c(2, ms(1_000)), members(2));
    let failed = fleet.handle.pick(at(0), &PickContext::default(), 1).unwrap();
    let loser = number(failed.instance());
    failed.finish(at(10), Outcome::TimedOut);
    let endpoint = fleet.views.endpoint(&key(loser)).unwrap();
    assert_eq!((endpoint.in_flight(), endpoint.held(at(1_009)), endpoint.load(at(1_009))), (0, 1, 1));
    for entropy in 0..50 {
        assert_ne!(number(fleet.handle.pick(at(1_009), &PickContext::default(), entropy).unwrap().instance()), loser);
    }
    assert_eq!(endpoint.load(at(1_073)), 0);
}

#[test]
fn a_users_own_policy_is_held_to_the_same_rules() {
    let mut fleet = fleet(Strategy::Custom(Arc::new(Stubborn)), members(3));
    assert_eq!(fleet.views.strategy().name(), "stubborn");
    assert_eq!(fleet.next(1), 2);
    let tried = fleet.tried(&[2]);
    let context = PickContext { excluded: &tried, ..PickContext::default() };
    let lease = fleet.handle.pick(at(0), &context, 1).unwrap();
    assert_ne!(number(lease.instance()), 2, "its choice was excluded, so somebody else was picked");
    drop(lease);
    // Its picker hands its count on when the candidates change, and hears of ends and reports.
    fleet.publish(members(2));
    let ended = fleet.handle.pick(at(0), &PickContext::default(), 1).unwrap();
    ended.finish(at(3), Outcome::Success);
    let view = fleet.handle.view();
    view.report(at(4), &key(1), &LoadReport::default().in_flight(3));
    assert!(format!("{view:?}").contains("heard: 2"), "{view:?}");
}

/// A policy that always wants the last candidate, whatever the call excludes.
#[derive(Debug)]
struct Stubborn;

#[derive(Debug)]
struct StubbornPicker {
    heard: std::sync::atomic::AtomicU32,
}

impl Policy for Stubborn {
    fn name(&self) -> &str {
        "stubborn"
    }

    fn build(&self, _: &Lineup<'_>, previous: Option<&dyn Picker>) -> Arc<dyn Picker> {
        let previous = previous.and_then(|picker| (picker as &dyn std::any::Any).downcast_ref::<StubbornPicker>());
        let heard = previous.map_or(0, |previous| previous.heard.load(std::sync::atomic::Ordering::Relaxed));
        Arc::new(StubbornPicker { heard: heard.into() })
    }
}

impl Picker for StubbornPicker {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.lineup().len().checked_sub(1)
    }

    fn finish(&self, _: &Endpoint, completion: &Completion) {
        assert_eq!(completion.latency(), ms(3));
        self.heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn report(&self, _: &Endpoint, _: Instant, report: &LoadReport) {
        assert_eq!(report.reported_in_flight(), Some(3));
        self.heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The share of requests that instance 0 of ten attracts when it fails in 1 ms and the others take 100 ms, at
/// one request a millisecond.
fn black_hole_share(strategy: Strategy) -> f64 {
    let mut fleet = fleet(strategy, members(10));
    let mut rng = Rng::from_seed(11);
    let mut running: std::collections::VecDeque<(u64, Lease)> = std::collections::VecDeque::new();
    let mut attracted = 0;
    for now in 0..20_000_u64 {
        while running.front().is_some_and(|(end, _)| *end <= now) {
            running.pop_front().unwrap().1.finish(at(now), Outcome::Success);
        }
        let lease = fleet.owned(now, rng.next_u64());
        if number(lease.instance()) == 0 {
            attracted += 1;
            lease.finish(at(now) + Duration::from_millis(1), Outcome::Failure);
        } else {
            running.push_back((now + 100, lease));
        }
    }
    f64::from(attracted) / 20_000.0
}

fn p2c(choices: u32, failure_hold: Duration) -> Strategy {
    let mut config = P2cConfig::default();
    (config.choices, config.failure_hold) = (choices, failure_hold);
    Strategy::P2cLeastLoaded(config)
}

fn least_loaded(failure_hold: Duration) -> Strategy {
    let mut config = LeastLoadedConfig::default();
    config.failure_hold = failure_hold;
    Strategy::LeastLoaded(config)
}

trait Picks {
    fn next(&mut self, entropy: u64) -> u16;
    fn owned(&mut self, now: u64, entropy: u64) -> Lease;
    fn score(&self, number: u16, weight: u16) -> f64;
}

impl Picks for Fleet {
    fn next(&mut self, entropy: u64) -> u16 {
        number(self.handle.pick(at(0), &PickContext::default(), entropy).unwrap().instance())
    }

    fn owned(&mut self, now: u64, entropy: u64) -> Lease {
        self.handle.pick_owned(at(now), &PickContext::default(), entropy).unwrap()
    }

    fn score(&self, number: u16, weight: u16) -> f64 {
        f64::from(self.in_flight(number) + 1) / f64::from(weight)
    }
}
