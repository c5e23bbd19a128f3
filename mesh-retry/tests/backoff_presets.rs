//! What the presets wait for, by hand from the rules of those whose names they bear.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use core::time::Duration;

use mesh_retry::Rng;
use mesh_retry::backoff::{Backoff, Cause, Jitter, Waits};
use mesh_retry::policy::{RetryAfter, RetryPolicy};

/// The ranges of the waits before retries 1, 2, and so on, in microseconds.
type Ranges = &'static [(u64, u64)];

#[test]
fn each_preset_waits_within_the_ranges_of_its_rule_and_reaches_both_ends_of_them() {
    let second = 1_000_000;
    let aws = [second, 2 * second, 4 * second, 8 * second, 16 * second, 20 * second, 20 * second];
    let cases = [
        ("default", Backoff::default(), Cause::Failed, from_zero(&[100_000, 200_000, 400_000])),
        ("aggressive", Backoff::aggressive(), Cause::Failed, from_zero(&[50_000, 75_000, 112_500, 168_750])),
        ("conservative", Backoff::conservative(), Cause::Failed, from_zero(&CONSERVATIVE)),
        ("aws_2024", Backoff::aws_2024(), Cause::Failed, from_zero(&aws)),
        ("aws_2024", Backoff::aws_2024(), Cause::Throttled, from_zero(&aws)),
        ("aws_2026", Backoff::aws_2026(), Cause::Failed, from_zero(&AWS_2026)),
        ("aws_2026", Backoff::aws_2026(), Cause::Throttled, from_zero(&aws)),
        ("envoy", Backoff::envoy(), Cause::Failed, from_zero(&[25_000, 75_000, 175_000, 250_000, 250_000])),
        ("grpc", Backoff::grpc(), Cause::Failed, GRPC.to_vec()),
    ];
    for (name, backoff, cause, ranges) in cases {
        assert_eq!(backoff.validate(), Ok(()), "{name}");
        for (retry, (from, to)) in (0..).zip(ranges) {
            let seen = seen(backoff, cause, retry);
            let width = (to - from) / 50;
            let what = format!("{name} after {retry} retries: {seen:?} of {from} to {to}");
            assert!((from..=from + width).contains(&seen.0) && (to - width..=to).contains(&seen.1), "{what}");
        }
    }
}

/// gRPC, proposal A6: `min(0.1 s * 2^(k - 1), 1 s)` times 0.8 to 1.2, and never more than the maximum.
const GRPC: Ranges =
    &[(80_000, 120_000), (160_000, 240_000), (320_000, 480_000), (640_000, 960_000), (800_000, 1_000_000)];
const CONSERVATIVE: [u64; 7] = [500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 15_000_000, 15_000_000];
const AWS_2026: [u64; 11] =
    [50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000, 12_800_000, 20_000_000, 20_000_000];

#[test]
fn finagles_waits_are_decorrelated_from_5_to_200_ms() {
    let backoff = Backoff::finagle();
    assert_eq!((backoff.base, backoff.cap, backoff.jitter), (ms(5), ms(200), Jitter::Decorrelated));
    let ceilings = (1..=5).map(|retry| backoff.ceiling(retry, Cause::Failed).as_millis());
    assert_eq!(ceilings.collect::<Vec<_>>(), [15, 45, 135, 200, 200]);
    let (least, most) = seen(backoff, Cause::Failed, 0);
    assert!((5_000..5_200).contains(&least) && (14_800..=15_000).contains(&most), "{least} to {most}");
}

