//! What a breaker does in any history is what a plain model of it does, and what holds of every half-open time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use std::num::NonZeroU32;
use std::time::Duration;

use breaker_support::model::{Model, Pass, told};
use breaker_support::*;
use mesh_retry::Instant;
use mesh_retry::breaker::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, rng_seed: RngSeed::Fixed(8), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_breaker_does_what_the_model_does(
        config in any_config(), seed: u64, acts in prop::collection::vec(any_act(), 1..120),
    ) {
        let mut run = Run { breaker: Breaker::new(&config, seed).unwrap(), model: Model::new(config), out: Vec::new(), now: Instant::ZERO };
        for act in acts {
            run.act(&act)?;
            run.compare()?;
            if run.model.state == State::HalfOpen {
                prop_assert!(run.model.given() <= config.half_open.probes.get());
            }
        }
    }
}

/// What the world does with a breaker. Who holds a permit is chosen by a number.
#[derive(Clone, Debug)]
enum Act {
    Ask(u8),
    End(usize, Verdict),
    GiveBack(usize),
    DropGuard(usize),
    Lose(usize),
    Pass(Duration),
    GoBack(Duration),
    Force(Forced),
    Reset,
}

struct Run {
    breaker: Breaker,
    model: Model,
    out: Vec<(Permit, Pass)>,
    now: Instant,
}

impl Run {
    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match *act {
            Act::Ask(times) => {
                for _ in 0..times {
                    self.ask()?;
                }
            }
            Act::End(which, verdict) => {
                if let Some((permit, pass)) = self.take(which) {
                    let real = self.breaker.record(self.now, permit, verdict);
                    let expected = self.model.record(self.now, pass, verdict);
                    prop_assert_eq!(real.map(told), expected);
                    self.look_at_opening(real)?;
                }
            }
            Act::GiveBack(which) => {
                if let Some((permit, pass)) = self.take(which) {
                    self.breaker.give_back(permit);
                    self.model.give_back(pass);
                }
            }
            Act::DropGuard(which) => {
                if let Some((permit, pass)) = self.take(which) {
                    drop(Guard::new(&self.breaker, permit));
                    self.model.give_back(pass);
                }
            }
            Act::Lose(which) => drop(self.take(which)),
            Act::Pass(time) => self.now += time,
            Act::GoBack(time) => self.now = self.now - time,
            Act::Force(state) => prop_assert_eq!(self.breaker.force(state).map(told), self.model.force(state)),
            Act::Reset => prop_assert_eq!(told(self.breaker.reset()), self.model.order(State::Closed)),
        }
        Ok(())
    }

    fn ask(&mut self) -> Result<(), TestCaseError> {
        let (pass, expected) = self.model.permit(self.now);
        match self.breaker.permit(self.now) {
            Ok(permit) => {
                prop_assert_eq!(Some(permit.is_probe()), pass.map(|pass| pass.is_probe));
                prop_assert_eq!(permit.transition().map(told), expected);
                self.out.push((permit, pass.unwrap()));
            }
            Err(refused) => {
                prop_assert_eq!(None, pass);
                prop_assert_eq!(refused.transition.map(told), expected);
                self.look_at_opening(refused.transition)?;
                prop_assert_eq!(refused.state, self.model.state);
                prop_assert_eq!(refused.retry_at, self.model.next_transition_at());
                prop_assert_eq!(numbers(refused.counts), self.model.counts(self.now).0);
            }
        }
        Ok(())
    }

    /// For how long it opened, which the model does not draw.
    fn look_at_opening(&mut self, transition: Option<Transition>) -> Result<(), TestCaseError> {
        let Some(transition) = transition else { return Ok(()) };
        prop_assert_eq!(transition.until.is_some(), transition.to == State::Open);
        if let Some(until) = transition.until {
            let (least, most) = self.model.open_bounds();
            prop_assert!((least..=most).contains(&until), "{least:?} {until:?} {most:?}");
            self.model.until = until;
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.breaker.state(self.now), self.model.state_at(self.now));
        prop_assert_eq!(self.breaker.next_transition_at(), self.model.next_transition_at());
        let counts = self.breaker.counts(self.now);
        prop_assert_eq!((numbers(counts), counts.failures_in_row), self.model.counts(self.now));
        Ok(())
    }

    fn take(&mut self, which: usize) -> Option<(Permit, Pass)> {
        (!self.out.is_empty()).then(|| self.out.swap_remove(which % self.out.len()))
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1..5_u8).prop_map(Act::Ask),
        16 => (any::<usize>(), any_verdict()).prop_map(|(which, verdict)| Act::End(which, verdict)),
        2 => any::<usize>().prop_map(Act::GiveBack),
        1 => any::<usize>().prop_map(Act::DropGuard),
        2 => any::<usize>().prop_map(Act::Lose),
        8 => (0..30_000_u64).prop_map(|micros| Act::Pass(Duration::from_micros(micros))),
        1 => (0..5_000_u64).prop_map(|micros| Act::GoBack(Duration::from_micros(micros))),
        1 => prop::sample::select(vec![Forced::Open, Forced::Disabled, Forced::MetricsOnly]).prop_map(Act::Force),
        1 => Just(Act::Reset),
    ]
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    let took = prop::sample::select(vec![Duration::ZERO, SLOW, SLOW + Duration::from_nanos(1)]);
    prop_oneof![
        4 => took.clone().prop_map(Verdict::Failed),
        4 => took.prop_map(Verdict::Succeeded),
        1 => Just(Verdict::Ignored),
    ]
}

fn any_config() -> impl Strategy<Value = BreakerConfig> {
    let rate = || prop::sample::select(vec![0, 1, 333, 500, 667, 1000]);
    let thresholds = (prop::sample::select(vec![0, 0, 1, 2, 5]), rate(), rate(), 1..8_u32, any_window());
    let open = (1..20_u64, 1..60_u64, prop::sample::select(vec![1000, 1500, 2000, 100_000]), any::<bool>());
    let half_open = (1..5_u32, any::<bool>(), prop::option::of(1..40_u64), 1..60_u64);
    let config = (thresholds, open, half_open).prop_map(|(thresholds, open, half_open)| {
        let mut config = BreakerConfig::default();
        let (failures_in_row, failure_rate, slow_rate, calls_min, window) = thresholds;
        config.failures_in_row = failures_in_row;
        (config.failure_rate_milli, config.slow_rate_milli, config.slow_after) = (failure_rate, slow_rate, SLOW);
        (config.calls_min, config.window) = (number(calls_min), window);
        (config.open.base, config.open.max) = (millis(open.0), millis(open.0.max(open.1)));
        config.open.growth_milli = open.2;
        config.open.jitter = if open.3 { OpenJitter::Equal } else { OpenJitter::None };
        config.half_open.probes = number(half_open.0);
        config.half_open.rule = if half_open.1 { ProbeRule::Rates } else { ProbeRule::NoneFails };
        config.half_open.wait_max = half_open.2.map(millis);
        config.half_open.lost_after = millis(half_open.3);
        config
    });
    config.prop_filter("valid", |config| config.validate().is_ok())
}

fn any_window() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        prop_oneof![1..8_u32, Just(16), Just(17), Just(33)]
            .prop_map(|calls| WindowKind::Count { calls: number(calls) }),
        (1..5_u32, 1..20_u64).prop_map(|(buckets, width)| WindowKind::Time {
            buckets: NonZeroU32::new(buckets).unwrap(),
            width: millis(width),
        }),
    ]
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const SLOW: Duration = Duration::from_millis(5);
