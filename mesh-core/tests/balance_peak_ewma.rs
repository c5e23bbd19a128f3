//! What peak EWMA learns of an instance, and how it forgets it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh_core::balance::policy::PeakEwmaConfig;
use mesh_core::balance::{Balancer, Lease, Member, Outcome, PickContext, Strategy};
use mesh_core::health::ProbeVerdict;
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::service::Instance;
use mesh_core::time::Instant;
use support::rig::*;
use support::*;

#[test]
fn a_trace_worked_out_by_hand() {
    // A decay of 1000 ticks, so that w = e^-1 = 0.367879 after 1000 ticks and e^-0.5 = 0.606531 after 500.
    // Each line: the tick, the latency seen then, and what the estimate is after it, all in milliseconds.
    let trace = [
        (0, 100.0, 100.0),         // The first sample is the estimate.
        (1_000, 50.0, 68.393_972), // 50 × 0.632121 + 100 × 0.367879
        (2_000, 10.0, 31.481_942), // 10 × 0.632121 + 68.393972 × 0.367879
        (2_500, 80.0, 80.0),       // A peak.
        (3_000, 80.0, 80.0),       // 80 × 0.393469 + 80 × 0.606531
        (3_500, 79.0, 79.606_531), // 79 × 0.393469 + 80 × 0.606531
        (3_500, 1.0, 79.606_531),  // No time has passed: w = 1.
        (3_500, 90.0, 90.0),       // But a peak needs no time.
        (4_500, 0.0, 33.109_150),  // 90 × 0.367879
        (1_000_000, 20.0, 20.0),   // e^-995.5 is nothing.
    ];
    let mut one = One::new(config(1_000, 30));
    for (tick, millis, expected) in trace {
        one.answers(ticks(tick), Duration::from_nanos((millis * 1e6) as u64));
        one.assert_estimate(ticks(tick), expected);
    }
}

#[test]
fn an_estimate_falls_exponentially_while_nothing_is_heard() {
    for decay in [100_u64, 1_000, 9_537, 1_000_000] {
        let mut one = One::new(config(decay, 30));
        one.answers(ticks(77), Duration::from_secs(4));
        for passed in (0..200).map(|step| step * decay / 20) {
            let expected = 4_000.0 * libm::exp(-(passed as f64) / decay as f64);
            one.assert_estimate(ticks(77 + passed), expected);
        }
        // ln(4e9) = 22.1 decays take 4 s to the floor of a nanosecond.
        assert_eq!(one.estimate(ticks(77 + 23 * decay)), Some(Duration::from_nanos(1)));
    }
}

#[test]
fn reading_changes_nothing_however_often_it_is_done() {
    // tower and Finagle store what they decayed at every read, so that what a sample weighs depends on the reads.
    let (mut read, mut unread) = (One::new(config(1_000, 30)), One::new(config(1_000, 30)));
    for one in [&mut read, &mut unread] {
        one.answers(ticks(0), ms(100));
    }
    for tick in 0..1_000 {
        read.estimate(ticks(tick)).unwrap();
        drop(read.pick(ticks(tick)));
    }
    assert_eq!(read.estimate(ticks(1_000)), unread.estimate(ticks(1_000)));
    for one in [&mut read, &mut unread] {
        one.answers(ticks(1_000), ms(50));
        one.assert_estimate(ticks(1_000), 68.393_972);
    }
}

#[test]
fn nothing_is_known_of_an_instance_until_it_has_answered_nor_under_a_policy_that_measures_nothing() {
    let one = One::new(PeakEwmaConfig::default());
    assert_eq!(one.estimate(at(0)), None);
    let mut other = One { fleet: fleet(Strategy::default(), members(1)) };
    other.answers(at(10), ms(10));
    assert_eq!(other.estimate(at(10)), None);
}

