//! What holds of a service's own health in any history.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::health::own::{
    CheckKind, CheckName, CheckStatus, Importance, OwnCheck, OwnCheckError, OwnHealth, OwnHealthConfig, OwnStatus,
    Report,
};
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_never_ready_while_a_critical_check_fails(checks in checks(), acts in prop::collection::vec(act(), 0..80)) {
        let mut health = OwnHealth::default();
        health.register_all(Instant::ZERO, checks.clone()).unwrap();
        let mut now = Instant::ZERO;
        for (pause, which, report) in acts {
            now += Duration::from_millis(pause);
            health.report(now, &checks[which % checks.len()].name, report).unwrap();
            let state = health.state(now);
            let starting = state.startup.status == OwnStatus::Down;
            for check in &checks {
                let status = health.status(now, &check.name).unwrap();
                let fails = matches!(status, CheckStatus::Failed(_) | CheckStatus::Stale(_));
                let critical = check.importance == Importance::Critical || check.kind == CheckKind::Startup;
                if critical && fails {
                    prop_assert_eq!(state.readiness.status, OwnStatus::Down);
                    let told = state.readiness.reasons.iter().any(|reason| reason.check() == Some(&check.name));
                    prop_assert!(told || starting, "{} is the reason", check.name);
                }
                if critical && fails && check.kind == CheckKind::Liveness && !starting {
                    prop_assert_eq!(state.liveness.status, OwnStatus::Down);
                }
                if let CheckStatus::Blocked { by } = status {
                    let root = health.status(now, &by).unwrap();
                    prop_assert!(matches!(root, CheckStatus::Failed(_) | CheckStatus::Stale(_)), "{by} is {root:?}");
                }
            }
            prop_assert!(!starting || state.readiness.status == OwnStatus::Down);
            prop_assert!(state.liveness.status != OwnStatus::Down || state.readiness.status == OwnStatus::Down);
        }
    }

    #[test]
    fn between_two_transitions_no_answer_changes(checks in checks(), acts in prop::collection::vec(act(), 0..20)) {
        let mut config = OwnHealthConfig::default();
        config.startup_deadline = Some(Duration::from_secs(2));
        let mut health = OwnHealth::new(config);
        health.register_all(Instant::ZERO, checks.clone()).unwrap();
        let mut now = Instant::ZERO;
        for (pause, which, report) in acts {
            now += Duration::from_millis(pause);
            health.report(now, &checks[which % checks.len()].name, report).unwrap();
        }
        let mut steps = 0;
        while let Some(next) = health.next_transition_at(now) {
            prop_assert!(next > now);
            let before = Instant::from_nanos(next.as_nanos() - 1);
            prop_assert_eq!(health.state(now), health.state(before));
            now = next;
            steps += 1;
            prop_assert!(steps <= 2 * checks.len());
        }
        prop_assert_eq!(health.state(now), health.state(Instant::from_nanos(u64::MAX / 2)));
    }

    #[test]
    fn the_drain_order_respects_every_dependency(checks in checks()) {
        let mut health = OwnHealth::default();
        health.register_all(Instant::ZERO, checks.clone()).unwrap();
        let order = health.drain_order();
        prop_assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), checks.len());
        let place = |name: &CheckName| order.iter().position(|other| other == name).unwrap();
        for check in &checks {
            for dependency in &check.depends_on {
                prop_assert!(place(&check.name) < place(dependency), "{dependency} stops before {}", check.name);
            }
        }
    }

    #[test]
    fn a_cycle_is_always_refused_and_written_out(checks in checks(), from: usize, length in 1..12_usize) {
        let mut checks = checks;
        let count = checks.len();
        let ring: Vec<usize> = (0..length.min(count)).map(|step| (from % count + step) % count).collect();
        for (at, member) in ring.iter().enumerate() {
            let next = checks[ring[(at + 1) % ring.len()]].name.clone();
            checks[*member].depends_on.insert(next);
        }
        let mut health = OwnHealth::default();
        let error = health.register_all(Instant::ZERO, checks.clone()).unwrap_err();
        let OwnCheckError::Cycle { cycle } = &error else { panic!("{error}") };
        prop_assert!(cycle.len() >= 2 && cycle.first() == cycle.last());
        for pair in cycle.windows(2) {
            let check = checks.iter().find(|check| check.name == pair[0]).unwrap();
            prop_assert!(check.depends_on.contains(&pair[1]), "{error}");
        }
        prop_assert!(health.is_empty());
    }

    #[test]
    fn any_note_is_short_and_harmless(text: String, repeats in 1..200_usize) {
        let note = mesh_core::health::own::Note::new(&text.repeat(repeats));
        prop_assert!(note.as_str().len() <= 256);
        prop_assert!(!note.as_str().contains(char::is_control));
    }
}

/// 1 to 10 checks, each of which depends on some of those after it; their names are in no order.
fn checks() -> impl Strategy<Value = Vec<OwnCheck>> {
    let kind = prop_oneof![Just(CheckKind::Startup), Just(CheckKind::Liveness), Just(CheckKind::Readiness)];
    let check = (kind, any::<bool>(), any::<u16>(), 1..3_u32, 1..3_u32, 1..4000_u64);
    prop::collection::vec(check, 1..10).prop_map(|drawn| {
        let names: Vec<CheckName> =
            (0..drawn.len()).map(|at| format!("c{}", (at * 7 + 3) % 31).parse().unwrap()).collect();
        let build = |(at, (kind, degrading, on, rise, fall, valid_for))| {
            let (on, rise, fall): (u16, u32, u32) = (on, rise, fall);
            let mut check = OwnCheck::new(kind, CheckName::clone(&names[at]))
                .thresholds(count(rise), count(fall))
                .valid_for(Some(Duration::from_millis(valid_for)));
            if degrading {
                check = check.degrading();
            }
            let later = names.iter().enumerate().filter(|(other, _)| *other > at && on >> other & 1 == 1);
            check.depends_on.extend(later.map(|(_, name)| name.clone()));
            check
        };
        drawn.into_iter().enumerate().map(build).collect()
    })
}

fn act() -> impl Strategy<Value = (u64, usize, Report)> {
    let report = prop_oneof![3 => Just(Report::Pass), 1 => Just(Report::warn("w")), 2 => Just(Report::fail("f"))];
    (0..1000_u64, any::<usize>(), report)
}

fn count(count: u32) -> NonZeroU32 {
    count.try_into().unwrap()
}
