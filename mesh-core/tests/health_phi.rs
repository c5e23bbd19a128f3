//! How suspicious a silence is: Akka's numbers, and what holds of any heartbeats.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::health::{PhiAccrual, PhiConfig};
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_thresholds_of_akka_lie_where_its_approximation_puts_them() {
    for (threshold, y) in [(1.0, 1.2822), (3.0, 3.0589), (5.0, 4.1192), (8.0, 5.2260), (10.0, 5.7990), (12.0, 6.2921)] {
        let (detector, last) = steady(threshold);
        let silence = detector.suspected_at().unwrap().since(last);
        // A mean of 1 s, the acceptable 3 s, and y deviations of 100 ms.
        assert!((deviations(silence) - y).abs() < 0.5e-4, "{threshold}: {silence:?}");
    }
}

#[test]
fn phi_has_the_values_of_akka() {
    let (detector, last) = steady(8.0);
    for (y, phi) in [(0.0, 0.301_03), (1.0, 0.799_51), (3.0, 2.909_48), (5.0, 7.299_95)] {
        let now = last + Duration::from_secs_f64(4.0 + 0.1 * y);
        assert!((detector.phi(now) - phi).abs() < 0.5e-5, "y = {y}: {}", detector.phi(now));
    }
}

#[test]
fn after_heartbeats_like_clockwork_the_suspicion_comes_after_4522_6_ms() {
    let mut detector = PhiAccrual::new(PhiConfig::akka_cluster());
    for second in 0..=2000 {
        detector.heartbeat(at(second));
    }
    let silence = detector.suspected_at().unwrap().since(at(2000));
    assert!((silence.as_secs_f64() - 4.5226).abs() < 0.5e-4, "{silence:?}");
}

#[test]
fn right_after_the_first_heartbeat_the_suspicion_comes_after_5306_5_ms() {
    for config in [PhiConfig::akka_cluster(), PhiConfig::default()] {
        let mut detector = PhiAccrual::new(config);
        detector.heartbeat(at(7));
        let silence = detector.suspected_at().unwrap().since(at(7));
        assert!((silence.as_secs_f64() - 5.3065).abs() < 0.5e-4, "{silence:?}");
    }
}

#[test]
fn the_presets_are_those_of_akka() {
    let akka = PhiConfig::akka_cluster();
    assert_eq!((akka.threshold, akka.window_max.get()), (8.0, 1000));
    assert_eq!(akka.deviation_min, Duration::from_millis(100));
    assert_eq!((akka.acceptable_pause, akka.first_interval), (Duration::from_secs(3), Duration::from_secs(1)));
    let mut ours = PhiConfig::default();
    assert_eq!(ours.window_max.get(), 64);
    ours.window_max = akka.window_max;
    assert_eq!(ours, akka);
}

#[test]
fn what_has_never_been_heard_of_is_available() {
    let detector = PhiAccrual::new(PhiConfig::default());
    assert_eq!(detector.phi(Instant::MAX), 0.0);
    assert!(detector.is_available(Instant::MAX));
    assert_eq!(detector.suspected_at(), None);
}

#[test]
fn regular_heartbeats_are_never_suspected() {
    let mut rng = Rng::from_seed(17);
    for interval in [10, 1000, 3000] {
        let mut config = PhiConfig::default();
        config.first_interval = Duration::from_millis(interval);
        let mut detector = PhiAccrual::new(config);
        let mut now = Instant::ZERO;
        for _ in 0..10_000 {
            assert!(detector.is_available(now));
            detector.heartbeat(now);
            // A fifth of the interval early or late.
            now += Duration::from_millis(interval) * 4 / 5 + rng.up_to(Duration::from_millis(interval) * 2 / 5);
        }
    }
}

#[test]
fn an_interval_that_ends_a_suspicion_is_not_remembered() {
    let (mut detector, last) = steady(8.0);
    let silence = detector.suspected_at().unwrap().since(last);
    let back = last + Duration::from_secs(600);
    assert!(!detector.is_available(back));
    detector.heartbeat(back);
    assert!(detector.is_available(back));
    assert_eq!(detector.suspected_at().unwrap().since(back), silence, "the next crash is seen as soon as the first");
}