#[test]
fn an_attempt_that_is_given_up_teaches_only_that_there_was_no_answer_so_far() {
    let given_up = |known: Option<u64>, after: Option<u64>| {
        let mut one = One::new(PeakEwmaConfig::default());
        if let Some(known) = known {
            one.answers(at(1_000), ms(known));
        }
        let lease = one.pick(at(1_000));
        match after {
            Some(after) => _ = lease.finish(at(1_000 + after), Outcome::Cancelled),
            None => drop(lease),
        }
        one.estimate(at(1_000 + after.unwrap_or(0))).unwrap().as_millis()
    };
    // Of one that has not answered: the initial latency, or as long as was waited.
    assert_eq!([None, Some(7), Some(9_000)].map(|after| given_up(None, after)), [30, 30, 8_999]);
    // Of one that has: nothing but that it took longer than was known.
    assert_eq!([None, Some(7), Some(9_000)].map(|after| given_up(Some(20), after)), [20, 19, 8_999]);
}

#[test]
fn a_failure_is_learnt_as_the_penalty_and_as_more_only_where_more_is_known() {
    let wait = |seconds| Outcome::Overloaded { retry_after: Some(Duration::from_secs(seconds)) };
    let no_wait = Outcome::Overloaded { retry_after: None };
    let with = |penalty: u64, retry_after_max: u64| {
        let mut config = PeakEwmaConfig::default();
        config.failure_penalty = Duration::from_secs(penalty);
        config.retry_after_max = Duration::from_secs(retry_after_max);
        config
    };
    let cases = [
        // penalty, most of Retry-After, outcome, what it took and what it is learnt as, in milliseconds
        (5, 300, Outcome::Failure, 1, 5_000),
        (5, 300, Outcome::Failure, 7_000, 7_000),
        (5, 300, Outcome::TimedOut, 1_000, 5_000),
        (5, 300, no_wait, 1, 5_000),
        (5, 300, wait(2), 1, 5_000),
        (5, 300, wait(20), 1, 20_000),
        (5, 300, wait(20), 30_000, 30_000),
        (5, 300, wait(300), 1, 300_000),
        (5, 300, wait(301), 1, 300_000),
        (5, 300, wait(u64::MAX), 1, 300_000),
        (5, 0, wait(20), 1, 5_000),
        (0, 300, Outcome::Failure, 1, 1),
        (0, 300, Outcome::TimedOut, 1_000, 1_000),
        (0, 300, no_wait, 1, 1),
        (0, 300, wait(20), 1, 20_000),
        (0, 0, wait(20), 1, 1),
    ];
    for (penalty, retry_after_max, outcome, took, learnt) in cases {
        let mut one = One::new(with(penalty, retry_after_max));
        one.pick(at(0)).finish(at(took), outcome);
        one.assert_estimate(at(took), f64::from(learnt));
    }
}

#[test]
fn a_failure_never_makes_an_instance_look_better_than_it_was_known_to_be() {
    let mut one = One::new(PeakEwmaConfig::default());
    let wait = Outcome::Overloaded { retry_after: Some(Duration::from_secs(60)) };
    one.pick(at(0)).finish(at(0), wait);
    let before = one.estimate(at(5_000)).unwrap();
    one.pick(at(5_000)).finish(at(5_000), Outcome::Failure);
    assert!(before > Duration::from_secs(36) && one.estimate(at(5_000)).unwrap() >= before);
    // Nor does a success before its time: what it took comes on top of what time has left.
    let before = one.estimate(at(6_000)).unwrap();
    one.answers(at(6_000), ms(10));
    assert!(one.estimate(at(6_000)).unwrap() >= before);
}

#[test]
fn answers_on_their_way_when_an_instance_began_to_fail_do_not_talk_the_penalty_away() {
    let mut one = One::new(PeakEwmaConfig::default());
    let on_their_way: Vec<Lease> = (0..100).map(|_| one.pick(at(0))).collect();
    one.pick(at(0)).finish(at(1), Outcome::Failure);
    for (number, lease) in on_their_way.into_iter().enumerate() {
        lease.finish(at(2 + number as u64), Outcome::Success);
    }
    // 100 ms are a hundredth of the decay: 5 s × 0.99 are left, and a little of the answers' own.
    assert!(one.estimate(at(102)).unwrap() > ms(4_940));
}

