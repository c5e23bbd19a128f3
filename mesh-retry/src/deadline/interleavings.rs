//! What threads share of latencies without a lock, under every order in which they may come (loom): `scripts/loom`.

use core::time::Duration;

use loom::sync::Arc;
use loom::thread;

use mesh_core::time::Instant;

use super::latency::{Latencies, ONE, kept_after};
use super::{QuantileRule, QuantileTime};

const HALF_LIFE: Duration = Duration::from_secs(10);
const START: Instant = Instant::from_millis(1_000);
const LATER: Instant = Instant::from_millis(11_000);

#[test]
fn what_is_forgotten_is_forgotten_once_and_what_is_recorded_meanwhile_is_not_lost() {
    loom::model(|| {
        let latencies = Arc::new(Latencies::of(1, HALF_LIFE));
        latencies.record(START, Duration::ZERO);
        let other = {
            let latencies = Arc::clone(&latencies);
            thread::spawn(move || latencies.record(LATER, Duration::ZERO))
        };
        latencies.record(LATER, Duration::ZERO);
        other.join().unwrap();
        let half = |weight: u64| (u128::from(weight) * kept_after(8) >> 32) as u64;
        // The one that came first may have been there when all was reduced.
        let possible = [half(ONE) + 2 * ONE, half(2 * ONE) + ONE];
        let weight = latencies.weight();
        assert!(possible.contains(&weight), "{weight} is none of {possible:?}");
    });
}

#[test]
fn while_one_forgets_a_reader_sees_the_latencies_of_before_or_after() {
    loom::model(|| {
        let latencies = Arc::new(Latencies::of(2, HALF_LIFE));
        (0..2).for_each(|_| latencies.record(START, Duration::ZERO));
        latencies.record(START, Duration::from_secs(1));
        let other = {
            let latencies = Arc::clone(&latencies);
            thread::spawn(move || latencies.samples(LATER))
        };
        let median = latencies.quantile(START, 500);
        assert!(median.is_some(), "there was always a latency");
        assert_eq!(other.join().unwrap(), 1);
    });
}

#[test]
fn a_time_is_the_old_one_or_the_new_one() {
    loom::model(|| {
        let mut rule = QuantileRule::hedge_delay();
        (rule.samples_min, rule.min) = (1, Duration::from_millis(3));
        let time = Arc::new(QuantileTime::new(rule).unwrap());
        let latencies = Arc::new(Latencies::of(1, HALF_LIFE));
        latencies.record(START, Duration::ZERO);
        let other = {
            let (time, latencies) = (Arc::clone(&time), Arc::clone(&latencies));
            thread::spawn(move || time.get(START, &latencies))
        };
        let seen = [time.get(START, &latencies), other.join().unwrap()];
        assert!(seen.iter().all(|time| [rule.min, rule.max].contains(time)), "{seen:?}");
        assert!(seen.contains(&rule.min), "one of them has looked");
        assert_eq!(time.get(START, &latencies), rule.min);
    });
}