#[test]
fn an_interval_just_short_of_a_suspicion_is_remembered() {
    let (mut detector, last) = steady(8.0);
    let silence = detector.suspected_at().unwrap().since(last);
    let late = last + (silence - Duration::from_nanos(1));
    assert!(detector.is_available(late));
    detector.heartbeat(late);
    assert!(detector.suspected_at().unwrap().since(late) > silence);
}

#[test]
fn the_window_forgets_what_is_older() {
    // A window of two: after a change of pace two intervals are enough.
    let (mut detector, mut now) = steady(8.0);
    for _ in 0..2 {
        now += Duration::from_secs(2);
        detector.heartbeat(now);
    }
    let silence = detector.suspected_at().unwrap().since(now);
    assert!((silence.as_secs_f64() - 5.5226).abs() < 0.5e-4, "{silence:?}");
}

#[test]
fn the_deviation_is_that_of_the_whole_population() {
    let mut config = PhiConfig::default();
    config.window_max = NonZeroU32::new(2).unwrap();
    let mut detector = PhiAccrual::new(config);
    // Intervals of 1 s and 2 s: 1.5 s, and a deviation of half a second.
    for second in [0, 1, 3] {
        detector.heartbeat(at(second));
    }
    let silence = detector.suspected_at().unwrap().since(at(3)).as_secs_f64();
    assert!((silence - (4.5 + 0.5 * 5.2260)).abs() < 0.5e-4, "{silence}");
}

#[test]
fn heartbeats_that_come_in_a_bunch_count_each() {
    let (mut detector, last) = steady(8.0);
    for _ in 0..2 {
        detector.heartbeat(last);
    }
    // Two intervals of nothing are what Akka would remember, too.
    let silence = detector.suspected_at().unwrap().since(last).as_secs_f64();
    assert!((silence - 3.5226).abs() < 0.5e-4, "{silence}");
}

#[test]
fn a_heartbeat_from_before_the_last_is_ignored() {
    let (mut detector, last) = steady(8.0);
    let before = detector.suspected_at();
    detector.heartbeat(last - Duration::from_millis(1));
    assert_eq!(detector.suspected_at(), before);
    assert!(detector.phi(Instant::ZERO) < 1e-9, "time that goes back makes nothing suspicious");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    assert!(PhiConfig::default().validate().is_ok() && PhiConfig::akka_cluster().validate().is_ok());
    let hour = Duration::from_secs(3600);
    let cases: [(Spoil, &str); 11] = [
        (&|config| config.threshold = 0.0, "threshold"),
        (&|config| config.threshold = -1.0, "threshold"),
        (&|config| config.threshold = 100.1, "threshold"),
        (&|config| config.threshold = f64::NAN, "threshold"),
        (&|config| config.threshold = f64::INFINITY, "threshold"),
        (&|config| config.window_max = NonZeroU32::new(65_537).unwrap(), "window_max"),
        (&|config| config.deviation_min = Duration::from_micros(999), "deviation_min"),
        (&|config| config.deviation_min = hour * 2, "deviation_min"),
        (&|config| config.first_interval = Duration::ZERO, "first_interval"),
        (&|config| config.first_interval = hour * 2, "first_interval"),
        (&|config| config.acceptable_pause = hour * 2, "acceptable_pause"),
    ];
    for (number, (spoil, field)) in cases.into_iter().enumerate() {
        let mut config = PhiConfig::default();
        spoil(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.problems().iter().map(|problem| problem.field()).collect::<Vec<_>>(), [field], "{number}");
    }
    let mut config = PhiConfig::default();
    (config.threshold, config.acceptable_pause) = (100.0, hour);
    (config.deviation_min, config.first_interval) = (hour, Duration::from_millis(1));
    config.window_max = NonZeroU32::new(65_536).unwrap();
    assert!(config.validate().is_ok());
}