#[test]
fn a_clock_that_goes_back_takes_nothing_off_and_never_moves_the_stamp_back() {
    let mut one = One::new(config(1_000, 30));
    one.answers(ticks(5_000), ms(100));
    one.assert_estimate(ticks(4_000), 100.0);
    one.answers(ticks(4_000), ms(10));
    one.assert_estimate(ticks(5_000), 100.0);
    // A peak counts, from the stamp on.
    one.answers(ticks(4_000), ms(200));
    one.assert_estimate(ticks(5_000), 200.0);
    one.assert_estimate(ticks(6_000), 73.575_888);
    // An end before its start took no time, which is learnt as 1 ns.
    let mut other = One::new(config(1_000, 30));
    other.pick(at(500)).finish(at(400), Outcome::Success);
    assert_eq!(other.estimate(at(400)), Some(Duration::from_nanos(1)));
}

#[test]
fn ticks_wrap_after_52_days_and_nothing_is_left_of_what_is_older_than_26() {
    // A day has 86,400 s / 2^20 ns = 82,397,461 ticks.
    let (wrap, day) = (1_u64 << 32, 82_397_461);
    let mut one = One::new(config(day * 30, 30));
    one.answers(ticks(wrap - day), ms(100));
    one.assert_estimate(ticks(wrap + day), 100.0 * libm::exp(-2.0 / 30.0));
    one.assert_estimate(ticks(wrap + 20 * day), 100.0 * libm::exp(-21.0 / 30.0));
    for days in [27, 40, 50] {
        assert_eq!(one.estimate(ticks(wrap - day + days * day)), Some(Duration::from_nanos(1)), "{days} days");
    }
    one.answers(ticks(wrap + 40 * day), ms(7));
    one.assert_estimate(ticks(wrap + 40 * day), 7.0);
}

#[test]
fn no_latency_time_or_decay_is_too_extreme() {
    for decay in [Duration::from_nanos(1), Duration::from_secs(10), Duration::MAX] {
        let mut config = PeakEwmaConfig::default();
        (config.decay, config.failure_penalty, config.initial_rtt) = (decay, Duration::MAX, Duration::MAX);
        let mut one = One::new(config);
        for (start, end) in [(Instant::ZERO, Instant::MAX), (Instant::MAX, Instant::ZERO), (at(5), at(5))] {
            for outcome in [Outcome::Success, Outcome::TimedOut] {
                one.pick(start).finish(end, outcome);
                assert!(one.estimate(start).is_some() && one.estimate(end).is_some());
                let (_, why) = one.fleet.handle.pick_explained(end, &PickContext::default(), 1).unwrap();
                assert!(why.considered.iter().all(|candidate| candidate.score.is_finite()));
            }
        }
    }
}

#[test]
fn an_estimate_survives_changes_of_weight_metadata_membership_and_eligibility() {
    let mut one = One::new(config(1_000, 30));
    one.answers(ticks(0), ms(100));
    let renamed = Instance::builder("api", "127.0.0.1", 10_000).tag("new").build().unwrap();
    for members in [vec![weighted(0, 9)], vec![Member::usable(renamed)], members(3), vec![unhealthy(0), member(1)]] {
        one.fleet.publish(members);
        one.assert_estimate(ticks(0), 100.0);
    }
}

#[test]
fn an_answer_that_comes_after_its_instance_left_touches_nobody() {
    let mut one = One::new(PeakEwmaConfig::default());
    let late = one.pick(at(0));
    let later = one.pick(at(0));
    one.fleet.publish(vec![member(1)]);
    late.finish(at(50), Outcome::Failure);
    assert_eq!(one.estimate(at(50)), None, "instance 1 is another");
    one.fleet.publish(vec![member(0)]);
    later.finish(at(60), Outcome::Failure);
    assert_eq!(one.estimate(at(60)), None, "and so is instance 0 when it comes back");
}

