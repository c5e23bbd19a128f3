//! What holds of every backoff, however it is configured and however often its call retries.

use core::time::Duration;

use mesh_retry::Rng;
use mesh_retry::backoff::{Backoff, Cause, Jitter, Shape, Waits};
use mesh_retry::policy::{RetryAfter, RetryPolicy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(8),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_wait_is_longer_than_the_cap_nor_than_the_ceiling_of_its_retry(
        backoff in any_backoff(),
        causes in prop::collection::vec(any_cause(), 1..40),
        seed: u64,
    ) {
        let (mut rng, mut waits) = (Rng::from_seed(seed), Waits::new());
        for (retry, cause) in (1..).zip(causes) {
            let ceiling = backoff.ceiling(retry, cause);
            prop_assert!(ceiling <= backoff.cap);
            let wait = backoff.delay(&mut waits, cause, &mut rng);
            prop_assert!(wait <= ceiling, "{wait:?} exceeds {ceiling:?}");
            prop_assert_eq!((waits.retries(), waits.previous()), (retry, wait));
        }
    }

    #[test]
    fn the_ceiling_of_any_retry_is_within_the_cap(backoff in any_backoff(), retry: u32, cause in any_cause()) {
        prop_assert!(backoff.ceiling(retry, cause) <= backoff.cap);
    }

    #[test]
    fn ceilings_never_fall(backoff in any_backoff(), retry in any_retry(), cause in any_cause()) {
        prop_assert!(backoff.ceiling(retry, cause) <= backoff.ceiling(retry.saturating_add(1), cause));
    }

    #[test]
    fn every_wait_is_as_long_as_its_jitter_promises(backoff in any_backoff(), retries in 0..30_u32, seed: u64) {
        let (mut rng, mut waits) = (Rng::from_seed(seed), Waits::new());
        let mut plain = backoff;
        plain.jitter = Jitter::None;
        for retry in 1..=retries {
            let step = plain.ceiling(retry, Cause::Failed);
            let least = match backoff.jitter {
                Jitter::None => step,
                Jitter::Equal => step / 2,
                Jitter::Proportional => step * 4 / 5,
                Jitter::Decorrelated => backoff.base.min(backoff.cap).min(Duration::from_nanos(u64::MAX)),
                Jitter::Full | _ => Duration::ZERO,
            };
            let wait = backoff.delay(&mut waits, Cause::Failed, &mut rng);
            prop_assert!(wait >= least, "{wait:?} is less than {least:?}");
        }
    }

    #[test]
    fn the_waits_of_a_seed_are_always_the_same(backoff in any_backoff(), seed: u64) {
        prop_assert_eq!(ten_waits(&backoff, seed), ten_waits(&backoff, seed));
    }

    #[test]
    fn two_calls_share_no_jitter(shape in any_shape(), jitter in drawn_jitter(), seed: u64, other: u64) {
        prop_assume!(seed != other);
        let mut backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(1000));
        (backoff.shape, backoff.jitter) = (shape, jitter);
        let (one, another) = (ten_waits(&backoff, seed), ten_waits(&backoff, other));
        let equal = one.iter().zip(&another).filter(|(one, another)| one == another).count();
        // Of draws from at least 400 million nanoseconds two may be the same by chance, but no pair of them.
        prop_assert!(equal < 2, "{one:?} and {another:?}");
    }

    #[test]
    fn announced_waits_are_bounded_by_the_policy(
        backoff in any_backoff(),
        rule in prop::sample::select(&RULES[..]),
        announced in prop::option::of(nanos()),
        max in nanos(),
        cause in any_cause(),
        seed: u64,
    ) {
        let mut policy = RetryPolicy::default();
        (policy.backoff, policy.retry_after, policy.retry_after_max) = (backoff, rule, max);
        let mut waits = Waits::new();
        let wait = policy.wait(&mut waits, cause, announced, &mut Rng::from_seed(seed));
        let most = match (announced, rule) {
            (None, _) | (_, RetryAfter::Ignored) => backoff.cap,
            (Some(_), RetryAfter::Clamped) => backoff.cap.saturating_add(Duration::from_secs(5)),
            (Some(_), RetryAfter::Instead | RetryAfter::InsteadAtMost) => max,
            _ => backoff.cap.saturating_add(max),
        };
        match wait {
            Ok(wait) => prop_assert!(wait <= most, "{wait:?} exceeds {most:?}"),
            Err(refused) => {
                prop_assert_eq!((Some(refused.announced), refused.max), (announced, max));
                prop_assert!(announced > Some(max));
                prop_assert_eq!(waits, Waits::new());
            }
        }
    }
}

const RULES: [RetryAfter; 5] =
    [RetryAfter::OnTop, RetryAfter::Instead, RetryAfter::InsteadAtMost, RetryAfter::Clamped, RetryAfter::Ignored];

fn ten_waits(backoff: &Backoff, seed: u64) -> Vec<Duration> {
    let (mut rng, mut waits) = (Rng::from_seed(seed), Waits::new());
    (0..10).map(|_| backoff.delay(&mut waits, Cause::Failed, &mut rng)).collect()
}

/// Any configuration, those that break the rules included: the waits are total.
fn any_backoff() -> impl Strategy<Value = Backoff> {
    let multiplier = prop_oneof![Just(0), 998..1003_u32, 1000..10_000_u32, any::<u32>()];
    let jitters = prop_oneof![Just(Jitter::None), drawn_jitter()];
    let bases = (nanos(), prop::option::of(nanos()));
    (any_shape(), bases, nanos(), multiplier, jitters).prop_map(|(shape, bases, cap, multiplier_milli, jitter)| {
        let mut backoff = Backoff::exponential(bases.0, cap);
        (backoff.shape, backoff.jitter, backoff.throttled_base) = (shape, jitter, bases.1);
        backoff.multiplier_milli = multiplier_milli;
        backoff
    })
}

fn nanos() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![0..4_u64, 0..20_000_000_000_u64, any::<u64>()].prop_map(Duration::from_nanos);
    prop_oneof![20 => nanos, 1 => Just(Duration::MAX)]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop::sample::select(&[Shape::Constant, Shape::Linear, Shape::Exponential, Shape::ExponentialSum][..])
}

fn drawn_jitter() -> impl Strategy<Value = Jitter> {
    prop::sample::select(&[Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated][..])
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop::sample::select(&Cause::ALL[..])
}

fn any_retry() -> impl Strategy<Value = u32> {
    prop_oneof![0..40_u32, any::<u32>()]
}
