//! What holds for the machine of a fleet's budget, whatever its store, its driver and its clock do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use core::time::Duration;
use std::sync::Arc;

use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::budget::{After, Budget as _, Extra, TokenBucketConfig};
use mesh_retry::coordinator::budget::{
    Fallback, FleetBudget, FleetBudgetConfig, FleetEffect, FleetInput, FleetMachine, Wake,
};
use mesh_retry::coordinator::store::{ProcessId, Settled, Settlement, StateKey, StoreFailure, StoreTime};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

fn settled(granted: u32, wait: u64) -> Settled {
    Settled {
        at: StoreTime::from_micros(wait),
        settlement: Settlement::Applied,
        granted,
        left_milli: granted,
        wait: Some(Duration::from_millis(wait)),
        processes: granted,
    }
}

fn any_input() -> impl Strategy<Value = FleetInput> {
    prop_oneof![
        8 => Just(FleetInput::Woken),
        1 => Just(FleetInput::Shutdown),
        2 => (0_u64..5, 0_u32..9).prop_map(|(epoch, granted)| FleetInput::Reply { epoch, settled: settled(granted, 9) }),
        2 => (0_u64..5).prop_map(|epoch| FleetInput::Failed { epoch, failure: StoreFailure::Unknown }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(91), ..ProptestConfig::default() })]

    #[test]
    fn the_machine_laws_hold(
        script in proptest::collection::vec((0_u64..20_000, any_input()), 0..60),
        seed: u64,
    ) {
        let script = script.into_iter().map(|(at, input)| (Instant::from_millis(at), input)).collect();
        let answer = |effect: &FleetEffect, rng: &mut Rng| {
            let FleetEffect::Send(settle) = effect else { return None };
            let epoch = settle.epoch;
            let input = match rng.below(4) {
                0 => return None,
                1 => FleetInput::Failed { epoch, failure: StoreFailure::NotDone },
                _ => FleetInput::Reply { epoch, settled: settled(rng.below(5) as u32, rng.below(2_000)) },
            };
            Some((rng.up_to(Duration::from_millis(700)), input))
        };
        let world = World { script, answer: &answer, until: Instant::from_millis(60_000), seed };
        let config = FleetBudgetConfig::default();
        assert_hold(
            || {
                let budget = Arc::new(FleetBudget::new(&config, Box::new(Nobody)));
                // Calls that were made before, so that there is something to settle.
                budget.deposit(Instant::ZERO);
                for _ in 0..15 {
                    let _ = budget.withdraw(Instant::ZERO, Extra::retry(After::Transient));
                }
                FleetMachine::new(budget, StateKey::new(1), ProcessId::new(1), seed, Instant::ZERO)
            },
            &world,
        );
    }
}

#[test]
fn a_configuration_says_which_field_is_wrong() {
    assert_eq!(FleetBudgetConfig::default().validate(), Ok(()));
    type Break = fn(&mut FleetBudgetConfig);
    let broken: [(&str, Break); 9] = [
        ("limits", |config| config.limits.burst_milli = 999),
        ("processes_assumed", |config| config.processes_assumed = 0),
        ("processes_assumed", |config| config.processes_assumed = 1_000_001),
        ("lease_ttl", |config| config.lease_ttl = Duration::from_millis(99)),
        ("lease_ttl", |config| config.lease_ttl = Duration::from_millis(60_001)),
        ("lease_max", |config| config.lease_max = 0),
        ("reply_within", |config| config.reply_within = Duration::from_millis(1_001)),
        ("reply_within", |config| config.reply_within = Duration::ZERO),
        ("expired_for", |config| config.expired_for = Duration::from_millis(60_001)),
    ];
    for (field, breaks) in broken {
        let mut config = FleetBudgetConfig::default();
        breaks(&mut config);
        let error = config.validate().unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_configuration_is_text() {
    let text = r#"{"limits": {"ratio_milli": 100, "per_second_milli": 0, "burst_milli": 10000}, "fallback": "pessimistic", "lease_ttl": "2s"}"#;
    let config: FleetBudgetConfig = serde_json::from_str(text).unwrap();
    let mut expected = FleetBudgetConfig::default();
    expected.limits = TokenBucketConfig::default();
    (expected.limits.ratio_milli, expected.limits.per_second_milli) = (100, 0);
    (expected.fallback, expected.lease_ttl) = (Fallback::Pessimistic, Duration::from_secs(2));
    assert_eq!(config, expected);
    let again: FleetBudgetConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    assert!(serde_json::from_str::<FleetBudgetConfig>(r#"{"lease": "2s"}"#).is_err());
}