#[test]
fn checks_that_find_an_instance_well_again_forget_its_penalty() {
    let mut config = ServiceMachineConfig::default();
    config.strategy = Strategy::PeakEwma(PeakEwmaConfig::default());
    let mut rig = Rig::new(config);
    rig.observe(heard(vec![checked(0)]));
    let balancer = Balancer::new();
    let publish = |rig: &mut Rig| balancer.publish(rig.said.views.last().unwrap().1.clone());
    probe(&mut rig, &[ProbeVerdict::Passed]);
    publish(&mut rig);
    let lease = balancer.handle().pick_owned(rig.now, &PickContext::default(), 1).unwrap();
    lease.finish(rig.now, Outcome::Failure);
    let latency = |now| balancer.stats(now).endpoints[0].latency;
    assert_eq!(latency(rig.now), Some(Duration::from_secs(5)));
    probe(&mut rig, &[failure(), failure(), failure(), ProbeVerdict::Passed]);
    assert!(latency(rig.now).is_some(), "it takes two successes in a row");
    probe(&mut rig, &[ProbeVerdict::Passed]);
    publish(&mut rig);
    assert_eq!(latency(rig.now), None);
}

#[test]
fn its_parameters_are_durations_with_units_and_a_decay_of_nothing_is_refused() {
    let text = r#"{"peak-ewma":{"decay":"2s","initial_rtt":"5ms","failure_penalty":"0s","retry_after_max":"1m"}}"#;
    let strategy: Strategy = serde_json::from_str(text).unwrap();
    let mut expected = PeakEwmaConfig::default();
    (expected.decay, expected.initial_rtt) = (Duration::from_secs(2), ms(5));
    (expected.failure_penalty, expected.retry_after_max) = (Duration::ZERO, Duration::from_secs(60));
    assert_eq!(strategy, Strategy::PeakEwma(expected));
    assert!(strategy.validate().is_ok());
    assert_eq!(serde_json::to_string(&strategy).unwrap(), text);
    let default: Strategy = serde_json::from_str(r#""peak-ewma""#).unwrap();
    assert_eq!(default, Strategy::PeakEwma(PeakEwmaConfig::default()));

    let nothing: Strategy = serde_json::from_str(r#"{"peak-ewma":{"decay":"0s"}}"#).unwrap();
    let error = nothing.validate().unwrap_err().to_string();
    assert!(error.contains("decay") && error.contains("must be more than 0s"), "{error}");
    for wrong in [r#"{"peak-ewma":{"decay":10}}"#, r#"{"peak-ewma":{"decya":"10s"}}"#] {
        assert!(serde_json::from_str::<Strategy>(wrong).is_err(), "{wrong}");
    }
}

/// The next probes of instance 0 are answered so.
fn probe(rig: &mut Rig, verdicts: &[ProbeVerdict]) {
    rig.usually(Fate::Silence);
    for verdict in verdicts {
        while !rig.open.contains_key(&0) {
            rig.pass(ms(1));
        }
        rig.answer(0, verdict.clone());
    }
}

/// A fleet of one instance.
struct One {
    fleet: Fleet,
}

impl One {
    fn new(config: PeakEwmaConfig) -> Self {
        Self { fleet: fleet(Strategy::PeakEwma(config), members(1)) }
    }

    fn pick(&mut self, now: Instant) -> Lease {
        self.fleet.handle.pick_owned(now, &PickContext::default(), 1).unwrap()
    }

    /// A request that began long enough before `now` ends well.
    fn answers(&mut self, now: Instant, latency: Duration) {
        self.pick(now - latency).finish(now, Outcome::Success);
    }

    fn estimate(&self, now: Instant) -> Option<Duration> {
        self.fleet.balancer.stats(now).endpoints[0].latency
    }

    /// Within the rounding of the word and the polynomial, and of the nanosecond.
    fn assert_estimate(&self, now: Instant, millis: f64) {
        let seen = self.estimate(now).unwrap().as_nanos() as f64;
        assert!(
            (seen - millis * 1e6).abs() <= millis * 1e6 * 3e-7 + 1.0,
            "{seen} ns instead of {millis} ms at {now:?}"
        );
    }
}

/// Time in the ticks that estimates are stamped with, counted from a day after the epoch.
fn ticks(ticks: u64) -> Instant {
    Instant::from_nanos((ticks + 82_397_461) << 20)
}

fn config(decay_ticks: u64, initial_rtt: u64) -> PeakEwmaConfig {
    let mut config = PeakEwmaConfig::default();
    (config.decay, config.initial_rtt) = (Duration::from_nanos(decay_ticks << 20), ms(initial_rtt));
    config
}
