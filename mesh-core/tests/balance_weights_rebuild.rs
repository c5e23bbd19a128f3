//! Weights under frequent changes: no rebuild favours or starves anybody, whatever it is in step with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
#[path = "support/weights.rs"]
mod weights;

use mesh_core::balance::{Balancer, Member, Strategy, ViewBuilder};
use mesh_core::rng::Rng;
use support::*;
use weights::*;

#[test]
fn a_rebuild_every_few_picks_costs_nobody_its_share() {
    let base = [16, 8, 4, 4, 2, 1, 1];
    let changes: [(&str, &[u16]); 3] = [
        ("one comes and goes", &[16, 8, 4, 4, 2, 1, 1, 6]),
        ("the heaviest comes and goes", &[0, 8, 4, 4, 2, 1, 1]),
        ("the weights are turned round", &[1, 1, 2, 4, 4, 8, 16]),
    ];
    // A rotation stays within four standard deviations of a draw; of 1,200 draws one may be beyond.
    let built_in = |name: &str| Strategy::from_name(name).unwrap();
    let drawn = ["weighted-random", "p2c-least-loaded", "least-loaded"].map(|name| (built_in(name), 4.8));
    let turns = [(stride(), 4.0), (smooth(), 4.0), (built_in("adaptive"), 4.0)];
    for (strategy, at_most) in turns.into_iter().chain(drawn) {
        for (what, other) in changes {
            for every in [1, 3, 6, 7, 8, 10, 16, 36] {
                for fresh in [false, true] {
                    let worst = worst_deviation(&strategy, [&base, other], every, fresh);
                    assert!(worst < at_most, "{strategy:?} every {every}, {what}, fresh {fresh}: {worst}");
                }
            }
        }
    }
}

#[test]
fn a_change_after_each_lap_does_not_fix_who_keeps_its_turn() {
    // The lighter one keeps every second turn: the views must not each see the same one of the two.
    for every in [2, 4, 6] {
        let worst = worst_deviation(&stride(), [&[3, 1], &[1, 3]], every, false);
        assert!(worst < 4.0, "every {every}: {worst}");
    }
}

#[test]
fn the_light_ones_among_many_heavy_ones_keep_their_traffic_when_rebuilt_at_each_pick() {
    // envoyproxy/envoy#10064, where they never get any.
    let weights: Vec<u16> = [128; 100].into_iter().chain([10; 10]).collect();
    for (every, fresh) in [(1, true), (1, false), (3, true), (10, false), (109, true), (110, false), (111, true)] {
        let mut changing = Changing::new(&stride(), [&weights, &[&*weights, &[128]].concat()], fresh);
        let seen = changing.picks(2_000, every);
        let light: u32 = seen[100..110].iter().sum();
        // 2,000 × (100 / 12,900 + 100 / 13,028) / 2
        assert!(light.abs_diff(15) <= 8, "every {every}: {light} of 15 picks");
    }
}

#[test]
fn one_huge_weight_leaves_the_rest_their_traffic_when_rebuilt_at_each_pick() {
    for strategy in [stride(), smooth()] {
        for every in [1, 2, 3, 10] {
            let mut changing = Changing::new(&strategy, [&[65_535, 6_553], &[65_535, 6_553, 1]], true);
            let seen = changing.picks(4_000, every);
            assert!(seen[1].abs_diff(364) <= 45, "{strategy:?} every {every}: {seen:?}");
        }
    }
}

#[test]
fn the_first_picks_after_five_thousand_changes_are_by_weight() {
    let (base, other) = ([16, 8, 4, 2, 1], [16, 8, 4, 2, 1, 5]);
    for strategy in [stride(), smooth(), Strategy::WeightedRandom] {
        let mut changing = Changing::new(&strategy, [&base, &other], true);
        let mut firsts = Vec::new();
        for _ in 0..10_000 {
            let picked = changing.next();
            // Those of the view with five, so that the shares are the weights.
            if changing.turned {
                firsts.push(picked);
            }
            changing.turn();
        }
        assert_by_weight(&count(firsts, 6)[..5], &base.map(f64::from), strategy.name());
    }
}

#[test]
fn the_first_picks_of_ten_thousand_processes_are_by_weight() {
    let weights = [16, 8, 4, 2, 1, 3];
    for strategy in [stride(), smooth()] {
        let firsts = (0..10_000).map(|seed| {
            let mut views = ViewBuilder::new(strategy.clone());
            views.set_seed(seed);
            let balancer = Balancer::new();
            balancer.publish(views.build(all(&weights)));
            balancer.handle().next(0)
        });
        assert_by_weight(&count(firsts, 6), &weights.map(f64::from), strategy.name());
    }
}

