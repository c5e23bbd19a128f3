//! Weighted round robin: both sequences, their shares, how evenly they are spread, and their limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
#[path = "support/weights.rs"]
mod weights;

use mesh_core::balance::{PickContext, PickError, Strategy};
use mesh_core::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;
use weights::*;

#[test]
fn the_smooth_sequence_is_nginxs() {
    let mut first = fleet(smooth(), all(&[5, 1, 1]));
    assert_eq!(sequence(&mut first, 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    let cases: [&[u16]; 8] =
        [&[1], &[2, 1], &[4, 2, 2], &[1, 2, 3], &[3, 3, 1, 1, 2], &[1, 1, 9, 1], &[100, 1], &[7, 7, 7, 7]];
    for weights in cases {
        let mut fleet = fleet(smooth(), all(weights));
        assert_eq!(sequence(&mut fleet, 300), naive_smooth(weights, 300), "{weights:?}");
    }
}

#[test]
fn a_cycle_of_65_536_places_is_nginxs_and_a_longer_one_strides() {
    let longest = [65_535, 1];
    let mut fleet_of_two = fleet(smooth(), all(&longest));
    assert_eq!(sequence(&mut fleet_of_two, 66_000), naive_smooth(&longest, 66_000));
    let divisible = [40_000, 30_000, 10_000];
    let mut fleet_of_three = fleet(smooth(), all(&divisible));
    assert_eq!(sequence(&mut fleet_of_three, 100), naive_smooth(&divisible, 100), "a cycle of eight");
    let longer = [65_535, 2];
    let (mut one, mut other) = (fleet(smooth(), all(&longer)), fleet(stride(), all(&longer)));
    let picks = sequence(&mut one, 70_000);
    assert_eq!(picks, sequence(&mut other, 70_000));
    assert_ne!(picks, naive_smooth(&longer, 70_000));
}

#[test]
fn equal_weights_are_plain_round_robin() {
    for strategy in [stride(), smooth()] {
        for weight in [1, 7, 65_535] {
            let mut fleet = fleet(strategy.clone(), all(&[weight; 9]));
            let turns: Vec<u16> = (0..100).map(|turn| turn % 9).collect();
            assert_eq!(sequence(&mut fleet, 100), turns, "{strategy:?}");
        }
    }
}

#[test]
fn nobody_is_ever_far_from_its_share() {
    let mut rng = Rng::from_seed(3);
    let any: Vec<u16> = (0..50).map(|_| 1 + rng.below(100) as u16).collect();
    let near: Vec<u16> = (0..20).map(|_| 90 + rng.below(20) as u16).collect();
    let cases: [(&[u16], f64, f64); 9] = [
        (&[5, 1, 1], 1.0, 1.0),
        (&[3, 1], 0.5, 0.75),
        (&[65_535, 1], 1.0, 1.0),
        (&[2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2.0, 1.0),
        (&[1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7], 2.5, 1.0),
        (&[100, 100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2.0, 1.5),
        (&[7; 30], 1.0, 1.0),
        (&any, 3.5, 1.0),
        (&near, 3.5, 1.0),
    ];
    for (weights, by_stride, by_smooth) in cases {
        for (strategy, most) in [(stride(), by_stride), (smooth(), by_smooth)] {
            let mut fleet = fleet(strategy.clone(), all(weights));
            let distance = distance(&sequence(&mut fleet, 50_000), weights);
            assert!(distance <= most, "{strategy:?} of {weights:?}: {distance} picks from the share");
        }
    }
}

#[test]
fn one_large_weight_among_a_hundred_small_ones_alternates_where_grpcs_sequence_makes_bursts() {
    let weights: Vec<u16> = core::iter::once(100).chain([1; 100]).collect();
    let mut fleet = fleet(stride(), all(&weights));
    let ours = sequence(&mut fleet, 20_000);
    let (theirs, turns) = naive_stride(&weights, 20_000);
    assert!(distance(&ours, &weights) <= 3.0, "{}", distance(&ours, &weights));
    assert!(distance(&theirs, &weights) > 20.0, "{}", distance(&theirs, &weights));
    assert!(turns > 40 * 20_000, "{turns} turns");
}

#[test]
fn of_any_number_of_laps_a_light_instance_has_its_share_rounded_up_or_down() {
    let weights = [1, 40, 3, 90, 17, 5, 60, 8];
    let (count, total) = (weights.len(), weights.iter().copied().map(f64::from).sum::<f64>());
    let mut fleet = fleet(stride(), all(&weights));
    let mut seen = vec![0_u32; count];
    for lap in 1..=5_000 {
        for picked in sequence(&mut fleet, count as u64) {
            seen[usize::from(picked)] += 1;
        }
        for (&weight, &seen) in weights.iter().zip(&seen).filter(|(weight, _)| f64::from(**weight) * 8.0 < total) {
            let share = f64::from(lap * count as u32) * f64::from(weight) / total;
            assert!((f64::from(seen) - share).abs() < 1.0 + 1e-4, "{seen} of {share} after {lap} laps");
        }
    }
}

#[test]
fn extreme_weights_have_their_shares() {
    let tiny: Vec<u16> = core::iter::once(65_535).chain([1; 1_000]).collect();
    let mixed: Vec<u16> = [128; 1_000].into_iter().chain([10; 100]).collect();
    for (weights, picks) in [(tiny, 1_000_000), (mixed, 130_000)] {
        let mut fleet = fleet(stride(), all(&weights));
        let seen = count(sequence(&mut fleet, picks), weights.len());
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (&seen, &weight) in seen.iter().zip(&weights) {
            let share = picks as f64 * f64::from(weight) / total;
            assert!((f64::from(seen) - share).abs() < 2.0 + share / 1_000.0, "{seen} of {share}");
        }
    }
}

#[test]
fn weights_of_nothing_but_0_drain_everybody_and_one_instance_has_everything() {
    for strategy in [stride(), smooth(), Strategy::WeightedRandom, Strategy::RoundRobin] {
        let mut fleet = fleet(strategy, all(&[0, 0, 0]));
        let refused = fleet.handle.pick(at(0), &PickContext::default(), 1).map(|lease| number(lease.instance()));
        assert_eq!(refused, Err(PickError::NoneHealthy { registered: 3, unhealthy: 0, drained: 3 }));
        fleet.publish(all(&[0, 9, 0]));
        assert_eq!(sequence(&mut fleet, 3), [1, 1, 1]);
        fleet.publish(Vec::new());
        assert!(fleet.handle.pick(at(0), &PickContext::default(), 1).is_err());
        fleet.publish(all(&[1, 1]));
        assert_eq!(count(sequence(&mut fleet, 2_000), 2).iter().sum::<u32>(), 2_000);
    }
}

#[test]
fn a_view_with_the_same_weights_goes_on_where_it_was() {
    for strategy in [stride(), smooth()] {
        let mut undisturbed = fleet(strategy.clone(), all(&[5, 1, 3]));
        let mut rebuilt = fleet(strategy, all(&[5, 1, 3]));
        for _ in 0..50 {
            assert_eq!(sequence(&mut rebuilt, 4), sequence(&mut undisturbed, 4));
            rebuilt.publish(all(&[5, 1, 3]));
        }
    }
}

#[test]
fn a_retry_that_excludes_what_failed_leaves_the_turns_of_others_alone() {
    for strategy in [stride(), smooth()] {
        let mut undisturbed = fleet(strategy.clone(), all(&[5, 1, 3]));
        let mut retried = fleet(strategy, all(&[5, 1, 3]));
        let tried = retried.tried(&[0]);
        for entropy in 0..100 {
            assert_eq!(retried.handle.next(entropy), undisturbed.handle.next(entropy));
            assert_ne!(retried.handle.next_but(entropy, &tried), 0);
        }
    }
}

#[test]
fn many_handles_share_one_sequence_but_for_the_turns_they_still_hold() {
    for strategy in [stride(), smooth()] {
        let weights = [50, 20, 20, 5, 5];
        let fleet = fleet(strategy, all(&weights));
        let mut handles: Vec<_> = (0..8).map(|_| fleet.balancer.handle()).collect();
        let mut rng = Rng::from_seed(8);
        let seen = count((0..40_000).map(|_| handles[rng.below(8) as usize].next(0)), 5);
        for (seen, weight) in seen.iter().zip(weights) {
            assert!(seen.abs_diff(400 * u32::from(weight)) <= 8 * 31, "{seen} of weight {weight}");
        }
    }
}

#[test]
fn ten_thousand_instances_have_their_shares() {
    let weights: Vec<u16> = (0..10_000).map(|number| 1 + number % 3).collect();
    for strategy in [stride(), smooth()] {
        let mut fleet = fleet(strategy, all(&weights));
        let seen = count(sequence(&mut fleet, 200_000), 10_000);
        for (&seen, &weight) in seen.iter().zip(&weights) {
            assert!(seen.abs_diff(10 * u32::from(weight)) <= 3, "{seen} of weight {weight}");
        }
    }
}

#[test]
fn a_sequence_is_spelt_in_kebab_case_and_comes_back_as_it_was() {
    let read = |text: &str| serde_json::from_str::<Strategy>(text);
    assert_eq!(read(r#"{ "weighted-round-robin": { "sequence": "smooth" } }"#).unwrap(), smooth());
    assert_eq!(read(r#"{ "weighted-round-robin": { "sequence": "stride" } }"#).unwrap(), stride());
    assert_eq!(read(r#""weighted-round-robin""#).unwrap(), stride());
    for strategy in [stride(), smooth(), Strategy::WeightedRandom, Strategy::RoundRobin] {
        assert_eq!(read(&serde_json::to_string(&strategy).unwrap()).unwrap(), strategy);
    }
    assert!(read(r#"{ "weighted-round-robin": { "sequence": "edf" } }"#).is_err());
    assert!(read(r#"{ "weighted-round-robin": { "order": "smooth" } }"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(12), ..ProptestConfig::with_cases(60) })]

    #[test]
    fn a_smooth_cycle_of_any_weights_is_nginxs_and_has_their_shares(
        weights in proptest::collection::vec(1_u16..=60, 1..40)
    ) {
        let total: usize = weights.iter().copied().map(usize::from).sum();
        let mut fleet = fleet(smooth(), all(&weights));
        let cycle = sequence(&mut fleet, total as u64);
        prop_assert_eq!(&cycle, &naive_smooth(&weights, total));
        let weights: Vec<u32> = weights.into_iter().map(u32::from).collect();
        prop_assert_eq!(count(cycle, weights.len()), weights);
    }

    #[test]
    fn strides_of_any_weights_have_their_shares(
        weights in proptest::collection::vec(prop_oneof![1_u16..=65_535, 1_u16..=20], 1..=50)
    ) {
        let (count, total) = (weights.len(), weights.iter().copied().map(f64::from).sum::<f64>());
        let mut fleet = fleet(stride(), all(&weights));
        let picks = 200 * count as u64;
        let seen = weights::count(sequence(&mut fleet, picks), count);
        // Within one for what each light one keeps; what a heavy one is given comes from several of them.
        for (&seen, &weight) in seen.iter().zip(&weights) {
            let share = picks as f64 * f64::from(weight) / total;
            let is_light = f64::from(weight) * count as f64 <= total;
            let most = if is_light { 1.0 + picks as f64 / 1e9 } else { 1.0 + (count as f64).sqrt() };
            prop_assert!((f64::from(seen) - share).abs() <= most, "{} of {} for weight {}", seen, share, weight);
        }
    }
}