#[test]
fn it_is_read_from_text() {
    let config: PhiConfig = serde_json::from_str(r#"{"threshold": 12, "acceptable_pause": "500ms"}"#).unwrap();
    assert_eq!((config.threshold, config.acceptable_pause), (12.0, Duration::from_millis(500)));
    assert!(serde_json::from_str::<PhiConfig>(r#"{"pause": "1s"}"#).is_err());
}

#[test]
fn the_longest_intervals_in_the_largest_window_are_no_trouble() {
    let mut config = PhiConfig::default();
    (config.threshold, config.window_max) = (100.0, NonZeroU32::new(65_536).unwrap());
    (config.first_interval, config.deviation_min) = (Duration::from_secs(3600), Duration::from_secs(3600));
    let mut detector = PhiAccrual::new(config);
    let mut now = Instant::ZERO;
    for _ in 0..70_000 {
        detector.heartbeat(now);
        now = detector.suspected_at().unwrap() - Duration::from_nanos(1);
    }
    assert!(detector.phi(Instant::MAX).is_finite());
    assert!(detector.suspected_at().unwrap() > now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(13), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn phi_never_falls_while_no_heartbeat_comes_and_reaches_the_threshold_when_foretold(
        threshold in 0.31..40.0_f64,
        window_max in 1..20_u32,
        pauses in prop::collection::vec(0..8_000_000_000_u64, 1..60),
        silences in prop::collection::vec(0..20_000_000_000_u64, 1..60),
    ) {
        let mut config = PhiConfig::default();
        (config.threshold, config.window_max) = (threshold, NonZeroU32::new(window_max).unwrap());
        let mut detector = PhiAccrual::new(config);
        let mut now = Instant::ZERO;
        for pause in pauses {
            now += Duration::from_nanos(pause);
            detector.heartbeat(now);
        }
        let suspected = detector.suspected_at().unwrap();
        let moment = Duration::from_nanos(1);
        prop_assert!(detector.is_available(suspected - moment) && !detector.is_available(suspected));
        prop_assert!((detector.phi(suspected) - threshold).abs() < 1e-6);
        let mut silences: Vec<_> = silences.into_iter().map(|silence| now + Duration::from_nanos(silence)).collect();
        silences.extend([suspected - moment, suspected, suspected + moment, Instant::MAX]);
        silences.sort();
        let phis: Vec<_> = silences.iter().map(|silence| detector.phi(*silence)).collect();
        prop_assert!(phis.windows(2).all(|pair| pair[0] <= pair[1]) && phis.iter().all(|phi| phi.is_finite()));
        for (silence, phi) in silences.iter().zip(phis) {
            prop_assert!((phi < threshold) == detector.is_available(*silence) || (phi - threshold).abs() < 1e-6);
        }
    }

    #[test]
    fn the_sums_of_the_window_are_those_of_its_intervals(
        window_max in 1..8_u32, pauses in prop::collection::vec(0..4_000_000_000_u64, 1..80),
    ) {
        let mut config = PhiConfig::default();
        config.window_max = NonZeroU32::new(window_max).unwrap();
        let mut detector = PhiAccrual::new(config);
        let mut now = Instant::ZERO;
        let mut plain = vec![0.75, 1.25];
        detector.heartbeat(now);
        for pause in pauses {
            now += Duration::from_nanos(pause);
            if detector.is_available(now) {
                plain.push(Duration::from_nanos(pause).as_secs_f64());
            }
            detector.heartbeat(now);
            let kept = &plain[plain.len().saturating_sub(window_max as usize)..];
            let count = kept.len() as f64;
            let mean = kept.iter().sum::<f64>() / count;
            let variance = kept.iter().map(|interval| (interval - mean) * (interval - mean)).sum::<f64>() / count;
            let silence = detector.suspected_at().unwrap().since(now).as_secs_f64();
            let expected = mean + 3.0 + libm::sqrt(variance).max(0.1) * 5.226_03;
            prop_assert!((silence - expected).abs() < 1e-4, "{silence} is not {expected}");
        }
    }
}

type Spoil<'a> = &'a dyn Fn(&mut PhiConfig);

/// A detector that remembers two intervals, both of 1 s, and the time of its last heartbeat.
fn steady(threshold: f64) -> (PhiAccrual, Instant) {
    let mut config = PhiConfig::default();
    (config.threshold, config.window_max) = (threshold, NonZeroU32::new(2).unwrap());
    let mut detector = PhiAccrual::new(config);
    for second in 0..=10 {
        detector.heartbeat(at(second));
    }
    (detector, at(10))
}

/// How many deviations of 100 ms a silence is longer than 4 s.
fn deviations(silence: Duration) -> f64 {
    (silence.as_secs_f64() - 4.0) / 0.1
}

const fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}