#[test]
fn a_weight_that_is_raised_step_by_step_does_not_begin_the_rotation_anew() {
    for strategy in [stride(), smooth()] {
        let mut fleet = fleet(strategy.clone(), all(&[100, 100, 100, 1]));
        let mut seen = [0; 4];
        let mut expected = 0.0;
        for weight in (1..=100).cycle().take(1_000) {
            fleet.publish(all(&[100, 100, 100, weight]));
            for picked in sequence(&mut fleet, 5) {
                seen[usize::from(picked)] += 1;
            }
            expected += 5.0 * f64::from(weight) / (300.0 + f64::from(weight));
        }
        let equal = (5_000.0 - expected) / 3.0;
        for (seen, expected) in seen.iter().zip([equal, equal, equal, expected]) {
            let error = f64::from(*seen) / expected - 1.0;
            assert!(error.abs() < 0.03, "{strategy:?}: {seen} of {expected}");
        }
    }
}

#[test]
fn changes_at_irregular_times_cost_nobody_its_share() {
    let (base, other) = ([9, 3, 1, 1], [9, 3, 1, 1, 4]);
    for strategy in [stride(), smooth(), Strategy::RoundRobin] {
        let mut changing = Changing::new(&strategy, [&base, &other], false);
        let mut rng = Rng::from_seed(5);
        let mut seen = [[0_u32; 5]; 2];
        for _ in 0..4_000 {
            for _ in 0..=rng.below(8) {
                let view = usize::from(!changing.turned);
                seen[view][usize::from(changing.next())] += 1;
            }
            changing.turn();
        }
        let weights = |weights: &[u16]| -> Vec<f64> {
            let is_weighted = strategy != Strategy::RoundRobin;
            weights.iter().map(|&weight| if is_weighted { f64::from(weight) } else { 1.0 }).collect()
        };
        assert_by_weight(&seen[0][..4], &weights(&base), "with four");
        assert_by_weight(&seen[1], &weights(&other), "with five");
    }
}

/// By how many standard deviations of random draws some instance misses its share, at most, when views of the two sets
/// of weights alternate every `every` picks: of all picks, and of those of each view.
fn worst_deviation(strategy: &Strategy, weights: [&[u16]; 2], every: u64, fresh: bool) -> f64 {
    let mut changing = Changing::new(strategy, weights, fresh);
    let mut seen = weights.map(|weights| vec![0_u32; weights.len()]);
    let mut made = [0.0; 2];
    for pick in 1..=4_000 {
        let view = usize::from(!changing.turned);
        seen[view][usize::from(changing.next())] += 1;
        made[view] += 1.0;
        if pick % every == 0 {
            changing.turn();
        }
    }
    let deviation = |view: usize, at: usize| {
        let share = f64::from(weights[view][at]) / weights[view].iter().copied().map(f64::from).sum::<f64>();
        let deviation = (made[view] * share * (1.0 - share)).sqrt().max(1.0);
        (f64::from(seen[view][at]) - made[view] * share).abs() / deviation
    };
    let all = (0..2).flat_map(|view| (0..weights[view].len()).map(move |at| (view, at)));
    all.map(|(view, at)| deviation(view, at)).fold(0.0, f64::max)
}

/// A fleet whose view alternates between two sets of members.
struct Changing {
    fleet: Fleet,
    sets: [Vec<Member>; 2],
    fresh: bool,
    rng: Rng,
    /// Whether the first set is in force.
    turned: bool,
}

impl Changing {
    fn new(strategy: &Strategy, weights: [&[u16]; 2], fresh: bool) -> Self {
        let sets = weights.map(all);
        Self { fleet: fleet(strategy.clone(), sets[0].clone()), sets, fresh, rng: Rng::from_seed(2), turned: true }
    }

    fn next(&mut self) -> u16 {
        if self.fresh {
            self.fleet.handle = self.fleet.balancer.handle();
        }
        self.fleet.handle.next(self.rng.next_u64())
    }

    fn turn(&mut self) {
        self.turned = !self.turned;
        self.fleet.publish(self.sets[usize::from(!self.turned)].clone());
    }

    fn picks(&mut self, picks: u64, every: u64) -> Vec<u32> {
        let len = self.sets[0].len().max(self.sets[1].len());
        let mut seen = vec![0; len];
        for pick in 1..=picks {
            seen[usize::from(self.next())] += 1;
            if pick % every == 0 {
                self.turn();
            }
        }
        seen
    }
}