#[test]
fn the_generator_of_seed_1_gives_these_waits() {
    // Its first numbers are 0xCFC5D07F6F03C29B, 0xBF424132963FE08D and 0x19A37D5757AAF520 of 2^64: 0.811612, 0.747105 and
    // 0.100151.
    let golden = [
        (Backoff::default(), Cause::Failed, [81_161, 149_420, 40_060]),
        (Backoff::aggressive(), Cause::Failed, [40_580, 56_032, 11_266]),
        (Backoff::conservative(), Cause::Failed, [405_806, 747_104, 200_301]),
        (Backoff::aws_2024(), Cause::Failed, [811_612, 1_494_209, 400_603]),
        (Backoff::aws_2026(), Cause::Failed, [40_580, 74_710, 20_030]),
        (Backoff::aws_2026(), Cause::Throttled, [811_612, 1_494_209, 400_603]),
        (Backoff::envoy(), Cause::Failed, [20_290, 56_032, 17_526]),
        // 80 + 0.811612 * 40, 160 + 0.747105 * 80, 320 + 0.100151 * 160.
        (Backoff::grpc(), Cause::Failed, [112_464, 219_768, 336_024]),
        // 5 + 0.811612 * 10, then 5 + 0.747105 * (3 * 13.11612 - 5), then 5 + 0.100151 * (3 * 30.66186 - 5).
        (Backoff::finagle(), Cause::Failed, [13_116, 30_661, 13_711]),
    ];
    for (backoff, cause, expected) in golden {
        let (mut rng, mut waits) = (Rng::from_seed(1), Waits::new());
        let got = expected.map(|_| backoff.delay(&mut waits, cause, &mut rng).as_micros());
        assert_eq!(got, expected, "{backoff:?}");
    }
}

#[test]
fn equal_jitter_keeps_half_of_each_step() {
    let mut backoff = Backoff::default();
    backoff.jitter = Jitter::Equal;
    let (mut rng, mut waits) = (Rng::from_seed(1), Waits::new());
    let got = [0; 3].map(|_| backoff.delay(&mut waits, Cause::Failed, &mut rng).as_micros());
    // 50 + 0.811612 * 50, 100 + 0.747105 * 100, 200 + 0.100151 * 200.
    assert_eq!(got, [90_580, 174_710, 220_030]);
}

#[test]
fn the_policies_of_the_peers_have_their_numbers() {
    let cases = [
        (RetryPolicy::aws_2024(), 3, Backoff::aws_2024(), RetryAfter::InsteadAtMost, Duration::from_secs(20)),
        (RetryPolicy::aws_2026(), 3, Backoff::aws_2026(), RetryAfter::Clamped, Duration::from_secs(20)),
        (RetryPolicy::grpc(), 4, Backoff::grpc(), RetryAfter::Instead, ms(2_147_483_647)),
        (RetryPolicy::envoy(), 2, Backoff::envoy(), RetryAfter::Ignored, ms(250)),
        (RetryPolicy::finagle(), 3, Backoff::finagle(), RetryAfter::Ignored, ms(200)),
    ];
    for (policy, attempts_max, backoff, rule, max) in cases {
        assert_eq!((policy.attempts_max.get(), policy.backoff), (attempts_max, backoff));
        assert_eq!((policy.retry_after, policy.retry_after_max), (rule, max));
        assert_eq!((policy.deadline, policy.attempt_timeout, policy.validate()), (None, None, Ok(())));
    }
}

/// The shortest and the longest of a thousand waits after `retries` others, in microseconds.
fn seen(backoff: Backoff, cause: Cause, retries: u32) -> (u64, u64) {
    let mut rng = Rng::from_seed(4);
    let waits = (0..1000).map(|_| {
        let mut waits = Waits::new();
        for _ in 0..retries {
            let _ = backoff.delay(&mut waits, cause, &mut rng);
        }
        backoff.delay(&mut waits, cause, &mut rng).as_micros() as u64
    });
    let waits: Vec<u64> = waits.collect();
    (waits.iter().copied().min().unwrap(), waits.iter().copied().max().unwrap())
}

fn from_zero(ceilings: &[u64]) -> Vec<(u64, u64)> {
    ceilings.iter().map(|ceiling| (0, *ceiling)).collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
