//! The adaptive strategy: which policy it turns to, when, and that it does not waver.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::{BTreeMap, VecDeque};

use mesh_core::balance::policy::AdaptiveConfig;
use mesh_core::balance::{Lease, Member, Outcome, PickContext, Strategy};
use mesh_core::rng::Rng;
use support::*;

const ROUND_ROBIN: &str = "weighted-round-robin";
const TWO_CHOICES: &str = "p2c-least-loaded";
const LEAST_LOADED: &str = "least-loaded";

#[test]
fn an_even_and_low_load_stays_with_weighted_round_robin_however_few_requests_there_are() {
    for rate in [20, 200, 2_000] {
        let mut run = Run::new(members(10), |_| 50);
        run.pass(300_000, rate);
        assert_eq!(run.switches, [], "{rate} requests a second");
    }
}

#[test]
fn weights_are_followed_while_weighted_round_robin_serves() {
    let mut run = Run::new((0..4).map(|number| weighted(number, number + 1)).collect(), |_| 20);
    run.pass(60_000, 1_000);
    assert_eq!(run.switches, []);
    let picks: Vec<f64> = run.fleet.balancer.stats(at(run.now)).endpoints.iter().map(|one| one.picks as f64).collect();
    for (number, picks) in picks.iter().enumerate() {
        let share = picks / run.picks as f64;
        assert!((share - (number + 1) as f64 / 10.0).abs() < 0.002, "{number}: {share}");
    }
}

#[test]
fn instances_of_unequal_speed_turn_it_to_least_loaded_for_good() {
    let mut run = Run::new(members(10), |number| if number < 3 { 400 } else { 50 });
    run.pass(300_000, 500);
    let [(when, to)] = run.switches[..] else { panic!("{:?}", run.switches) };
    assert_eq!(to, LEAST_LOADED);
    assert!(when <= 5_000, "after {when} ms");
}

#[test]
fn when_the_slow_ones_recover_it_goes_back() {
    let mut run = Run::new(members(10), |number| if number < 3 { 400 } else { 50 });
    run.pass(60_000, 500);
    run.latency = |_| 50;
    run.pass(60_000, 500);
    let to: Vec<_> = run.switches.iter().map(|(_, to)| *to).collect();
    assert_eq!(to, [LEAST_LOADED, ROUND_ROBIN]);
    assert!(run.switches[1].0 <= 90_000, "{:?}", run.switches);
}

#[test]
fn above_a_hundred_requests_an_instance_it_turns_to_two_choices_and_leaves_them_below_eighty() {
    let mut run = Run::new(members(4), |_| 1_000);
    // By Little's law: rate × latency / instances.
    for (rate, expected) in [(240, ROUND_ROBIN), (480, TWO_CHOICES), (360, TWO_CHOICES), (240, ROUND_ROBIN)] {
        run.pass(60_000, rate);
        assert_eq!(run.in_force(), expected, "{rate} a second");
    }
    assert_eq!(run.switches.len(), 2, "{:?}", run.switches);
}

#[test]
fn what_it_turned_to_survives_a_change_of_the_instances() {
    let mut run = Run::new(members(10), |number| if number % 3 == 0 { 400 } else { 50 });
    run.pass(30_000, 500);
    assert_eq!(run.in_force(), LEAST_LOADED);
    for step in 0..20 {
        run.fleet.publish(members(10 + step % 3));
        run.pass(1_000, 500);
    }
    assert_eq!(run.switches.len(), 1, "{:?}", run.switches);
}

#[test]
fn it_turns_also_where_instances_come_and_go_more_often_than_it_looks() {
    let mut run = Run::new(members(10), |number| if number % 3 == 0 { 400 } else { 50 });
    for step in 0..60 {
        run.fleet.publish(members(10 + step % 2));
        run.pass(500, 500);
    }
    assert_eq!(run.in_force(), LEAST_LOADED);
}

#[test]
fn the_thresholds_are_the_configured_ones() {
    let mut config = AdaptiveConfig::default();
    (config.connections, config.hysteresis_percent) = (10, 0);
    let mut run = Run::of(config, members(4), |_| 100);
    for (rate, expected) in [(300, ROUND_ROBIN), (600, TWO_CHOICES), (300, ROUND_ROBIN)] {
        run.pass(30_000, rate);
        assert_eq!(run.in_force(), expected, "{rate} a second");
    }
}

#[test]
fn parameters_out_of_range_are_refused_with_the_rule_they_break() {
    let mut config = AdaptiveConfig::default();
    config.variation_percent = 0;
    config.connections = 0;
    config.hysteresis_percent = 101;
    config.interval = ms(0);
    let error = Strategy::Adaptive(config).validate().unwrap_err().to_string();
    for rule in ["variation_percent: 0", "connections: 0", "hysteresis_percent: 101", "interval: 0ns"] {
        assert!(error.contains(rule), "{error}");
    }
    assert!(Strategy::Adaptive(AdaptiveConfig::default()).validate().is_ok());
}

/// A fleet under Poisson arrivals whose instances take as long as they are told, however many requests they have.
struct Run {
    fleet: Fleet,
    latency: fn(u16) -> u64,
    rng: Rng,
    now: u64,
    picks: u64,
    running: BTreeMap<u64, VecDeque<Lease>>,
    in_force: &'static str,
    /// When it switched, in milliseconds, and to what.
    switches: Vec<(u64, &'static str)>,
}

impl Run {
    fn new(members: Vec<Member>, latency: fn(u16) -> u64) -> Self {
        Self::of(AdaptiveConfig::default(), members, latency)
    }

    fn of(config: AdaptiveConfig, members: Vec<Member>, latency: fn(u16) -> u64) -> Self {
        let fleet = fleet(Strategy::Adaptive(config), members);
        let (rng, running, switches) = (Rng::from_seed(17), BTreeMap::new(), Vec::new());
        Self { fleet, latency, rng, now: 0, picks: 0, running, in_force: ROUND_ROBIN, switches }
    }

    fn pass(&mut self, millis: u64, rate: u64) {
        for now in self.now..self.now + millis {
            while let Some(entry) = self.running.first_entry().filter(|entry| *entry.key() <= now) {
                entry.remove().into_iter().for_each(|lease| _ = lease.finish(at(now), Outcome::Success));
            }
            let arrivals = self.arrivals(rate);
            (0..arrivals).for_each(|_| self.call(now));
        }
        self.now += millis;
    }

    /// The arrivals of one millisecond: binomial, near enough to Poisson.
    fn arrivals(&mut self, rate: u64) -> u64 {
        (0..20).filter(|_| self.rng.below(20_000) < rate).count() as u64
    }

    fn call(&mut self, now: u64) {
        let context = PickContext::default();
        let lease = self.fleet.handle.pick_owned(at(now), &context, self.rng.next_u64()).unwrap();
        let end = now + (self.latency)(number(lease.instance()));
        self.running.entry(end).or_default().push_back(lease);
        self.picks += 1;
        let in_force = self.in_force();
        if in_force != self.in_force {
            self.in_force = in_force;
            self.switches.push((now, in_force));
        }
    }

    fn in_force(&self) -> &'static str {
        self.fleet.balancer.stats(at(self.now)).in_force.unwrap()
    }
}
